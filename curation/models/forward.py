"""Forward passes whose results depend on each sequence alone, bit for bit. Imports torch when a network runs.

Matrix products round differently at different shapes, so a document's numbers would move with its neighbours. Here
every pass of a network has one of a few fixed shapes, and nothing in it crosses from one sequence to another:

- `Packed`: sequences of any length stand one behind the other in a pack of a fixed number of tokens. Attention is
  computed for each by itself, positions restart with it: no padding, no mask. On CUDA by variable-length attention
  with a fixed number of sequences and a constant longest one, on the CPU by one product after another.
- `Padded`: a row for each sequence, at the next larger of a few lengths, the rest masked: for networks whose attention
  needs more than queries, keys and values (DeBERTa's, MPNet's), and for CUDA builds without variable-length attention.

Measured on 2 EPYC cores (avx512_bf16), torch 2.13: the same bits in any company, at any place, in any order, with one
thread as with two, in fp32 and in bf16. CUDA has not been measured.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation import progress
from curation.models.devices import THREADS, Device, exact_products, threads
from curation.models.locate import ModelError
from curation.models.meter import Meter
from curation.models.sequences import Sequences, fill, pack

PACKS: dict[Device, tuple[int, ...]] = {"cpu": (1024, 512), "cuda": (32768, 16384, 8192, 4096)}
"""Tokens of one pass, the default first: the shapes to go down to where memory does not suffice. On the CPU 1,024 was
fastest for MiniLM (512: -2 %, 2,048: -13 %). The GPU's is computed, not measured."""

LENGTHS = (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096, 8192)
"""Token lengths of padded rows; they are at most a factor of 2 apart, so under half of a row is padding."""

LONGEST = (128, 512, 2048, 8192)
"""On CUDA sequences share a pack with others up to the same of these lengths, which its kernel is launched for."""

SHORTEST = 16
"""On CUDA a pack of n tokens has places for n / 16 sequences: shorter ones leave some of it empty."""

ATTENTION = "curation-packed"
"""Name under which transformers' networks find `_attend`."""


class States(NamedTuple):
    """Hidden states of k sequences, out of one pass."""

    rows: NDArray[np.int64]
    """[k]: which sequences."""
    hidden: Any
    """Tensor [slots, width] on the device, in the network's dtype: with the states of fillers between."""
    starts: NDArray[np.int64]
    """[k]: sequence i has hidden[starts[i] : starts[i] + counts[i]]."""
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Operations:
    """Operations of one pass: `token` for each token, `pair` for each pair of tokens that attention compares."""

    token: float
    pair: float

    def of(self, lengths: NDArray[np.int64], causal: bool) -> float:
        squares = float((lengths.astype(np.float64) ** 2).sum())
        return self.token * float(lengths.sum()) + self.pair * squares * (0.5 if causal else 1.0)


class Forward(ABC):
    """A network without its head. `body` is called as transformers' base models are."""

    def __init__(self, body: Any, device: Device, size: int, longest: int, meter: Meter) -> None:
        self.body = body
        self.device = device
        self.size = size
        self.longest = longest
        self.meter = meter
        self.cost = _cost(body)

    def run(self, sequences: Sequences, *, first_position: int = 0) -> Iterator[States]:
        """States of all sequences, in passes that come in an order of their own. Each has 1 to `longest` tokens."""
        import torch

        progress.expect(int(sequences.lengths.sum()))
        with threads(THREADS), torch.inference_mode():
            for states in self._passes(sequences, first_position):
                yield states
                progress.read(int(states.counts.sum()))

    @abstractmethod
    def _passes(self, sequences: Sequences, first_position: int) -> Iterator[States]: ...

    def _tensor(self, values: NDArray[Any], kind: Any) -> Any:
        """Numbers on the device: through pinned memory and without waiting, where that is another one."""
        import torch

        tensor = torch.from_numpy(values)
        if self.device == "cuda":
            tensor = tensor.pin_memory().to("cuda", non_blocking=True)
        return tensor.to(kind)


