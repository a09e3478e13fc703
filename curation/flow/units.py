"""What a unit of work is given: plain data that travels to any worker, and the stage objects built from it there."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache
from typing import Any

import duckdb
import pyarrow as pa

from curation.flow.stored import Parts, StoredColumns, load_stored
from curation.formats.columns import Columns
from curation.manifest.parts import Manifest
from curation.plan import OutputColumn, Pass, Plan, StagePlan, Step, passes_of
from curation.sources import AnyShard
from curation.store import TEMPORARY, Store, open_store

Scoring = Callable[[Step, pa.RecordBatch], pa.RecordBatch]
"""How a step scores a batch: here, or in an actor that holds the model."""


@dataclass(frozen=True)
class Work:
    """What all units of one invocation share: pickled once, however many of them travel, and opened once a process."""

    root: str
    run: str
    attempt: str
    columns: Columns
    stages: tuple[StagePlan, ...]
    reading: pa.Schema
    writing: pa.Schema
    output_columns: tuple[OutputColumn, ...]
    row_group_rows: int
    hardware: str
    bundled: bool = False
    """Whether small shards are taken together, so that decisions say of which shard each row is."""

    @classmethod
    def of(cls, plan: Plan, store: Store, attempt: str = "", hardware: str = "", bundled: bool = False) -> Work:
        """A plan's; those who only look need no attempt."""
        return cls(
            root=str(store.root),
            run=plan.run,
            attempt=attempt,
            columns=plan.columns,
            stages=plan.stages,
            reading=plan.reading,
            writing=plan.writing,
            output_columns=plan.output_columns,
            row_group_rows=plan.output.row_group_rows,
            hardware=hardware,
            bundled=bundled,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, (self._packed,)

    @cached_property
    def _packed(self) -> bytes:
        return pickle.dumps([getattr(self, item.name) for item in fields(self)])

    @cached_property
    def passes(self) -> tuple[Pass, ...]:
        return passes_of(self.stages)

    @property
    def store(self) -> Store:
        return open_store(self.root)

    @property
    def manifest(self) -> Manifest:
        return Manifest(self.store)

    def mark(self) -> str:
        """For file names: the attempt, and this execution of it.

        Ray repeats a unit whose worker died, perhaps just after its commit: what the repetition writes, and removes
        again when it finds itself late, must not be what was committed.
        """
        return f"{self.attempt}-{os.urandom(4).hex()}"


@lru_cache(maxsize=16)
def _opened(packed: bytes) -> Work:
    return Work(*pickle.loads(packed))


@dataclass(frozen=True)
class ShardWork:
    """A shard, or a bundle of small ones, with everything stored about it that the unit needs."""

    work: Work
    shard: AnyShard
    scores: dict[str, Parts]
    """By step fingerprint."""
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Stage id: the `groups` record of a dataset-wide stage that is resolved."""
    sample: tuple[int, ...] | None = None

    def apart(self) -> Iterator[ShardWork]:
        """Each shard of a bundle by itself."""
        start = 0
        for number, member in enumerate(self.shard.members):
            scores: dict[str, Parts] = {
                step: {name: (0,) for name, numbers in parts.items() if number in numbers}
                for step, parts in self.scores.items()
            }
            end = start + member.rows
            rows = None if self.sample is None else tuple(row - start for row in self.sample if start <= row < end)
            yield replace(self, shard=member, scores=scores, sample=rows)
            start = end

    def stored(self, step: Step, columns: list[str] | None = None) -> StoredColumns:
        return load_stored(self.work.store, self.scores.get(step.fingerprint, {}), step, self.shard, columns)


@dataclass(frozen=True)
class ShardUnit:
    """A unit about one shard, or one bundle of them."""

    shard_work: ShardWork

    @property
    def work(self) -> Work:
        return self.shard_work.work

    @property
    def shard(self) -> AnyShard:
        return self.shard_work.shard

    @property
    def shards(self) -> tuple[ShardWork, ...]:
        return (self.shard_work,)


@dataclass(frozen=True)
class ScoreWork(ShardUnit):
    """Score one shard in one pass."""

    number: int
    """Of the pass."""

    @property
    def part(self) -> Pass:
        return self.work.passes[self.number]


@dataclass(frozen=True)
class EnterWork(ShardUnit):
    """List the documents of one shard that reach a dataset-wide stage."""

    position: int
    """Of the stage."""
    ranges: int
    """Into how many equal ones bucket keys are cut."""

    @property
    def stage(self) -> StagePlan:
        return self.work.stages[self.position]


@dataclass(frozen=True)
class PairWork:
    """Find candidate pairs in one range of bucket keys."""

    work: Work
    stage: StagePlan
    group: str
    prefix: int
    entrants: tuple[dict[str, Any], ...]
    """`entrants` records, in shard order."""
    shards: tuple[ShardWork, ...] = ()
    """None: no file is read that is an input's."""


@dataclass(frozen=True)
class ResolveWork:
    """Decide a dataset-wide stage."""

    work: Work
    stage: StagePlan
    group: str
    shards: tuple[ShardWork, ...]
    entrants: tuple[dict[str, Any], ...]
    pairs: tuple[str, ...]


@dataclass(frozen=True)
class DecideWork(ShardUnit):
    """Write down what became of each document of one shard."""


@dataclass(frozen=True)
class WriteWork:
    """Write one file of the dataset, from neighbouring shards."""

    work: Work
    part: int
    shards: tuple[ShardWork, ...]
    decisions: tuple[str, ...]
    """Decision files, in the order of `shards`."""


MEMORY = "2GB"
"""DuckDB's limit while it merges pairs or sorts scores; beyond it, it spills to the workspace, or where that is a
store to the local disk."""


def database(store: Store, folder: str, mark: str) -> duckdb.DuckDBPyConnection:
    """For sorting what a dataset-wide stage has to sort: reads files of the store by their `uri`."""
    spill = store.scratch(f"{folder}/{TEMPORARY}spill-{mark}")
    connection = duckdb.connect(
        config={"memory_limit": MEMORY, "temp_directory": str(spill), "autoinstall_known_extensions": "false"}
    )
    if store.far:
        from curation.store.files import StoreFiles  # brings fsspec

        connection.register_filesystem(StoreFiles(store))
    return connection
