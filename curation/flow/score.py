"""Score one shard in one pass: read text once, run the pass's stages on the survivors, commit what is new."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import failpoints, progress
from curation.flow.documents import Documents, Rows, renumbered, rows_at
from curation.flow.faults import fault_of, faults_of
from curation.flow.isolate import complete, own_code, score_rows
from curation.flow.ledger import Ledger
from curation.flow.missing import light_columns, missing_of_pass, needed_rows
from curation.flow.objects import verify_object
from curation.flow.parts import StepWriter, commit_parts, refreshed
from curation.flow.replay import replay
from curation.flow.stored import StoredColumns, as_struct
from curation.flow.units import ScoreWork, Scoring
from curation.plan import Pass, StagePlan, Step
from curation.progress import UnitProgress
from curation.scorers.input import examine
from curation.sources import AnyShard, Bundle
from curation.text import seconds_compiling
from curation.text.analysis import forget
from schemas.documents import EMPTY, INPUT, OK

QUICK = 0.02
"""Weight of a step that runs compiled kernels, beside one that takes its time."""


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
    kept: int = 0
    """Of `rows`, those that the pass's gates let pass."""
    reused: int = 0
    """Shards that lacked nothing."""

    def __add__(self, other: Scored) -> Scored:
        """Of two units together."""
        return Scored(
            self.rows + other.rows,
            self.alive + other.alive,
            dict(Counter(self.by_step) + Counter(other.by_step)),
            self.seconds + other.seconds,
            self.committed or other.committed,
            dict(Counter(self.raised) + Counter(other.raised)),
            self.kept + other.kept,
            self.reused + other.reused,
        )


def score_shard(task: ScoreWork, scoring: Scoring) -> Scored:
    """Bring the score store up to date for one shard, or bundle, and pass. Commits nothing where nothing is missing."""
    began = time.monotonic()
    before = replay(task.shard_work, task.part.first)
    stored = _stored(task)
    todo, alive = missing_of_pass(before, task.part, stored)
    if todo.any():
        task = refreshed(task)
        stored = _stored(task)
        todo, alive = missing_of_pass(before, task.part, stored)
    if not todo.any():
        return Scored(0, alive, {}, time.monotonic() - began, False, reused=len(task.shard.members))
    shard, work = task.shard, task.work
    counts = progress.current() or UnitProgress()
    counts.to_score = int(todo.sum())
    counts.counted()
    failpoints.hit("in-score")
    scoring_pass = _ScoringPass(task, before, _with_bulky(task, stored), scoring)
    reading = rows_at(task.shard_work, np.flatnonzero(todo), task.part.first, work.reading)
    scored = 0
    try:
        for documents in faults_of(shard, reading):
            with fault_of(shard):
                documents.read()
            scored += scoring_pass.score(documents, counts)
        for step in task.part.steps:
            verify_object(step)
        files = [file for writer in scoring_pass.writers.values() for file in writer.close()]
    finally:
        forget()
        for writer in scoring_pass.writers.values():
            writer.abandon()
    seconds = time.monotonic() - began
    failpoints.hit("after-data")
    committed = commit_parts(task, files)
    steps: Counter[str] = Counter()
    for file in files:
        steps[file["step"]] += file["rows"]
    reused = _untouched(task.shard, todo)
    return Scored(scored, alive, dict(steps), seconds, committed, dict(scoring_pass.raised), counts.kept, reused)


def _untouched(shard: AnyShard, todo: np.ndarray) -> int:
    """Members of a bundle that lack nothing."""
    if not isinstance(shard, Bundle):
        return 0
    return len(shard.members) - len(np.unique(shard.member_at(np.flatnonzero(todo))))


def _stored(task: ScoreWork) -> dict[str, StoredColumns]:
    return {step.fingerprint: task.shard_work.stored(step, light_columns(step)) for step in task.part.steps}


def _with_bulky(task: ScoreWork, light: dict[str, StoredColumns]) -> dict[str, StoredColumns]:
    """What is stored about the pass's steps: bulky columns only of steps that another, which lacks rows, builds on."""
    stored = {}
    for step in task.part.steps:
        columns = light[step.fingerprint]
        users = [other for other in task.part.steps if step.fingerprint in other.requires.values()]
        needed = step.edits or any((columns.have & ~light[other.fingerprint].have).any() for other in users)
        stored[step.fingerprint] = task.shard_work.stored(step) if needed else columns
    return stored


