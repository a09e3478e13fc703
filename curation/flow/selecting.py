"""What rankings and choices have in common: what they go by, and how they are reported."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.flow.dataset_wide import Family, Rows
from curation.flow.ledger import Ledger
from curation.flow.units import ResolveWork, ShardWork
from curation.selection.base import Facts, Selection
from curation.sources import hash_rows
from schemas.documents import INPUT

LISTED = {("tokens",): pa.int64(), ("tags",): pa.list_(pa.string())}
"""Requirements whose column is listed with each document, rather than read where it is stored."""
SHOWN = 10
"""Examples of what was picked, and of what was nearly picked."""


class SelectionFamily(Family):
    chosen: Selection

    def facts(self, shard_work: ShardWork, ledger: Ledger) -> Facts:
        """What a selection may go by, of the rows of one shard."""
        size = ledger.structs[INPUT]
        name = "answer_bytes" if size.type.get_field_index("answer_bytes") >= 0 else "bytes"
        length = pc.fill_null(pc.struct_field(size, name), 0).to_numpy(zero_copy_only=False).astype(np.int64)
        columns = {column: ledger.values(column) for column in self.chosen.columns}
        shard = shard_work.shard
        return Facts(columns, length, hash_rows(shard, np.arange(shard.rows)))

    def schema_with(self, names: list[str]) -> pa.Schema:
        """Each entrant's row, length, columns `names` of numbers, and what is LISTED."""
        fields = [pa.field("row", pa.int64()), pa.field("length", pa.int64())]
        fields += [pa.field(name, pa.float64()) for name in names]
        listed = [pa.field(step.path[0], LISTED[step.path]) for step in self.stage.steps if step.path in LISTED]
        return pa.schema([*fields, *listed])

    def table_with(self, shard_work: ShardWork, rows: Rows, length: Rows, numbers: dict[str, np.ndarray]) -> pa.Table:
        """The same, of some rows; `length` and `numbers` are of all of the shard, NaN where there is none."""
        columns = {"row": pa.array(rows), "length": pa.array(length[rows])}
        for name, values in numbers.items():
            columns[name] = pa.array(values[rows], mask=np.isnan(values[rows]))
        for step in self.stage.steps:
            if step.path in LISTED:
                name = step.path[0]
                columns[name] = pc.struct_field(shard_work.stored(step, [name]).rows(rows), name)
        return pa.table(columns)


def sources_of(task: ResolveWork) -> tuple[Rows, list[str]]:
    """Source of each shard, as a number, and the names, in the order of the input."""
    names = list(dict.fromkeys(item.shard.source for item in task.shards))
    return np.array([names.index(item.shard.source) for item in task.shards], dtype=np.int64), names


def example(file: int, row: int, value: float) -> dict[str, Any]:
    return {"file": file, "row": row, "value": None if np.isnan(value) else value}


def joined(parts: list[np.ndarray], kind: Any) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=kind)
