"""Token losses of causal language models that depend on the tokens alone, bit for bit.

Sequences share packs as `curation.models.forward` says. Logits exist for a fixed number of positions at a time, in fp32
(in bf16 a logit near 16 moves in steps of 1/8), and only for positions that are scored.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.models.config import HINT, read_json, understood
from curation.models.devices import Device, Dtype, bf16_products, exact_products
from curation.models.forward import States, as_bounds
from curation.models.locate import LocatedModel, ModelError
from curation.models.reader import Reader
from curation.models.sequences import Sequences
from curation.models.tokens import Ids, Tokens

WINDOW = 1024
"""Tokens that the model sees at once unless told otherwise, the start token among them."""
HEAD_ROWS: dict[Device, int] = {"cpu": 256, "cuda": 2048}
"""Positions whose logits exist at once: 50 MB on the CPU, 400 MB on a GPU, with a vocabulary of 49,152."""
PORTION = 2048
"""Documents whose windows are held at once."""
START = "<|endoftext|>"
"""What GPT-2's kin put between documents: the start token wherever the vocabulary has it."""


class TokenLosses(NamedTuple):
    """Losses of the scored tokens of n sequences, one behind the other."""

    values: np.ndarray
    """float32: -log p of each scored token given those before it in its sequence, in nats."""
    offsets: np.ndarray
    """int64 [n + 1]: sequence i has values[offsets[i] : offsets[i + 1]]."""

    def means(self) -> np.ndarray:
        """Mean loss of each sequence, summed in float64: float64 [n], NaN where no token was scored."""
        # A loop over sequences, since numpy's segment sums promise no order of summation.
        sums = np.array([self.values[a:b].sum(dtype=np.float64) for a, b in self.spans()], dtype=np.float64)
        counts = np.diff(self.offsets)
        means = np.full(len(counts), np.nan)
        np.divide(sums, counts, out=means, where=counts > 0)
        return means

    def spans(self) -> Iterator[tuple[int, int]]:
        """Start and end of each sequence's losses."""
        bounds = self.offsets.tolist()
        return pairwise(bounds)


class DocumentLosses(NamedTuple):
    """What `Causal.document_losses` returns, one row a text."""

    loss: np.ndarray
    """float64 [n]: mean loss of the scored tokens in nats; NaN where there is none."""
    tokens: np.ndarray
    """int32 [n]: tokens scored."""
    bytes: np.ndarray
    """int64 [n]: bytes of UTF-8 that the scored tokens stand for. A character cut in two by `max_tokens` counts as a
    replacement character."""
    truncated: np.ndarray
    """bool [n]: the text had more than `max_tokens` tokens, and the rest was not read."""


