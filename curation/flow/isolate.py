"""Score a batch, and where that raises, find the documents that do it."""

from __future__ import annotations

import time
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from curation import progress, registry
from curation.flow.faults import WorkerLostError, place_of
from curation.flow.units import Scoring
from curation.plan import Step
from curation.plugins import kind_of
from curation.progress import StoppedError
from schemas.documents import ERROR, OK, TEXT
from schemas.errors import CurationError, Finding

PASSED_ON = (MemoryError, OSError, CurationError, WorkerLostError, StoppedError)
"""What is no single document's fault."""
FIRST_SLICE = 8
SLICE_SECONDS = 1.0
"""What one call of somebody's own scorer is to take at most."""
MANY = 32
"""Documents in a row that must fail one by one before the stage itself is suspected."""
PLAIN_MESSAGES = '[{"role":"user","content":"Say a plain sentence."},{"role":"assistant","content":"Here is one."}]'
PLAIN = "This is a plain sentence. A stage that fails on these few words is broken, whatever the documents are."


def score_rows(
    step: Step, batch: pa.RecordBatch, scoring: Scoring, raised: Counter[str] | None = None
) -> pa.RecordBatch:
    """Score a batch; where that raises, find the documents that do it and give them the status `error`.

    `raised` is told what was raised on them, and where.
    """
    try:
        if own_code(step):
            return _in_slices(step, batch, scoring)
        return _checked(step, scoring(step, batch), batch.num_rows)
    except PASSED_ON:
        raise
    except Exception:
        return _isolate(step, batch, scoring, Counter() if raised is None else raised)


def own_code(step: Step) -> bool:
    """Whether a step's scorer is somebody's own, in this process, of which nobody knows how fast it is."""
    return not step.heavy and step.family in registry.BUILTIN and step.spec.kind not in registry.BUILTIN[step.family]


_slices: dict[str, int] = {}
"""By step: documents that its scorer is given at a time."""


