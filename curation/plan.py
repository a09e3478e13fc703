"""A resolved plan as plain data: what every worker needs to know, and nothing that it would have to look up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from curation.formats.columns import Columns
from curation.sources import AnyShard, Bundle, Shard
from curation.sources.bundles import bundled
from schemas.documents import EDITS, STATUS
from schemas.recipe import Errors, Output, Resources

SHARD_LOCAL = ("input", "scorer", "transform")
BULKY = ("vector", "evidence", "edits")
"""Columns of hundreds of bytes a document: stored once, read only by what needs them, and not shown by `documents`."""


@dataclass(frozen=True)
class StageSpec:
    """All that a stage's object is built from (`curation.flow.objects`), and so the key under which it is kept: other
    settings, other code or other files behind it are another object, in one process, too."""

    stage: str
    family: str
    kind: str
    settings: str = "{}"
    """Canonical JSON."""
    recipe_dir: str = "."
    artifact: str | None = None
    """Folder of what a fit learned, as a path or URL."""
    cache: str | None = None
    """Folder for answers that cost money, in the workspace."""
    turns: str | None = None
    """As in `curation.scorers.base.Context`."""
    content: str = ""
    """Hash of the code's version and of the files behind it, as they were planned; "" for what is not checked."""


@dataclass(frozen=True)
class Step:
    """One scorer's work: the scorer of a stage itself, or one that it requires."""

    name: str
    """Stage id, or `stage/requirement`."""
    spec: StageSpec
    path: tuple[str, ...]
    """Which requirement of the stage's object this is; empty for the object itself."""
    fingerprint: str
    fields: tuple[pa.Field, ...]
    requires: dict[str, str] = field(default_factory=dict)
    """Column name in the scorer's batch: fingerprint of the step that makes it."""
    only: tuple[str, str] | None = None
    """An earlier step of the stage, by fingerprint, and its boolean column that says which documents need this one."""
    reads: tuple[str, ...] = ("text",)
    numbers: tuple[str, ...] = ()
    """Those of `reads` that come as float64 rather than text."""
    heavy: bool = False
    actor: str = ""
    """Heavy steps that have it in common differ in what they read alone: one model, held once, serves them all."""
    device: str = "cpu"
    """Of a heavy step: cpu or cuda."""
    edits: bool = False
    resources: Resources | None = None
    """Of a heavy step: what each actor that holds its model reserves."""

    @property
    def family(self) -> str:
        return self.spec.family

    @cached_property
    def columns(self) -> pa.Schema:
        """Columns of the step's score parts, after `row`."""
        extra = [pa.field("edits", EDITS)] if self.edits else []
        return pa.schema([*self.fields, pa.field("status", STATUS), pa.field("message", pa.string()), *extra])


@dataclass(frozen=True)
class StagePlan:
    """One stage of the run. A dataset-wide one (`barrier`) has steps only for what it needs computed beforehand."""

    position: int
    spec: StageSpec
    version: int
    keep: str | None
    fingerprint: str
    steps: tuple[Step, ...]
    fields: tuple[pa.Field, ...]
    """The struct that gates, SQL and output see: without bulky columns, which the output can name."""
    columns: tuple[str, ...] = ()
    """Dotted columns of earlier stages that a selection ranks by."""
    resources: Resources | None = None

    @property
    def id(self) -> str:
        return self.spec.stage

    @property
    def family(self) -> str:
        return self.spec.family

    @property
    def kind(self) -> str:
        return self.spec.kind

    @property
    def barrier(self) -> bool:
        return self.family not in SHARD_LOCAL

    @property
    def shown(self) -> tuple[pa.Field, ...]:
        """What the stage's struct in gates and decisions holds: its fields, and of a shard-local one its `status`."""
        return self.fields if self.barrier else (*self.fields, pa.field("status", STATUS))

    @property
    def bulky(self) -> tuple[pa.Field, ...]:
        """Columns of the stage's own step that only an output which names them shows."""
        return () if self.barrier else tuple(item for item in self.steps[-1].fields if item.name in BULKY)


