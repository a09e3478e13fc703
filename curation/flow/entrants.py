"""Documents that reach a dataset-wide stage, numbered over all shards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import parquet
from curation.flow.enter import entrants_schema, evidence_matrix
from curation.flow.objects import stage_object
from curation.flow.units import ResolveWork


class Entrants:
    """All shards' entrants, numbered from 0 in the run's input order: what the stage wants of each in memory."""

    def __init__(self, task: ResolveWork) -> None:
        self.task = task
        self.start = np.cumsum([0, *(item["rows"] for item in task.entrants)])
        tables = []
        for item in task.entrants:
            with task.work.store.reading(item["data"]) as source:
                tables.append(parquet.read(source))
        whole = pa.concat_tables(tables) if tables else _nothing(task)
        self.table = whole
        self.rows: np.ndarray = np.asarray(whole.column("row"))

    @property
    def count(self) -> int:
        return len(self.rows)

    @property
    def bytes(self) -> np.ndarray:
        return np.asarray(self.column("bytes"))

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

    def place(self, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(file index in the run's order, row in the file) of each node."""
        if not len(nodes):
            return np.zeros(0, np.int32), np.zeros(0, np.int64)
        at = self.shard_at(nodes)
        file = np.array([item.shard.file for item in self.task.shards], dtype=np.int32)
        first = np.array([item.shard.row_start for item in self.task.shards], dtype=np.int64)
        return file[at], first[at] + self.rows[nodes]

    def evidence(self, nodes: np.ndarray, scratch: Path) -> np.ndarray:
        """Evidence uint8 [n, width] of ascending nodes, in a file mapped into memory: the kernel pages it."""
        step = self.task.stage.steps[0]
        width = step.columns.field("evidence").type.byte_width
        if not len(nodes):
            return np.zeros((0, width), dtype=np.uint8)
        scratch.parent.mkdir(parents=True, exist_ok=True)
        matrix = np.lib.format.open_memmap(scratch, mode="w+", dtype=np.uint8, shape=(len(nodes), width))
        at = self.shard_at(nodes)
        for number in np.unique(at):
            wanted = np.flatnonzero(at == number)
            taken = self.task.shards[number].known(step, ["evidence"]).rows(self.rows[nodes[wanted]])
            matrix[wanted] = evidence_matrix(pc.struct_field(taken, "evidence"))
        return matrix


def _nothing(task: ResolveWork) -> pa.Table:
    return entrants_schema(task.stage, stage_object(task.stage)).empty_table()
