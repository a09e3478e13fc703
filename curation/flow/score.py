"""Score one shard in one pass: read text once, run the pass's stages on the survivors, commit what is new."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation import failpoints
from curation.flow.known import Known, as_struct, fill
from curation.flow.ledger import PENDING, Ledger
from curation.flow.work import ScoreWork, Scoring
from curation.manifest.parts import now
from curation.plan import Pass, StagePlan, Step
from curation.scorers.input import examine
from curation.sources import read_batches
from curation.sources.texts import valid_text
from curation.store import digest
from curation.text.edits import apply_edits, compose
from schemas.documents import EMPTY, ERROR, INPUT, OK
from schemas.errors import CurationError, Finding

FLUSH_ROWS = 65_536
MANY = 32
"""Documents in a row that must fail one by one before the stage itself is held to be broken."""


@dataclass(frozen=True)
class Scored:
    """What one unit did."""

    rows: int
    """Documents that got at least one new score."""
    alive: int
    """Documents left after the pass's gates."""
    by_step: dict[str, int]
    seconds: float
    committed: bool


def score_shard(task: ScoreWork, scoring: Scoring) -> Scored:
    """Bring the score store up to date for one shard and pass. Commits nothing where nothing is missing."""
    began = time.monotonic()
    at, part = task.at, task.part
    before = at.replay(part.stages[0].position if part.stages else part.barriers[0].position)
    known = {step.fingerprint: at.known(step, _light(step)) for step in part.steps}
    todo, alive = _missing(before, part, known)
    if not todo.any():
        return Scored(0, alive, {}, time.monotonic() - began, False)
    known = {step.fingerprint: at.known(step) for step in part.steps}
    failpoints.hit("in-score")
    writers = {step.fingerprint: _Writer(at.work.attempt, step, at.shard.key) for step in part.steps}
    reading = at.work.reading
    wanted = lambda start, rows: bool(todo[start : start + rows].any())  # noqa: E731
    scored = 0
    try:
        for batch in read_batches(at.shard, reading, wanted):
            span = slice(batch.start, batch.start + batch.columns.num_rows)
            rows = np.flatnonzero(todo[span])
            if len(rows):
                document = _Documents(task, batch.columns, batch.faults, rows, rows + batch.start)
                scored += document.run(part, before, known, scoring, writers, at.work.store)
        files = [writer.close(at.work.store) for writer in writers.values()]
    finally:
        for writer in writers.values():
            writer.abandon()
    seconds = time.monotonic() - began
    failpoints.hit("after-data")
    committed = _commit(task, [file for file in files if file])
    return Scored(scored, alive, {file["step"]: file["rows"] for file in files if file}, seconds, committed)


def missing_rows(task: ScoreWork) -> tuple[dict[str, int], int, int]:
    """For `plan`: by step, documents that certainly need a score; how many may, in all; alive documents."""
    at, part = task.at, task.part
    before = at.replay(part.stages[0].position if part.stages else part.barriers[0].position)
    known = {step.fingerprint: at.known(step, _light(step)) for step in part.steps}
    counts: dict[str, int] = {}
    ledger = _copy(before)
    for stage in part.stages:
        for step in stage.steps:
            counts[step.name] = int((ledger.alive & ~known[step.fingerprint].have).sum())
        ledger.score_stage(stage, known[stage.steps[-1].fingerprint])
    for stage in part.barriers:
        for step in stage.steps:
            counts[step.name] = int((ledger.alive & ~known[step.fingerprint].have).sum())
    pending = int((ledger.outcome == PENDING).sum())
    return counts, pending, int(ledger.alive.sum())


def _light(step: Step) -> list[str]:
    heavy = {"vector", "evidence", "edits"}
    return [name for name in step.columns.names if name not in heavy]


def _missing(before: Ledger, part: Pass, known: dict[str, Known]) -> tuple[np.ndarray, int]:
    """Rows (bool [n]) that lack a score which the pass needs, and how many documents are alive after its gates."""
    ledger = _copy(before)
    for stage in part.stages:
        ledger.score_stage(stage, known[stage.steps[-1].fingerprint])
    todo = ledger.outcome == PENDING
    for stage in part.barriers:
        for step in stage.steps:
            todo |= ledger.alive & ~known[step.fingerprint].have
    return todo, int(ledger.alive.sum() + (ledger.outcome == PENDING).sum())


