"""Instruction-following difficulty: how much an instruction helps a small language model to foretell its answer."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field

from curation.models.causal import PORTION, WINDOW, Causal
from curation.models.locate import locate
from curation.models.sequences import Sequences
from curation.models.tokens import Ids
from curation.scorers import base
from curation.scorers.attribution import Attribution
from curation.scorers.model import ModelScorer, ModelSettings, is_blank, placed
from schemas.documents import EMPTY, NO_TARGET, NONFINITE, OK, TEXT, TOO_LONG, TOO_SHORT


class IfdSettings(ModelSettings):
    """Which causal language model reads the pairs, and by whose definition."""

    mode: Literal["aligned", "official"] = "aligned"
    """`aligned` compares the same answer tokens after start + prompt and after start; `official` computes what
    Superfiltering's code computes."""
    max_tokens: int = Field(default=WINDOW, ge=2)
    """Tokens of prompt and answer together, start token included; what does not fit is cut off the answer."""
    min_tokens: int = Field(default=5, ge=1)
    """Answer tokens that have to be scored: the ratio of a few is mostly noise."""
    start: str | None = None
    """For `aligned`, the token before prompt and answer; default <|endoftext|>, or the tokenizer's own."""


class Ifd(ModelScorer):
    """IFD of (instruction, input, output), from the mean losses of the output with and without what was asked.

    Fields: `ifd_ppl` float64, exp(L_cond - L_alone), as Superfiltering defines it (arXiv 2402.00530); `ifd_loss`
    float64, L_cond / L_alone, as Cherry LLM does (arXiv 2308.12032): the two order rows differently; `loss_cond` and
    `loss_alone` float64, mean nats per answer token after the prompt and without it; `tokens` int32 (scored after the
    prompt) and `truncated` bool (the end of the answer was not read). A high ratio says that the instruction helps
    little: hard, or beside the point. From 1 on it does not help at all, and both papers drop the row; the usual gate
    is `ifd.ifd_ppl < 1`, and the highest of the rest are kept.

    The prompt is bare: instruction, newline, and where there is one input, newline; no chat template, which moves the
    ratio a good deal.

    - `aligned`: L_cond over start + prompt + answer, L_alone over start + answer, the same answer tokens in both. An
      empty prompt gives exactly 1.
    - `official`: prompt and answer are tokenised as one string, of which the prompt's own token count is not scored;
      the answer alone is tokenised by itself, and its first token has no loss where the tokenizer adds no start token,
      as GPT-2's and SmolLM2's do not. Both are cut as there: to `max_tokens`, and to what is left of it plus one.

    Status `empty`: a blank answer. `too_short`: fewer than `min_tokens` answer tokens could be scored. `too_long`: the
    prompt leaves room for fewer, `no_target_tokens`: for none.
    """

    kind = "ifd"
    version = 2
    Settings = IfdSettings
    reads: tuple[str, ...] = ("instruction", "input", "output")

    def __init__(self, settings: IfdSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        self._opened: Causal | None = None
        if settings.mode == "official" and settings.start is not None:
            raise ValueError("`start` is for the mode `aligned`; `official` has the tokenizer's own or none")
        if settings.start == "":
            raise ValueError("the mode `aligned` needs a start token: the answer's first token is scored too")

    @property
    def causal(self) -> Causal:
        """The model, its weights not necessarily loaded. Raises ModelError when the model cannot be used."""
        if self._opened is None:
            chosen = self.settings
            located = locate(chosen.model, self.context.recipe_dir)
            start = "" if chosen.mode == "official" else chosen.start
            self._opened = Causal(located, window=chosen.max_tokens, start=start, pack=chosen.pack)
        return self._opened

    @property
    def readers(self) -> tuple[Causal]:
        return (self.causal,)

    @property
    def fields(self) -> list[pa.Field]:
        return [
            pa.field("ifd_ppl", pa.float64()),
            pa.field("ifd_loss", pa.float64()),
            pa.field("loss_cond", pa.float64()),
            pa.field("loss_alone", pa.float64()),
            pa.field("tokens", pa.int32()),
            pa.field("truncated", pa.bool_()),
        ]

    @property
    def contract(self) -> base.Contract:
        return base.Contract("ifd_ppl", 1, "ratio", tokens="tokens", truncated="truncated")

    def identity(self) -> dict[str, Any]:
        return {**self.causal.identity(), "prompt": "instruction\ninput\n"}

    def prepare(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        names = self.reads[:-1]
        answers = batch.column("output")
        limit, official = self.settings.max_tokens, self.settings.mode == "official"
        # Superfiltering writes the instruction even where it is empty, and the input only where it is not.
        prompts = pa.array(
            [
                "".join(f"{part}\n" for place, part in enumerate(row) if part or (official and place == 0))
                for row in zip(*(batch.column(name).to_pylist() for name in names), strict=True)
            ],
            TEXT,
        )
        read = [prompts, answers]
        if official:
            joint = zip(prompts.to_pylist(), answers.to_pylist(), strict=True)
            read.append(pa.array([prompt + answer for prompt, answer in joint], TEXT))
        ids = [self.causal.tokens.ids(text, limit) for text in read]
        status = np.full(batch.num_rows, OK, dtype=object)
        for token_ids in ids:
            status[token_ids.refused()] = TOO_LONG
        status[is_blank(answers)] = EMPTY
        columns = {name: token_ids.array() for name, token_ids in zip(("prompt", "answer", "joint"), ids, strict=False)}
        return pa.record_batch({**columns, "status": pa.array(status, pa.string())})

    def attribution(self, document: pa.RecordBatch) -> Attribution | None:
        """Of each answer token, how much harder the prompt makes it; in the mode `aligned` they add up to
        log `ifd_ppl`. The mode `official` reads other tokens with the prompt than without, so there is no such strip.
        """
        if self.settings.mode == "official":
            return None
        [pair] = self._pairs(self.prepare(document))
        if len(pair.alone) < 2:
            return None
        sequences = Sequences(*Ids.joined([pair.whole, pair.alone]))
        losses = self.causal.token_losses(sequences, np.array([pair.whole_first, 1]))
        conditional, alone = (losses.values[a:b].astype(np.float64) for a, b in losses.spans())
        tokens = [self.causal.text(pair.alone[i : i + 1]).decode(errors="replace") for i in range(1, len(pair.alone))]
        weights = (conditional - alone) / len(alone)
        return Attribution("log ifd_ppl", list(zip(tokens, weights.tolist(), strict=True)), in_order=True)

    def infer(self, prepared: pa.RecordBatch) -> pa.RecordBatch:
        begins = range(0, max(prepared.num_rows, 1), PORTION)
        parts = [self._portion(prepared.slice(begin, PORTION)) for begin in begins]
        if len(parts) == 1:
            return parts[0]
        return pa.Table.from_batches(parts).combine_chunks().to_batches()[0]

    def _portion(self, prepared: pa.RecordBatch) -> pa.RecordBatch:
        total = prepared.num_rows
        status = np.array(prepared.column("status").to_pylist(), dtype=object)
        pairs = self._pairs(prepared)
        rows = np.flatnonzero(status == OK)
        status[rows] = [self._status(pairs[row]) for row in rows]
        rows = np.flatnonzero(status == OK)
        # Both of a pair in one call: they share packs, and a prompt is never read for its own sake.
        sequences = Ids.joined([ids for row in rows for ids in (pairs[row].whole, pairs[row].alone)])
        first = np.array([place for row in rows for place in (pairs[row].whole_first, 1)], dtype=np.int64)
        losses = self.causal.token_losses(Sequences(*sequences), first)
        both = losses.means().reshape(-1, 2)
        status[rows[~np.isfinite(both).all(axis=1)]] = NONFINITE

        missing = status != OK
        conditional, alone = placed(both, rows, total).T
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            by_ppl, by_loss = np.exp(conditional - alone), conditional / alone
        tokens = placed(np.diff(losses.offsets)[::2].astype(np.int32), rows, total)
        columns = {
            "ifd_ppl": pa.array(by_ppl, mask=missing),
            # A model certain of every token leaves nothing to divide by.
            "ifd_loss": pa.array(by_loss, mask=missing | ~np.isfinite(by_loss)),
            "loss_cond": pa.array(conditional, mask=missing),
            "loss_alone": pa.array(alone, mask=missing),
            "tokens": pa.array(tokens, mask=missing),
            "truncated": pa.array([pair.truncated for pair in pairs], pa.bool_(), mask=missing),
            "status": pa.array(status, pa.string()),
        }
        return pa.record_batch(columns)

    def _pairs(self, prepared: pa.RecordBatch) -> list[_Pair]:
        """Each row's sequences. A loop over rows, since each is three token arrays of its own."""
        prompts, answers = (_rows(prepared.column(name)) for name in ("prompt", "answer"))
        limit = self.settings.max_tokens
        if self.settings.mode == "aligned":
            start = np.array(self.causal.start_ids, dtype=np.int32)
            return [_aligned(*ids, start, limit) for ids in zip(prompts, answers, strict=True)]
        before, behind = self.causal.frame().before, self.causal.frame().behind
        prompts, answers, joint = (
            [np.concatenate([before, ids, behind]) for ids in column]
            for column in (prompts, answers, _rows(prepared.column("joint")))
        )
        return [_official(*ids, limit) for ids in zip(prompts, answers, joint, strict=True)]

    def _status(self, pair: _Pair) -> str:
        scored = min(len(pair.whole) - pair.whole_first, len(pair.alone) - 1)
        if scored >= self.settings.min_tokens:
            return OK
        if pair.answer < self.settings.min_tokens or not pair.truncated:
            return TOO_SHORT
        return TOO_LONG if scored > 0 else NO_TARGET


class _Pair(NamedTuple):
    """What one row has the model read: the answer behind its prompt, and the answer alone."""

    whole: np.ndarray
    whole_first: int
    """Place in `whole` of the first token that is scored; in `alone` it is always 1."""
    alone: np.ndarray
    answer: int
    """Answer tokens that could be scored, were there no limit."""
    truncated: bool


def _aligned(prompt: np.ndarray, answer: np.ndarray, start: np.ndarray, limit: int) -> _Pair:
    room = max(0, limit - len(start) - len(prompt))
    kept = answer[:room]
    before = np.concatenate([start, prompt])
    return _Pair(
        np.concatenate([before, kept]), len(before), np.concatenate([start, kept]), len(answer), len(answer) > room
    )


def _official(prompt: np.ndarray, answer: np.ndarray, joint: np.ndarray, limit: int) -> _Pair:
    alone = answer[: max(0, min(limit, limit - len(prompt) + 1))]
    return _Pair(joint[:limit], max(1, len(prompt)), alone, len(answer) - 1, len(joint) > limit)


def _rows(column: pa.LargeListArray) -> list[np.ndarray]:
    ids = Ids.of(column)
    return [ids.ids[begin:end] for begin, end in pairwise(ids.documents.tolist())]