def _in_slices(step: Step, batch: pa.RecordBatch, scoring: Scoring) -> pa.RecordBatch:
    """A batch in as many calls as let it say about once a second how far it is: a score is of its document alone."""
    rows, start = batch.num_rows, 0
    size = _slices.get(step.fingerprint, FIRST_SLICE)
    results: list[pa.RecordBatch] = []
    while start < rows or not results:
        piece = batch.slice(start, size)
        began = time.monotonic()
        results.append(complete(_checked(step, scoring(step, piece), piece.num_rows), step))
        seconds = time.monotonic() - began
        start += piece.num_rows
        progress.documents(start, rows)
        if seconds > SLICE_SECONDS:
            size = max(1, size // 2)
        elif seconds < SLICE_SECONDS / 4 and piece.num_rows == size:
            size *= 4
    _slices[step.fingerprint] = size
    return results[0] if len(results) == 1 else pa.Table.from_batches(results).combine_chunks().to_batches()[0]


def complete(result: pa.RecordBatch, step: Step) -> pa.RecordBatch:
    """The scorer's columns with `status` and `message` where it gave none."""
    rows = result.num_rows
    arrays = []
    for item in step.columns:
        if item.name in result.schema.names:
            column = result.column(item.name)
            arrays.append(pc.fill_null(column, OK) if item.name == "status" else column)
        else:
            arrays.append(pa.repeat(OK, rows) if item.name == "status" else pa.nulls(rows, item.type))
    return pa.RecordBatch.from_arrays(arrays, schema=step.columns)


def _checked(step: Step, result: pa.RecordBatch, rows: int) -> pa.RecordBatch:
    if not isinstance(result, pa.RecordBatch):
        what = f"is {type(result).__name__}, not a record batch"
        raise CurationError(Finding("R003", f"stage '{step.name}': what scorer '{step.spec.kind}' returned {what}"))
    expected = [item for item in step.columns if item.name not in ("status", "message")]
    wrong = [item.name for item in expected if item.name not in result.schema.names]
    if wrong or result.num_rows != rows:
        what = f"lacks the column '{wrong[0]}'" if wrong else f"has {result.num_rows} rows for {rows} documents"
        raise CurationError(Finding("R003", f"stage '{step.name}': what scorer '{step.spec.kind}' returned {what}"))
    for item in expected:
        if result.column(item.name).type != item.type:
            raise CurationError(
                Finding(
                    "R003",
                    f"stage '{step.name}': scorer '{step.spec.kind}' declared {item.name} as {item.type}"
                    f" and returned {result.column(item.name).type}",
                )
            )
    return result


def _isolate(step: Step, batch: pa.RecordBatch, scoring: Scoring, raised: Counter[str]) -> pa.RecordBatch:
    results: list[pa.RecordBatch] = []
    bad = good = 0
    messages: set[str] = set()
    pieces = [(0, batch.num_rows)]
    while pieces:
        start, rows = pieces.pop()
        try:
            done = _checked(step, scoring(step, batch.slice(start, rows)), rows)
        except PASSED_ON:
            raise
        except Exception as caught:
            if rows > 1:
                half = rows // 2
                pieces += [(start + half, rows - half), (start, half)]
                continue
            bad += 1
            messages.add(message_of(caught))
            where = ScorerError.of(caught)
            if not good and bad in (MANY, batch.num_rows) and _is_broken(step, batch, scoring):
                hint = f"the scorer said: {messages.pop()}" if len(messages) == 1 else None
                message = f"stage '{step.name}' fails on every document: {where.kind} {where.location}".rstrip()
                raise CurationError(Finding("R003", message, hint)) from caught
            raised[f"stage '{step.name}': {where.kind} {where.location}".rstrip()] += 1
            results.append(_error_row(step, where.kind))
        else:
            good += rows
            results.append(complete(done, step))
    return pa.Table.from_batches(results).combine_chunks().to_batches()[0]


def _is_broken(step: Step, batch: pa.RecordBatch, scoring: Scoring) -> bool:
    """Whether the scorer fails on plain words too. Asked of the scorer alone, so that it does not depend on which
    documents happen to be left for one batch: those that fail where the scorer works are errors, and stored."""
    try:
        _checked(step, scoring(step, plain_batch(batch.schema)), 1)
    except (WorkerLostError, StoppedError):
        raise
    except Exception:
        return True
    return False


def plain_batch(schema: pa.Schema) -> pa.RecordBatch:
    """One row of plain words, in columns of the schema."""
    columns = [pa.array([_plain(item.name)], TEXT) if item.type == TEXT else pa.nulls(1, item.type) for item in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _plain(name: str) -> str:
    return PLAIN_MESSAGES if name.endswith("messages") else PLAIN


def _error_row(step: Step, message: str) -> pa.RecordBatch:
    values = {"status": ERROR, "message": message}
    return pa.RecordBatch.from_arrays(
        [pa.array([values.get(item.name)], type=item.type) for item in step.columns], schema=step.columns
    )


class ScorerError(Exception):
    """What a scorer raised, in words that leave its process: of an exception that crosses one, no traceback is left."""

    def __init__(self, kind: str, message: str, location: str = "") -> None:
        super().__init__(kind, message, location)
        self.kind = kind
        """Name of the exception: what is stored of it."""
        self.message = message
        self.location = location
        """Where it was raised. Of the code and not of the document, so it is told and never stored."""

    @classmethod
    def of(cls, failure: BaseException) -> ScorerError:
        failure = getattr(failure, "cause", None) or failure
        if isinstance(failure, cls):
            return failure
        return cls(kind_of(failure), message_of(failure), place_of(failure.__cause__ or failure))


def message_of(failure: BaseException) -> str:
    """An exception's message: to be shown only where it is the same for all documents, and so none's text."""
    failure = getattr(failure, "cause", None) or failure
    if isinstance(failure, ScorerError):
        return failure.message
    return (str(failure).strip() or "no message").splitlines()[0][:200]
