"""By how much the chosen answer of a preference pair scores better than the rejected one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.scorers import base, members
from curation.scorers.members import Member
from curation.scorers.side import Side
from schemas.documents import OK


class Judge(Member):
    """The scorer that compares both answers."""

    field: str = ""
    """Which of its columns, a number; default: the one that it ranks by."""


class MarginSettings(base.Settings):
    """Which scorer judges both sides."""

    of: Judge
    """The scorer, as after `scorer:` in a stage, with its own settings beside it; `better: higher` or `lower` where it
    does not say itself which values are the better ones."""


class Margin(base.Scorer):
    """A scorer's values for both answers of a preference pair, and their difference.

    Fields: `chosen` and `rejected` float64, what the scorer says of each side; `margin` float64, chosen - rejected, or
    rejected - chosen where lower is better: above 0 the scorer agrees with the label. `chosen_status` and
    `rejected_status`, each side's own; `tokens` int64, of both sides, and `truncated` bool, of either, where the scorer
    reports them. Status: the first side's that is not `ok`; all but the sides' statuses are null then.

    Under a reward model trained with the Bradley-Terry loss, the probability of the label is 1 / (1 + exp(-margin)).

    Both sides are requirements with fingerprints of their own: whatever changes about the margin, and whichever stages
    ask for it, an answer is scored once. They share one model.

    Raises ValueError: a scorer that reads no answer, has to be fitted, or does not say which values are better.
    """

    kind = "margin"
    Settings = MarginSettings
    reads: tuple[str, ...] = ()

    def __init__(self, settings: MarginSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        inner = members.make(settings.of, context)
        declared = inner.contract
        judge = settings.of.model_copy(update={"field": settings.of.field or declared.score or ""})
        if not judge.field:
            raise ValueError(f"{inner.kind} ranks by no column here: name one with `field:`")
        members.check(judge, inner)
        if judge.better is None and (judge.field != declared.score or declared.orientation == 0):
            raise ValueError(f"{inner.kind}.{judge.field} does not say which values are better: give `better:`")
        self._field, self._sign = judge.field, members.sign(judge, inner)
        self._tokens, self._truncated = declared.tokens, declared.truncated
        self._sides = {"chosen": Side(inner, "chosen"), "rejected": Side(inner, "rejected")}

    @property
    def fields(self) -> list[pa.Field]:
        return [
            pa.field("chosen", pa.float64()),
            pa.field("rejected", pa.float64()),
            pa.field("margin", pa.float64()),
            pa.field("chosen_status", pa.string()),
            pa.field("rejected_status", pa.string()),
            *([pa.field("tokens", pa.int64())] if self._tokens else []),
            *([pa.field("truncated", pa.bool_())] if self._truncated else []),
        ]

    @property
    def contract(self) -> base.Contract:
        tokens, truncated = ("tokens" if self._tokens else None), ("truncated" if self._truncated else None)
        return base.Contract("margin", 1, "ordinal", tokens, truncated)

    def requires(self) -> dict[str, base.Scorer]:
        return dict(self._sides)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        structs = [batch.column(side) for side in self._sides]
        values = np.stack([members.values(struct, self._field) for struct in structs])
        finite = np.isfinite(values)
        status = [
            pc.if_else(pa.array(there), OK, members.without_value(struct))
            for there, struct in zip(finite, structs, strict=True)
        ]
        missing = ~finite.all(axis=0)
        chosen, rejected = np.where(finite, values, 0.0)
        columns = {
            "chosen": pa.array(chosen, mask=missing),
            "rejected": pa.array(rejected, mask=missing),
            "margin": pa.array(self._sign * (chosen - rejected), mask=missing),
            "chosen_status": status[0],
            "rejected_status": status[1],
        }
        if self._tokens:
            tokens = [pc.struct_field(struct, self._tokens).cast(pa.int64()) for struct in structs]
            columns["tokens"] = pc.if_else(pa.array(missing), None, pc.add(*tokens))
        if self._truncated:
            cut = [pc.struct_field(struct, self._truncated) for struct in structs]
            columns["truncated"] = pc.if_else(pa.array(missing), None, pc.or_(*cut))
        if missing.any():
            columns["status"] = pc.if_else(pc.equal(status[0], OK), status[1], status[0])
        return pa.record_batch(columns)