class _ScoringPass:
    """The stages of a pass, and the writers of what they say."""

    def __init__(self, task: ScoreWork, before: Ledger, stored: dict[str, StoredColumns], scoring: Scoring) -> None:
        work, mark = task.work, task.work.mark()
        self.task = task
        self.before = before
        self.stored = stored
        self.scoring = scoring
        self.raised: Counter[str] = Counter()
        self.weights = _weights(task.part)
        self.writers = {step.fingerprint: StepWriter(work, mark, step, task.shard) for step in task.part.steps}

    def score(self, documents: Documents, counts: UnitProgress) -> int:
        """Send documents, which all lack some score, through the pass; how many of them got one."""
        rows = len(documents.rows)
        taken = pa.array(documents.rows)
        ledger = Ledger(rows)
        ledger.structs = {name: struct.take(taken) for name, struct in self.before.structs.items()}
        stored = {name: item.part(documents.rows) for name, item in self.stored.items()}
        touched = np.zeros(rows, dtype=bool)
        behind = 0.0
        for stage in (*self.task.part.stages, *self.task.part.barriers):
            for step in stage.steps:
                missing = np.flatnonzero(ledger.alive & ~stored[step.fingerprint].have & needed_rows(step, stored))
                if len(missing):
                    began, compiled = time.perf_counter(), seconds_compiling()
                    with progress.working(step.name, self.weights[step.fingerprint] * len(missing)):
                        struct = self._score_step(documents, stage, step, missing, stored)
                    writer = self.writers[step.fingerprint]
                    # without what is compiled once on a machine: estimates are made of this
                    writer.seconds += max(0.0, time.perf_counter() - began - (seconds_compiling() - compiled))
                    stored[step.fingerprint] = stored[step.fingerprint].fill(missing, struct)
                    writer.add(documents.rows[missing], struct)
                    touched[missing] = True
                behind += self.weights[step.fingerprint]
            if stage.barrier:
                continue
            columns = stored[stage.steps[-1].fingerprint]
            ledger.score_stage(stage, columns)
            counts.part = rows - int(ledger.alive.sum()) * (1 - behind)  # what was dropped needs no more
            if stage.family == "transform":
                documents.edit_as_stored(columns)
        counts.through, counts.part = counts.through + rows, 0.0
        counts.kept += int(ledger.alive.sum())
        counts.counted()
        return int(touched.sum())

    def _score_step(
        self, documents: Documents, stage: StagePlan, step: Step, missing: Rows, stored: dict[str, StoredColumns]
    ) -> pa.StructArray:
        if stage.family == INPUT:
            return as_struct(_examined(documents, missing), step.columns)
        columns = {name: documents.field(name, name in step.numbers, missing) for name in step.reads}
        for name, other in step.requires.items():
            columns[name] = stored[other].rows(missing)
        batch = pa.RecordBatch.from_pydict(columns)
        result = complete(score_rows(step, batch, self.scoring, self.raised), step)
        if step.edits:
            result = _in_source(documents, result, step, missing)
        return as_struct(result, step.columns)


def _weights(part: Pass) -> dict[str, float]:
    """What share of a document's way through a pass each step is taken for, where it is said how far a run is: models,
    services and code of others take their time, and a compiled kernel next to none."""
    slow = {step.fingerprint: 1.0 if step.heavy or step.spec.cache or own_code(step) else QUICK for step in part.steps}
    return {name: weight / sum(slow.values()) for name, weight in slow.items()}


def _in_source(documents: Documents, result: pa.RecordBatch, step: Step, missing: Rows) -> pa.RecordBatch:
    """A transform's columns with its edits in coordinates of the source, and `empty` where nothing is left."""
    from curation.text.edits import apply_edits, compose  # compiles, so only where something is edited

    edits = result.column("edits")
    after = apply_edits(documents.field("text", subset=missing), edits)
    blank = pc.fill_null(pc.match_substring_regex(after, r"^[\s\p{Z}\x{85}]*$"), False)
    status = pc.if_else(pc.and_(blank, pc.equal(result.column("status"), OK)), EMPTY, result.column("status"))
    composed = edits if documents.edits is None else compose(documents.edits.take(pa.array(missing)), edits)
    result = result.set_column(result.schema.get_field_index("status"), step.columns.field("status"), status)
    return result.set_column(result.schema.get_field_index("edits"), step.columns.field("edits"), composed)


def _examined(documents: Documents, missing: Rows) -> pa.RecordBatch:
    """What the input's own stage says of some documents."""
    taken = pa.array(missing)
    ids, columns = documents.opened.ids, documents.opened.columns
    return examine(
        documents.source if len(missing) == len(documents.rows) else documents.source.take(taken),
        None if ids is None else ids.take(taken),
        documents.invalid[missing],
        renumbered(documents.faults, missing),
        documents.opened.field("output").take(taken) if columns.has_answers else None,
        renumbered(documents.replaced, missing),
    )
