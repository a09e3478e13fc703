"""What every network that reads texts has in common: tokenizer, weights, passes, identity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.models.config import check, read_json, understood
from curation.models.devices import (
    THREADS,
    Device,
    Dtype,
    best_device,
    best_dtype,
    open_network,
)
from curation.models.forward import (
    PACKS,
    Forward,
    Packed,
    Padded,
    States,
    has_varlen,
    padded_shapes,
    register,
)
from curation.models.locate import LocatedModel, ModelError
from curation.models.meter import Meter
from curation.models.sequences import Frame, Sequences, frame
from curation.models.tokens import Tokens, tokenizer_sha256

PACKABLE = ("albert", "bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta")
"""Encoders whose attention is of queries, keys and values alone."""
CAUSAL = ("gemma", "gpt2", "llama", "mistral", "qwen2", "qwen3", "smollm3")
"""Decoders: nothing behind a token reaches it."""
OFFSET_POSITIONS = ("camembert", "roberta", "xlm-roberta")
"""Their positions begin behind the pad id."""


class Reader(ABC):
    """A model's network and tokenizer: reads texts as sequences, and runs a network without its head over them.

    Cheap to construct: reads the model's small JSON files only. `max_tokens` lowers `limit`, the model's own; `pack`
    is the number of tokens of one pass, one of `PACKS`. `device` and `dtype` default to what this machine does best.

    Raises ModelError: no safetensors or tokenizer.json, `max_tokens` above `limit`, or an undeclared `pack`.
    """

    def __init__(
        self,
        model: LocatedModel,
        *,
        kind: str,
        limit: int,
        max_tokens: int | None = None,
        pack: int | None = None,
        device: Device | None = None,
        dtype: Dtype | None = None,
    ) -> None:
        self.model = model
        self.kind = kind
        self.device: Device = device or best_device()
        self.dtype: Dtype = dtype or best_dtype(self.device)
        self.weights = model.weights(".safetensors")
        self.tokens = Tokens(model)
        self.config = read_json(model, "config.json")
        with understood(model):
            check(model, self.config)
        if max_tokens is not None and not 2 < max_tokens <= limit:
            raise ModelError(f"max_tokens is {max_tokens}, and {model.address} reads 3 to {limit}", hint="lower it")
        self.max_tokens = max_tokens or limit
        self.pack = chosen_pack(self.device, pack)
        self.meter = Meter()
        self._forward: Forward | None = None
        self._frames: dict[bool, Frame] = {}

    @abstractmethod
    def load(self) -> None:
        """Open tokenizer and weights. Does nothing when that was done."""

    @property
    def causal(self) -> bool:
        """Whether a token sees only those before it."""
        return self.kind in CAUSAL

    @property
    def packs(self) -> bool:
        """Whether sequences stand one behind the other, rather than each in a padded row."""
        return self.causal or (self.kind in PACKABLE and (self.device == "cpu" or has_varlen()))

    @property
    def attention(self) -> str:
        """How attention is computed; part of the identity."""
        if self.packs:
            return "varlen" if self.device == "cuda" and has_varlen() else "packed-sdpa"
        return "sdpa" if self.kind in PACKABLE else "eager"

    def identity(self) -> dict[str, Any]:
        """All that decides the network's bits on one class of hardware; opens no weights, imports no torch."""
        hashes = {name: file.sha256 for name, file in self.model.files.items()}
        shapes = [self.pack] if self.packs else [list(shape) for shape in padded_shapes(self.pack, self.max_tokens)]
        return {
            "weights": {name: hashes[name] for name in self.weights},
            "tokenizer": tokenizer_sha256(self.model),
            "dtype": self.dtype,
            "attention": self.attention,
            "shapes": shapes,
            "threads": THREADS,
            "max_tokens": self.max_tokens,
        }

    def frame(self, pair: bool = False) -> Frame:
        """The special tokens that the tokenizer adds."""
        if pair not in self._frames:
            self._frames[pair] = frame(self.tokens, pair)
        return self._frames[pair]

    def forward(self, auto: Any, wanted: str, optional: Callable[[str], bool] = lambda key: False) -> Any:
        """Open the weights through `auto`, a transformers Auto class, and return the network; `run` runs its body.

        Checks the files' hashes first. Raises ModelError: a file changed since it was located, or weights that do not
        fit config.json.
        """
        self.model.verify()
        name = register() if self.packs else self.attention
        network = open_network(auto, self.model, self.device, self.dtype, name, wanted, optional)
        body = network.base_model
        if self.packs:
            _refuse_windows(self.model, body, self.max_tokens)
        segments = int(self.config.get("type_vocab_size") or 0) > 1 and not self.causal
        if self.packs:
            self._forward = Packed(
                body,
                self.device,
                self.pack,
                self.max_tokens,
                self.meter,
                causal=self.causal,
                segments=segments,
                varlen=self.attention == "varlen",
            )
        else:
            axes = 4 if self.attention == "sdpa" else 2
            self._forward = Padded(
                body, self.device, self.pack, self.max_tokens, self.meter, mask_axes=axes, segments=segments
            )
        return network

    def run(self, sequences: Sequences) -> Iterator[States]:
        """States of all sequences that have a token, in passes that come in an order of their own."""
        assert self._forward is not None
        pad = self.config.get("pad_token_id")
        first = int(pad) + 1 if self.kind in OFFSET_POSITIONS and isinstance(pad, int) else 0
        filled = np.flatnonzero(sequences.lengths)
        if len(filled) == len(sequences.lengths):
            yield from self._forward.run(sequences, first_position=first)
            return
        for states in self._forward.run(sequences.take(filled), first_position=first):
            yield states._replace(rows=filled[states.rows])

    def collect(self, sequences: Sequences, head: Callable[[States], Any], into: NDArray[np.float32]) -> None:
        """What `head` makes of each sequence's states, [k, width], in its row of `into`; nothing waits for a pass."""
        import torch

        waiting = [(s.rows, head(s).float().to("cpu", non_blocking=True)) for s in self.run(sequences)]
        if self.device == "cuda":
            torch.cuda.synchronize()
        for rows, values in waiting:
            into[rows] = values.numpy()


def chosen_pack(device: Device, pack: int | None) -> int:
    """Tokens of one pass. Raises ModelError for a number that is not declared."""
    if pack is not None and pack not in PACKS[device]:
        known = ", ".join(map(str, PACKS[device]))
        raise ModelError(f"pack is {pack}, which is no declared shape on {device}", hint=f"one of {known}")
    return pack or PACKS[device][0]


def _refuse_windows(model: LocatedModel, body: Any, tokens: int) -> None:
    windows = [getattr(module, "sliding_window", None) for module in body.modules()]
    if body.config.model_type == "mistral":  # whose layers ask the config
        windows.append(body.config.sliding_window)
    least = min((window for window in windows if isinstance(window, int)), default=tokens)
    if least < tokens:
        raise ModelError(
            f"{model.address} looks {least} tokens back, and {tokens} are to be read",
            hint=f"read at most {least}: attention in sliding windows is not known here",
        )
