"""Plan → dataset: passes over the shards, barriers between them, decisions, output. Every step resumes."""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation import failpoints
from curation.dedup.base import Dedup
from curation.flow import Failure, Outcome, system_failure
from curation.flow.faults import to_be_stored, unforeseen
from curation.flow.score import last_transform
from curation.flow.score_index import ScoreIndex, Shards
from curation.flow.units import (
    DecideWork,
    EnterWork,
    PairWork,
    ResolveWork,
    ScoreWork,
    ShardWork,
    Work,
    WriteWork,
    contract,
    database,
    describe,
    higher,
    stage_object,
)
from curation.manifest.parts import TOGETHER, Manifest, later, now
from curation.manifest.snapshot import publish_missing, publish_snapshot
from curation.manifest.views import check_data
from curation.models.hardware import difference, says_libraries
from curation.plan import Pass, Plan, StagePlan, Step, fingerprint
from curation.registry import blames
from curation.report.card import dataset_card
from curation.report.duplicates import striking
from curation.sources import Shard
from curation.store import DamagedFileError, Store
from curation.store.scan import scan
from pipelines.running.attempts import alive, process_mark
from pipelines.running.verify import mend_run
from schemas.errors import CurationError, Finding
from schemas.recipe import Resources
from workers.executor import Executor

MOST_RAISED = 10
"""Kinds of faults of single documents that are told at the end of a pass."""
BUCKETS_PER_PREFIX = 20_000_000
"""Bucket rows of one pairing task: 16 bytes each in memory, twice while they are sorted."""


@dataclass
class Result:
    """What an invocation came to."""

    run: str
    name: str
    outcome: str
    """done, nothing-to-do, failed or interrupted."""
    rows: int = 0
    kept: int = 0
    dropped: int = 0
    errored: int = 0
    scored: int = 0
    """Documents that got at least one new score, counted once a pass."""
    steps: Counter[str] = field(default_factory=Counter)
    """New scores by step."""
    reused: int = 0
    """Shard passes that had nothing to score."""
    failures: list[tuple[str, Failure]] = field(default_factory=list)
    dataset: Any = None
    """Path of the dataset's folder, or its URL on an object store."""
    duplicate_ids: int = 0
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        return self.outcome == "failed"


Report = Callable[[str, dict[str, Any]], None]
"""Told of everything that happens: an event's name and its facts."""


def execute(plan: Plan, store: Store, executor: Callable[[], Executor], report: Report) -> Result:
    """Bring a plan to its dataset. What is committed already is not done again; a finished run is a no-op."""
    began = time.monotonic()
    manifest = Manifest(store)
    done = finished(manifest, plan.run)
    if done is not None:
        publish_missing(store)
        done.seconds = time.monotonic() - began
        return done
    return _Invocation(plan, store, executor, report, manifest).run()


def finished(manifest: Manifest, run: str) -> Result | None:
    """The result of a run whose dataset is there, or None."""
    dataset = manifest.get("datasets", run)
    if dataset is None:
        return None
    record = dataset.to_pylist()[0]
    folder = manifest.store.place(record["path"])
    there = manifest.store.exists(record["path"])
    sizes = manifest.store.sizes(record["path"])
    found = sum(name.startswith("part-") for name in sizes)
    if found != record["files"]:
        what = f"holds {found} of {record['files']} files" if there else "is gone"
        first = "remove that folder, " if there else ""
        raise CurationError(
            Finding(
                "C032",
                f"the dataset of run {run} is recorded, but {folder} {what}",
                f"{first}run `curate gc`, which forgets datasets that were removed, and then run again",
            )
        )
    for part in manifest.where("written", run=run).to_pylist():
        name = f"part-{part['part']:05d}.parquet"
        if sizes.get(name) != part["bytes"]:
            has = f"has {sizes[name]:,} of {part['bytes']:,} bytes" if name in sizes else "is gone"
            what = f"{folder}/{name} {has}"
            hint = "run `curate verify`, which sets damaged datasets aside, and then run again"
            raise CurationError(Finding("C049", f"the dataset of run {run} is damaged: {what}", hint))
    if not _complete(manifest, run):
        return None  # what is damaged is made anew; the dataset stays
    result = Result(run, record["name"], "nothing-to-do")
    for name, value in _counts(manifest.where("decisions", run=run)).items():
        setattr(result, name, value)
    result.dataset = folder
    result.duplicate_ids = record["duplicate_ids"]
    return result


