"""Run any unit of work, and return what went wrong with it as a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import Any, Protocol

import pyarrow as pa

from curation.flow.decide import decide_shard
from curation.flow.enter import enter_shard
from curation.flow.faults import (
    FULL,
    MACHINE,
    Failure,
    Outcome,
    WorkerLostError,
    faulty,
    system_failure,
    trace_of,
    unforeseen,
)
from curation.flow.isolate import ScorerError
from curation.flow.objects import scorer_object, tokenising_object
from curation.flow.pair import pair_prefix
from curation.flow.resolve import resolve_group
from curation.flow.score import Scored, score_shard
from curation.flow.units import (
    DecideWork,
    EnterWork,
    PairWork,
    ResolveWork,
    ScoreWork,
    Scoring,
    WriteWork,
)
from curation.flow.write import faults_of_others, write_part
from curation.models.locate import ModelError
from curation.plan import Step
from curation.plugins import contained, kind_of
from curation.progress import StoppedError
from curation.sources import Bundle
from curation.store import StoreError
from schemas.errors import CurationError, Finding

__all__ = ["Failure", "Outcome", "perform", "system_failure"]
Unit = ScoreWork | EnterWork | PairWork | ResolveWork | DecideWork | WriteWork


class Performable(Protocol):
    """A unit of another kind, which brings its work along. It may return a Failure itself."""

    @property
    def title(self) -> str:
        """What it is about, in a few words."""

    def perform(self) -> Any: ...


def perform(unit: Unit | Performable, scoring: Scoring) -> Any:
    """Do the work. Returns what the unit's function returns, or a Failure; raises WorkerLostError and StoppedError."""
    try:
        with contained():
            return _done(unit, scoring)
    except (WorkerLostError, StoppedError):
        raise
    except Exception as failure:
        report = _failure(unit, failure)
        if isinstance(unit, ScoreWork) and isinstance(unit.shard, Bundle) and report.code not in MACHINE:
            return _one_by_one(unit, scoring)
        if isinstance(unit, WriteWork) and report.shard is not None:
            others = faults_of_others(unit, report.shard)
            report = replace(report, more=(*report.more, *(_failure(unit, other) for other in others)))
        return report
    finally:
        pa.default_memory_pool().release_unused()  # or each worker would keep the largest unit it ever saw


def _one_by_one(unit: ScoreWork, scoring: Scoring) -> Any:
    """Score the shards of a bundle each by itself: what is at fault is found, and the others are committed."""
    done: list[Scored] = []
    failures: list[Failure] = []
    for alone in unit.shard_work.apart():
        outcome = perform(ScoreWork(alone, unit.number), scoring)
        (failures if isinstance(outcome, Failure) else done).append(outcome)
    scored = reduce(Scored.__add__, done) if done else None
    if not failures:
        return scored
    first, *others = (replace(other, more=()) for failure in failures for other in (failure, *failure.more))
    return replace(first, more=tuple(others), done=scored)


def _done(unit: Unit | Performable, scoring: Scoring) -> Any:
    match unit:
        case ScoreWork():
            return score_shard(unit, scoring)
        case EnterWork():
            return enter_shard(unit)
        case PairWork():
            return pair_prefix(unit)
        case ResolveWork():
            return resolve_group(unit)
        case DecideWork():
            return decide_shard(unit)
        case WriteWork():
            return write_part(unit)
        case _:
            return unit.perform()


def _failure(unit: Unit | Performable, failure: Exception) -> Failure:
    report = _in_words(unit, failure)
    if report.code in MACHINE:
        return report
    shard = faulty(failure)
    first, *others = [shard] if shard is not None else _of_file(unit, failure) or [None]
    report = replace(report, shard=first)
    return replace(report, more=tuple(replace(report, shard=other) for other in others))


def _of_file(unit: Unit | Performable, failure: Exception) -> list[int | None]:
    """Inputs of a unit that are the file which cannot be read, or is another one, of whoever read it there."""
    if not isinstance(failure, CurationError) or failure.findings[0].code not in ("R001", "R002"):
        return []
    if not isinstance(unit, Unit):
        return []
    of_all = (member for item in unit.shards for member in item.shard.members)
    return [member.index for member in of_all if member.path == failure.findings[0].file]


def _in_words(unit: Unit | Performable, failure: Exception) -> Failure:
    if isinstance(failure, CurationError):
        first = failure.findings[0]
        return Failure(first.code, first.message, first.hint, trace_of(failure))
    if isinstance(failure, OSError):
        return system_failure(failure)
    if not isinstance(unit, Unit):
        return unforeseen(failure, unit.title, ())
    work = unit.work
    names = {stage.id for stage in work.stages}
    names |= {name for stage in work.stages for step in stage.steps for name in step.columns.names}
    names |= {*work.reading.names, *work.writing.names, *(column.name for column in work.output_columns)}
    return unforeseen(failure, _doing(unit), names, work.root)


def _doing(unit: Unit) -> str:
    """What a unit is about, in a few words."""
    match unit:
        case ScoreWork():
            return f"scoring {unit.shard.path}"
        case EnterWork():
            return f"stage '{unit.stage.id}' on {unit.shard.path}"
        case PairWork() | ResolveWork():
            return f"stage '{unit.stage.id}'"
        case DecideWork():
            return f"deciding {unit.shard.path}"
        case WriteWork():
            return f"writing part {unit.part} of the dataset"


def score_here(step: Step, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Score in this process. Raises ScorerError for what a scorer raises, but for the faults of a machine."""
    return infer_here(step, prepare_here(step, batch))


def prepare_here(step: Step, batch: pa.RecordBatch) -> pa.RecordBatch:
    """The part of scoring that needs no model. Raises as `score_here`."""
    return _guarded(step, lambda: tokenising_object(step).prepare(batch))


def infer_here(step: Step, prepared: pa.RecordBatch) -> pa.RecordBatch:
    """The part of scoring that needs the model. Raises as `score_here`."""
    return _guarded(step, lambda: scorer_object(step).infer(prepared))


def _guarded(step: Step, work: Callable[[], pa.RecordBatch]) -> pa.RecordBatch:
    try:
        with contained():
            return work()
    except (MemoryError, StoreError, CurationError, StoppedError):
        raise
    except OSError as failure:
        if failure.errno in FULL:
            raise
        # without the file's name: a scorer may have made it of a document's text
        message = f"{type(failure).__name__}{': ' + failure.strerror if failure.strerror else ''}"
        raise CurationError(Finding("R003", f"stage '{step.name}': {message}", "see --verbose")) from failure
    except ModelError as failure:
        raise CurationError(Finding("C013", f"stage '{step.name}': {failure}", failure.hint or None)) from failure
    except Exception as failure:
        if kind_of(failure) == "OutOfMemoryError":  # torch's, which is not imported here
            raise CurationError(
                Finding(
                    "R007",
                    f"stage '{step.name}': the model does not fit into the device's memory at its shapes",
                    "give the stage a smaller `pack:`; its scores are then kept apart, under another fingerprint",
                )
            ) from failure
        raise ScorerError.of(failure) from failure
