"""Score one shard in one pass: read text once, run the pass's stages on the survivors, commit what is new."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation import failpoints, parquet
from curation.flow.faults import fault_of, place_of, read_input
from curation.flow.ledger import PENDING, Ledger
from curation.flow.objects import verify_object
from curation.flow.stored import Known, as_struct
from curation.flow.units import ScoreWork, Scoring, ShardWork
from curation.manifest.parts import now
from curation.models.hardware import of_step
from curation.plan import BULKY, Pass, StagePlan, Step
from curation.plugins import kind_of
from curation.scorers.input import examine
from curation.sources import Batch
from curation.store import TEMPORARY
from curation.text.analysis import forget, take
from schemas.documents import EMPTY, ERROR, FAULTS, INPUT, OK, TEXT
from schemas.errors import CurationError, Finding

FLUSH_ROWS, FLUSH_BYTES = 65_536, 16 * 1024 * 1024
MANY = 32
"""Documents in a row that must fail one by one before the stage itself is suspected."""
PLAIN_MESSAGES = '[{"role":"user","content":"Say a plain sentence."},{"role":"assistant","content":"Here is one."}]'
PLAIN = "This is a plain sentence. A stage that fails on these few words is broken, whatever the documents are."


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
    raised: dict[str, int] = field(default_factory=dict)
    """What scorers raised on single documents, and where in their code: how often. Told, and not stored."""


def score_shard(task: ScoreWork, scoring: Scoring) -> Scored:
    """Bring the score store up to date for one shard and pass. Commits nothing where nothing is missing."""
    began = time.monotonic()
    at, part = task.at, task.part
    before = at.replay(part.stages[0].position if part.stages else part.barriers[0].position)
    known = {step.fingerprint: at.known(step, _light(step)) for step in part.steps}
    todo, alive = _missing(before, part, known)
    if todo.any():
        task, at = _refreshed(task)
        known = {step.fingerprint: at.known(step, _light(step)) for step in part.steps}
        todo, alive = _missing(before, part, known)
    if not todo.any():
        return Scored(0, alive, {}, time.monotonic() - began, False)
    known = _read(at, part, known)
    failpoints.hit("in-score")
    mark = at.work.mark()
    writers = {step.fingerprint: _Writer(mark, step, at.shard.key, at.work.hardware) for step in part.steps}
    raised: Counter[str] = Counter()
    reading = at.work.reading
    wanted = lambda start, rows: bool(todo[start : start + rows].any())  # noqa: E731
    scored = 0
    try:
        for batch in read_input(at.shard, reading, wanted):
            span = slice(batch.start, batch.start + batch.columns.num_rows)
            rows = np.flatnonzero(todo[span])
            if len(rows):
                with fault_of(at.shard):
                    document = _Documents(task, batch, rows, raised)
                scored += document.run(part, before, known, scoring, writers, at.work.store)
        for step in part.steps:
            verify_object(step)
        files = [writer.close(at.work.store) for writer in writers.values()]
    finally:
        forget()
        for writer in writers.values():
            writer.abandon()
    seconds = time.monotonic() - began
    failpoints.hit("after-data")
    committed = _commit(task, [file for file in files if file])
    steps = {file["step"]: file["rows"] for file in files if file}
    return Scored(scored, alive, steps, seconds, committed, dict(raised))


def _refreshed(task: ScoreWork) -> tuple[ScoreWork, ShardWork]:
    """The task with what was committed for it since it was planned, by another run or by a worker that then died."""
    manifest = task.at.work.manifest
    scores = {fingerprint: list(names) for fingerprint, names in task.at.scores.items()}
    number = 0
    while (part := manifest.get("scores", _part_key(task, number))) is not None:
        for record in part.to_pylist():
            names = scores.setdefault(record["fingerprint"], [])
            if record["data"] not in names:
                names.append(record["data"])
        number += 1
    at = replace(task.at, scores=scores)
    return replace(task, at=at), at


@dataclass(frozen=True)
class Missing:
    """What one shard lacks in one pass, by step name."""

    exact: dict[str, int]
    """Documents that reach the step, by what is stored, and have no score."""
    most: dict[str, int]
    """The same when every document whose way is not known yet reaches it."""
    possible: np.ndarray
    """bool [n]: documents that may go on to the next pass."""


def missing_rows(task: ScoreWork, possible: np.ndarray, sure: bool) -> Missing:
    """For `plan`: what a pass has yet to score. Unless `sure`, which of `possible` reach it is not known."""
    at, part = task.at, task.part
    known = {step.fingerprint: at.known(step, _light(step)) for step in part.steps}
    exact: dict[str, int] = {}
    most: dict[str, int] = {}
    ledger = at.replay((part.stages or part.barriers)[0].position) if sure else None
    for stage in (*part.stages, *part.barriers):
        for step in stage.steps:
            have = known[step.fingerprint].have
            alive = np.zeros_like(have) if ledger is None else ledger.alive
            waiting = possible if ledger is None else ledger.outcome == PENDING
            needed = _needed(step, known)
            exact[step.name] = int((alive & ~have & needed).sum())
            open_yet = needed if step.only is None else needed | ~known[step.only[0]].have
            most[step.name] = int(((alive | waiting) & ~have & open_yet).sum())
        if ledger is not None and not stage.barrier:
            ledger.score_stage(stage, known[stage.steps[-1].fingerprint])
    return Missing(exact, most, possible if ledger is None else ledger.alive | (ledger.outcome == PENDING))


def _needed(step: Step, known: dict[str, Known]) -> np.ndarray:
    """Documents (bool [n]) that need the step; where that is not known yet, none."""
    if step.only is None:
        return np.ones(len(known[step.fingerprint].have), dtype=bool)
    where, flag = step.only
    return np.asarray(pc.fill_null(pc.struct_field(known[where].struct, flag), False)).astype(bool)


def _light(step: Step) -> list[str]:
    return [name for name in step.columns.names if name not in BULKY]


def _read(at: ShardWork, part: Pass, light: dict[str, Known]) -> dict[str, Known]:
    """What is stored about the pass's steps: bulky columns only of steps that another, which lacks rows, builds on."""
    found = {}
    for step in part.steps:
        mine = light[step.fingerprint]
        users = [other for other in part.steps if step.fingerprint in other.requires.values()]
        needed = step.edits or any((mine.have & ~light[other.fingerprint].have).any() for other in users)
        found[step.fingerprint] = at.known(step) if needed else mine
    return found