def _complete(manifest: Manifest, run: str) -> bool:
    """Whether all records of a finished run can be read, and all data that its views need."""
    if not manifest.store.far:  # there each would be a request, and stores compare what they hold themselves
        manifest.files("sketches", {key for key in manifest.keys("sketches") if key.startswith(f"{run}-")})
    if manifest.missing(run):
        return False
    try:
        _check_finished(manifest, run)
    except DamagedFileError:
        return False
    return True


def _check_finished(manifest: Manifest, run: str) -> None:
    """Raise DamagedFileError where data of a run that has its dataset is damaged: no unit would read it again."""
    if manifest.has("datasets", run) and not manifest.store.far:
        check_data(manifest, run, "documents")


def _attempt_id() -> str:
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:8]}"


def next_number(attempts: pa.Table) -> int:
    """The number of the attempt that is made now: behind all that are there, whatever the clock says."""
    return 1 + int(pc.max(attempts.column("number")).as_py() or attempts.num_rows)


class _StopError(Exception):
    """The run cannot go on; what failed is in the result."""


class _Invocation:
    """One attempt at a run."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        executor: Callable[[], Executor],
        report: Report,
        manifest: Manifest | None = None,
    ) -> None:
        self.plan = plan
        self.store = store
        self.manifest = manifest or Manifest(store)
        self.make_executor = executor
        self.report = report
        self.attempt = _attempt_id()
        self.result = Result(plan.run, plan.name, "failed", rows=plan.rows)
        self.groups: dict[str, dict[str, Any]] = {}
        self.failed: dict[int, str] = {}
        """Inputs that the run goes on without from here: those at fault, and those of units that failed otherwise."""
        self.faultless: list[Failure] = []
        """Failures that are no input's fault: nothing is gained by leaving one out."""
        self.fault_causes: set[tuple[str, str]] = set()
        """Step and code of the failures that are an input's."""
        self.causes: set[tuple[str, str]] = set()
        """Step and code of what inputs were left out for: for one cause a run begins anew once."""
        self.set_aside: set[int] = set()
        """Shards that the user was told are left out."""
        self.mended = False
        """Whether damaged files of the workspace were met and set aside: once, whatever is met after."""
        self._executor: Executor | None = None

    @property
    def executor(self) -> Executor:
        if self._executor is None:
            self._executor = self.make_executor()
        return self._executor

    @cached_property
    def hardware(self) -> str:
        return self.executor.hardware(self.plan.steps())

    def run(self) -> Result:
        began = time.monotonic()
        outcome = "failed"
        try:
            self._announce()
            outcome = self._attempt()
        except KeyboardInterrupt:
            outcome = "interrupted"
        except OSError as failure:
            self._refused(failure)
        except Exception as failure:
            if isinstance(failure, CurationError) or not blames(failure):
                raise
            found = unforeseen(failure, "the code of a plugin failed", ())
            self.result.failures.append(("", found))
            self.report("failed", {"path": "", "failure": found})
        finally:
            self.result.outcome = outcome
            self.result.seconds = time.monotonic() - began
            try:
                self._end(outcome)
            except OSError as failure:
                self._refused(failure)
            finally:
                if self._executor is not None:
                    self._executor.close()
        return self.result

    def _attempt(self) -> str:
        self._bad_shards()
        try:
            _check_finished(self.manifest, self.plan.run)
            self._flow()
        except (_StopError, DamagedFileError) as stop:
            if isinstance(stop, DamagedFileError):  # met by this process itself
                first = stop.findings[0]
                self._fail(None, Failure(first.code, first.message, first.hint))
            if self._mend():
                return self._attempt()
            causes = self.fault_causes
            others = 0 < len(self.failed) < len(self.plan.good_shards)
            if self.plan.on_bad_shard == "stop" or self.faultless or not others or causes & self.causes:
                return "failed"
            self.causes |= causes
            return self._without_failed()
        return "failed" if self.result.failures else "done"

    def _flow(self) -> None:
        last = len(self.plan.passes) - 1
        for part in self.plan.passes:
            self._score(part)
            if part.barriers or part.number < last:
                self._stop_if_failed()
            for stage in part.barriers:
                self._group(stage)
                self._stop_if_failed()
        decided = self._decide()
        self._stop_if_failed()
        budget = self.plan.errors.documents
        if self.result.errored > budget:
            message = f"{self.result.errored:,} documents errored, and the recipe allows {budget:,}"
            see = f'curate sql "SELECT * FROM errors" --run {self.plan.run}'
            hint = f"see them: {see}; allow them: errors: {{documents: N}}"
            self.result.failures.append(("", Failure("R004", message, hint)))
            return
        written = self._write(decided)
        self._stop_if_failed()
        self._publish(written)

    @property
    def stopped(self) -> bool:
        return bool(self.failed or self.faultless)

    def _stop_if_failed(self) -> None:
        if self.stopped:
            raise _StopError

    def _announce(self) -> None:
        """Record the run before its first unit, so that SQL shows it while it is under way."""
        plan = self.plan
        numbers = allot_numbers(self.manifest, plan.shards)
        key = plan.run
        stage_rows = [
            {
                "run": key,
                "position": stage.position,
                "stage": stage.id,
                "family": stage.family,
                "kind": stage.kind,
                "settings": json.dumps(stage.settings, sort_keys=True),
                "keep": stage.keep,
                "fingerprint": stage.fingerprint,
                "version": stage.version,
                "fields": pa.schema([*stage.fields, *([] if stage.barrier else [pa.field("status", pa.string())])])
                .serialize()
                .to_pybytes(),
            }
            for stage in plan.stages
        ]
        shard_rows = [
            {
                "run": key,
                "shard": shard.index,
                "file": shard.file,
                "file_no": numbers[(shard.path, shard.fingerprint)],
                "path": shard.path,
                "source": shard.source,
                "fingerprint": shard.fingerprint,
                "row_start": shard.row_start,
                "rows": shard.rows if plan.sample is None else len(plan.sample.get(shard.index, ())),
                "bytes": shard.bytes,
                "error": shard.error,
            }
            for shard in plan.shards
        ]
        self.manifest.commit("stages", key, stage_rows)
        self.manifest.commit("shards", key, shard_rows)
        scorers = [{"run": key, **contract(step)} for step in plan.steps() if step.family != "input"]
        self.manifest.commit("scorers", key, scorers)
        for step in plan.steps():
            scorer = None if step.family == "input" else describe(step)
            if scorer and not self.manifest.has("models", step.fingerprint):
                self.manifest.commit(
                    "models",
                    step.fingerprint,
                    [{"fingerprint": step.fingerprint, "step": step.name, **facts} for facts in scorer],
                )
        self.manifest.commit(
            "runs",
            key,
            [
                {
                    "run": key,
                    "name": plan.name,
                    "recipe": plan.source,
                    "recipe_path": plan.recipe_path,
                    "recipe_dir": plan.recipe_dir,
                    "plan": json.dumps(
                        {"columns": list(plan.output_columns), "steps": [[s.name, s.fingerprint] for s in plan.steps()]}
                    ),
                    "sample": None if plan.sample is None else plan.rows,
                    "rows": plan.rows,
                    "created_at": later(self.manifest.read("runs")),
                }
            ],
        )
        self.manifest.commit(
            "attempts",
            self.attempt,
            [
                {
                    "attempt": self.attempt,
                    "run": key,
                    "executor": self.executor.name,
                    "host": socket.gethostname(),
                    "pid": os.getpid(),
                    "process": process_mark(os.getpid()),
                    "hardware": self.hardware,
                    "started_at": now(),
                    "number": next_number(self.manifest.read("attempts")),
                }
            ],
        )
        self.report("run", {"run": key, "rows": plan.rows, "shards": len(plan.shards), "attempt": self.attempt})
        self._say_deaths()
        self._check_hardware()

    def _say_deaths(self) -> None:
        """Here a document that kills its process ends the run, each time anew; say who would find it."""
        if self.executor.name != "local":
            return
        ended = set(self.manifest.read("ends").column("attempt").to_pylist())
        here = [
            row for row in self.manifest.where("attempts", run=self.plan.run).to_pylist() if row["attempt"] not in ended
        ]
        dead = sum(alive(row) is False for row in here)
        if dead == 1:
            self.report("notice", {"text": "an attempt at this run died without a word; this one goes on from there"})
        elif dead:
            what = f"{dead} attempts at this run died without a word; if it is a document that kills its process, "
            self.report("notice", {"text": f"{what}--executor ray finds it and goes on without it"})

    def _check_hardware(self) -> None:
        heavy = {step.fingerprint for step in self.plan.steps() if step.heavy}
        files = {shard.fingerprint for shard in self.plan.shards}
        table = self.manifest.read("scores")
        if not heavy or not table.num_rows:
            return
        mine = pc.and_(
            pc.is_in(table.column("fingerprint"), pa.array(sorted(heavy))),
            pc.is_in(table.column("file_fingerprint"), pa.array(sorted(files))),
        )
        stored = set(table.filter(mine).column("hardware").to_pylist())
        apart = [found for line in sorted(stored) if (found := difference(line, self.hardware))]
        if apart and not os.environ.get("CURATION_MIXED_HARDWARE"):
            theirs, ours = apart[0]
            raise CurationError(
                Finding(
                    "C036",
                    f"models have scored these files with {theirs}, and this run has {ours}",
                    "the scores would differ in the last bits: go on with what began, begin another workspace, or to "
                    "mix them set CURATION_MIXED_HARDWARE=1",
                )
            )
        if not all(map(says_libraries, stored)):
            self.report(
                "notice",
                {
                    "text": "some scores here were made before versions of torch and its like were recorded: they are "
                    "taken for these versions'; if you have upgraded since, score in another workspace"
                },
            )

    def _bad_shards(self) -> None:
        self.failed, self.faultless, self.fault_causes = {}, [], set()
        for shard in self.plan.shards:
            if shard.error and (self.plan.on_bad_shard == "stop" or not self.plan.good_shards):
                hint = "mend or remove it, then run again"
                self._fail(shard, Failure("R001", f"{shard.path} {shard.error}", hint, shard=shard.index))
            elif shard.error and shard.index not in self.set_aside:
                self.set_aside.add(shard.index)
                self.report("skipped", {"path": shard.path, "message": shard.error})

    def _mend(self) -> bool:
        """Where damaged files of the workspace stopped the run, set all of them aside that it reads, and begin anew."""
        if self.mended or not any(failure.code == "R011" for _, failure in self.result.failures):
            return False
        self.mended = True
        used, files = ({item.fingerprint for item in some} for some in (self.plan.steps(), self.plan.shards))
        found = mend_run(self.store, self.plan.run, used, files)
        text = f"{len(found.damaged)} damaged files of the workspace are set aside; what they held is done again"
        self.report("notice", {"text": text})
        self._end("failed")
        self.attempt = _attempt_id()
        self.manifest = Manifest(self.store)
        self.groups = {}
        self.faultless, self.fault_causes = [], set()
        steps, scored = self.result.steps, self.result.scored
        self.result = Result(self.plan.run, self.plan.name, "failed", rows=self.plan.rows, scored=scored, steps=steps)
        self._announce()
        return True

    def _without_failed(self) -> str:
        """Go on as the run that leaves the failed shards out; what the others have is stored already."""
        for path, failure in self.result.failures:
            self.report("skipped", {"path": path, "message": failure.message})
        self.set_aside |= set(self.failed)
        self._end("failed")
        self.attempt = _attempt_id()
        self.plan = self.plan.without(self.failed)
        self.groups = {}
        done = finished(self.manifest, self.plan.run)
        if done is not None:
            self.result = done
            return done.outcome
        steps, scored = self.result.steps, self.result.scored
        self.result = Result(self.plan.run, self.plan.name, "failed", rows=self.plan.rows, scored=scored, steps=steps)
        self._announce()
        return self._attempt()

    def _refused(self, failure: OSError) -> None:
        """What the operating system refused this process itself, said once: a full disk refuses many things."""
        found = system_failure(failure)
        if not any(earlier.code == found.code for _, earlier in self.result.failures):
            self.result.failures.append(("", found))
            self.report("failed", {"path": "", "failure": found})

    def _fail(self, shard: Shard | None, failure: Failure, step: str = "") -> None:
        """Take note of what a unit failed of: `shard` is what it was about, the failure says whose fault it is."""
        for one in (failure, *failure.more):
            at = shard
            if one.shard is None:
                self.faultless.append(one)
            else:
                at = self.plan.shards[one.shard]
                self.fault_causes.add((step, one.code))
            if at is not None:
                self.failed[at.index] = to_be_stored(one.message)
            path = at.path if at else ""
            self.result.failures.append((path, one))
            self.report("failed", {"path": path, "failure": one})
            self.manifest.commit(
                "failures",
                f"{self.attempt}-{len(self.result.failures):06d}",
                [
                    {
                        "run": self.plan.run,
                        "attempt": self.attempt,
                        "shard": at.index if at else -1,
                        "path": path,
                        "step": step,
                        "code": one.code,
                        "message": to_be_stored(one.message),
                        "failed_at": now(),
                    }
                ],
            )

    @property
    def work(self) -> Work:
        plan = self.plan
        return Work(
            root=str(self.store.root),
            run=plan.run,
            attempt=self.attempt,
            columns=plan.columns,
            stages=plan.stages,
            reading=plan.reading,
            writing=plan.writing,
            output_columns=plan.output_columns,
            row_group_rows=plan.output.row_group_rows,
            hardware=self.hardware,
            origins=plan.origins,
        )

    def _shards(self) -> Shards:
        """Good shards that have not failed, with what is stored about each by now."""
        good = [shard for shard in self.plan.good_shards if shard.index not in self.failed]
        stored = score_index(self.manifest, self.plan)
        return Shards(self.work, good, stored, dict(self.groups), self.plan.sample)

    def _perform(
        self,
        what: str,
        units: Iterable[Any],
        total: int,
        steps: Iterable[Step] = (),
        tasks: Iterable[Resources | None] = (),
    ) -> Iterator[Outcome]:
        if not total:
            return
        self.report("begin", {"what": what, "total": total})
        for outcome in self.executor.run(units, list(steps), filter(None, tasks)):
            self.report("unit", {"what": what, "outcome": outcome})
            yield outcome
        self.report("end", {"what": what})

    def _score(self, part: Pass) -> None:
        name = " + ".join(stage.id for stage in (*part.stages, *part.barriers) if stage.steps)
        shards = self._shards()
        units = (ScoreWork(at, part) for at in shards)
        raised: Counter[str] = Counter()
        for outcome in self._perform(f"score {name}", units, len(shards), part.steps, part.tasks):
            if outcome.failure:
                self._fail(outcome.unit.at.shard, outcome.failure, name)
            else:
                scored = outcome.value
                self.result.scored += scored.rows
                self.result.steps.update(scored.by_step)
                self.result.reused += scored.rows == 0
                raised.update(scored.raised)
        for what, count in raised.most_common(MOST_RAISED):
            self.report("notice", {"text": f"{what} on {count:,} document{'s' if count > 1 else ''}"})
        if any(step.heavy for step in part.steps) and self._executor is not None:
            self._meter(part)

    def _meter(self, part: Pass) -> None:
        """Record how busy the pass's models were, and say so."""
        rows = self._executor.meters(part.steps) if self._executor is not None else []
        if not rows:
            return
        key = f"{self.attempt}-{part.number:04d}"
        names = {"run": self.plan.run, "attempt": self.attempt}
        self.manifest.commit("meters", key, [{**names, **row.record()} for row in rows])
        for row in rows:
            self.report("meter", {"row": row})

    def _group(self, stage: StagePlan) -> None:
        """Resolve one dataset-wide stage, or find it resolved: the same entrants give the same result."""
        shards = self._shards()
        chosen = stage_object(stage)
        prefixes = 1
        if isinstance(chosen, Dedup):
            while prefixes * BUCKETS_PER_PREFIX < self.plan.rows * chosen.buckets_each:
                prefixes *= 2
        enter = partial(EnterWork, stage=stage, prefixes=prefixes)
        table = self._recorded("entrants", stage.id, shards, f"{self.plan.run}-{stage.id}", enter, stage.resources)
        if self.stopped:
            return
        content = table.column("content").to_pylist()

        def by_source(shard: Shard) -> list[str]:
            return [] if isinstance(chosen, Dedup) and not chosen.by_source else [shard.source]

        better = [higher(self.plan.stages, chosen)] if isinstance(chosen, Dedup) and chosen.columns else []
        key = fingerprint(
            [
                stage.fingerprint,
                prefixes,
                *better,
                [
                    [shard.index, shard.key, shard.file, entrants, *by_source(shard)]
                    for shard, entrants in zip(shards.shards, content, strict=True)
                ],
            ]
        )
        group = self.manifest.get("groups", key)
        if group is None:
            entered = tuple(table.select(["data", "buckets", "rows"]).to_pylist())
            record = self._resolve(stage, key, shards, entered, prefixes if isinstance(chosen, Dedup) else 0)
            if record is None:
                return
        else:
            record = group.to_pylist()[0]
        self.groups[stage.id] = {name: record.get(name) for name in ("members", "choice", "cut")}
        self.manifest.commit(
            "barriers", f"{self.plan.run}-{stage.id}", [{"run": self.plan.run, "stage": stage.id, "group": key}]
        )

    def _recorded(
        self,
        kind: str,
        step: str,
        shards: Shards,
        prefix: str,
        unit: Callable[[ShardWork], Any],
        resources: Resources | None = None,
    ) -> pa.Table:
        """The record of each shard, in their order, but for those that fail. What is not recorded yet is performed."""
        keys = {shard.index: f"{prefix}-{shard.index:08d}" for shard in shards.shards}
        there = set(self.manifest.whole(kind, keys.values()))
        if kind == "decisions":  # a decided shard has its sketches
            sketched = set(self.manifest.keys("sketches"))
            there = {key for key in there if key in sketched and ("sketches", key) not in self.manifest.damaged}
        todo = [shard for shard in shards.shards if keys[shard.index] not in there]
        what = step if step == "decide" else f"{step}: {kind}"
        learned: dict[str, list[dict[str, Any]]] = {}
        for outcome in self._perform(what, map(unit, shards.of(todo)), len(todo), (), [resources]):
            shard = outcome.unit.at.shard
            if outcome.failure:
                self._fail(shard, outcome.failure, step)
                continue
            learned[keys[shard.index]] = [outcome.value]
            if len(learned) == TOGETHER:
                self.manifest.learn(kind, learned)
                learned = {}
        self.manifest.learn(kind, learned)
        return self.manifest.read(kind, [key for index, key in keys.items() if index not in self.failed])

    def _resolve(
        self,
        stage: StagePlan,
        key: str,
        shards: Shards,
        entrants: tuple[dict[str, Any], ...],
        prefixes: int,
    ) -> dict[str, Any] | None:
        keys = {f"{key}-{prefix:04d}": prefix for prefix in range(prefixes)}
        pairs = {keys[name]: record["data"] for name, record in self.manifest.records("pairs", keys).items()}
        units = [PairWork(shards.work, stage, key, prefix, entrants) for prefix in keys.values() if prefix not in pairs]
        for outcome in self._perform(f"{stage.id}: candidate pairs", units, len(units), (), [stage.resources]):
            if outcome.failure:
                self._fail(None, outcome.failure, stage.id)
            else:
                pairs[outcome.unit.prefix] = outcome.value["data"]
        if self.stopped:
            return None
        edits = last_transform(shards.work.stages[: stage.position])
        asked = (stage, edits) if edits is not None else (stage,)  # no other scores are, and all shards go along
        steps = {step.fingerprint for one in asked for step in one.steps}
        own = (
            replace(at, scores={name: at.scores[name] for name in steps & at.scores.keys()}, groups={}) for at in shards
        )
        found = tuple(pairs[prefix] for prefix in sorted(pairs))
        unit = ResolveWork(shards.work, stage, key, tuple(own), entrants, found)
        for outcome in self._perform(f"{stage.id}: resolve", [unit], 1, (), [stage.resources]):
            if outcome.failure:
                self._fail(None, outcome.failure, stage.id)
                return None
            return outcome.value  # type: ignore[no-any-return]
        return None

    def _decide(self) -> list[tuple[Shard, dict[str, Any]]]:
        shards = self._shards()
        table = self._recorded("decisions", "decide", shards, self.plan.run, DecideWork)
        decided = [shard for shard in shards.shards if shard.index not in self.failed]
        columns = ["rows", "kept", "dropped", "errored", "kept_bytes", "data"]
        records = table.select(columns).to_pylist()
        for shard, record in zip(decided, records, strict=True):
            rows = shard.rows if self.plan.sample is None else len(self.plan.sample.get(shard.index, ()))
            if not rows == record["rows"] == record["kept"] + record["dropped"] + record["errored"]:
                raise AssertionError(f"shard {shard.index} of run {self.plan.run}: {record} for {rows} rows")
        counts = _counts(table)
        for name, value in counts.items():
            if name != "rows":
                setattr(self.result, name, value)
        if not self.failed and counts["rows"] != self.plan.rows:
            raise AssertionError(f"run {self.plan.run}: {counts['rows']} decisions for {self.plan.rows} rows")
        return list(zip(decided, records, strict=True))

    def _write(self, decided: list[tuple[Shard, dict[str, Any]]]) -> list[dict[str, Any]]:
        """Neighbouring shards share an output file up to `file_bytes` of kept text; which ones, the decisions say."""
        parts: list[list[tuple[Shard, str]]] = []
        size = 0
        for shard, record in decided:
            if not record["kept"]:
                continue
            if not parts or size + record["kept_bytes"] > self.plan.output.file_bytes:
                parts.append([])
                size = 0
            parts[-1].append((shard, record["data"]))
            size += record["kept_bytes"]
        parts = parts or [[]]  # a dataset without documents is one empty file with the right columns
        shards = self._shards()
        keys = {f"{self.plan.run}-{number:05d}": number for number in range(len(parts))}
        records = {keys[key]: record for key, record in self.manifest.records("written", keys).items()}
        todo = [number for number in keys.values() if number not in records]

        def unit(number: int) -> WriteWork:
            members = tuple(shards.of(shard for shard, _ in parts[number]))
            return WriteWork(shards.work, number, members, tuple(data for _, data in parts[number]))

        for outcome in self._perform("write", map(unit, todo), len(todo)):
            if outcome.failure:
                self._fail(None, outcome.failure, "write")
            else:
                records[outcome.unit.part] = outcome.value
        return [records[number] for number in sorted(records)]

    def _publish(self, written: list[dict[str, Any]]) -> None:
        """Put the finished files, the card and nothing else at the dataset's name, all at once."""
        plan = self.plan
        name = f"datasets/{plan.name}/{plan.run}"
        failpoints.hit("before-publish")
        duplicates = self._duplicate_ids()
        files = {f"part-{record['part']:05d}.parquet": record["data"] for record in written}
        card = partial(dataset_card, plan, self.manifest, written, duplicates)
        self.store.publish(name, files, card, self.attempt)
        self.manifest.commit(
            "datasets",
            plan.run,
            [
                {
                    "run": plan.run,
                    "name": plan.name,
                    "path": name,
                    "files": len(written),
                    "rows": sum(record["rows"] for record in written),
                    "bytes": sum(record["bytes"] for record in written),
                    "duplicate_ids": duplicates,
                    "skipped_shards": sum(shard.error is not None for shard in plan.shards),
                    "created_at": later(self.manifest.read("datasets")),
                }
            ],
        )
        for record in written:
            self.store.remove(record["data"])
        self.result.dataset = self.store.place(name)
        self.result.duplicate_ids = duplicates
        for text in striking(plan, self.manifest):
            self.report("notice", {"text": text})

    def _duplicate_ids(self) -> int:
        """How many documents carry an id that an earlier one has; 0 where no id is mapped."""
        if "id" not in self.plan.columns.mapping:
            return 0
        paths = [
            self.store.checked(record["data"])
            for record in self.manifest.where("decisions", run=self.plan.run).to_pylist()
        ]
        if not paths:
            return 0
        with database(self.store, "groups", self.attempt) as connection:
            row = connection.execute(f"SELECT count(id) - count(DISTINCT id) FROM {scan(paths)}").fetchone()
        return int(row[0]) if row else 0

    def _end(self, outcome: str) -> None:
        self.manifest.commit(
            "ends",
            self.attempt,
            [
                {
                    "attempt": self.attempt,
                    "run": self.plan.run,
                    "outcome": outcome,
                    "scored": self.result.scored,
                    "reused": self.result.reused,
                    "seconds": self.result.seconds,
                    "ended_at": now(),
                }
            ],
        )
        self.manifest.compact()
        publish_snapshot(self.store)


