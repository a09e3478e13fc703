"""List the documents of one shard that reach a dataset-wide stage, in the few columns that it needs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import parquet
from curation.dedup.base import Dedup
from curation.flow.commit import once
from curation.flow.objects import stage_object
from curation.flow.units import EnterWork
from curation.flow.verdicts import ranking_facts, stage_values
from curation.plan import StagePlan
from curation.selection.base import Choosing, Ranking

BY = "by:"
"""Before the names of columns that a choice goes by."""
LISTED = {("tokens",): pa.int64(), ("tags",): pa.list_(pa.string())}
"""Requirements whose column is listed with each document, rather than read where it is stored."""
BUCKETS = pa.schema([pa.field("bucket", pa.uint64()), pa.field("node", pa.uint32())])
"""`node` counts in the shard's entrants."""


def enter_shard(task: EnterWork) -> dict[str, Any]:
    """Commit the shard's `entrants` record and return it; an earlier one stands."""
    at = task.at
    key = f"{at.work.run}-{task.stage.id}-{at.shard.index:08d}"
    return once(at.work, "entrants", key, lambda: _entered(task))


def _entered(task: EnterWork) -> tuple[dict[str, Any], list[str]]:
    at, stage = task.at, task.stage
    store = at.work.store
    ledger = at.replay(stage.position)
    rows = np.flatnonzero(ledger.alive)
    chosen = stage_object(stage)
    base = f"groups/entrants/{at.work.run}/{stage.id}-{at.shard.index:08d}-{at.work.mark()}"
    bucketed = None
    if isinstance(chosen, Dedup):
        sketch = at.known(stage.steps[0], ["evidence", "bytes"]).rows(rows)
        columns = {"row": pa.array(rows), "bytes": pc.struct_field(sketch, "bytes")}
        for name in chosen.columns:
            values = stage_values(ledger, name)[rows]
            columns[BY + name] = pa.array(values, mask=np.isnan(values))
        evidence = pc.struct_field(sketch, "evidence")
        nodes = np.flatnonzero(evidence.is_valid())
        buckets = chosen.buckets(evidence_matrix(evidence.drop_null()))
        bucketed = store.add(f"{base}.buckets", lambda path: _write_buckets(path, nodes, buckets, task.prefixes))
    else:
        assert isinstance(chosen, Ranking | Choosing)
        facts = ranking_facts(chosen, at.shard, ledger)
        columns = {"row": pa.array(rows), "length": pa.array(facts.length[rows])}
        if isinstance(chosen, Ranking):
            values = chosen.sign * chosen.values(facts)
            columns["value"] = pa.array(values[rows], mask=np.isnan(values[rows]))
        else:
            for name, values in facts.columns.items():
                columns[BY + name] = pa.array(values[rows], mask=np.isnan(values[rows]))
        for step in stage.steps:
            if step.path in LISTED:
                name = step.path[0]
                columns[name] = pc.struct_field(at.known(step, [name]).rows(rows), name)
    table = pa.table(columns).cast(entrants_schema(stage, chosen))
    written = store.add(f"{base}.parquet", lambda path: parquet.write(table, path))
    record = {
        "run": at.work.run,
        "stage": stage.id,
        "shard": at.shard.index,
        "key": at.shard.key,
        "data": written.name,
        "buckets": bucketed.name if bucketed else None,
        "rows": len(rows),
        "bytes": written.bytes,
        "content": written.content,
    }
    return record, [written.name, *([bucketed.name] if bucketed else [])]


def entrants_schema(stage: StagePlan, chosen: Any) -> pa.Schema:
    """Columns of the `entrants` files of a stage."""
    names = [pa.field("row", pa.int64())]
    if isinstance(chosen, Dedup):
        by = [pa.field(BY + name, pa.float64()) for name in chosen.columns]
        return pa.schema([*names, pa.field("bytes", pa.int64()), *by])
    names.append(pa.field("length", pa.int64()))
    ranked = ["value"] if isinstance(chosen, Ranking) else [BY + name for name in chosen.columns]
    names += [pa.field(name, pa.float64()) for name in ranked]
    names += [pa.field(step.path[0], LISTED[step.path]) for step in stage.steps if step.path in LISTED]
    return pa.schema(names)


def evidence_matrix(evidence: pa.Array) -> np.ndarray:
    """Fixed-size binaries as uint8 [n, width]."""
    if isinstance(evidence, pa.ChunkedArray):
        evidence = evidence.combine_chunks()
    width = evidence.type.byte_width
    if not len(evidence):
        return np.zeros((0, width), dtype=np.uint8)
    data = np.frombuffer(evidence.buffers()[1], dtype=np.uint8)
    return data[evidence.offset * width : (evidence.offset + len(evidence)) * width].reshape(-1, width)


def prefix_of(buckets: np.ndarray, prefixes: int) -> np.ndarray:
    """Which of `prefixes` (a power of two) equal ranges each bucket key lies in."""
    shift = 64 - (prefixes.bit_length() - 1)
    return np.zeros(buckets.shape, dtype=np.uint64) if shift == 64 else buckets >> np.uint64(shift)


def _write_buckets(path: Any, nodes: np.ndarray, buckets: np.ndarray, prefixes: int) -> None:
    """One record batch for each range of keys, so that a task reads its range of every shard and no more."""
    flat = buckets.reshape(-1)
    node = np.repeat(nodes.astype(np.uint32), buckets.shape[1] if buckets.ndim == 2 else 1)
    part = prefix_of(flat, prefixes)
    order = np.argsort(part, kind="stable")
    bounds = np.searchsorted(part[order], np.arange(prefixes + 1, dtype=np.uint64))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, BUCKETS) as writer:
        for number in range(prefixes):
            chosen = order[bounds[number] : bounds[number + 1]]
            writer.write_batch(
                pa.RecordBatch.from_arrays([pa.array(flat[chosen]), pa.array(node[chosen])], schema=BUCKETS)
            )