def _missing(before: Ledger, part: Pass, known: dict[str, Known]) -> tuple[np.ndarray, int]:
    """Rows (bool [n]) that lack a score which the pass needs, and how many documents are alive after its gates."""
    ledger = _copy(before)
    for stage in part.stages:
        ledger.score_stage(stage, known[stage.steps[-1].fingerprint])
    todo = ledger.outcome == PENDING
    for stage in part.barriers:
        for step in stage.steps:
            todo |= ledger.alive & ~known[step.fingerprint].have & _needed(step, known)
    return todo, int(ledger.alive.sum() + (ledger.outcome == PENDING).sum())


def _copy(ledger: Ledger) -> Ledger:
    copy = Ledger(ledger.rows, ledger.alive)
    copy.structs = dict(ledger.structs)
    return copy


class _Documents:
    """Some rows of one batch on their way through the stages of a pass."""

    def __init__(self, task: ScoreWork, read: Batch, rows: np.ndarray, raised: Counter[str]) -> None:
        self.task = task
        self.raised = raised
        self.rows = rows + read.start  # in the shard
        batch = read.columns if len(rows) == read.columns.num_rows else read.columns.take(pa.array(rows))
        self.columns = task.at.work.columns.open(batch)
        self.source, self.invalid = text, _ = self.columns.text
        place = {int(row): index for index, row in enumerate(rows)}
        self.faults = self.columns.faults | {place[row]: fault for row, fault in read.faults.items() if row in place}
        self.replaced = dict(self.columns.replaced)
        for row, count in read.replaced.items():
            if row in place:
                self.replaced[place[row]] = self.replaced.get(place[row], 0) + count
        self.edits: pa.Array | None = None
        self.narrow: tuple[np.ndarray, pa.Array]
        self._set_text(pc.fill_null(text, ""))

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
        here = {name: item.part(self.rows) for name, item in known.items()}
        self._edit_before(part)
        touched = np.zeros(rows, dtype=bool)
        for stage in (*part.stages, *part.barriers):
            for step in stage.steps:
                missing = np.flatnonzero(ledger.alive & ~here[step.fingerprint].have & _needed(step, here))
                if len(missing):
                    began = time.perf_counter()
                    struct = self._score(stage, step, missing, here, scoring)
                    writers[step.fingerprint].seconds += time.perf_counter() - began
                    here[step.fingerprint] = here[step.fingerprint].fill(missing, struct)
                    writers[step.fingerprint].add(store, self.task.at.shard.row_start + self.rows[missing], struct)
                    touched[missing] = True
            if stage.barrier:
                continue
            own = here[stage.steps[-1].fingerprint]
            ledger.score_stage(stage, own)
            if stage.family == "transform":
                self._edit(own)
        return int(touched.sum())

    def _score(
        self, stage: StagePlan, step: Step, missing: np.ndarray, here: dict[str, Known], scoring: Scoring
    ) -> pa.StructArray:
        taken = pa.array(missing)
        if stage.family == INPUT:
            place = {int(row): index for index, row in enumerate(missing)}
            result = examine(
                self.source if len(missing) == len(self.rows) else self.source.take(taken),
                None if self.columns.ids is None else self.columns.ids.take(taken),
                self.invalid[missing],
                {place[row]: fault for row, fault in self.faults.items() if row in place},
                self.columns.field("output").take(taken) if self.columns.columns.has_answers else None,
                {place[row]: count for row, count in self.replaced.items() if row in place},
            )
            return as_struct(result, step.columns)
        columns = {name: self._field(name, missing, name in step.numbers) for name in step.reads}
        for name, other in step.requires.items():
            columns[name] = here[other].rows(missing)
        result = complete(score_rows(step, pa.RecordBatch.from_pydict(columns), scoring, self.raised), step)
        if step.edits:
            result = self._in_source(result, step, missing)
        return as_struct(result, step.columns)

    def _field(self, name: str, rows: np.ndarray, number: bool = False) -> pa.Array:
        """A field of some documents as stages see it; only `text` is ever edited."""
        if name == "text":
            return self._text(rows)
        field = self.columns.field(name, number)
        return field if len(rows) == len(self.rows) else field.take(pa.array(rows))

    def _text(self, rows: np.ndarray) -> pa.Array:
        """The text of some documents, taken from the narrowest text at hand, so that what kernels found goes along."""
        had, text = self.narrow
        if np.array_equal(rows, had):
            return text
        places = np.searchsorted(had, rows)
        if len(rows) > len(had) or not np.array_equal(had[np.minimum(places, len(had) - 1)], rows):
            places, text = rows, self.text
        self.narrow = rows, take(text, places)
        return self.narrow[1]

    def _in_source(self, result: pa.RecordBatch, step: Step, missing: np.ndarray) -> pa.RecordBatch:
        """A transform's columns with its edits in coordinates of the source, and `empty` where nothing is left."""
        from curation.text.edits import apply_edits, compose  # compiles, so only where something is edited

        taken = pa.array(missing)
        own = result.column("edits")
        after = apply_edits(self._text(missing), own)
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
            from curation.text.edits import apply_edits

            stored = self.task.at.known(last.steps[-1], ["edits"]).rows(self.rows)
            self.edits = pc.struct_field(stored, "edits")
            self._set_text(apply_edits(pc.fill_null(self.source, ""), self.edits))

    def _edit(self, own: Known) -> None:
        from curation.text.edits import apply_edits

        self.edits = pc.struct_field(own.struct, "edits")
        self._set_text(apply_edits(pc.fill_null(self.source, ""), self.edits))

    def _set_text(self, text: pa.Array) -> None:
        self.text = text
        self.narrow = np.arange(len(text)), text


