"""Two runs beside each other: their recipes, inputs and funnels, and the documents that changed sides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher, unified_diff
from typing import Any

import pyarrow as pa

from curation.manifest.parts import Manifest
from curation.manifest.runs import choose_run, labelled_runs
from pipelines.results.moved import MOVED, compared
from pipelines.results.ways import DecidedRun
from schemas.errors import CurationError, Finding, command

FUNNEL = pa.schema(
    [
        ("stage", pa.string()),
        ("dropped_a", pa.int64()),
        ("dropped_b", pa.int64()),
        ("errored_a", pa.int64()),
        ("errored_b", pa.int64()),
        ("rows_out_a", pa.int64()),
        ("rows_out_b", pa.int64()),
        ("more", pa.int64()),
    ]
)
INPUTS = pa.schema([("change", pa.string()), ("path", pa.string()), ("rows_a", pa.int64()), ("rows_b", pa.int64())])


@dataclass(frozen=True)
class RunFacts:
    """One of the two."""

    run: str
    name: str
    labels: list[str]
    rows: int
    kept: int
    undecided_shards: int
    """Shards that are not decided yet, and so are not compared."""

    def title(self) -> str:
        named = ", ".join([self.name, *self.labels])
        waiting = f", {self.undecided_shards:,} shards undecided" if self.undecided_shards else ""
        return f"{self.run} ({named}): {self.rows:,} → {self.kept:,} documents{waiting}"


@dataclass(frozen=True)
class RunDiff:
    """What is different between run `a` and run `b`."""

    a: RunFacts
    b: RunFacts
    recipe: list[str]
    """A unified diff, without line ends; empty where the recipes say the same."""
    stages: list[str] = field(default_factory=list)
    """Stages with equal settings whose code, model or files are others, so that scores may differ."""
    inputs: pa.Table = field(default_factory=INPUTS.empty_table)
    """Files that only one of them read, or that changed in between."""
    funnel: pa.Table = field(default_factory=FUNNEL.empty_table)
    """Every stage of either, with `more`: documents that `b` has left after it beyond those of `a`."""
    moved: pa.Table = field(default_factory=MOVED.empty_table)
    """Documents that are kept, dropped or errored in `b` and were not in `a`, by the stage and reason that drop them
    in one of the two."""
    elsewhere: int = 0
    """Documents that both drop, at different stages."""
    only_a: int = 0
    only_b: int = 0
    """Documents that only one of them read."""

    @property
    def differ(self) -> bool:
        tables = (self.inputs, self.moved)
        return bool(self.recipe or self.stages or any(table.num_rows for table in tables) or self.elsewhere)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        tables = {name: getattr(self, name).to_pylist() for name in ("inputs", "funnel", "moved")}
        counts = {name: getattr(self, name) for name in ("elsewhere", "only_a", "only_b", "differ")}
        return {"a": vars(self.a), "b": vars(self.b), "recipe": self.recipe, "stages": self.stages, **tables, **counts}


def diff(manifest: Manifest, a: str, b: str | None = None, examples: int = 3) -> RunDiff:
    """Compare two runs, named as everywhere. Raises C032 for one that is not there or has decided nothing."""
    runs = [_decided(manifest, name) for name in (a, b)]
    records = [manifest.where("runs", run=run.run).to_pylist()[0] for run in runs]
    names = [f"{record['name']} {record['run']}" for record in records]
    facts = [_facts(manifest, run, record) for run, record in zip(runs, records, strict=True)]
    before, after = runs
    return RunDiff(
        facts[0],
        facts[1],
        list(unified_diff(_canonical(records[0]), _canonical(records[1]), names[0], names[1], lineterm="")),
        _other_stages(before, after),
        _inputs(before, after),
        _funnel(before, after),
        *compared(manifest, before, after, examples),
    )


def _decided(manifest: Manifest, name: str | None) -> DecidedRun:
    chosen = choose_run(manifest, name)
    if chosen is None:
        start = command("run RECIPE", manifest.store.root)
        raise CurationError(Finding("C032", "nothing was run here yet", f"start one: {start}"))
    return DecidedRun(manifest, chosen)


def _facts(manifest: Manifest, run: DecidedRun, record: dict[str, Any]) -> RunFacts:
    labels = [label for label, labelled in labelled_runs(manifest).items() if labelled == run.run]
    rows = run.reached()
    return RunFacts(run.run, record["name"], labels, rows[0], rows[-1], len(run.shards) - len(run.decided))


def _canonical(record: dict[str, Any]) -> list[str]:
    """A run's recipe without comments, in one way of writing; what else was asked for stands before it."""
    import yaml

    value = yaml.safe_load(record["recipe"])
    value.pop("workspace", None)  # decides nothing
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
    sample = [] if record["sample"] is None else [f"# --sample {record['sample']}"]
    return [*sample, *text.splitlines()]


def _other_stages(a: DecidedRun, b: DecidedRun) -> list[str]:
    alike = ("family", "kind", "settings")
    before = {row["stage"]: row for row in a.stages}
    return [
        row["stage"]
        for row in b.stages
        if (was := before.get(row["stage"])) is not None
        and all(was[name] == row[name] for name in alike)
        and was["fingerprint"] != row["fingerprint"]
    ]


def _inputs(a: DecidedRun, b: DecidedRun) -> pa.Table:
    files: list[dict[str, list[Any]]] = []
    for run in (a, b):
        of_path: dict[str, list[Any]] = {}
        for shard in run.shards.values():
            rows = of_path.setdefault(shard["path"], [shard["fingerprint"], 0])
            rows[1] += shard["rows"]
        files.append(of_path)
    rows = []
    for path in sorted(files[0].keys() | files[1].keys()):
        was, now = files[0].get(path), files[1].get(path)
        if was is None or now is None or was[0] != now[0]:
            change = "only b" if was is None else "only a" if now is None else "changed"
            rows.append({"change": change, "path": path, "rows_a": was and was[1], "rows_b": now and now[1]})
    return pa.Table.from_pylist(rows, schema=INPUTS)


def _funnel(a: DecidedRun, b: DecidedRun) -> pa.Table:
    sides = [_counts(a), _counts(b)]
    rows = []
    left = [a.reached()[0], b.reached()[0]]
    for stage in _merged(a.ids, b.ids):
        row: dict[str, Any] = {"stage": stage}
        for number, (mark, side) in enumerate(zip("ab", sides, strict=True)):
            ended = side.get(stage)
            left[number] = left[number] if ended is None else ended["rows_out"]
            row |= {f"{name}_{mark}": ended and ended[name] for name in ("dropped", "errored", "rows_out")}
        rows.append({**row, "more": left[1] - left[0]})
    return pa.Table.from_pylist(rows, schema=FUNNEL)


def _counts(run: DecidedRun) -> dict[str, dict[str, int]]:
    counts = {
        stage: {"dropped": 0, "errored": 0, "rows_out": left}
        for stage, left in zip(run.ids, run.reached()[1:], strict=True)
    }
    for entry in (entry for row in run.decided for entry in row["tally"] if entry["stage"] is not None):
        counts[entry["stage"]][entry["outcome"]] += entry["rows"]
    return counts


def _merged(a: list[str], b: list[str]) -> Iterator[str]:
    """The stages of both, in the order of both where they have one."""
    for kind, start_a, end_a, start_b, end_b in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        yield from (stage for stage in a[start_a:end_a] if kind == "equal" or stage not in b)
        yield from (stage for stage in b[start_b:end_b] if kind != "equal")
