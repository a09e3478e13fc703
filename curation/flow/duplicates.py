"""Dedups: documents that share bucket keys are compared, and of each cluster some are dropped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import parquet
from curation.dedup.base import FIELDS, Dedup
from curation.flow.dataset_wide import Entered, Family, Keys, Rows
from curation.flow.entrants import BY
from curation.flow.ledger import Ledger
from curation.flow.objects import higher
from curation.flow.stored import binary_matrix
from curation.flow.units import ResolveWork, ShardWork
from curation.flow.verdicts import StageVerdicts
from curation.plan import StagePlan
from schemas.manifest import TWIN

BUCKETS_PER_RANGE = 20_000_000
"""Bucket rows of one pairing task: 16 bytes each in memory, twice while they are sorted."""


class DedupFamily(Family):
    chosen: Dedup

    @property
    def schema(self) -> pa.Schema:
        by = [pa.field(BY + name, pa.float64()) for name in self.chosen.columns]
        return pa.schema([pa.field("row", pa.int64()), pa.field("bytes", pa.int64()), *by])

    def enter(self, shard_work: ShardWork, ledger: Ledger, rows: Rows) -> Entered:
        sketch = shard_work.stored(self.stage.steps[0], ["evidence", "bytes"]).rows(rows)
        columns = {"row": pa.array(rows), "bytes": pc.struct_field(sketch, "bytes")}
        for name in self.chosen.columns:
            values = ledger.values(name)[rows]
            columns[BY + name] = pa.array(values, mask=np.isnan(values))
        evidence = pc.struct_field(sketch, "evidence")
        keyed = np.flatnonzero(evidence.is_valid())
        return Entered(pa.table(columns), keyed, self.chosen.buckets(binary_matrix(evidence.drop_null())))

    def ranges(self, rows: int) -> int:
        ranges = 1
        while ranges * BUCKETS_PER_RANGE < rows * self.chosen.buckets_each:
            ranges *= 2
        return ranges

    def depends_on(self, stages: tuple[StagePlan, ...]) -> list[Any]:
        return [higher(stages, self.chosen)] if self.chosen.columns else []

    def depends_on_source(self) -> bool:
        return self.chosen.by_source

    def pair(self, keys: Keys, nodes: Rows) -> tuple[Rows, Rows]:
        from curation.duplicates.candidates import candidate_pairs

        return candidate_pairs(keys, nodes, self.chosen.members)

    def resolve(self, task: ResolveWork, mark: str) -> dict[str, Any]:
        from curation.flow.deduplicate import resolve_duplicates  # compiled code, which verdicts do without

        return resolve_duplicates(task, self.chosen, higher(task.work.stages, self.chosen), mark)

    def verdicts(self, shard_work: ShardWork, ledger: Ledger) -> StageVerdicts:
        shard = shard_work.shard
        with shard_work.work.store.reading(shard_work.groups[self.stage.id]["members"]) as source:
            table = parquet.read(source, filters=[("shard", "=", shard.index)])
        rows = table.column("row").to_numpy()
        duplicate = np.zeros(shard.rows, dtype=bool)
        duplicate[rows] = ~table.column("keeper").to_numpy(zero_copy_only=False)
        size = np.ones(shard.rows, dtype=np.int32)
        size[rows] = table.column("cluster_size").to_numpy()
        twins: dict[str, np.ndarray] = {}
        for item in TWIN:
            floating = pa.types.is_floating(item.type)
            values = np.full(shard.rows, np.nan if floating else -1, dtype=np.float64 if floating else np.int64)
            values[rows] = table.column(item.name).to_numpy()
            twins[item.name] = values
        similarity = twins["similarity"]
        measured = [pa.array(twins[name], mask=np.isnan(twins[name])) for name in ("similarity", "containment", "loss")]
        struct = pa.StructArray.from_arrays([pa.array(duplicate), pa.array(size), *measured], fields=FIELDS)
        return StageVerdicts(struct, duplicate, self.chosen.reason, similarity, self.chosen.threshold, twins)