def last_transform(stages: tuple[StagePlan, ...]) -> StagePlan | None:
    """The transform whose stored edits hold those of all before it."""
    return next((stage for stage in reversed(stages) if stage.family == "transform"), None)


def score_rows(
    step: Step, batch: pa.RecordBatch, scoring: Scoring, raised: Counter[str] | None = None
) -> pa.RecordBatch:
    """Score a batch; where that raises, find the documents that do it and give them the status `error`.

    `raised` is told what was raised on them, and where.
    """
    try:
        return _checked(step, scoring(step, batch), batch.num_rows)
    except (MemoryError, OSError, CurationError):
        raise
    except Exception as failure:
        if is_infrastructure(failure):
            raise
        return _isolate(step, batch, scoring, Counter() if raised is None else raised)


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
    said: set[str] = set()
    pieces = [(0, batch.num_rows)]
    while pieces:
        start, rows = pieces.pop()
        try:
            done = _checked(step, scoring(step, batch.slice(start, rows)), rows)
        except (MemoryError, OSError, CurationError):
            raise
        except Exception as caught:
            if is_infrastructure(caught):
                raise
            if rows > 1:
                half = rows // 2
                pieces += [(start + half, rows - half), (start, half)]
                continue
            bad += 1
            said.add(_said(caught))
            where = ScorerError.of(caught)
            if not good and bad in (MANY, batch.num_rows) and _is_broken(step, batch, scoring):
                hint = f"the scorer said: {said.pop()}" if len(said) == 1 else None
                message = f"stage '{step.name}' fails on every document: {where.kind} {where.place}".rstrip()
                raise CurationError(Finding("R003", message, hint)) from caught
            raised[f"stage '{step.name}': {where.kind} {where.place}".rstrip()] += 1
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
    except Exception as caught:
        if is_infrastructure(caught):
            raise
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

    def __init__(self, kind: str, said: str, place: str = "") -> None:
        super().__init__(kind, said, place)
        self.kind = kind
        """Name of the exception: what is stored of it."""
        self.said = said
        self.place = place
        """Where it was raised. Of the code and not of the document, so it is told and never stored."""

    @classmethod
    def of(cls, failure: BaseException) -> ScorerError:
        failure = getattr(failure, "cause", None) or failure
        if isinstance(failure, cls):
            return failure
        return cls(kind_of(failure), _said(failure), place_of(failure.__cause__ or failure))


