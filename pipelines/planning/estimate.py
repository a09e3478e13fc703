"""What a run would do, before it does it: shards, stages, documents still to score, and what that may take."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.flow.isolate import complete, score_rows
from curation.flow.missing import missing_rows
from curation.flow.objects import tokenising_object
from curation.flow.perform import score_here
from curation.flow.replay import beginning
from curation.flow.sample import Sample
from curation.flow.score_index import Shards
from curation.flow.units import ScoreWork
from curation.manifest.parts import Manifest
from curation.plan import Plan, StagePlan, Step
from curation.plugins import contained
from curation.text import seconds_compiling
from pipelines.notebook import html_facts, html_table
from pipelines.planning.cost import Cost, cost
from pipelines.planning.resolve import Resolved
from pipelines.tables.human import duration, size
from schemas.documents import INPUT
from schemas.recipe import Resources
from workers.executor import marked, metered

TIMED = 128
"""Documents that `time` runs every step on."""


@dataclass(frozen=True)
class StageEstimate:
    """One step of one stage."""

    step: str
    kind: str
    runs_in: str
    """Where: shard tasks, or model actors, with how many there may be and what each reserves."""
    stored: int
    """Documents of these inputs that have a score already."""
    to_score: int
    """Documents that reach the step, by what is known, and have no score."""
    at_most: int
    """The same when every document whose way is not known yet reaches it, too."""
    seconds: float | None
    """Estimate of one worker's time for `at_most`; None where nothing says how fast the step is here."""
    why: str
    """Why something is to be scored."""


@dataclass(repr=False)
class PlanReport:
    """A plan, and what is missing to it.

    >>> report = Workspace(folder).plan(recipe)
    >>> report.rows, [stage.step for stage in report.stages]
    (4, ['input', 'same/sketch', 'language'])
    """

    plan: Plan
    run: str | None
    """None while a stage has yet to be fitted: the run's id depends on what it learns."""
    rows: int
    bytes: int
    shards: int
    bad_shards: list[tuple[str, str]]
    stages: list[StageEstimate] = field(default_factory=list)
    to_fit: list[str] = field(default_factory=list)
    finished: bool = False
    timed_on: str = "earlier runs in this workspace"
    """Where the estimate comes from."""
    notices: tuple[str, ...] = ()
    """Lines about what was passed over in the input's folders."""
    cost: Cost | None = None
    """Time on this machine's workers, memory, disk and tokens; None where nothing is left to do."""

    @property
    def to_score(self) -> int:
        return sum(stage.to_score for stage in self.stages)

    def to_arrow(self) -> pa.Table:
        """The steps, a row each."""
        return pa.Table.from_pylist([asdict(stage) for stage in self.stages])

    def cost_lines(self) -> list[str]:
        """What the rest of the run may take on this machine, a line each; none where nothing is left."""
        if self.cost is None:
            return []
        if self.cost.seconds is None:
            lines = ["no estimate of its time: these stages never ran here; --time measures them on a few documents"]
        else:
            workers = f"{self.cost.workers} worker{'s' if self.cost.workers > 1 else ''}"
            took = _durations(*self.cost.seconds)
            lines = [f"estimate: {took} on this machine ({workers}), from {self.timed_on}"]
            dataset_wide = {stage.id for stage in self.plan.stages if stage.barrier}
            together = [name for name in self.cost.unknown if name in dataset_wide]
            untimed = [name for name in self.cost.unknown if name not in dataset_wide]
            if untimed:
                lines.append(f"not in it, since nothing says how long they take: {', '.join(untimed)}")
            if together:
                why = "which look at all documents at once: a first run tells their time, no sample does"
                lines.append(f"not in it: {', '.join(together)}, {why}")
        sizes = f"memory about {size(self.cost.memory)}, disk about {size(self.cost.disk)}"
        return [*lines, sizes + (f", {self.cost.tokens:,} tokens" if self.cost.tokens else "")]

    @property
    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"documents": self.rows, "shards": self.shards, "to score": self.to_score}
        if self.cost is not None:
            took = self.cost.seconds
            facts |= {"time": _durations(*took)} if took else {}
            facts |= {"workers": self.cost.workers}
            facts |= {name: size(getattr(self.cost, name)) for name in ("memory", "disk")}
        return facts | ({"finished": True} if self.finished else {})

    def __repr__(self) -> str:
        facts = ", ".join(f"{name} {value:,}" for name, value in self._facts.items() if isinstance(value, int))
        return f"PlanReport({self.plan.name} {self.run or '(to be fitted)'}: {facts})"

    def _repr_html_(self) -> str:
        return html_facts(self.plan.name, self._facts) + html_table(self.to_arrow())


Forecast = PlanReport
"""The name it had; code that imports it goes on."""