class Causal(Reader):
    """A causal language model in safetensors, and the losses it gives to tokens.

    `window` is the number of tokens seen at once, start token included. `start` is the token that stands before every
    text: None takes <|endoftext|> where the vocabulary has it, else the tokenizer's own start token; "" means none, and
    then a text's first token is not scored. It decides a good part of a perplexity (an encyclopedia paragraph under
    SmolLM2-135M: 7.7 after <|endoftext|>, 12.8 after <|im_start|>), so it is part of the identity.

    Special tokens that a text spells out are read as ordinary text.

    Raises ModelError: no safetensors or tokenizer.json, a window that the model has no positions for, or a start token
    that its vocabulary does not have.
    """

    def __init__(
        self,
        model: LocatedModel,
        *,
        window: int = WINDOW,
        start: str | None = None,
        pack: int | None = None,
        device: Device | None = None,
        dtype: Dtype | None = None,
    ) -> None:
        config = read_json(model, "config.json")
        limit = config.get("max_position_embeddings") or config.get("n_positions") or window
        if not isinstance(limit, int):
            raise ModelError(f"{model.address}: config.json says it has {limit!r} positions", hint=HINT)
        if not 2 <= window <= limit:
            raise ModelError(f"a window of {window} tokens, and {model.address} reads 2 to {limit}", hint="lower it")
        kind = str(config.get("model_type"))
        super().__init__(model, kind=kind, limit=window, pack=pack, device=device, dtype=dtype)
        self.tokens = Tokens(model, literal=True)
        self.window = window
        self.head_rows = HEAD_ROWS[self.device]
        with understood(model):
            self.start, self.start_ids = _start(model, self.tokens, start)
        self._head: _Head | None = None

    @property
    def causal(self) -> bool:
        return True  # of any architecture: `load` sees whether it can be read in packs

    def identity(self) -> dict[str, Any]:
        return {
            **super().identity(),
            "config": self.model.files["config.json"].sha256,
            "head": ["fp32", self.head_rows],
            "start": [self.start, *self.start_ids],
        }

    def load(self) -> None:
        """Open tokenizer and weights. Does nothing when that was done.

        Raises ModelError: a file changed since it was located, weights that do not fit config.json, no CUDA device
        where one is asked for, or a model whose losses would not be its own: attention in sliding windows, with capped
        scores or across the border of two sequences, or logits that are scaled behind the last layer.
        """
        if self._head is not None:
            return
        from transformers import AutoModelForCausalLM

        network = self.forward(AutoModelForCausalLM, "a causal language model")
        head = _Head(network, self.head_rows, exact=self.dtype == "bf16" and self.device == "cpu")
        two = Sequences(np.array([0, 5, 13]), np.arange(13, dtype=np.int32))
        if not all(head.is_plain(network, two, states) for states in self.run(two)):
            raise ModelError(
                f"{self.model.address}: its losses would not be its own", hint="take a model of Llama's kind"
            )
        self.meter.reset()  # the check is none of the documents' work
        self._head = head

    def token_losses(self, sequences: Sequences, first: NDArray[np.int64]) -> TokenLosses:
        """Losses of the tokens from `first[i]` on of each sequence of at most `window` tokens, given those before them
        in the sequence; nothing is added to it. The first token of a sequence has no loss: `first` >= 1.
        """
        self.load()
        assert self._head is not None
        import torch

        lengths = sequences.lengths
        if len(lengths) and (int(lengths.max()) > self.window or int(first.min()) < 1):
            raise ValueError(f"sequences have at most {self.window} tokens, and no loss at the first")
        offsets = np.append(0, np.cumsum(np.maximum(lengths - first, 0)))
        scored = np.flatnonzero(np.diff(offsets))
        values = np.empty(offsets[-1], dtype=np.float32)
        waiting = _Waiting(self._head, values, self.device)
        with self.meter.working():
            for states in self.run(sequences.take(scored) if len(scored) < len(lengths) else sequences):
                rows = scored[states.rows]
                counts = np.diff(offsets)[rows]
                # The state at a token speaks of the next one.
                places = _ranges(states.starts + first[rows] - 1, counts)
                targets = sequences.ids[_ranges(sequences.offsets[rows] + first[rows], counts)]
                at = torch.from_numpy(places).to(states.hidden.device)
                waiting.add(states.hidden[at], targets, _ranges(offsets[rows], counts))
            waiting.finish()
        return TokenLosses(values, offsets)

    def ids(self, text: pa.LargeStringArray, max_tokens: int | None = None) -> Ids:
        """Tokens of each text, as `document_losses` wants them; opens the tokenizer only."""
        return self.tokens.ids(text, self.room if max_tokens is None else max_tokens)

    @property
    def room(self) -> int:
        """Tokens of a text that fill one window."""
        return self.window - len(self.start_ids)

    def document_losses(
        self,
        ids: Ids,
        sizes: NDArray[np.int64],
        max_tokens: int | None = None,
        stride: int | None = None,
    ) -> DocumentLosses:
        """Mean loss of each text's first `max_tokens` tokens (default: as many as fill one window).

        `ids` are those of `ids`, `sizes` the texts' bytes, int64 [n]. A text longer than the window is read in windows
        of which each scores the `stride` tokens (default: half the window) behind those that the window before it
        scored; what is before them in the window is context. The start token stands before each window. Raises
        ValueError unless 0 < `stride` < `window` and 0 < `max_tokens`.
        """
        limit = self.room if max_tokens is None else max_tokens
        stride = self.window // 2 if stride is None else stride
        if not 0 < stride < self.window or limit < 1:
            raise ValueError(f"stride {stride} and max_tokens {limit}, with a window of {self.window}")
        rows = np.arange(len(sizes))
        parts = [
            self._portion(ids.take(rows[begin : begin + PORTION]), sizes[begin : begin + PORTION], limit, stride)
            for begin in range(0, max(len(sizes), 1), PORTION)
        ]
        return DocumentLosses(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _portion(self, ids: Ids, sizes: NDArray[np.int64], limit: int, stride: int) -> DocumentLosses:
        counts = ids.counts()
        truncated = counts > limit
        start = np.array(self.start_ids, dtype=np.int32)
        windows = np.zeros(len(sizes) + 1, dtype=np.int64)
        pieces, first = [], []
        size = sizes.copy()
        for row, (begin, count) in enumerate(zip(ids.documents.tolist(), counts.tolist(), strict=False)):
            kept = ids.ids[begin : begin + min(count, limit)]
            spans = _windows(len(kept), self.room, stride)
            pieces += [np.concatenate([start, kept[a:b]]) for a, _, b in spans]
            first += [max(1, len(start) + scored - a) for a, scored, _ in spans]
            windows[row + 1] = len(pieces)
            if truncated[row]:
                size[row] = len(self.text(kept))
            if not self.start_ids:
                size[row] -= len(self.text(kept[:1]))
        losses = self.token_losses(Sequences(*Ids.joined(pieces)), np.array(first, dtype=np.int64))
        whole = TokenLosses(losses.values, losses.offsets[windows])
        return DocumentLosses(whole.means(), np.diff(whole.offsets).astype(np.int32), size, truncated)

    def losses_by_token(
        self, text: pa.LargeStringArray, max_tokens: int | None = None, stride: int | None = None
    ) -> list[tuple[str, float]]:
        """Scored tokens of one text (an array of one), in order, and the loss of each in nats; their mean is the
        document's loss."""
        self.load()
        limit = self.room if max_tokens is None else max_tokens
        kept = self.ids(text, max_tokens).ids[:limit]
        start = np.array(self.start_ids, dtype=np.int32)
        spans = _windows(len(kept), self.room, self.window // 2 if stride is None else stride)
        first = np.array([max(1, len(start) + scored - a) for a, scored, _ in spans], dtype=np.int64)
        pieces = Ids.joined([np.concatenate([start, kept[a:b]]) for a, _, b in spans])
        losses = self.token_losses(Sequences(*pieces), first).values
        scored = kept[len(kept) - len(losses) :]
        tokens = [self.text(scored[i : i + 1]).decode(errors="replace") for i in range(len(scored))]
        return list(zip(tokens, losses.astype(np.float64).tolist(), strict=True))

    def text(self, ids: NDArray[np.int32]) -> bytes:
        """What tokens stand for, in UTF-8; a character cut in two becomes a replacement character."""
        return str(self.tokens.library.decode(ids.tolist(), skip_special_tokens=False)).encode()


class _Head:
    """The last layer, in fp32, and losses from hidden states. `exact`: states and weights are bf16 numbers."""

    def __init__(self, network: Any, rows: int, exact: bool) -> None:
        import torch

        layer = network.get_output_embeddings()
        self.rows = rows
        self.exact = exact
        self.weight = layer.weight.detach().float()
        self.bias = None if getattr(layer, "bias", None) is None else layer.bias.detach().float()
        # Kept, since a fresh one of 50 MB each time costs as much as the product: the system hands it out in pages.
        self._logits = torch.empty(rows, len(self.weight), device=self.weight.device)

    def losses(self, hidden: Any, targets: Any) -> Any:
        """-log p of one token at each place: states [rows, width], ids [rows] -> float32 [rows]."""
        logits = self._product(hidden.float(), self._logits)
        wanted = logits.gather(1, targets[:, None])[:, 0]
        most = logits.amax(dim=1, keepdim=True)
        total = logits.sub_(most).exp_().sum(dim=1)
        return total.log_() + most[:, 0] - wanted

    def logits(self, hidden: Any) -> Any:
        """float32 [n, vocabulary], for any n."""
        import torch

        return self._product(hidden.float(), torch.empty(len(hidden), len(self.weight), device=hidden.device))

    def _product(self, hidden: Any, out: Any) -> Any:
        import torch

        with bf16_products() if self.exact else exact_products():
            torch.mm(hidden, self.weight.T, out=out)
        return out if self.bias is None else out.add_(self.bias)

    def is_plain(self, network: Any, sequences: Sequences, states: States) -> bool:
        """Whether each sequence's logits are those that the network gives to it alone, from its last layer."""
        import torch

        for row, (begin, end) in zip(states.rows, as_bounds(states), strict=True):
            ids = sequences.ids[sequences.offsets[row] : sequences.offsets[row + 1]].astype(np.int64)
            more: dict[str, Any] = {"bounds": [0, len(ids)], "causal": True, "use_cache": False}
            with exact_products():
                theirs = network(input_ids=torch.from_numpy(ids).to(states.hidden.device)[None], **more).logits[0]
            theirs = theirs.float()
            # bf16 passes of two shapes differ by up to 1.5 % of the largest logit where matrix units make one of them
            near = max(0.1, 0.02 * float(theirs.abs().nan_to_num().max()))
            if not torch.allclose(self.logits(states.hidden[begin:end]), theirs, rtol=0.02, atol=near, equal_nan=True):
                return False
        return True


class _Waiting:
    """Gathers scored positions of any packs until there are enough for the head, and puts their losses in place."""

    def __init__(self, head: _Head, values: NDArray[np.float32], device: Device) -> None:
        self.head = head
        self.values = values
        self.device = device
        self.hidden: list[Any] = []
        self.targets = np.zeros(0, dtype=np.int64)
        self.places = np.zeros(0, dtype=np.int64)
        self.done: list[tuple[NDArray[np.int64], Any]] = []

    def add(self, hidden: Any, targets: NDArray[np.int32], places: NDArray[np.int64]) -> None:
        """States [k, width], the ids that follow them [k], and where in `values` their losses go [k]."""
        self.hidden.append(hidden)
        self.targets = np.append(self.targets, targets)
        self.places = np.append(self.places, places)
        self._run(len(self.targets) // self.head.rows)

    def finish(self) -> None:
        """Score what is left, with rows of zeros behind it, and wait for everything."""
        import torch

        padding = -len(self.targets) % self.head.rows
        if padding:
            self.hidden.append(self.hidden[0].new_zeros(padding, self.hidden[0].shape[1]))
            self.targets = np.append(self.targets, np.zeros(padding, dtype=np.int64))
        self._run(len(self.targets) // self.head.rows)
        if self.device == "cuda":
            torch.cuda.synchronize()
        for places, losses in self.done:
            self.values[places] = losses.numpy()[: len(places)]

    def _run(self, times: int) -> None:
        if not times:
            return
        import torch

        rows = self.head.rows
        hidden = torch.cat(self.hidden)
        targets = torch.from_numpy(self.targets).to(hidden.device)
        for begin in range(0, times * rows, rows):
            span = slice(begin, begin + rows)
            losses = self.head.losses(hidden[span], targets[span]).to("cpu", non_blocking=True)
            self.done.append((self.places[span], losses))
        rest = slice(times * rows, None)
        self.hidden, self.targets, self.places = [hidden[rest].clone()], self.targets[rest], self.places[rest]


def excess_loss(prior: NDArray[np.float64], conditional: NDArray[np.float64]) -> NDArray[np.float64]:
    """CoLoR-Filter's score (arXiv 2406.10670), L_prior(x) - L_conditional(x) of mean losses: float64 [n].

    `conditional` is the prior model trained further on the target: high is like the target.
    """
    return np.asarray(prior - conditional)


def _ranges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """starts[0], starts[0] + 1, … (counts[0] of them), starts[1], …"""
    ends = np.cumsum(counts)
    return np.arange(int(counts.sum())) + np.repeat(starts - ends + counts, counts)


def _windows(count: int, room: int, stride: int) -> list[tuple[int, int, int]]:
    """Windows over `count` tokens, as (begin, first scored, end): at most `room` tokens, each token scored once."""
    windows = [(0, 0, min(count, room))]
    while windows[-1][2] < count:
        scored = windows[-1][2]
        step = min(stride, room)
        windows.append((scored + step - room, scored, min(count, scored + step)))
    return windows


def _start(model: LocatedModel, tokens: Tokens, start: str | None) -> tuple[str, list[int]]:
    """The start token and its id, or "" and none. Raises ModelError when the vocabulary lacks it."""
    if start == "":
        return "", []
    vocabulary = tokens.file["model"].get("vocab")
    token_ids = dict(vocabulary) if isinstance(vocabulary, dict) else {}
    token_ids |= {token["content"]: token["id"] for token in tokens.file.get("added_tokens", [])}
    if start is None:
        start = START if START in token_ids else _own_start(model)
    if start is None or start not in token_ids:
        raise ModelError(
            f"{model.address} has no start token{'' if start is None else f' {start!r}'}",
            hint='name one of its tokens with `start:`, or "" for none',
        )
    return start, [int(token_ids[start])]


def _own_start(model: LocatedModel) -> str | None:
    if "tokenizer_config.json" not in model.files:
        return None
    token = read_json(model, "tokenizer_config.json").get("bos_token")
    content = token["content"] if isinstance(token, dict) else token
    return content if isinstance(content, str) else None