def _copy(ledger: Ledger) -> Ledger:
    copy = Ledger(ledger.rows, ledger.alive)
    copy.structs = dict(ledger.structs)
    return copy


class _Documents:
    """Some rows of one batch on their way through the stages of a pass."""

    def __init__(
        self, task: ScoreWork, columns: pa.RecordBatch, faults: dict[int, str], rows: np.ndarray, places: np.ndarray
    ) -> None:
        self.task = task
        self.rows = places  # in the shard
        mapping = task.at.work.mapping
        batch = columns if len(rows) == columns.num_rows else columns.take(pa.array(rows))
        text, self.invalid = valid_text(batch.column(mapping["text"]))
        self.source = text
        self.ids = batch.column(mapping["id"]) if "id" in mapping else None
        self.batch = batch
        place = {int(row): index for index, row in enumerate(rows)}
        self.faults = {place[row]: fault for row, fault in faults.items() if row in place}
        self.edits: pa.Array | None = None
        self.text = pc.fill_null(text, "")

    def run(
        self,
        part: Pass,
        before: Ledger,
        known: dict[str, Known],
        scoring: Scoring,
        writers: dict[str, _Writer],
        store: Any,
    ) -> int:
        rows = len(self.rows)
        taken = pa.array(self.rows)
        ledger = Ledger(rows)
        ledger.structs = {name: struct.take(taken) for name, struct in before.structs.items()}
        here = {
            name: Known(item.have[self.rows], item.struct.take(taken)) for name, item in known.items()
        }
        self._edit_before(part)
        touched = np.zeros(rows, dtype=bool)
        for stage in (*part.stages, *part.barriers):
            for step in stage.steps:
                missing = np.flatnonzero(ledger.alive & ~here[step.fingerprint].have)
                if len(missing):
                    began = time.perf_counter()
                    struct = self._score(stage, step, missing, here, scoring)
                    writers[step.fingerprint].seconds += time.perf_counter() - began
                    here[step.fingerprint] = fill(here[step.fingerprint], missing, struct)
                    writers[step.fingerprint].add(store, self.task.at.shard.row_start + self.rows[missing], struct)
                    touched[missing] = True
            if stage.barrier:
                continue
            own = here[stage.steps[-1].fingerprint]
            ledger.score_stage(stage, own)
            if stage.family == "transform":
                self._edit(own, ledger)
        return int(touched.sum())

    def _score(
        self, stage: StagePlan, step: Step, missing: np.ndarray, here: dict[str, Known], scoring: Scoring
    ) -> pa.StructArray:
        taken = pa.array(missing)
        if stage.family == INPUT:
            place = {int(row): index for index, row in enumerate(missing)}
            result = examine(
                self.source.take(taken),
                None if self.ids is None else self.ids.take(taken),
                self.invalid[missing],
                {place[row]: fault for row, fault in self.faults.items() if row in place},
            )
            return as_struct(result, step.columns)
        columns = {name: self._field(name).take(taken) for name in step.reads}
        for name, other in step.requires.items():
            columns[name] = here[other].struct.take(taken)
        result = complete(score_rows(step, pa.RecordBatch.from_pydict(columns), scoring), step)
        if step.edits:
            result = self._in_source(result, step, missing)
        return as_struct(result, step.columns)

    def _field(self, name: str) -> pa.Array:
        """A text field as stages see it; only `text` is ever edited."""
        if name == "text":
            return self.text
        return pc.fill_null(valid_text(self.batch.column(self.task.at.work.mapping[name]))[0], "")

    def _in_source(self, result: pa.RecordBatch, step: Step, missing: np.ndarray) -> pa.RecordBatch:
        """A transform's columns with its edits in coordinates of the source, and `empty` where nothing is left."""
        taken = pa.array(missing)
        own = result.column("edits")
        after = apply_edits(self.text.take(taken), own)
        blank = pc.fill_null(pc.match_substring_regex(after, r"^[\s\p{Z}\x{85}]*$"), False)
        status = pc.if_else(pc.and_(blank, pc.equal(result.column("status"), OK)), EMPTY, result.column("status"))
        edits = own if self.edits is None else compose(self.edits.take(taken), own)
        result = result.set_column(result.schema.get_field_index("status"), step.columns.field("status"), status)
        return result.set_column(result.schema.get_field_index("edits"), step.columns.field("edits"), edits)

    def _edit_before(self, part: Pass) -> None:
        """Apply what the transforms of earlier passes did, from their stored spans."""
        first = part.stages[0].position if part.stages else part.barriers[0].position
        last = last_transform(self.task.at.work.stages[:first])
        if last is not None:
            stored = self.task.at.known(last.steps[-1], ["edits"]).struct.take(pa.array(self.rows))
            self.edits = pc.struct_field(stored, "edits")
            self.text = apply_edits(pc.fill_null(self.source, ""), self.edits)

    def _edit(self, own: Known, ledger: Ledger) -> None:
        self.edits = pc.struct_field(own.struct, "edits")
        self.text = apply_edits(pc.fill_null(self.source, ""), self.edits)