def _said(failure: BaseException) -> str:
    """An exception's message: to be shown only where it is the same for all documents, and so none's text."""
    failure = getattr(failure, "cause", None) or failure
    if isinstance(failure, ScorerError):
        return failure.said
    return (str(failure).strip() or "no message").splitlines()[0][:200]


class _Writer:
    """One step's new rows, written as they come; nothing on disk until the first."""

    def __init__(self, mark: str, step: Step, shard: str, hardware: str) -> None:
        self.step = step
        self.hardware = of_step(hardware, step.heavy)
        self.schema = pa.schema([pa.field("row", pa.int64(), nullable=False), *step.columns])
        self.name = f"scores/{step.fingerprint}/{shard}-{mark}.parquet"
        self.path: Path | None = None
        self.file: pq.ParquetWriter | None = None
        self.waiting: list[pa.RecordBatch] = []
        self.rows = self.errors = self.waiting_rows = self.waiting_bytes = 0
        self.seconds = 0.0

    def add(self, store: Any, rows: np.ndarray, struct: pa.StructArray) -> None:
        arrays = [pa.array(rows, type=pa.int64()), *struct.flatten()]
        self.waiting.append(pa.RecordBatch.from_arrays(arrays, schema=self.schema))
        self.rows += len(rows)
        faults = pc.is_in(pc.struct_field(struct, "status"), value_set=pa.array(FAULTS))
        self.errors += int(pc.sum(faults).as_py() or 0)
        self.waiting_rows += len(rows)
        self.waiting_bytes += self.waiting[-1].nbytes
        if self.waiting_rows >= FLUSH_ROWS or self.waiting_bytes >= FLUSH_BYTES:
            self._flush(store)

    def close(self, store: Any) -> dict[str, Any] | None:
        if not self.rows:
            return None
        self._flush(store)
        assert self.file is not None
        assert self.path is not None
        self.file.close()
        self.file = None
        path, self.path = self.path, None
        written = store.add(self.name, lambda temporary: path.replace(temporary))
        return {
            "step": self.step.name,
            "fingerprint": self.step.fingerprint,
            "data": written.name,
            "rows": self.rows,
            "errors": self.errors,
            "bytes": written.bytes,
            "content": written.content,
            "hardware": self.hardware,
            "seconds": self.seconds,
        }

    def abandon(self) -> None:
        """Remove what an interrupted unit left; nothing after `close`."""
        if self.file is not None:
            with suppress(OSError):  # on a full disk the footer cannot be written either
                self.file.close()
            self.file = None
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _flush(self, store: Any) -> None:
        if not self.waiting:
            return
        if self.file is None:
            folder, _, file = self.name.rpartition("/")
            self.path = store.scratch(f"{folder}/{TEMPORARY}growing-{file}")
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = parquet.writer(self.path, self.schema, compression_level=1)
        self.file.write_table(pa.Table.from_batches(self.waiting), row_group_size=FLUSH_ROWS)
        self.waiting = []
        self.waiting_rows = self.waiting_bytes = 0


def _commit(task: ScoreWork, files: list[dict[str, Any]]) -> bool:
    """Make the new scores count. An attempt that comes late, for rows that are committed by now, is discarded."""
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
            "created_at": now(),
        }
        for file in files
    ]
    number = 0
    while True:
        earlier = manifest.get("scores", _part_key(task, number))
        if earlier is None:
            if manifest.commit("scores", _part_key(task, number), records):
                return True
            continue  # somebody was first, and can be read now
        for record in [record for record in records if _covered(task, record, earlier)]:
            at.work.store.remove(record["data"])
            records.remove(record)
        if not records:
            return False
        number += 1


def _part_key(task: ScoreWork, number: int) -> str:
    """A shard's commits of one pass are numbered from 0, without gaps: whoever is late meets those before."""
    return f"{task.part.key[:16]}-{task.at.shard.key}-{number}"


def _covered(task: ScoreWork, record: dict[str, Any], earlier: pa.Table) -> bool:
    """Whether an earlier commit, one that the task did not know of, holds every row of ours."""
    store = task.at.work.store
    known = task.at.scores.get(record["fingerprint"], [])

    def rows(name: str) -> pa.ChunkedArray:
        with store.reading(name) as source:
            return parquet.read(source, columns=["row"]).column("row")

    mine = rows(record["data"])
    for other in earlier.to_pylist():
        if other["fingerprint"] != record["fingerprint"] or other["data"] in known:
            continue
        if pc.all(pc.is_in(mine, value_set=rows(other["data"]).combine_chunks())).as_py():
            return True
    return False