def estimate(resolved: Resolved, manifest: Manifest, time: bool = False) -> PlanReport:
    """Replay what is stored and count what is missing. Reads no text, unless `time` asks for a timed sample."""
    plan = resolved.plan
    result = PlanReport(
        plan,
        None if resolved.unfitted else plan.run,
        plan.rows,
        sum(shard.bytes for shard in plan.good_shards),
        len(plan.shards),
        [(shard.path, shard.error) for shard in plan.shards if shard.error],
        to_fit=[item.stage for item in resolved.unfitted],
        finished=manifest.has("datasets", plan.run) and not resolved.unfitted,
        notices=resolved.notices,
    )
    groups = _groups(plan, manifest)
    shards = list(Shards.recorded(manifest, plan, groups))
    rates = _rates(manifest)
    tokens: dict[str, float] = {}
    if time:
        rates, tokens, documents = timed_sample(resolved)
        result.timed_on = f"{documents} documents of the input, timed just now"
    possible = [beginning(shard).alive for shard in shards]
    """By shard, documents that may reach the next pass."""
    sure = True
    every: Counter[str] = Counter()
    for part in plan.passes:
        sure = sure and all(stage.id in groups for stage in plan.stages[: part.first] if stage.barrier)
        exact: Counter[str] = Counter()
        most: Counter[str] = Counter()
        for number, shard in enumerate(shards):
            missing = missing_rows(ScoreWork(shard, part.number), possible[number], sure)
            exact.update(missing.exact)
            most.update(missing.most)
            possible[number] = missing.possible
        for stage in (*part.stages, *part.barriers):
            for step in stage.steps:
                have = _stored(manifest, plan, step.fingerprint)
                result.stages.append(
                    StageEstimate(
                        step.name,
                        stage.kind if step.name == stage.id else step.name.rpartition("/")[2],
                        placement(stage, step),
                        have,
                        exact[step.name],
                        most[step.name],
                        rates[step.fingerprint] * most[step.name] if step.fingerprint in rates else None,
                        _why(have, most[step.name]),
                    )
                )
        every.update(most)
        sure = sure and not any(most.values())
    if not result.finished:
        result.cost = cost(plan, manifest, every, rates, tokens)
    return result


def _durations(least: float, most: float) -> str:
    return "less than a second" if most < 1 else f"{duration(least)} to {duration(most)}"


def placement(stage: StagePlan, step: Step) -> str:
    """Where a step runs, as a person reads it: `model actors 1..4, 0.5 GPU each`."""
    asked = stage.resources or Resources()
    least, most = asked.bounds
    if not step.heavy:
        cpus = f", {asked.num_cpus:g} CPU each" if asked.num_cpus is not None else ""
        return f"shard tasks{f', at most {most}' if most else ''}{cpus}"
    many = f" {least}" if least == most else f" {least}..{most if most else 'auto'}"
    gpus = f"{asked.num_gpus:g} GPU" if asked.num_gpus else "share of a GPU" if step.device == "cuda" else ""
    each = " and ".join(filter(None, [f"{asked.num_cpus:g} CPU" if asked.num_cpus else "", gpus]))
    return f"model actors{many}{f', {each} each' if each else ''}"


def _why(stored: int, most: int) -> str:
    if not most:
        return ""
    return "documents not scored before" if stored else "never scored with these settings"


def _groups(plan: Plan, manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Resolved dataset-wide stages of this very run."""
    records = {row["group"]: row for row in manifest.read("groups").to_pylist()}
    return {
        row["stage"]: records[row["group"]]
        for row in manifest.where("barriers", run=plan.run).to_pylist()
        if row["group"] in records
    }


def _stored(manifest: Manifest, plan: Plan, fingerprint: str) -> int:
    files = pa.array(list({shard.fingerprint for shard in plan.shards}), pa.string())
    table = manifest.where("scores", fingerprint=fingerprint)
    rows = table.column("rows").filter(pc.is_in(table.column("file_fingerprint"), files))
    return int(pc.sum(rows).as_py() or 0)


def _rates(manifest: Manifest) -> dict[str, float]:
    """Seconds a document, by step, over everything that this workspace ever scored."""
    table = manifest.read("scores")
    if not table.num_rows:
        return {}
    sums = table.group_by("fingerprint", use_threads=False).aggregate([("rows", "sum"), ("seconds", "sum")])
    columns = (sums.column(name).to_pylist() for name in ("fingerprint", "rows_sum", "seconds_sum"))
    return {name: seconds / rows for name, rows, seconds in zip(*columns, strict=True) if rows}


def timed_sample(resolved: Resolved) -> tuple[dict[str, float], dict[str, float], int]:
    """Run every step that has no need to be fitted on real documents: seconds and tokens a document by step, and how
    many documents there were.

    Each step is loaded and warmed up first, and what is compiled nevertheless is taken off: it happens once a machine.
    """
    plan = resolved.plan
    waiting = {item.stage for item in resolved.unfitted}
    steps = [step for step in plan.steps() if step.family != INPUT and step.name not in waiting]
    sample = Sample.of(plan, TIMED, {"text", *(name for step in steps for name in step.reads)})
    text = sample.column("text")
    rates: dict[str, float] = {}
    tokens: dict[str, float] = {}
    outputs: dict[str, pa.StructArray] = {}
    if not len(text):
        return rates, tokens, 0
    for step in steps:
        columns = {name: sample.column(name, name in step.numbers) for name in step.reads if name != "text"}
        columns |= {"text": text} if "text" in step.reads else {}
        columns |= {name: outputs[other] for name, other in step.requires.items()}
        batch = pa.RecordBatch.from_pydict(columns)
        with contained():
            score_rows(step, batch.slice(0, 8), score_here)
            before = marked(tokenising_object(step)) if step.heavy else []
            began, compiled = perf_counter(), seconds_compiling()
            scored = complete(score_rows(step, batch, score_here), step)
            seconds = perf_counter() - began - (seconds_compiling() - compiled)
        rates[step.fingerprint] = max(0.0, seconds) / len(text)
        if step.heavy:
            read = [model.reading.tokens for model in metered(step, tokenising_object(step), before)]
            tokens |= {step.fingerprint: sum(read) / len(text)} if read else {}
        outputs[step.fingerprint] = scored.to_struct_array()
        if step.edits:
            from curation.text.edits import apply_edits  # compiles, so only where something is edited

            text = apply_edits(text, scored.column("edits"))
    return rates, tokens, len(text)
