"""A scorer of single answers on conversations: asked once for each answer, and one number made of what it says."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.formats.messages import column_of
from curation.formats.turns import Turns
from curation.scorers.attribution import Attribution
from curation.scorers.base import Scorer
from curation.scorers.leave_one_out import attribution_of
from curation.scorers.wrapper import Wrapper
from schemas.documents import EMPTY, FAULTS, OK

Rule = Literal["mean", "min", "max", "sum", "first", "last"]
RULES: tuple[str, ...] = get_args(Rule)
DEFAULT: Rule = "mean"
OF_A_TURN = ("instruction", "prompt", "input", "output", "system", "messages")
"""Columns that mean one answer and what stands before it."""
VERSION = 1
_BOUNDS = b"turns"


def per_turn(scorer: Scorer, rule: str | None) -> Scorer:
    """The scorer as it works on data whose rows are conversations.

    `rule` is None where they are not, "" where the recipe names none. A scorer that reads `output` is asked for each
    answer; one that reads `messages` only where a rule is named: without one it judges the conversation as a whole.
    """
    if rule is None or not (reads_answers(scorer) or (rule and "messages" in scorer.reads)):
        return scorer
    return PerTurn(scorer, rule or DEFAULT)


def reads_answers(scorer: Scorer) -> bool:
    return "output" in scorer.reads


def uses_turns(scorer: Scorer) -> bool:
    """Whether the scorer, or one inside it, is asked for each answer."""
    return isinstance(scorer, PerTurn) or any(uses_turns(other) for other in scorer.requires().values())


class PerTurn(Wrapper):
    """Scores of a conversation's answers, and one score made of them.

    An answer is scored as a row whose `output` is that message, whose `prompt` and `instruction` are all messages
    before it, a line each, and whose `messages` end with it. Fields: numbers of the scorer under their own names,
    float64, by `rule` over the answers that have a score (`mean`, `min`, `max`, `sum`, the `first` or the `last` of
    them); its count of tokens, summed; `truncated`, where any was, other truth values where all are; texts, the first
    that is not null. Then `answers` int32, those with a score, and `turns`, a list with the scorer's own columns for
    each answer, in order.

    Status: the first fault of any answer; `ok` where some answer has a score; else the first answer's. A conversation
    without answers is `empty`.
    """

    def __init__(self, inner: Scorer, rule: str) -> None:
        super().__init__(inner)
        if inner.requires() or inner.fitted:
            raise ValueError(f"{inner.kind} cannot score the answers of a conversation one by one")
        self.rule = rule
        others = tuple(name for name in inner.reads if name not in OF_A_TURN)
        self.reads = ("messages", *others)

    @property
    def fields(self) -> list[pa.Field]:
        turn = pa.struct([*self.inner.fields, pa.field("status", pa.string())])
        counted = [pa.field("answers", pa.int32()), pa.field("turns", pa.list_(turn))]
        return [item for item in map(self._folded, self.inner.fields) if item is not None] + counted

    def identity(self) -> dict[str, Any]:
        return {**self.inner.identity(), "turns": [self.rule, VERSION]}

    def prepare(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        turns = Turns.read(batch.column("messages"))
        places = turns.answers()
        owner = turns.owner[places]
        before, whole = turns.until(places, itself=False), turns.until(places, itself=True)
        columns = {}
        for name in self.inner.reads:
            if name == "messages":
                columns[name] = whole.json()
            elif name == "output":
                columns[name] = turns.contents.take(pa.array(places))
            elif name in ("instruction", "prompt"):
                columns[name] = before.joined("\n")
            elif name in OF_A_TURN:
                columns[name] = column_of(before, name)
            else:
                columns[name] = batch.column(name).take(pa.array(owner))
        prepared = self.inner.prepare(pa.RecordBatch.from_pydict(columns))
        counts = np.bincount(owner, minlength=batch.num_rows)
        return prepared.replace_schema_metadata({_BOUNDS: np.append(0, np.cumsum(counts)).astype("<i8").tobytes()})

    def infer(self, prepared: pa.RecordBatch) -> pa.RecordBatch:
        bounds = np.frombuffer(prepared.schema.metadata[_BOUNDS], dtype="<i8")
        scored = self.inner.infer(prepared.replace_schema_metadata(None))
        there = "status" in scored.schema.names
        status = pc.fill_null(scored.column("status"), OK) if there else pa.repeat(OK, scored.num_rows)
        owner = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
        good = pc.equal(status, OK).to_numpy(zero_copy_only=False)
        counts = np.bincount(owner[good], minlength=len(bounds) - 1)
        columns: dict[str, pa.Array] = {}
        for item in self.inner.fields:
            folded = self._folded(item)
            if folded is not None:
                values = scored.column(item.name)
                columns[item.name] = self._fold(folded, values, owner, good, len(bounds) - 1)
        columns["answers"] = pa.array(counts.astype(np.int32))
        columns["turns"] = pa.ListArray.from_arrays(
            pa.array(bounds.astype(np.int32)),
            pa.StructArray.from_arrays(
                [*(scored.column(item.name) for item in self.inner.fields), status],
                fields=list(self.fields[-1].type.value_type),
            ),
        )
        columns["status"], columns["message"] = self._status(scored, status, owner, counts)
        missing = pc.not_equal(columns["status"], OK)
        for item in self.fields[:-2]:
            columns[item.name] = pc.if_else(missing, None, columns[item.name])
        return pa.RecordBatch.from_pydict(columns)

    def attribution(self, document: pa.RecordBatch) -> Attribution | None:
        """Of a conversation with one answer, the scorer's own; of others none, since several answers made the score."""
        turns = Turns.read(document.column("messages"))
        if len(turns.answers()) != 1:
            return None
        before = turns.until(turns.answers(), itself=False)
        columns = {name: column_of(turns, name) for name in self.inner.reads if name in OF_A_TURN}
        columns |= {name: before.joined("\n") for name in ("instruction", "prompt") if name in columns}
        columns |= {name: document.column(name) for name in self.inner.reads if name not in OF_A_TURN}
        return attribution_of(self.inner, pa.RecordBatch.from_pydict(columns))

    def _folded(self, item: pa.Field) -> pa.Field | None:
        """A field of one answer as one of the conversation; None where nothing can be made of several."""
        if item.name == self.contract.tokens:
            return pa.field(item.name, pa.int64())
        if pa.types.is_integer(item.type) or pa.types.is_floating(item.type):
            return pa.field(item.name, pa.float64())
        return item if pa.types.is_boolean(item.type) or pa.types.is_string(item.type) else None

    def _fold(
        self, folded: pa.Field, values: pa.Array, owner: NDArray[np.int64], good: NDArray[np.bool_], rows: int
    ) -> pa.Array:
        some = good & np.asarray(values.is_valid())
        owner, taken = owner[some], values.filter(pa.array(some))
        has_turns = np.bincount(owner, minlength=rows) > 0
        if pa.types.is_string(folded.type):
            first = _firsts(owner, rows)
            return taken.take(pa.array(first, mask=~has_turns)).cast(folded.type)
        if pa.types.is_boolean(folded.type):
            yes = np.bincount(owner, weights=taken.to_numpy(zero_copy_only=False).astype(float), minlength=rows)
            every = yes == np.bincount(owner, minlength=rows)
            return pa.array(yes > 0 if folded.name == self.contract.truncated else every, mask=~has_turns)
        numbers = taken.cast(pa.float64()).to_numpy(zero_copy_only=False)
        rule = "sum" if folded.name == self.contract.tokens else self.rule
        return pa.array(_combined(rule, numbers, owner, rows), mask=~has_turns).cast(folded.type)

    def _status(
        self, scored: pa.RecordBatch, status: pa.Array, owner: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> tuple[pa.Array, pa.Array]:
        """[n] statuses, and messages of faults."""
        rows = len(counts)
        fault = pc.is_in(status, value_set=pa.array(FAULTS)).to_numpy(zero_copy_only=False)
        first = _firsts(owner, rows)
        first_status = status.take(pa.array(first, mask=first < 0))
        first_status = pc.if_else(pa.array(counts > 0), OK, pc.fill_null(first_status, EMPTY))
        at = np.flatnonzero(fault)
        worst = np.full(rows, -1, dtype=np.int64)
        worst[owner[at[::-1]]] = at[::-1]
        taken = pa.array(worst, mask=worst < 0)
        said = scored.column("message") if "message" in scored.schema.names else pa.nulls(scored.num_rows, pa.string())
        return pc.coalesce(status.take(taken), first_status), said.cast(pa.string()).take(taken)


def _firsts(owner: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """[rows]: place of each owner's first item, -1 where it has none; owners ascend."""
    first = np.full(rows, -1, dtype=np.int64)
    first[owner[::-1]] = np.arange(len(owner))[::-1]
    return first


def _combined(rule: str, values: NDArray[np.float64], owner: NDArray[np.int64], rows: int) -> NDArray[np.float64]:
    """[rows] by rule; sums run in the order of the answers, so that no neighbour changes a bit of them."""
    if rule in ("sum", "mean"):
        total = np.bincount(owner, weights=values, minlength=rows).astype(np.float64)
        return total / np.maximum(np.bincount(owner, minlength=rows), 1) if rule == "mean" else total
    combined = np.zeros(rows)
    if rule in ("min", "max"):
        combined[:] = np.inf if rule == "min" else -np.inf
        (np.minimum if rule == "min" else np.maximum).at(combined, owner, values)
        return combined
    order = slice(None, None, -1) if rule == "first" else slice(None)
    combined[owner[order]] = values[order]
    return combined
