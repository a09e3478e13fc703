"""Tuning all weights of a small encoder as a sequence classifier on soft labels, and running what came out.

As in the code of Burns et al. 2023 (arXiv 2312.09390; github.com/openai/weak-to-strong): Adam without decay, the rate
falling to 0 as a cosine, no dropout, a new linear head that begins at zero. Weights are fp32, products bf16 where the
CPU has it. On the CPU always, with a fixed number of threads, rows in an order that is a hash of their texts and the
seed: the same bits each time on one class of hardware.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.models.classifier import EAGER, Classifier
from curation.models.config import check, read_json, understood
from curation.models.devices import THREADS, best_dtype, exact_products, threads
from curation.models.locate import LocatedModel, ModelError, locate
from curation.models.reader import PACKABLE
from curation.models.sequences import frame, framed
from curation.models.tokens import Tokens
from curation.text.arrow import buffers
from curation.text.hashing import hash_spans
from curation.weak_to_strong.crossfit import keyed

WINDOW = 16
"""Batches among which rows are sorted by their length."""
Soft = NDArray[np.float32]
"""Labels [n, k]; rows sum to 1."""
LossOf = Callable[[Any, Any, float], Any]
"""From logits, targets and progress in 0 … 1 to a loss."""


@dataclass(frozen=True)
class Start:
    """The encoder that tuning begins from."""

    model: str
    max_tokens: int
    base: Path

    @property
    def located(self) -> LocatedModel:
        return locate(self.model, self.base)

    def identity(self) -> dict[str, Any]:
        """Hashes of all files that decide what comes out. Raises ModelError for what no classifier can be made of."""
        located = self.located
        config = read_json(located, "config.json")
        with understood(located):
            check(located, config)
        kind = str(config.get("model_type"))
        known = (*PACKABLE, *EAGER)
        if kind not in known:
            raise ModelError(f"{self.model} is a {kind} model", hint=f"tuned are {', '.join(known)}")
        located.file("tokenizer.json")
        located.weights(".safetensors")
        return {
            "files": {name: file.sha256 for name, file in located.files.items()},
            "threads": THREADS,
            "dtype": best_dtype("cpu"),
        }


@dataclass(frozen=True)
class Options:
    epochs: int
    lr: float
    batch: int
    seed: int = 0


def tune(
    start: Start,
    text: pa.LargeStringArray,
    target: Soft,
    classes: tuple[str, ...],
    options: Options,
    into: Path,
    *,
    loss: LossOf | None = None,
    validation: tuple[pa.LargeStringArray, Soft] | None = None,
) -> dict[str, Any]:
    """Tune on texts [n] and targets [n, k], and write the model to the new folder `into`, as transformers reads it.

    With `validation`, the epoch whose log loss there is least is kept, else the last. Returns plain facts. Raises
    ModelError for a model that cannot be used, ArithmeticError where the loss is no longer finite.
    """
    import torch

    from curation.weak_to_strong.losses import soft_cross_entropy

    loss = loss or (lambda logits, weak, progress: soft_cross_entropy(logits, weak))
    with _deterministic(), threads(THREADS), exact_products():
        network = _open(start, classes)
        read = _Reader(start)
        rows, held = read(text), None if validation is None else read(validation[0])
        optimizer = torch.optim.Adam(network.parameters(), lr=options.lr, fused=True)
        keys, lengths = order_keys(text), np.array([len(row) for row in rows])
        steps = options.epochs * math.ceil(len(rows) / options.batch)
        best: tuple[float, dict[str, Any]] | None = None
        step, losses = 0, []
        for epoch in range(options.epochs):
            for batch in _batches(lengths, keyed(keys, options.seed * 1009 + epoch), options.batch):
                for group in optimizer.param_groups:
                    group["lr"] = options.lr * 0.5 * (1 + math.cos(math.pi * step / steps))
                logits = _logits(network, [rows[i] for i in batch])
                value = loss(logits, torch.from_numpy(target[batch]), step / steps)
                if not math.isfinite(float(value.detach())):
                    raise ArithmeticError(f"the loss is not finite in step {step + 1}; lower the learning rate")
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                step += 1
            if held is not None and validation is not None:
                held_loss = _log_loss(network, held, validation[1])
                losses.append(held_loss)
                if best is None or held_loss < best[0]:
                    best = (held_loss, {name: tensor.clone() for name, tensor in network.state_dict().items()})
        if best is not None:
            network.load_state_dict(best[1])
        _write(network, start, classes, into)
    kept = int(np.argmin(losses)) + 1 if losses else options.epochs
    return {"epochs": options.epochs, "kept_epoch": kept, "validation_log_loss": losses, "steps": steps}


def probabilities(folder: Path, text: pa.LargeStringArray) -> NDArray[np.float64]:
    """[n, k], as `scorer: classifier` finds them with this model on this machine."""
    model = Classifier(locate(f"path:{folder}"))
    logits = model.classify_ids(model.ids([text])).logits.astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    p = np.exp(logits)
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def order_keys(text: pa.LargeStringArray) -> NDArray[np.uint64]:
    """A hash of each text."""
    offsets, data = buffers(text)
    return np.asarray(hash_spans(data, offsets[:-1], offsets[1:], np.uint64(0)))


class _Reader:
    """Token ids of texts, special tokens included."""

    def __init__(self, start: Start) -> None:
        self.tokens = Tokens(start.located)
        self.frame = frame(self.tokens)
        self.limit = start.max_tokens

    def __call__(self, text: pa.LargeStringArray) -> list[NDArray[np.int64]]:
        cut = framed(self.tokens.ids(text, self.limit), self.frame, self.limit).sequences
        return np.split(cut.ids.astype(np.int64), cut.offsets[1:-1])


def _batches(lengths: NDArray[np.int64], drawn: NDArray[np.uint64], size: int) -> list[NDArray[np.int64]]:
    """Batches of rows in the order drawn, rows of like length together in each: padding would be more than half of it.

    Rows are sorted by length among `WINDOW` batches, which then come in the order of their first row's draw.
    """
    order = np.argsort(drawn, kind="stable")
    ordered = []
    for begin in range(0, len(order), size * WINDOW):
        window = order[begin : begin + size * WINDOW]
        window = window[np.argsort(lengths[window], kind="stable")]
        batches = [window[i : i + size] for i in range(0, len(window), size)]
        ordered += sorted(batches, key=lambda batch: int(drawn[batch[0]]))
    return ordered


def _logits(network: Any, rows: list[NDArray[np.int64]]) -> Any:
    """fp32 [n, k]"""
    import torch

    longest = max(len(row) for row in rows)
    ids, mask = np.zeros((len(rows), longest), np.int64), np.zeros((len(rows), longest), np.int64)
    for place, row in enumerate(rows):
        ids[place, : len(row)], mask[place, : len(row)] = row, 1
    with torch.autocast("cpu", torch.bfloat16, enabled=best_dtype("cpu") == "bf16"):
        return network(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).logits.float()


def _log_loss(network: Any, rows: list[NDArray[np.int64]], target: Soft) -> float:
    """Mean cross-entropy over all rows."""
    import torch

    order = sorted(range(len(rows)), key=lambda place: (len(rows[place]), place))
    total = 0.0
    with torch.inference_mode():
        for begin in range(0, len(order), 64):
            batch = order[begin : begin + 64]
            logits = _logits(network, [rows[i] for i in batch])
            per_row = -(torch.from_numpy(target[batch]) * torch.log_softmax(logits, dim=1)).sum(dim=1)
            total += float(per_row.double().sum())
    return total / len(rows)


def _open(start: Start, classes: tuple[str, ...]) -> Any:
    """The network in fp32 without dropout, its last layer zero."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification
    from transformers.utils import logging

    located = start.located
    located.verify()
    config = AutoConfig.from_pretrained(located.folder, local_files_only=True, trust_remote_code=False)
    config.id2label = dict(enumerate(classes))
    config.label2id = {name: place for place, name in enumerate(classes)}
    config.problem_type = "single_label_classification"
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with torch.random.fork_rng():  # a pooler that the weights lack is drawn
            torch.manual_seed(0)
            network, report = AutoModelForSequenceClassification.from_pretrained(
                located.folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{start.model} does not load: {reason}", hint="is it an encoder in safetensors?") from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
    body = network.base_model_prefix
    missing = [key for key in report["missing_keys"] if key.startswith(f"{body}.") and ".pooler." not in key]
    if missing:
        raise ModelError(f"{start.model}: {len(missing)} weights are missing, among them {missing[0]}")
    last = [module for module in network.modules() if isinstance(module, torch.nn.Linear)][-1]
    torch.nn.init.zeros_(last.weight)
    if last.bias is not None:
        torch.nn.init.zeros_(last.bias)
    return network.eval()  # which is how dropout is off


def _write(network: Any, start: Start, classes: tuple[str, ...], into: Path) -> None:
    from safetensors.torch import save_file

    into.mkdir(parents=True)
    tensors = {name: tensor.contiguous() for name, tensor in sorted(network.state_dict().items())}
    save_file(tensors, into / "model.safetensors", metadata={"format": "pt"})
    config = {**network.config.to_diff_dict(), "architectures": [type(network).__name__]}
    config.pop("_name_or_path", None)
    config["id2label"] = {str(place): name for place, name in enumerate(classes)}
    (into / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True, default=str) + "\n")
    located = start.located
    shutil.copyfile(located.file("tokenizer.json"), into / "tokenizer.json")
    settings = read_json(located, "tokenizer_config.json") if "tokenizer_config.json" in located.files else {}
    settings["model_max_length"] = start.max_tokens  # so that `scorer: classifier` reads as much as was learned from
    (into / "tokenizer_config.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


class _deterministic:  # noqa: N801 - used as a word
    """Around training: torch refuses kernels whose sums have no fixed order."""

    def __enter__(self) -> None:
        import torch

        self.before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True)

    def __exit__(self, *_: object) -> None:
        import torch

        torch.use_deterministic_algorithms(self.before)
