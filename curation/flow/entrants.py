"""Documents that reach a dataset-wide stage, numbered over all shards."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pyarrow as pa

from curation import parquet
from curation.flow.dataset_wide import family_of
from curation.flow.units import ResolveWork

BY = "by:"
"""Before the names of columns of earlier stages that a stage goes by."""


class Entrants:
    """All shards' entrants, numbered from 0 in the run's input order: what the stage wants of each in memory."""

    def __init__(self, task: ResolveWork) -> None:
        self.task = task
        self.start = np.cumsum([0, *(item["rows"] for item in task.entrants)])
        tables = []
        for item in task.entrants:
            with task.work.store.reading(item["data"]) as source:
                tables.append(parquet.read(source))
        whole = pa.concat_tables(tables) if tables else family_of(task.stage).schema.empty_table()
        self.table = whole
        self.rows: np.ndarray = np.asarray(whole.column("row"))

    @property
    def count(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> pa.ChunkedArray:
        """One of the columns that the stage had written down, [n]."""
        return self.table.column(name)

    def of(self, number: int) -> np.ndarray:
        """Rows in the shard of those from the task's shard `number`."""
        return self.rows[self.start[number] : self.start[number + 1]]

    def shard_at(self, nodes: np.ndarray) -> np.ndarray:
        """Position of each node's shard in the task."""
        return np.searchsorted(self.start, nodes, side="right") - 1

    def shard_of(self, nodes: np.ndarray) -> np.ndarray:
        index = np.array([item.shard.index for item in self.task.shards], dtype=np.int32)
        return index[self.shard_at(nodes)] if len(nodes) else np.zeros(0, np.int32)

    def location(self, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(file index in the run's order, row in the file) of each node."""
        if not len(nodes):
            return np.zeros(0, np.int32), np.zeros(0, np.int64)
        shards = self.shard_at(nodes)
        file, shift, base, start = self._members
        rows = self.rows[nodes]
        member = np.searchsorted(start, base[shards] + rows, side="right") - 1
        return file[member], base[shards] + rows - shift[member]

    @cached_property
    def _members(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Of all shards, those of bundles too, on one line of rows: file; where the file would begin on the line; of
        each shard or bundle of the task where it begins; where each shard begins."""
        every = [member for item in self.task.shards for member in item.shard.members]
        base = np.cumsum([0, *(item.shard.rows for item in self.task.shards)])
        start = np.cumsum([0, *(member.rows for member in every)])[:-1]
        file = np.array([member.file for member in every], dtype=np.int32)
        return file, start - np.array([member.row_start for member in every], dtype=np.int64), base, start