def last_transform(stages: tuple[StagePlan, ...]) -> StagePlan | None:
    """The transform whose stored edits hold those of all before it."""
    return next((stage for stage in reversed(stages) if stage.family == "transform"), None)


def score_rows(step: Step, batch: pa.RecordBatch, scoring: Scoring) -> pa.RecordBatch:
    """Score a batch; where that raises, find the documents that do it and give them the status `error`."""
    try:
        return _checked(step, scoring(step, batch), batch.num_rows)
    except (MemoryError, OSError, CurationError):
        raise
    except Exception as failure:
        if is_infrastructure(failure):
            raise
        return _isolate(step, batch, scoring, failure)


def is_infrastructure(failure: BaseException) -> bool:
    """Whether an exception says that a worker was lost rather than that a document is bad."""
    return type(failure).__module__.split(".")[0] == "ray" and not hasattr(failure, "cause")


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
    expected = [item for item in step.columns if item.name not in ("status", "message")]
    wrong = [item.name for item in expected if item.name not in result.schema.names]
    if wrong or result.num_rows != rows:
        what = f"lacks the column '{wrong[0]}'" if wrong else f"has {result.num_rows} rows for {rows} documents"
        raise CurationError(Finding("R003", f"stage '{step.name}': what scorer '{step.kind}' returned {what}"))
    for item in expected:
        if result.column(item.name).type != item.type:
            raise CurationError(
                Finding(
                    "R003",
                    f"stage '{step.name}': scorer '{step.kind}' declared {item.name} as {item.type}"
                    f" and returned {result.column(item.name).type}",
                )
            )
    return result


def _isolate(step: Step, batch: pa.RecordBatch, scoring: Scoring, failure: Exception) -> pa.RecordBatch:
    results: list[pa.RecordBatch | None] = []
    bad = good = 0
    pieces = [(0, batch.num_rows)]
    why = failure
    while pieces:
        start, rows = pieces.pop()
        try:
            done = _checked(step, scoring(step, batch.slice(start, rows)), rows)
        except (MemoryError, OSError, CurationError):
            raise
        except Exception as caught:
            if is_infrastructure(caught):
                raise
            why = caught
            if rows > 1:
                half = rows // 2
                pieces += [(start + half, rows - half), (start, half)]
                continue
            bad += 1
            if bad >= MANY and not good:
                raise CurationError(
                    Finding("R003", f"stage '{step.name}' fails on every document: {_where(why)}", _advice(why))
                ) from caught
            results.append(_error_row(step, caught))
        else:
            good += rows
            results.append(complete(done, step))
    if bad == batch.num_rows and bad > 1:
        raise CurationError(Finding("R003", f"stage '{step.name}' fails on every document: {_where(why)}", _advice(why)))
    return pa.Table.from_batches([item for item in results if item is not None]).combine_chunks().to_batches()[0]


def _error_row(step: Step, failure: Exception) -> pa.RecordBatch:
    values = {"status": ERROR, "message": _where(failure)}
    return pa.RecordBatch.from_arrays(
        [pa.array([values.get(item.name)], type=item.type) for item in step.columns], schema=step.columns
    )


def _where(failure: BaseException) -> str:
    """An exception without its message, which may hold a document's text."""
    failure = getattr(failure, "cause", None) or failure
    frames = traceback.extract_tb(failure.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(failure).__name__}{place}"


