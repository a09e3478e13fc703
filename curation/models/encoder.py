"""Sentence encoders: any sentence-transformers model of a transformer, pooling, dense layers and normalisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.models.config import HINT, header, read_any, read_json, understood
from curation.models.devices import (
    Device,
    Dtype,
    exact_products,
)
from curation.models.forward import (
    LENGTHS,
    States,
    as_bounds,
    segment_means,
)
from curation.models.locate import LocatedModel, ModelError
from curation.models.reader import OFFSET_POSITIONS, Reader
from curation.models.sequences import framed
from curation.models.tokens import Ids

POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""sentence-transformers' names for ways of pooling, behind the switches of its older files, in its order."""
CONFIGS = ("config.json", "modules.json", "sentence_bert_config.json")


class Encoded(NamedTuple):
    """What `Encoder.encode` returns, one row a text."""

    vectors: NDArray[np.float32]
    """[n, dim]"""
    tokens: NDArray[np.int32]
    """[n]: tokens that the model read, special tokens included, after truncation."""
    truncated: NDArray[np.bool_]
    """[n]: the text had more than `max_tokens` tokens, and the rest was not read."""


class Encoder(Reader):
    """A sentence-transformers model: transformer, pooling, then dense layers and L2 norm where modules.json has them.

    `max_tokens` lowers the model's own limit (of sentence_bert_config.json, the tokenizer or the positions). `prompt`
    stands before each text: one of the names in config_sentence_transformers.json, or the words themselves. `pooling`
    takes the place of what modules.json says of it.

    Raises ModelError: no safetensors or tokenizer.json, a module that is not known, or `max_tokens` above the limit.
    """

    def __init__(
        self,
        model: LocatedModel,
        *,
        max_tokens: int | None = None,
        prompt: str | None = None,
        pooling: str | None = None,
        pack: int | None = None,
        device: Device | None = None,
        dtype: Dtype | None = None,
    ) -> None:
        config = read_json(model, "config.json")
        kind = str(config.get("model_type"))
        with understood(model):
            limit = _max_seq_length(model, config)
        super().__init__(
            model,
            kind=kind,
            limit=limit,
            max_tokens=max_tokens,
            pack=pack,
            device=device,
            dtype=dtype,
        )
        with understood(model):
            self.pooling, self.dense, self.normalize = _modules(model)
            if pooling is not None:
                self.pooling = (pooling,)
            self.dim = len(self.pooling) * _width(model, config)
            for folder in self.dense:
                self.dim = _outputs(model, folder, self.dim)
            self.prompt = _prompt(model, prompt)
        self._layers: list[Any] = []
        self._opened = False

    def identity(self) -> dict[str, Any]:
        hashes = {name: file.sha256 for name, file in self.model.files.items()}
        return {
            **super().identity(),
            "config": {name: hashes[name] for name in hashes if name.rpartition("/")[2] in CONFIGS},
            "pooling": list(self.pooling),
            "dense": list(self.dense),
            "normalize": self.normalize,
            "prompt": self.prompt,
        }

    def load(self) -> None:
        """Open tokenizer and weights (about 5 s, most of it importing torch). Does nothing when that was done.

        Raises ModelError: a file changed since it was located, weights that do not fit config.json, or no CUDA device
        where one is asked for.
        """
        if self._opened:
            return
        from transformers import AutoModel

        # The pooler's weights may be missing: sentence encoders do not use it.
        self.forward(AutoModel, "an encoder", lambda key: key.startswith("pooler."))
        self._layers = [_dense(self.model, path, self.device) for path in self.dense]
        self._opened = True

    def ids(self, text: pa.LargeStringArray) -> Ids:
        """Tokens of each text behind the prompt, as `encode_ids` wants them; opens the tokenizer only."""
        if self.prompt:
            text = pa.array([self.prompt + item for item in text.to_pylist()], pa.large_string())
        return self.tokens.ids(text, self.max_tokens)

    def encode(self, text: pa.LargeStringArray | list[str]) -> Encoded:
        """Encode texts, each on its own. An empty text gives the vector of the special tokens alone."""
        return self.encode_ids(self.ids(pa.array(text, pa.large_string()) if isinstance(text, list) else text))

    def encode_ids(self, ids: Ids) -> Encoded:
        """Encode texts given as `ids` found them."""
        self.load()
        cut = framed(ids, self.frame(), self.max_tokens)
        vectors = np.empty((len(cut.tokens), self.dim), dtype=np.float32)
        with self.meter.working():
            self.collect(cut.sequences, self._vectors, vectors)
        return Encoded(vectors, cut.tokens, cut.truncated)

    def token_states(self, text: str) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Ids [tokens] of one text, special tokens included, and the state at each, fp32 [tokens, width]."""
        self.load()
        cut = framed(self.ids(pa.array([text], pa.large_string())), self.frame(), self.max_tokens)
        (states,) = self.run(cut.sequences)
        begin, end = as_bounds(states)[0]
        return cut.sequences.ids, states.hidden[begin:end].float().cpu().numpy()

    def _vectors(self, states: States) -> Any:
        import torch

        pooled = torch.cat([_pooled(states, mode) for mode in self.pooling], dim=1)
        for weight, bias, activation in self._layers:
            # one row at a time, as `curation.models.classifier.by_row` says why
            with exact_products():
                rows = [activation(torch.nn.functional.linear(row, weight, bias)) for row in pooled.split(1)]
            pooled = torch.cat(rows)
        if self.normalize:
            pooled = pooled / pooled.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return pooled


def _pooled(states: States, mode: str) -> Any:
    """fp32 [k, width]"""
    import torch

    device = states.hidden.device
    if mode == "cls":
        return states.hidden[torch.from_numpy(states.starts).to(device)].float()
    if mode == "lasttoken":
        return states.hidden[torch.from_numpy(states.starts + states.counts - 1).to(device)].float()
    if mode == "mean":
        return segment_means(states)
    counts = torch.from_numpy(states.counts).to(device)
    if mode == "mean_sqrt_len_tokens":
        return segment_means(states) * counts.float().sqrt()[:, None]
    # A loop over sequences for the two that are rare.
    spans = [states.hidden[begin:end].float() for begin, end in as_bounds(states)]
    if mode == "max":
        return torch.stack([span.max(dim=0).values for span in spans])
    ranks = [torch.arange(1, len(span) + 1, device=device, dtype=torch.float32)[:, None] for span in spans]
    return torch.stack([(span * rank).sum(dim=0) / rank.sum() for span, rank in zip(spans, ranks, strict=True)])


def _max_seq_length(model: LocatedModel, config: dict[str, Any]) -> int:
    """sentence_bert_config.json's, else the tokenizer's, but at most the model's positions."""
    kind = config.get("model_type")
    positions = config.get("max_position_embeddings") or config.get("n_positions")
    limit = LENGTHS[-1]
    if isinstance(positions, int) and positions > 0:
        # RoBERTa's and MPNet's positions begin behind the pad id.
        limit = min(limit, positions - 2 if kind in (*OFFSET_POSITIONS, "mpnet") else positions)
    for name, key in (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length")):
        if name in model.files:
            stated = read_json(model, name).get(key)
            if isinstance(stated, int) and stated > 2:
                return min(limit, stated)
    return limit


def _width(model: LocatedModel, config: dict[str, Any]) -> int:
    width = config.get("hidden_size") or config.get("dim") or config.get("n_embd")
    if not isinstance(width, int):
        raise ModelError(f"{model.address}: config.json has no hidden_size", hint=HINT)
    return width


def _outputs(model: LocatedModel, folder: str, inputs: int) -> int:
    """Width of a dense layer's vectors, seen that its weights take `inputs`."""
    stated = read_json(model, f"{folder}/config.json").get("out_features")
    shape = header(model, f"{folder}/model.safetensors").get("linear.weight")
    if shape != (stated, inputs):
        raise ModelError(
            f"{model.address}: {folder} makes {stated} numbers of {inputs}, its weights are {shape}", hint=HINT
        )
    return int(shape[0])


def _modules(model: LocatedModel) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """Pooling modes, folders of dense layers, and whether vectors are normalised.

    Without modules.json: mean and no more, as sentence-transformers does.
    """
    if "modules.json" not in model.files:
        return ("mean",), (), False
    modules = read_any(model, "modules.json")
    names = [str(module["type"]).rpartition(".")[2] for module in modules]
    expected = ["Transformer", "Pooling", *["Dense"] * names.count("Dense"), *["Normalize"] * names.count("Normalize")]
    if names != expected or names.count("Normalize") > 1:
        raise ModelError(
            f"{model.address} is made of {', '.join(names)}",
            hint="known are models of Transformer, Pooling, Dense and Normalize, in this order",
        )
    config = read_json(model, f"{modules[1]['path']}/config.json")
    switches = [key for key, on in config.items() if key.startswith("pooling_mode_") and on is True]
    stated = config.get("pooling_mode")
    if stated is None:
        stated = [name for switch, name in POOLINGS.items() if switch in switches]
        stated += [switch for switch in switches if switch not in POOLINGS]
    modes = [stated] if isinstance(stated, str) else list(stated)
    unknown = [mode for mode in modes if mode not in POOLINGS.values()]
    if unknown or not modes:
        raise ModelError(f"{model.address} pools by {unknown}", hint=f"known: {', '.join(POOLINGS.values())}")
    if config.get("include_prompt") is False:
        raise ModelError(f"{model.address} leaves its prompt out of the pooling", hint="which is not known here")
    dense = tuple(module["path"] for module, name in zip(modules, names, strict=True) if name == "Dense")
    return tuple(modes), dense, "Normalize" in names


def _dense(model: LocatedModel, path: str, device: Device) -> tuple[Any, Any, Callable[[Any], Any]]:
    """Weight, bias and activation of a dense layer, fp32."""
    import torch
    from safetensors.torch import load_file

    tensors = load_file(model.file(f"{path}/model.safetensors"))
    name = read_json(model, f"{path}/config.json").get("activation_function", "torch.nn.modules.activation.Tanh")
    activations = {"Identity": torch.nn.Identity, "Tanh": torch.nn.Tanh, "ReLU": torch.nn.ReLU, "GELU": torch.nn.GELU}
    activation = activations.get(str(name).rpartition(".")[2])
    if activation is None:
        raise ModelError(f"{model.address}: unknown activation {name}", hint=f"known: {', '.join(activations)}")
    bias = tensors.get("linear.bias")
    return (
        tensors["linear.weight"].float().to(device),
        None if bias is None else bias.float().to(device),
        activation(),
    )


def _prompt(model: LocatedModel, prompt: str | None) -> str:
    name = "config_sentence_transformers.json"
    stated = read_json(model, name) if name in model.files else {}
    prompts = stated.get("prompts") or {}
    if prompt is None:
        default = stated.get("default_prompt_name")
        return str(prompts.get(default) or "") if default else ""
    return str(prompts.get(prompt, prompt))
