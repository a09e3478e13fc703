"""A hash-chosen sample of a plan's documents: what stages are fitted on, and estimates are timed with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.flow.documents import Documents, source_rows, wanted_columns
from curation.flow.faults import MACHINE
from curation.sources import Shard, hash_rows
from schemas.documents import TEXT
from schemas.errors import CurationError

if TYPE_CHECKING:
    from curation.flow.units import Work
    from curation.plan import Plan

MOST_GROUPS = 64
"""Row groups that a sample is drawn from: a few rows from each of a thousand would read the whole corpus."""
SampledRows = tuple[tuple[Shard, NDArray[np.int64]], ...]
"""Shards in their order, each with rows counted in it, ascending."""


def sample_rows(shards: Iterable[Shard], count: int) -> SampledRows:
    """`count` rows by hash, out of the MOST_GROUPS row groups of lowest hash."""
    if not count:
        return ()
    by_index = {shard.index: shard for shard in shards if not shard.error}
    groups = []
    for shard in by_index.values():
        start = 0
        for rows in shard.group_rows:
            groups.append((int(hash_rows(shard, np.array([start]))[0]), shard.index, start, rows))
            start += rows
    candidates: list[tuple[int, int, int]] = []
    for _, index, start, rows in sorted(groups)[:MOST_GROUPS]:
        numbers = start + np.arange(rows)
        # a second hash: the group's own decided that it is read
        keys = hash_rows(by_index[index], numbers + (1 << 40))
        candidates += [(int(key), index, int(row)) for key, row in zip(keys, numbers, strict=True)]
    chosen: dict[int, list[int]] = {}
    for _, index, row in sorted(candidates)[:count]:
        chosen.setdefault(index, []).append(row)
    return tuple((by_index[index], np.sort(np.array(rows))) for index, rows in sorted(chosen.items()))


class Sample:
    """Sampled documents, those that have a text, in input order, by column as stages see them."""

    def __init__(self, read_by: Plan | Work, sampled: SampledRows, names: Iterable[str], skip_unreadable: bool) -> None:
        """`names` are the columns that will be asked for. With `skip_unreadable`, an input that cannot be read has no
        document."""
        wanted = wanted_columns(read_by, names)
        self._read: list[Documents] = []
        for shard, rows in sampled:
            try:
                self._read += list(source_rows(shard, rows, read_by.columns, wanted))
            except CurationError as failure:
                if not skip_unreadable or failure.findings[0].code in MACHINE:
                    raise

    @classmethod
    def of(cls, plan: Plan, count: int, names: Iterable[str]) -> Sample:
        """`count` documents of a plan's inputs."""
        return cls(plan, sample_rows(plan.shards, count), names, plan.on_bad_shard != "stop")

    def column(self, name: str, number: bool = False) -> pa.Array:
        """As the source has it: no transform was run."""
        read = [documents.field(name, number).filter(documents.source.is_valid()) for documents in self._read]
        return pa.concat_arrays([pa.array([], pa.float64() if number else TEXT), *read])