def _advice(failure: BaseException) -> str:
    first = (str(getattr(failure, "cause", None) or failure).strip() or "no message").splitlines()[0]
    return f"the scorer said: {first[:200]}"


class _Writer:
    """One step's new rows, written as they come; nothing on disk until the first."""

    def __init__(self, attempt: str, step: Step, shard: str) -> None:
        self.step = step
        self.schema = pa.schema([pa.field("row", pa.int64(), nullable=False), *step.columns])
        self.name = f"scores/{step.fingerprint}/{shard}-{attempt}.parquet"
        self.path: Path | None = None
        self.file: pq.ParquetWriter | None = None
        self.waiting: list[pa.RecordBatch] = []
        self.rows = self.errors = 0
        self.seconds = 0.0

    def add(self, store: Any, rows: np.ndarray, struct: pa.StructArray) -> None:
        arrays = [pa.array(rows, type=pa.int64()), *struct.flatten()]
        self.waiting.append(pa.RecordBatch.from_arrays(arrays, schema=self.schema))
        self.rows += len(rows)
        self.errors += int(pc.sum(pc.equal(pc.struct_field(struct, "status"), ERROR)).as_py() or 0)
        if sum(batch.num_rows for batch in self.waiting) >= FLUSH_ROWS:
            self._flush(store)

    def close(self, store: Any) -> dict[str, Any] | None:
        if not self.rows:
            return None
        self._flush(store)
        assert self.file is not None and self.path is not None
        self.file.close()
        self.file = None
        path, self.path = self.path, None
        store.write(self.name, lambda temporary: path.replace(temporary))
        final = store.path(self.name)
        return {
            "step": self.step.name,
            "fingerprint": self.step.fingerprint,
            "data": self.name,
            "rows": self.rows,
            "errors": self.errors,
            "bytes": final.stat().st_size,
            "content": digest(final),
            "seconds": self.seconds,
        }

    def abandon(self) -> None:
        """Remove what an interrupted unit left; nothing after `close`."""
        if self.file is not None:
            self.file.close()
            self.file = None
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _flush(self, store: Any) -> None:
        if not self.waiting:
            return
        if self.file is None:
            final = store.path(self.name)
            final.parent.mkdir(parents=True, exist_ok=True)
            self.path = final.with_name(f".tmp-growing-{final.name}")
            self.file = pq.ParquetWriter(self.path, self.schema, compression="zstd", compression_level=1)
        self.file.write_table(pa.Table.from_batches(self.waiting), row_group_size=FLUSH_ROWS)
        self.waiting = []


def _commit(task: ScoreWork, files: list[dict[str, Any]]) -> bool:
    """Make the new scores count. An attempt that comes late, for rows that somebody committed meanwhile, is discarded."""
    at = task.at
    manifest = at.work.manifest
    records = [
        {
            **file,
            "run": at.work.run,
            "attempt": at.work.attempt,
            "file_fingerprint": at.shard.fingerprint,
            "row_start": at.shard.row_start,
            "row_end": at.shard.row_end,
            "hardware": at.work.hardware,
            "created_at": now(),
        }
        for file in files
    ]
    base = f"{task.part.key[:16]}-{at.shard.key}"
    number = sum(key.startswith(base + "-") for key in manifest.keys("scores"))
    while not manifest.commit("scores", f"{base}-{number}", records):
        winner = manifest.get("scores", f"{base}-{number}")
        for record in [record for record in records if _covered(task, record, winner)]:
            at.work.store.remove(record["data"])
            records.remove(record)
        if not records:
            return False
        number += 1
    return True


def _covered(task: ScoreWork, record: dict[str, Any], winner: pa.Table | None) -> bool:
    """Whether the winner's parts hold every row of ours."""
    store = task.at.work.store
    mine = pq.read_table(store.path(record["data"]), columns=["row"]).column("row")
    for other in winner.to_pylist() if winner is not None else []:
        if other["fingerprint"] == record["fingerprint"]:
            theirs = pq.read_table(store.path(other["data"]), columns=["row"]).column("row")
            if pc.all(pc.is_in(mine, value_set=theirs.combine_chunks())).as_py():
                return True
    return False

