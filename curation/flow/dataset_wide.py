"""What the stages of one family do at each point of a dataset-wide stage.

Documents enter shard by shard, those that share a bucket key are paired, the stage is resolved once, and then it has a
verdict on each row of each shard. A family is one file with a class like this, and one line in FAMILIES.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.flow.ledger import Ledger
from curation.flow.objects import stage_object
from curation.flow.units import ResolveWork, ShardWork
from curation.flow.verdicts import StageVerdicts
from curation.plan import StagePlan, fingerprint
from curation.sources import AnyShard

FAMILIES = {
    "curation.dedup.base:Dedup": "curation.flow.duplicates:DedupFamily",
    "curation.selection.base:Ranking": "curation.flow.ranking:RankingFamily",
    "curation.selection.base:Choosing": "curation.flow.choosing:ChoosingFamily",
}
"""By the class that a family's stages inherit from."""
Rows = NDArray[np.int64]
Keys = NDArray[np.uint64]


@dataclass(frozen=True)
class Entered:
    """What a stage needs of the documents of one shard that reach it."""

    table: pa.Table
    """A row each, in order, of the family's `schema`; the first column is `row` in the shard."""
    keyed: Rows | None = None
    """Rows of the table that have bucket keys; None where nothing is paired."""
    keys: Keys | None = None
    """[n, k], of those."""


class Family(ABC):
    """One stage, as the flow sees it."""

    def __init__(self, stage: StagePlan, chosen: Any) -> None:
        self.stage = stage
        self.chosen = chosen
        """The stage's own object."""

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """Of the tables that `enter` makes."""

    @abstractmethod
    def enter(self, shard_work: ShardWork, ledger: Ledger, rows: Rows) -> Entered:
        """What the stage needs of `rows` (in the shard), which reach it. `ledger`: what was decided before."""

    def ranges(self, rows: int) -> int:
        """Into how many equal ranges, a power of two, the bucket keys of so many documents are cut; 0 for no keys."""
        return 0

    def pair(self, keys: Keys, nodes: Rows) -> tuple[Rows, Rows]:
        """Candidate pairs a < b among documents that share a key; [m] keys and whose each is."""
        raise NotImplementedError

    @abstractmethod
    def resolve(self, task: ResolveWork, mark: str) -> dict[str, Any]:
        """Decide the stage. Writes files with `mark` in their names, and returns columns of the `groups` record."""

    @abstractmethod
    def verdicts(self, shard_work: ShardWork, ledger: Ledger) -> StageVerdicts:
        """Of the resolved stage, on the rows of a shard."""

    def depends_on(self, stages: tuple[StagePlan, ...]) -> list[Any]:
        """What decides the stage's result beside its fingerprint and what entered, as plain JSON."""
        return []

    def depends_on_source(self) -> bool:
        """Whether the sources of documents do."""
        return True

    def key(self, ranges: int, stages: tuple[StagePlan, ...], entered: Iterable[tuple[AnyShard, str]]) -> str:
        """Names the stage's result: the same for the same entrants. `entered`: shards, and hashes of what entered."""
        by_source = self.depends_on_source()
        shards = [
            [member.index, member.key, member.file, content, *([member.source] if by_source else [])]
            for shard, content in entered
            for member in shard.members
        ]
        return fingerprint([self.stage.fingerprint, max(1, ranges), *self.depends_on(stages), shards])


def family_of(stage: StagePlan) -> Family:
    """A dataset-wide stage as its family has it. Raises as `stage_object`."""
    chosen = stage_object(stage)
    for base in type(chosen).__mro__:
        target = FAMILIES.get(f"{base.__module__}:{base.__qualname__}")
        if target is not None:
            module, name = target.split(":")
            return getattr(import_module(module), name)(stage, chosen)  # type: ignore[no-any-return]
    raise TypeError(f"stage '{stage.id}' is of no family of dataset-wide stages")