class Packed(Forward):
    """Sequences one behind the other, `size` tokens a pass (or `longest`, where that is more)."""

    def __init__(
        self,
        body: Any,
        device: Device,
        size: int,
        longest: int,
        meter: Meter,
        *,
        causal: bool,
        segments: bool,
        varlen: bool,
    ) -> None:
        super().__init__(body, device, max(size, longest), longest, meter)
        self.causal = causal
        self.segments = segments
        self.varlen = varlen
        self.most = self.size // SHORTEST if varlen else self.size

    def _passes(self, sequences: Sequences, first_position: int) -> Iterator[States]:
        lengths = sequences.lengths
        for longest, members in self._buckets(lengths):
            # some places are for the fillers behind the last sequence
            most = self.most - (-(-self.size // longest) if self.varlen else 0)
            for chosen in pack(lengths[members], self.size, most):
                rows = members[chosen]
                yield States(rows, *self._pass(sequences, rows, longest, first_position), lengths[rows])
                self.meter.add(len(rows), int(lengths[rows].sum()), self.size, self.cost.of(lengths[rows], self.causal))

    def _buckets(self, lengths: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        if not self.varlen:
            yield self.longest, np.arange(len(lengths))
            return
        bounds = [*(length for length in LONGEST if length < self.longest), self.longest]
        bucket = np.searchsorted(bounds, lengths)
        for place, longest in enumerate(bounds):
            members = np.flatnonzero(bucket == place)
            if len(members):
                yield longest, members

    def _pass(
        self, sequences: Sequences, rows: NDArray[np.int64], longest: int, first_position: int
    ) -> tuple[Any, NDArray[np.int64]]:
        import torch

        ids, positions, types, starts = fill(sequences, rows, self.size, first_position)
        used = int(starts[-1] + sequences.lengths[rows[-1]])
        more: dict[str, Any] = {}
        if self.varlen:
            bounds = filled_bounds(starts, used, self.size, longest, self.most)
            more["bounds"], more["longest"] = self._tensor(bounds, torch.int32), longest
        else:
            more["bounds"] = [*starts.tolist(), used]
        if self.segments:
            more["token_type_ids"] = self._tensor(types, torch.long)[None]
        with exact_products():
            hidden = self.body(
                input_ids=self._tensor(ids, torch.long)[None],
                position_ids=self._tensor(positions, torch.long)[None],
                use_cache=False,
                causal=self.causal,
                **more,
            )[0][0]
        return hidden, starts


class Padded(Forward):
    """A row for each sequence, about `size` tokens a pass."""

    def __init__(
        self, body: Any, device: Device, size: int, longest: int, meter: Meter, *, mask_axes: int, segments: bool
    ) -> None:
        super().__init__(body, device, size, longest, meter)
        self.mask_axes = mask_axes
        self.segments = segments
        self.shapes = padded_shapes(size, longest)

    def _passes(self, sequences: Sequences, first_position: int) -> Iterator[States]:
        import torch

        lengths = sequences.lengths
        shape_of = np.searchsorted([length for _, length in self.shapes], lengths)
        for shape in np.unique(shape_of):
            rows, length = self.shapes[shape]
            members = np.flatnonzero(shape_of == shape)
            for begin in range(0, len(members), rows):
                batch = members[begin : begin + rows]
                # A dummy row has one token: with none, its attention would divide by zero.
                counts = np.ones(rows, dtype=np.int64)
                counts[: len(batch)] = lengths[batch]
                ids = np.zeros((rows, length), dtype=np.int32)
                types = np.zeros((rows, length), dtype=np.int8)
                real = np.arange(length) < counts[:, None]
                taken = sequences.take(batch)
                ids[: len(batch)][real[: len(batch)]] = taken.ids
                if taken.types is not None:
                    types[: len(batch)][real[: len(batch)]] = taken.types
                mask = self._tensor(real, torch.bool)
                # Of two axes, transformers drops one without padding where it can, and runs another kernel then.
                more = {"attention_mask": mask.long() if self.mask_axes == 2 else mask[:, None, None, :]}
                if self.segments:
                    more["token_type_ids"] = self._tensor(types, torch.long)
                with exact_products():
                    hidden = self.body(input_ids=self._tensor(ids, torch.long), **more)[0]
                starts = np.arange(len(batch)) * length
                yield States(batch, hidden.reshape(rows * length, -1), starts, lengths[batch])
                self.meter.add(
                    len(batch), int(lengths[batch].sum()), rows * length, self.cost.of(lengths[batch], False)
                )


def padded_shapes(size: int, longest: int) -> list[tuple[int, int]]:
    """(rows, tokens) of the passes of `Padded`."""
    lengths = [*(length for length in LENGTHS if length < longest), longest]
    return [(max(1, size // length), length) for length in lengths]


def filled_bounds(starts: NDArray[np.int64], used: int, size: int, longest: int, most: int) -> NDArray[np.int32]:
    """Where sequences begin in a pack, and end: int32 [most + 1], however many there are.

    What is left of the pack becomes fillers of at most `longest` tokens; places that are left are empty sequences.
    """
    fillers = np.arange(used, size, longest)
    bounds = np.full(most + 1, size, dtype=np.int32)
    bounds[: len(starts)] = starts
    bounds[len(starts) : len(starts) + len(fillers)] = fillers
    return bounds


def register() -> str:
    """Make the packed attention known to transformers; returns its name."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(ATTENTION, _attend)
    AttentionMaskInterface.register(ATTENTION, lambda *args, **kwargs: None)
    return ATTENTION


def has_varlen() -> bool:
    """Whether torch has variable-length attention (for CUDA); imports no torch."""
    return bool(metadata.distribution("torch").locate_file("torch/nn/attention/varlen.py").exists())  # type: ignore[attr-defined]


def segment_means(states: States) -> Any:
    """Mean state of each sequence, fp32 [k, width], summed in the order of its tokens."""
    import torch

    hidden = states.hidden.float()
    ends = states.starts + states.counts
    gaps = states.starts - np.append(0, ends[:-1])
    lengths = np.append(np.stack([gaps, states.counts], axis=1), len(hidden) - ends[-1])
    each = torch.from_numpy(lengths).to(hidden.device)
    return torch.segment_reduce(hidden, "mean", lengths=each, axis=0, unsafe=True)[1::2]


def _attend(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    scaling: float | None = None,
    bounds: Any = (),
    causal: bool = False,
    longest: int = 0,
    **more: Any,
) -> tuple[Any, None]:
    """Attention of each sequence within itself: query [1, heads, pack, size] -> [1, pack, heads, size]."""
    import torch

    for name in ("softcap", "s_aux", "position_bias"):
        if more.get(name) is not None:
            raise ModelError(f"attention with {name} is not known here", hint="take a model of BERT's or Llama's kind")
    if not isinstance(bounds, list):
        return _attend_varlen(query, key, value, scaling, bounds, causal, longest), None
    out = torch.zeros_like(query.transpose(1, 2), memory_format=torch.contiguous_format)
    for begin, end in pairwise(bounds):
        # Cloned, since a kernel may begin differently where its numbers are not aligned.
        q, k, v = (
            states[:, :, begin:end].clone(memory_format=torch.contiguous_format) for states in (query, key, value)
        )
        done = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, is_causal=causal, scale=scaling, enable_gqa=q.shape[1] != k.shape[1]
        )
        out[:, begin:end] = done.transpose(1, 2)
    return out, None


def _attend_varlen(
    query: Any, key: Any, value: Any, scaling: float | None, bounds: Any, causal: bool, longest: int
) -> Any:
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = (states[0].transpose(0, 1).contiguous() for states in (query, key, value))
    window = (-1, 0) if causal else (-1, -1)
    grouped = q.shape[1] != k.shape[1]
    out = varlen_attn(q, k, v, bounds, bounds, longest, longest, scale=scaling, window_size=window, enable_gqa=grouped)
    return out.unsqueeze(0)  # type: ignore[union-attr]


def _cost(body: Any) -> Operations:
    """By the formula: two operations a weight that is no embedding, and attention's two products a layer."""
    import torch

    embedded = {
        id(weight)
        for module in body.modules()
        if isinstance(module, torch.nn.Embedding)
        for weight in module.parameters()
    }
    weights = sum(weight.numel() for weight in body.parameters() if weight.ndim == 2 and id(weight) not in embedded)
    config = body.config
    layers = getattr(config, "num_hidden_layers", 1)
    heads = getattr(config, "num_attention_heads", 1)
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    repeated = layers if config.model_type == "albert" else 1  # its layers share their weights
    return Operations(2.0 * weights * repeated, 4.0 * width * layers)


def as_bounds(states: States) -> Sequence[tuple[int, int]]:
    """Begin and end of each sequence in `hidden`."""
    return list(zip(states.starts.tolist(), (states.starts + states.counts).tolist(), strict=True))
