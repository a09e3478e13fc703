"""Documents that a fit learns from and a timed plan is timed on: chosen by hash, read as the source has them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from curation.flow.documents import Documents, source_rows, wanted_columns
from curation.flow.faults import MACHINE
from curation.plan import Plan
from curation.sources import Shard, hash_rows
from schemas.documents import TEXT
from schemas.errors import CurationError

MOST_GROUPS = 64
"""Row groups that a sample is drawn from: a few rows from each of a thousand would read the whole corpus."""


def sample_rows(shards: list[Shard], count: int) -> dict[int, tuple[Shard, np.ndarray]]:
    """`count` rows by hash, out of the MOST_GROUPS row groups of lowest hash: shard index to rows in the shard."""
    if not count:
        return {}
    groups = []
    for shard in shards:
        start = 0
        for rows in () if shard.error else shard.group_rows:
            groups.append((int(hash_rows(shard, np.array([start]))[0]), shard.index, start, rows))
            start += rows
    by_index = {shard.index: shard for shard in shards}
    drawn: list[tuple[int, int, int]] = []
    for _, index, start, rows in sorted(groups)[:MOST_GROUPS]:
        numbers = start + np.arange(rows)
        # a second hash: the group's own decided that it is read
        drawn += [
            (int(key), index, int(row))
            for key, row in zip(hash_rows(by_index[index], numbers + (1 << 40)), numbers, strict=True)
        ]
    chosen: dict[int, list[int]] = {}
    for _, index, row in sorted(drawn)[:count]:
        chosen.setdefault(index, []).append(row)
    return {index: (by_index[index], np.sort(np.array(rows))) for index, rows in sorted(chosen.items())}


class Sample:
    """Sampled documents of a plan's inputs, those that have a text, in input order, by column as stages see them."""

    def __init__(self, plan: Plan, count: int, names: Iterable[str]) -> None:
        """`names` are the columns that will be asked for."""
        wanted = wanted_columns(plan, names)
        self._read = [
            documents
            for shard, rows in sample_rows(list(plan.shards), count).values()
            for documents in self._of_shard(plan, shard, rows, wanted)
        ]

    def column(self, name: str, number: bool = False) -> pa.Array:
        """As the source has it: no transform was run."""
        read = [documents.field(name, number).filter(documents.source.is_valid()) for documents in self._read]
        return pa.concat_arrays([pa.array([], pa.float64() if number else TEXT), *read])

    @staticmethod
    def _of_shard(plan: Plan, shard: Shard, rows: np.ndarray, wanted: pa.Schema) -> list[Documents]:
        """An input that cannot be read has none, where the recipe says that the run goes on without it."""
        try:
            return list(source_rows(shard, rows, plan.columns, wanted))
        except CurationError as failure:
            if plan.on_bad_shard == "stop" or failure.findings[0].code in MACHINE:
                raise
            return []
