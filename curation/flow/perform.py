"""Run any unit of work, and return what went wrong with it as a value."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.flow.decide import decide_shard
from curation.flow.enter import enter_shard
from curation.flow.pair import pair_prefix
from curation.flow.resolve import resolve_group
from curation.flow.score import ScorerError, is_infrastructure, score_shard
from curation.flow.work import (
    DecideWork,
    EnterWork,
    PairWork,
    ResolveWork,
    ScoreWork,
    Scoring,
    WriteWork,
    scorer_object,
    tokenising_object,
)
from curation.flow.write import write_part
from curation.plan import Step
from curation.store import StoreError
from schemas.errors import CurationError, Finding

Unit = ScoreWork | EnterWork | PairWork | ResolveWork | DecideWork | WriteWork


@dataclass(frozen=True)
class Failure:
    """Why a unit did not commit. `trace` is for `--verbose`; nothing here holds a document's text."""

    code: str
    message: str
    hint: str | None = None
    trace: str = ""


@dataclass(frozen=True)
class Outcome:
    """A unit's value, or its failure."""

    unit: Any
    value: Any = None
    failure: Failure | None = None


def perform(unit: Unit, scoring: Scoring) -> Any:
    """Do the work. Returns what the unit's function returns, or a Failure; raises for lost workers only."""
    try:
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
    except CurationError as failure:
        first = failure.findings[0]
        return Failure(first.code, first.message, first.hint, _trace(failure))
    except OSError as failure:
        return system_failure(failure)
    except Exception as failure:
        if is_infrastructure(failure):
            raise
        frame = traceback.extract_tb(failure.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        return Failure("R003", f"{type(failure).__name__} at {place}", "see --verbose", _trace(failure))
    finally:
        pa.default_memory_pool().release_unused()  # or each worker would keep the largest unit it ever saw


def system_failure(failure: OSError) -> Failure:
    """What the operating system refused."""
    if failure.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        what = f"no space left while writing {failure.filename or 'to the workspace'}"
        return Failure("R005", what, "free some space and run again; what is committed stays", _trace(failure))
    if isinstance(failure, StoreError):
        return Failure("R010", str(failure), failure.hint)
    lines = str(failure).splitlines() or [""]
    return Failure("R003", f"{type(failure).__name__}: {lines[0]}", None, _trace(failure))


def _trace(failure: BaseException | None) -> str:
    """Frames of an exception and of what caused it, without their messages: those may hold a document's text."""
    parts: list[str] = []
    while failure is not None:
        parts.append(f"{''.join(traceback.format_tb(failure.__traceback__))}{type(failure).__name__}\n")
        failure = failure.__cause__ or (None if failure.__suppress_context__ else failure.__context__)
    return "\ncaused by:\n".join(parts)


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
        return work()
    except (MemoryError, OSError, CurationError):
        raise
    except Exception as failure:
        if type(failure).__name__ == "OutOfMemoryError":  # torch's, which is not imported here
            raise CurationError(
                Finding(
                    "R007",
                    f"stage '{step.name}': the model does not fit into the device's memory at its shapes",
                    "give the stage a smaller `pack:`; its scores are then kept apart, under another fingerprint",
                )
            ) from failure
        raise ScorerError.of(failure) from failure
