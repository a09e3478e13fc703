"""What became of each document, from stored columns: the same few lines plan, score, enter and decide."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.flow.grounds import grounds
from curation.flow.stored import StoredColumns, empty_struct, field
from curation.flow.verdicts import StageVerdicts
from curation.gates import Gate
from curation.plan import StagePlan
from schemas.documents import EMPTY, FAULTS, INPUT, OK, TOO_LONG

UNKNOWN = "unknown"
"""The reason of a gate that is neither true nor false."""
KEPT, DROPPED, ERRORED, PENDING, OUTSIDE = range(5)
OUTCOMES = ("kept", "dropped", "errored", "pending", "outside")


class Ledger:
    """What became of each of `rows` documents: alive until a stage ends it, with the reason."""

    def __init__(self, rows: int, inside: np.ndarray | None = None) -> None:
        self.rows = rows
        self.alive = np.ones(rows, dtype=bool) if inside is None else inside.copy()
        self.outcome = np.where(self.alive, KEPT, OUTSIDE).astype(np.int8)
        self.stage = np.full(rows, -1, dtype=np.int16)
        self.reason = np.full(rows, None, dtype=object)
        self.details = np.full(rows, None, dtype=object)
        self.score = np.full(rows, np.nan)
        self.threshold = np.full(rows, np.nan)
        self.twins: dict[str, np.ndarray] = {}
        self.structs: dict[str, pa.StructArray] = {}
        self.plans: list[StagePlan] = []
        """Stages of `structs`."""

    def score_stage(self, stage: StagePlan, stored: StoredColumns) -> None:
        """Apply one shard-local stage. Documents that reach it without a stored score become pending."""
        rows = np.flatnonzero(self.alive)
        scored = stored.have[rows]
        self._end(rows[~scored], PENDING, stage)
        rows = rows[scored]
        struct = stored.rows(rows) if len(rows) < self.rows else stored.struct
        status = field(struct, "status")
        self._show(stage, struct, rows)
        errors = _mask(pc.is_in(status, value_set=pa.array(FAULTS)))
        if errors.any():
            self._end(rows[errors], ERRORED, stage, _texts(pc.coalesce(field(struct, "message"), status), errors))
        if stage.family in (INPUT, "transform"):  # what has no text left has nothing to score
            empty = _mask(pc.is_in(status, value_set=pa.array([EMPTY, TOO_LONG] if stage.family == INPUT else [EMPTY])))
            reasons = _texts(field(struct, "message"), empty) if stage.family == INPUT else "empty_after_edit"
            self._end(rows[empty], DROPPED, stage, reasons)
        if stage.keep:
            self._gate(stage, _parsed(stage.keep))

    def group_stage(self, stage: StagePlan, verdicts: StageVerdicts) -> None:
        """Apply one dataset-wide stage."""
        rows = np.flatnonzero(self.alive)
        self._show(stage, verdicts.struct.take(pa.array(rows)), rows)
        if stage.keep:
            self._gate(stage, _parsed(stage.keep))
            ended = rows[~self.alive[rows]]
        else:
            ended = rows[verdicts.drop[rows]]
            whole = isinstance(verdicts.reason, str)
            self._end(ended, DROPPED, stage, verdicts.reason if whole else verdicts.reason[ended])
            self.score[ended] = verdicts.score[ended]
            if verdicts.threshold is not None:
                self.threshold[ended] = np.broadcast_to(verdicts.threshold, self.rows)[ended]
        ended = ended[verdicts.drop[ended]]  # what a gate drops of those that stay goes for nobody
        for name, values in verdicts.twins.items():
            column = self.twins.setdefault(
                name, np.full(self.rows, np.nan if values.dtype.kind == "f" else -1, values.dtype)
            )
            column[ended] = values[ended]

    def values(self, column: str) -> np.ndarray:
        """A stage's column (`stage.column`) as float64 [n], NaN where there is no value."""
        stage, name = column.split(".", 1)
        values = pc.struct_field(self.structs[stage], name.split("."))
        filled = pc.fill_null(values.cast(pa.float64()), float("nan"))
        return filled.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]

    def counts(self) -> dict[str, int]:
        return {name: int((self.outcome == number).sum()) for number, name in enumerate(OUTCOMES)}

    def _gate(self, stage: StagePlan, gate: Gate) -> None:
        rows = np.flatnonzero(self.alive)
        if not len(rows):
            return
        structs = {
            name: self.structs[name] if len(rows) == self.rows else self.structs[name].take(pa.array(rows))
            for name in gate.stages_of(self.structs) or (stage.id,)
        }
        verdicts = gate.evaluate(structs)
        if verdicts.errored.any():
            self._end(rows[verdicts.errored], ERRORED, stage, f"gate: {verdicts.error}")
        drops = verdicts.drops
        ended = rows[drops.column("row").to_numpy()]
        reasons = np.array(drops.column("reason").to_pylist(), dtype=object)
        if not stage.barrier:  # a document without a score fails a gate because of what its status says
            status = field(self.structs[stage.id].take(pa.array(ended)), "status")
            other = _mask(pc.not_equal(status, OK)) & (reasons == UNKNOWN)
            reasons[other] = _texts(status, other)
        score, threshold = _floats(drops.column("score")), _floats(drops.column("threshold"))
        for index, conjunct in enumerate(gate.conjuncts):
            judge = next((plan for plan in self.plans if conjunct.is_verdict_of(plan.id)), None)
            judged = np.flatnonzero(verdicts.failed[drops.column("row").to_numpy()] == index)
            if judge is None or not len(judged):
                continue
            why = grounds(judge, self.structs[judge.id].take(pa.array(ended[judged])))
            if why is not None:
                explained = np.array([reason is not None for reason in why.reason], dtype=bool)
                reasons[judged[explained]] = why.reason[explained]
                score[judged], threshold[judged] = why.value, why.bound
        self._end(ended, DROPPED, stage, reasons)
        self.score[ended] = score
        self.threshold[ended] = threshold
        self.details[ended] = np.array(drops.column("details").to_pylist(), dtype=object)

    def _show(self, stage: StagePlan, struct: pa.StructArray, rows: np.ndarray) -> None:
        """Keep the stage's columns for the documents that reached it, null for the others."""
        self.plans.append(stage)
        shown = pa.StructArray.from_arrays([field(struct, item.name) for item in stage.shown], fields=stage.shown)
        if len(rows) == self.rows:
            self.structs[stage.id] = shown
        elif not len(rows):
            self.structs[stage.id] = empty_struct(pa.schema(stage.shown), self.rows)
        else:
            index = np.full(self.rows, -1, dtype=np.int64)
            index[rows] = np.arange(len(rows))
            self.structs[stage.id] = shown.take(pa.array(index, mask=index < 0))

    def _end(self, rows: np.ndarray, outcome: int, stage: StagePlan, reason: object = None) -> None:
        self.alive[rows] = False
        self.outcome[rows] = outcome
        self.stage[rows] = stage.position
        self.reason[rows] = reason


@cache
def _parsed(keep: str) -> Gate:
    return Gate.parse(keep)  # ten milliseconds each time, and every shard of a run has the same gates


def _mask(array: pa.Array) -> np.ndarray:
    return np.asarray(pc.fill_null(array, False)).astype(bool)


def _texts(array: pa.Array, where: np.ndarray) -> np.ndarray:
    return np.array(array.filter(pa.array(where)).to_pylist(), dtype=object)


def _floats(array: pa.Array) -> np.ndarray:
    return pc.fill_null(array, float("nan")).to_numpy(zero_copy_only=False).copy()  # type: ignore[no-any-return]