def score_index(manifest: Manifest, plan: Plan) -> ScoreIndex:
    """What is stored of a plan's shards."""
    return ScoreIndex(manifest, plan)


def allot_numbers(manifest: Manifest, shards: tuple[Shard, ...]) -> dict[tuple[str, str], int]:
    """A number for each (path, fingerprint), new ones after all that were ever allotted; safe between runs."""
    wanted = list(dict.fromkeys((shard.path, shard.fingerprint) for shard in shards))
    while True:
        known = {(row["path"], row["fingerprint"]): row["file_no"] for row in manifest.read("files").to_pylist()}
        if not known.keys() >= set(wanted):  # a record may be damaged or gone: what it allotted, runs still have
            used = manifest.read("shards").select(["path", "fingerprint", "file_no"])
            latest = pc.max(used.column("file_no")).as_py()
            if manifest.damaged or (latest is not None and latest > max(known.values(), default=-1)):
                known = {(row["path"], row["fingerprint"]): row["file_no"] for row in used.to_pylist()} | known
        missing = [pair for pair in wanted if pair not in known]
        if not missing:
            return {pair: known[pair] for pair in wanted}
        first = max(known.values(), default=-1) + 1
        rows = [
            {"file_no": first + place, "path": path, "fingerprint": print_}
            for place, (path, print_) in enumerate(missing)
        ]
        manifest.commit("files", f"{first:012d}", rows)


def _counts(decisions: pa.Table) -> dict[str, int]:
    return {name: pc.sum(decisions.column(name)).as_py() or 0 for name in ("rows", "kept", "dropped", "errored")}