@dataclass(frozen=True)
class Pass:
    """One reading of the shards: neighbouring shard-local stages, and what the barriers right behind them need."""

    number: int
    stages: tuple[StagePlan, ...]
    barriers: tuple[StagePlan, ...]

    @property
    def first(self) -> int:
        """Position of the pass's first stage."""
        return (self.stages or self.barriers)[0].position

    @property
    def steps(self) -> list[Step]:
        return [step for stage in (*self.stages, *self.barriers) for step in stage.steps]

    @property
    def tasks(self) -> tuple[Resources, ...]:
        """What the stages that run in shard tasks ask for those."""
        own = [stage.resources for stage in (*self.stages, *self.barriers) if not any(s.heavy for s in stage.steps)]
        return tuple(asked for asked in own if asked)

    @property
    def key(self) -> str:
        """Names the work: the fingerprints of all its steps."""
        return fingerprint([step.fingerprint for step in self.steps])


@dataclass(frozen=True)
class OutputColumn:
    """A column of the dataset: one of the input, or one that a stage measured."""

    name: str
    origin: str | None = None
    """Column of the input, by the source's name; None for what a stage measured."""
    stage: str = ""
    field: str = ""

    @property
    def identity(self) -> list[str]:
        return [self.name, f"{self.stage}.{self.field}" if self.origin is None else self.origin]


def passes_of(plan: tuple[StagePlan, ...]) -> tuple[Pass, ...]:
    """Stages cut at the barriers; barriers that follow one another share the pass before them."""
    passes: list[Pass] = []
    stages: list[StagePlan] = []
    barriers: list[StagePlan] = []
    for stage in plan:
        if barriers and not stage.barrier:
            passes.append(Pass(len(passes), tuple(stages), tuple(barriers)))
            stages, barriers = [], []
        (barriers if stage.barrier else stages).append(stage)
    passes.append(Pass(len(passes), tuple(stages), tuple(barriers)))
    return tuple(passes)


@dataclass(frozen=True)
class Plan:
    """A recipe resolved against its inputs. `run` is the hash of everything that decides the output."""

    run: str
    name: str
    source: str
    recipe_path: str
    recipe_dir: str
    columns: Columns
    """What stages may read."""
    output: Output
    errors: Errors
    on_bad_shard: str
    stages: tuple[StagePlan, ...]
    shards: tuple[Shard, ...]
    reading: pa.Schema
    """Source columns that scorers read: text fields and the id, by the source's names."""
    writing: pa.Schema
    """Source columns that the output needs, with the types that all files agree on."""
    output_columns: tuple[OutputColumn, ...]
    sample: dict[int, tuple[int, ...]] | None = None
    """For a sample run: shard index to rows (counted in the shard)."""

    @cached_property
    def passes(self) -> tuple[Pass, ...]:
        return passes_of(self.stages)

    @property
    def good_shards(self) -> list[Shard]:
        return [shard for shard in self.shards if not shard.error]

    @cached_property
    def bundles(self) -> tuple[AnyShard, ...]:
        """Good shards as units take them: small neighbours together."""
        return tuple(bundled(self.good_shards))

    @property
    def rows(self) -> int:
        if self.sample is not None:
            return sum(len(rows) for rows in self.sample.values())
        return sum(shard.rows for shard in self.good_shards)

    def sampled(self, shard: AnyShard) -> tuple[int, ...] | None:
        """Of a sample run, rows of a shard (counted in it) that are in the sample; None where all are."""
        if self.sample is None:
            return None
        if isinstance(shard, Bundle):
            pairs = zip(shard.members, shard.starts.tolist(), strict=False)
            return tuple(start + row for member, start in pairs for row in self.sample.get(member.index, ()))
        return self.sample.get(shard.index, ())

    def rows_of(self, shard: AnyShard) -> int:
        """How many documents of a shard take part."""
        if isinstance(shard, Bundle):
            return sum(map(self.rows_of, shard.members))
        sampled = self.sampled(shard)
        return shard.rows if sampled is None else len(sampled)

    def without(self, failed: dict[int, str]) -> Plan:
        """The same plan with shards set aside: another run, since its output is another."""
        shards = tuple(
            replace(shard, error=failed[shard.index]) if shard.index in failed else shard for shard in self.shards
        )
        return replace(self, shards=shards, run=fingerprint([self.run, sorted(failed)])[:16])

    def steps(self) -> Iterator[Step]:
        for stage in self.stages:
            yield from stage.steps


def fingerprint(value: Any) -> str:
    """XXH3-128 of a value's canonical JSON, as 32 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_plain)
    return xxhash.xxh3_128_hexdigest(text.encode())


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, set | frozenset | tuple):
        return sorted(value)
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} has no canonical form")
