"""Plan → dataset: passes over the shards, barriers between them, decisions, output. Every step resumes.

Longer than most files: passes, barriers, decisions and output share what has failed and what was left out so far, and
that is one class.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from itertools import islice
from typing import Any

import pyarrow as pa

from curation.flow import Failure, Outcome, system_failure
from curation.flow.dataset_wide import family_of
from curation.flow.documents import last_transform
from curation.flow.faults import to_be_stored, unforeseen
from curation.flow.score_index import ScoreIndex, Shards, recorded_bundles
from curation.flow.units import DecideWork, EnterWork, PairWork, ResolveWork, ScoreWork, ShardWork, Work, WriteWork
from curation.manifest.parts import TOGETHER, Manifest
from curation.manifest.snapshot import publish_missing
from curation.plan import Pass, Plan, StagePlan, Step
from curation.registry import blames
from curation.report.duplicates import striking
from curation.report.selection import choices_by_length
from curation.sources import AnyShard, Shard
from curation.store import DamagedFileError, Store
from pipelines.running.checks import check_hardware, deaths
from pipelines.running.events import (
    Failed,
    InputSkipped,
    ModelMetered,
    Notice,
    PhaseEnded,
    PhaseStarted,
    Report,
    RunStarted,
    UnitEnded,
)
from pipelines.running.join import Heartbeat, alone, join, tell_beside
from pipelines.running.latest import point_latest
from pipelines.running.marker import raise_format
from pipelines.running.pace import Pace, paced
from pipelines.running.publish import output_files, publish
from pipelines.running.records import announce_attempt, announce_run, new_attempt, record_end, record_failure
from pipelines.running.result import Result, check_finished, counts, finished
from pipelines.running.verify import mend_run
from schemas.errors import CurationError, command
from schemas.manifest import BUNDLES_FORMAT
from schemas.recipe import Resources
from workers.executor import Executor

MOST_RAISED = 10
"""Kinds of faults of single documents that are told at the end of a pass."""


def execute(plan: Plan, store: Store, executor: Callable[[], Executor], report: Report, force: bool = False) -> Result:
    """Bring a plan to its dataset. What is committed already is not done again; a finished run is a no-op, and one that
    another attempt is at is waited for, unless `force`."""
    began = time.monotonic()
    gone: set[str] = set()
    while True:
        manifest = Manifest(store)
        done = finished(manifest, plan.run)
        if done is None and force:
            tell_beside(manifest, plan.run, report)
        elif done is None:
            done = join(store, plan.run, gone, report)
        if done is not None:
            publish_missing(store)
            point_latest(store, plan.name, plan.run)
            done.seconds = time.monotonic() - began
            return done
        invocation = _Invocation(plan, store, executor, report, Manifest(store), gone, force)
        result = invocation.run()
        if not invocation.stepped_back:
            return result


class _StepBackError(Exception):
    """Another attempt has begun at once, and this one leaves the run to it."""


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
        gone: set[str] | None = None,
        force: bool = True,
    ) -> None:
        """Unless `force`, it steps back where another attempt, none of those `gone`, is at the run."""
        self.plan = plan
        self.store = store
        self.manifest = manifest or Manifest(store)
        self.make_executor = executor
        self.attempt = new_attempt()
        self.heartbeat = Heartbeat(store, self.attempt, report)
        self.report: Report = self.heartbeat
        self.gone = set() if gone is None else gone
        self.force = force
        self.stepped_back = False
        """Whether another attempt turned out to have begun just before."""
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
            with self.heartbeat.beating():
                self._announce()
                outcome = self._attempt()
        except _StepBackError:
            self.stepped_back = True
            outcome = "interrupted"
        except KeyboardInterrupt:
            outcome = "interrupted"
        except OSError as failure:
            self._refused(failure)
        except Exception as failure:
            if isinstance(failure, CurationError) or not blames(failure):
                raise
            found = unforeseen(failure, "the code of a plugin failed", ())
            self.result.failures.append(("", found))
            self.report(Failed(found))
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
            check_finished(self.manifest, self.plan.run)
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
            see = command(f'sql "SELECT * FROM errors" --run {self.plan.run}', self.store.root)
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
        plan = self.plan
        if len(plan.bundles) < len(plan.good_shards):
            raise_format(self.store, BUNDLES_FORMAT)
        announce_run(self.manifest, plan)
        announce_attempt(self.manifest, plan.run, self.attempt, self.executor.name, self.hardware)
        if not (self.force or alone(self.manifest, plan.run, self.gone, self.attempt)):
            raise _StepBackError
        self._tell_start()

    def _tell_start(self) -> None:
        plan = self.plan
        self.report(RunStarted(plan.run, plan.rows, len(plan.shards)))
        if self.executor.name == "local" and (died := deaths(self.manifest, plan.run)) is not None:
            self.report(Notice(died))
        if (unsure := check_hardware(self.manifest, plan, self.hardware)) is not None:
            self.report(Notice(unsure))

    def _bad_shards(self) -> None:
        self.failed, self.faultless, self.fault_causes = {}, [], set()
        for shard in self.plan.shards:
            if shard.error and (self.plan.on_bad_shard == "stop" or not self.plan.good_shards):
                hint = "mend or remove it, then run again"
                self._fail(shard, Failure("R001", f"{shard.path} {shard.error}", hint, shard=shard.index))
            elif shard.error and shard.index not in self.set_aside:
                self.set_aside.add(shard.index)
                self.report(InputSkipped(shard.path, shard.error))

    def _mend(self) -> bool:
        """Where damaged files of the workspace stopped the run, set all of them aside that it reads, and begin anew."""
        if self.mended or not any(failure.code == "R011" for _, failure in self.result.failures):
            return False
        self.mended = True
        used, files = ({item.fingerprint for item in some} for some in (self.plan.steps(), self.plan.shards))
        found = mend_run(self.store, self.plan.run, used, files)
        text = f"{len(found.damaged)} damaged files of the workspace are set aside; what they held is done again"
        self.report(Notice(text))
        self.manifest = Manifest(self.store)
        announce_run(self.manifest, self.plan)
        attempt = new_attempt()
        with self.heartbeat.going_on_as(attempt):  # who waits for this run sees it under way without a gap
            announce_attempt(self.manifest, self.plan.run, attempt, self.executor.name, self.hardware)
            self._end("failed")
            self.attempt = attempt
        self.groups = {}
        self.faultless, self.fault_causes = [], set()
        self._begin_result()
        self._tell_start()
        return True

    def _without_failed(self) -> str:
        """Go on as the run that leaves the failed shards out; what the others have is stored already."""
        for path, failure in self.result.failures:
            self.report(InputSkipped(path, failure.message))
        self.set_aside |= set(self.failed)
        outcome = "failed"
        self.plan = self.plan.without(self.failed)
        self.groups = {}
        while True:
            self._end(outcome)
            self.attempt = new_attempt()
            with self.heartbeat.going_on_as(self.attempt):
                pass
            done = finished(self.manifest, self.plan.run)
            if done is None and not self.force:  # another one may have come here before
                done = join(self.store, self.plan.run, self.gone, self.report)
            if done is not None:
                point_latest(self.store, self.plan.name, self.plan.run)
                self.result = done
                return done.outcome
            self._begin_result()
            try:
                self._announce()
            except _StepBackError:
                outcome = "interrupted"
                continue
            return self._attempt()

    def _begin_result(self) -> None:
        """Of what the process goes on as; what was scored so far is its work, too."""
        steps, scored = self.result.steps, self.result.scored
        self.result = Result(self.plan.run, self.plan.name, "failed", rows=self.plan.rows, scored=scored, steps=steps)

    def _refused(self, failure: OSError) -> None:
        """What the operating system refused this process itself, said once: a full disk refuses many things."""
        fault = system_failure(failure)
        if not any(earlier.code == fault.code for _, earlier in self.result.failures):
            self.result.failures.append(("", fault))
            self.report(Failed(fault))

    def _fail(self, shard: Shard | None, failure: Failure, step: str = "") -> None:
        """Take note of what a unit failed of: `shard` is what it was about, the failure says whose fault it is."""
        for one in (failure, *failure.more):
            failed_shard = shard
            if one.shard is None:
                self.faultless.append(one)
            else:
                failed_shard = self.plan.shards[one.shard]
                self.fault_causes.add((step, one.code))
            if failed_shard is not None:
                self.failed[failed_shard.index] = to_be_stored(one.message)
            path = failed_shard.path if failed_shard else ""
            self.result.failures.append((path, one))
            self.report(Failed(one, path))
            number = len(self.result.failures)
            record_failure(self.manifest, self.plan.run, self.attempt, number, failed_shard, step, one)

    def _shards(self) -> Shards:
        """Good shards, small ones in bundles, that have not failed, with what is stored about each by now."""
        bundles = list(recorded_bundles(self.manifest, self.plan))
        together = len(bundles) < len(self.plan.good_shards)
        work = Work.of(self.plan, self.store, self.attempt, self.hardware, together)
        good = [shard for shard in bundles if self.failed.keys().isdisjoint(_indices(shard))]
        return Shards(work, self.plan, ScoreIndex(self.manifest, self.plan), good, dict(self.groups))

    def _perform(
        self,
        phase: PhaseStarted,
        units: Iterable[Any],
        steps: Iterable[Step] = (),
        tasks: Iterable[Resources | None] = (),
    ) -> Iterator[Outcome]:
        """What became of some units, which are what a phase is made of. To be read to its end."""
        if not phase.total:
            return
        self.report(phase)
        pace = Pace(phase, self.report, self._rows_of)
        with paced(self.executor, pace):
            for outcome in self.executor.run(units, list(steps), filter(None, tasks)):
                pace.ended(outcome)
                self.report(UnitEnded(outcome))
                yield outcome
        pace.finish()
        self.report(PhaseEnded(phase.name))

    def _rows(self, shards: Iterable[AnyShard]) -> int:
        return sum(self.plan.rows_of(shard) for shard in shards)

    def _rows_of(self, unit: Any) -> int | None:
        shard = getattr(unit, "shard", None)
        return None if shard is None else self.plan.rows_of(shard)

    def _score(self, part: Pass) -> None:
        name = " + ".join(stage.id for stage in (*part.stages, *part.barriers) if stage.steps)
        shards = self._shards()
        units = (ScoreWork(shard_work, part.number) for shard_work in shards)
        raised: Counter[str] = Counter()
        phase = PhaseStarted(f"score {name}", len(shards), "score", documents=self._rows(shards.shards))
        for outcome in self._perform(phase, units, part.steps, part.tasks):
            if outcome.failure:
                self._fail(outcome.unit.shard.members[0], outcome.failure, name)
            scored = outcome.failure.done if outcome.failure else outcome.value
            if scored is not None:
                self.result.scored += scored.rows
                self.result.steps.update(scored.by_step)
                self.result.reused += scored.reused
                raised.update(scored.raised)
        for what, count in raised.most_common(MOST_RAISED):
            self.report(Notice(f"{what} on {count:,} document{'s' if count > 1 else ''}"))
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
            self.report(ModelMetered(row))

    def _group(self, stage: StagePlan) -> None:
        """Resolve one dataset-wide stage, or find it resolved: the same entrants give the same result."""
        shards = self._shards()
        family = family_of(stage)
        ranges = family.ranges(self.plan.rows)
        enter = partial(EnterWork, position=stage.position, ranges=max(1, ranges))
        table = self._recorded("entrants", stage, shards, f"{self.plan.run}-{stage.id}", enter)
        if self.stopped:
            return
        contents = table.column("content").to_pylist()
        key = family.key(ranges, self.plan.stages, zip(shards.shards, contents, strict=True))
        group = self.manifest.get("groups", key)
        if group is None:
            entered = tuple(table.select(["data", "buckets", "rows"]).to_pylist())
            record = self._resolve(stage, key, shards, entered, ranges)
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
        stage: StagePlan | None,
        shards: Shards,
        prefix: str,
        unit: Callable[[ShardWork], Any],
    ) -> pa.Table:
        """The records of all shards, in their order, but for those that fail. What is not recorded yet is performed."""
        keys = {shard.index: f"{prefix}-{shard.index:08d}" for shard in shards.shards}
        recorded = set(self.manifest.whole(kind, keys.values()))
        if kind == "decisions":  # a decided shard has its sketches
            sketched = set(self.manifest.keys("sketches"))
            recorded = {key for key in recorded if key in sketched and ("sketches", key) not in self.manifest.damaged}
        todo = [shard for shard in shards.shards if keys[shard.index] not in recorded]
        step, resources = (stage.id, stage.resources) if stage is not None else ("decide", None)
        phase = PhaseStarted("decide", len(todo), "decide", documents=self._rows(todo))
        if stage is not None:
            phase = replace(_phase(stage, kind, len(todo)), documents=phase.documents)
        learned: dict[str, list[dict[str, Any]]] = {}
        for outcome in self._perform(phase, map(unit, shards.of(todo)), (), [resources]):
            shard = outcome.unit.shard
            if outcome.failure:
                self._fail(shard.members[0], outcome.failure, step)
                continue
            learned[keys[shard.index]] = outcome.value if kind == "decisions" else [outcome.value]
            if len(learned) == TOGETHER:
                self.manifest.add_cached(kind, learned)
                learned = {}
        self.manifest.add_cached(kind, learned)
        done = [keys[shard.index] for shard in shards.shards if self.failed.keys().isdisjoint(_indices(shard))]
        return self.manifest.read(kind, done)

    def _resolve(
        self,
        stage: StagePlan,
        key: str,
        shards: Shards,
        entrants: tuple[dict[str, Any], ...],
        ranges: int,
    ) -> dict[str, Any] | None:
        keys = {f"{key}-{prefix:04d}": prefix for prefix in range(ranges)}
        pairs = {keys[name]: record["data"] for name, record in self.manifest.records("pairs", keys).items()}
        units = [PairWork(shards.work, stage, key, prefix, entrants) for prefix in keys.values() if prefix not in pairs]
        for outcome in self._perform(_phase(stage, "pairs", len(units)), units, (), [stage.resources]):
            if outcome.failure:
                self._fail(None, outcome.failure, stage.id)
            else:
                pairs[outcome.unit.prefix] = outcome.value["data"]
        if self.stopped:
            return None
        edits = last_transform(shards.work.stages[: stage.position])
        asked = (stage, edits) if edits is not None else (stage,)  # no other scores are, and all shards go along
        steps = {step.fingerprint for one in asked for step in one.steps}
        stage_shards = (
            replace(at, scores={name: at.scores[name] for name in steps & at.scores.keys()}, groups={}) for at in shards
        )
        found = tuple(pairs[prefix] for prefix in sorted(pairs))
        unit = ResolveWork(shards.work, stage, key, tuple(stage_shards), entrants, found)
        [outcome] = self._perform(_phase(stage, "resolve", 1), [unit], (), [stage.resources])
        if outcome.failure:
            self._fail(None, outcome.failure, stage.id)
        return None if outcome.failure else outcome.value

    def _decide(self) -> list[tuple[AnyShard, dict[str, Any]]]:
        """What was decided in each shard or bundle, summed up."""
        shards = self._shards()
        table = self._recorded("decisions", None, shards, self.plan.run, DecideWork)
        decided = [shard for shard in shards.shards if self.failed.keys().isdisjoint(_indices(shard))]
        columns = ["shard", "rows", "kept", "dropped", "errored", "kept_bytes", "data"]
        records = table.select(columns).to_pylist()
        for shard, record in zip((member for one in decided for member in one.members), records, strict=True):
            rows = self.plan.rows_of(shard)
            right = shard.index == record["shard"] and rows == record["rows"]
            if not right or rows != record["kept"] + record["dropped"] + record["errored"]:
                raise AssertionError(f"shard {shard.index} of run {self.plan.run}: {record} for {rows} rows")
        totals = counts(table)
        for name, value in totals.items():
            if name != "rows":
                setattr(self.result, name, value)
        if not self.failed and totals["rows"] != self.plan.rows:
            raise AssertionError(f"run {self.plan.run}: {totals['rows']} decisions for {self.plan.rows} rows")
        rest = iter(records)
        of_each = [(shard, list(islice(rest, len(shard.members)))) for shard in decided]
        summed = ("kept", "kept_bytes")
        return [
            (shard, {name: sum(row[name] for row in rows) for name in summed} | {"data": rows[0]["data"]})
            for shard, rows in of_each
        ]

    def _write(self, decided: list[tuple[AnyShard, dict[str, Any]]]) -> list[dict[str, Any]]:
        parts = output_files(decided, self.plan.output.file_bytes)
        shards = self._shards()
        keys = {f"{self.plan.run}-{number:05d}": number for number in range(len(parts))}
        records = {keys[key]: record for key, record in self.manifest.records("written", keys).items()}
        todo = [number for number in keys.values() if number not in records]

        def unit(number: int) -> WriteWork:
            members = tuple(shards.of(shard for shard, _ in parts[number]))
            return WriteWork(shards.work, number, members, tuple(data for _, data in parts[number]))

        for outcome in self._perform(PhaseStarted("write", len(todo), "write"), map(unit, todo)):
            if outcome.failure:
                self._fail(None, outcome.failure, "write")
            else:
                records[outcome.unit.part] = outcome.value
        return [records[number] for number in sorted(records)]

    def _publish(self, written: list[dict[str, Any]]) -> None:
        self.result.folder, self.result.duplicate_ids = publish(self.plan, self.manifest, written, self.attempt)
        for text in (*striking(self.plan, self.manifest), *choices_by_length(self.plan, self.manifest)):
            self.report(Notice(text))

    def _end(self, outcome: str) -> None:
        record_end(self.manifest, self.attempt, outcome, self.result)


def _indices(shard: AnyShard) -> list[int]:
    return [member.index for member in shard.members]


def _phase(stage: StagePlan, step: str, units: int) -> PhaseStarted:
    """Of a dataset-wide stage."""
    what = {"entrants": "entrants", "pairs": "candidate pairs", "resolve": "resolve"}[step]
    return PhaseStarted(f"{stage.id}: {what}", units, step, stage.id, stage.family)
