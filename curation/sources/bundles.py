"""Neighbouring small shards, taken together for one unit of work and one commit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from curation.sources import shards as of_one
from curation.sources.shards import Shard

SMALL_BYTES = 1 << 20
"""A shard of so many bytes is a unit by itself: its own work is far more than what a unit costs."""
MOST_BYTES = 8 << 20
MOST_ROWS = 16_384
MOST_SHARDS = 64
UNITS = 16
"""Small shards are not put into fewer bundles than this: workers are to have something to share."""


@dataclass(frozen=True)
class Bundle:
    """Shards of one source that follow one another, as if they were one: rows count on from each to the next."""

    members: tuple[Shard, ...]

    @property
    def index(self) -> int:
        """Of the first: names the bundle within a run."""
        return self.members[0].index

    @property
    def path(self) -> str:
        others = len(self.members) - 1
        return f"{self.members[0].path} and {others} more file{'' if others == 1 else 's'}"

    @property
    def source(self) -> str:
        return self.members[0].source

    @cached_property
    def key(self) -> str:
        """Names the content of all."""
        digest = hashlib.blake2b(" ".join(shard.key for shard in self.members).encode(), digest_size=10)
        return f"{digest.hexdigest()}-{len(self.members)}-{self.rows}"

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """[members + 1]: the first row of each, and the end."""
        return np.cumsum([0, *(shard.rows for shard in self.members)])

    @property
    def rows(self) -> int:
        return int(self.starts[-1])

    def member_at(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of the member that each row (counted in the bundle) is of."""
        return np.searchsorted(self.starts, rows, side="right") - 1

    def located(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Index of the file in the run's order, and row in the file, of rows counted in the bundle."""
        member = self.member_at(rows)
        files = np.array([shard.file for shard in self.members], dtype=np.int32)
        return files[member], rows + self._shift[member]

    def rows_of(self, shards: NDArray[np.integer], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The reverse: rows in the bundle, of the members' indices and rows in their files."""
        member = np.searchsorted([shard.index for shard in self.members], shards)
        return rows - self._shift[member]

    @cached_property
    def _shift(self) -> NDArray[np.int64]:
        return np.array([shard.row_start for shard in self.members], dtype=np.int64) - self.starts[:-1]


AnyShard = Shard | Bundle
"""What a unit of work is about."""


def hash_rows(shard: AnyShard, rows: NDArray[np.integer]) -> NDArray[np.uint64]:
    """A hash for each row, counted in the shard, of its file's content and its place in the file."""
    if isinstance(shard, Shard):
        return of_one.hash_rows(shard, rows)
    hashes = np.empty(len(rows), dtype=np.uint64)
    member = shard.member_at(rows.astype(np.int64))
    for number in np.unique(member):
        chosen = np.flatnonzero(member == number)  # at most MOST_SHARDS times MOST_ROWS
        hashes[chosen] = of_one.hash_rows(shard.members[number], rows[chosen] - shard.starts[number])
    return hashes


def bundled(shards: Iterable[Shard]) -> Iterator[AnyShard]:
    """Shards in their order, small neighbours of one source in bundles. Made from the shards alone, so that whoever
    runs a plan cuts it alike; a shard that is no small one's neighbour stays by itself."""
    shards = list(shards)
    most = min(MOST_SHARDS, sum(_small(shard) for shard in shards) // UNITS)
    waiting: list[Shard] = []
    rows = size = 0
    for shard in shards:
        fits = most > 1 and _small(shard) and len(waiting) < most
        fits &= rows + shard.rows <= MOST_ROWS and size + shard.bytes <= MOST_BYTES
        if waiting and not (fits and shard.source == waiting[-1].source):
            yield together(waiting)
            waiting, rows, size = [], 0, 0
        waiting.append(shard)
        rows, size = rows + shard.rows, size + shard.bytes
        if not _small(shard):
            yield shard
            waiting, rows, size = [], 0, 0
    if waiting:
        yield together(waiting)


def together(shards: list[Shard]) -> AnyShard:
    return shards[0] if len(shards) == 1 else Bundle(tuple(shards))


def rebundled(shards: Iterable[Shard], first: dict[int, int]) -> Iterator[AnyShard]:
    """Shards in the bundles that were recorded: by index of a shard, the index of the first of its bundle."""
    waiting: list[Shard] = []
    for shard in shards:
        if waiting and first.get(shard.index, shard.index) != waiting[0].index:
            yield together(waiting)
            waiting = []
        waiting.append(shard)
    if waiting:
        yield together(waiting)


def _small(shard: Shard) -> bool:
    return shard.bytes < SMALL_BYTES
