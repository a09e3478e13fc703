"""Cutting files into shards: the unit of work and of commit."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from curation.sources.files import SourceFile, Stamp
from curation.sources.streams import MAX_DOCUMENT_BYTES


@dataclass(frozen=True)
class Shard:
    """A file, or a range of a large Parquet file's row groups. `file` is the file's index in the run's order."""

    index: int
    file: int
    path: str
    fingerprint: str
    format: str
    size: int
    mtime_ns: int
    row_start: int
    group_start: int
    group_rows: tuple[int, ...]
    bytes: int
    error: str | None = None
    source: str = ""
    """The name of the source that the file was found through."""
    max_document_bytes: int = MAX_DOCUMENT_BYTES
    """Of a longer document nothing is read."""
    ctime_ns: int = 0
    inode: int = 0
    prints: builtins.bytes = b""
    """Of its row groups, as in SourceFile."""

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.size, self.mtime_ns, self.ctime_ns, self.inode)

    @cached_property
    def rows(self) -> int:
        return sum(self.group_rows)

    @property
    def row_end(self) -> int:
        return self.row_start + self.rows

    @property
    def members(self) -> tuple[Shard, ...]:
        """Itself: of a bundle (`curation.sources.bundles`) there are several."""
        return (self,)

    def located(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Index of the file in the run's order, and row in the file, of rows counted in the shard."""
        return np.full(len(rows), self.file, dtype=np.int32), self.row_start + rows

    @property
    def key(self) -> str:
        """Names the shard's content: file fingerprint, first row, rows."""
        return f"{self.fingerprint[:20]}-{self.row_start}-{self.rows}"


def cut_shards(files: list[SourceFile], shard_bytes: int, max_document_bytes: int = MAX_DOCUMENT_BYTES) -> list[Shard]:
    """Shards of all files, in the run's order; neighbouring row groups together up to `shard_bytes` uncompressed.

    A file without rows has no shard, an unreadable one a shard with its error.
    """
    shards: list[Shard] = []
    for index, file in enumerate(files):
        row = 0
        width = len(file.prints) // max(1, len(file.groups))
        for first, groups in _ranges(file, shard_bytes):
            shards.append(
                Shard(
                    index=len(shards),
                    file=index,
                    path=file.path,
                    fingerprint=file.fingerprint,
                    format=file.format,
                    size=file.size,
                    mtime_ns=file.mtime_ns,
                    row_start=row,
                    group_start=first,
                    group_rows=tuple(rows for rows, _ in groups),
                    bytes=sum(size for _, size in groups),
                    error=file.error,
                    source=file.source,
                    max_document_bytes=max_document_bytes,
                    ctime_ns=file.ctime_ns,
                    inode=file.inode,
                    prints=file.prints[first * width : (first + len(groups)) * width],
                )
            )
            row += shards[-1].rows
    return shards


def _ranges(file: SourceFile, limit: int) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    if file.error:
        yield 0, []
        return
    first, size = 0, 0
    groups: list[tuple[int, int]] = []
    for number, group in enumerate(file.groups):
        if groups and size + group[1] > limit:
            yield first, groups
            first, size, groups = number, 0, []
        groups.append(group)
        size += group[1]
    if groups:
        yield first, groups


def hash_rows(shard: Shard, rows: NDArray[np.integer]) -> NDArray[np.uint64]:
    """A hash for each row of a shard, of its file's content and its place in the file."""
    place = np.uint64(shard.row_start) + rows.astype(np.uint64)
    return _finish(np.uint64(int(shard.fingerprint[:16], 16)) + place * _STEP)


def scramble(keys: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Other hashes of the same things: for each seed an order of its own."""
    return _finish(keys ^ _finish(np.array([seed % 2**64], dtype=np.uint64) + _STEP))


_STEP = np.uint64(0x9E3779B97F4A7C15)


def _finish(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The end of splitmix64 (Steele, Lea and Flood 2014)."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
