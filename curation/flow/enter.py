"""List the documents of one shard, or bundle, that reach a dataset-wide stage, in the few columns that it needs."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from curation import parquet
from curation.flow.commit import once
from curation.flow.dataset_wide import Keys, Rows, family_of
from curation.flow.replay import replay
from curation.flow.units import EnterWork

BUCKETS = pa.schema([pa.field("bucket", pa.uint64()), pa.field("node", pa.uint32())])
"""`node` counts in the shard's entrants."""


def enter_shard(task: EnterWork) -> dict[str, Any]:
    """Commit the shard's `entrants` record and return it; an earlier one stands."""
    key = f"{task.work.run}-{task.stage.id}-{task.shard.index:08d}"
    return once(task.work, "entrants", key, partial(_entered, task))


def _entered(task: EnterWork) -> tuple[dict[str, Any], list[str]]:
    stage, work = task.stage, task.work
    store = work.store
    ledger = replay(task.shard_work, stage.position)
    rows = np.flatnonzero(ledger.alive)
    family = family_of(stage)
    entered = family.enter(task.shard_work, ledger, rows)
    base = f"groups/entrants/{work.run}/{stage.id}-{task.shard.index:08d}-{work.mark()}"
    files = []
    if entered.keyed is not None and entered.keys is not None:
        write = partial(_write_buckets, nodes=entered.keyed, buckets=entered.keys, ranges=task.ranges)
        files.append(store.add(f"{base}.buckets", write).name)
    table = entered.table.cast(family.schema)
    written = store.add(f"{base}.parquet", lambda path: parquet.write(table, path))
    record = {
        "run": work.run,
        "stage": stage.id,
        "shard": task.shard.index,
        "key": task.shard.key,
        "data": written.name,
        "buckets": files[0] if files else None,
        "rows": len(rows),
        "bytes": written.bytes,
        "content": written.content,
    }
    return record, [written.name, *files]


def _write_buckets(path: Any, nodes: Rows, buckets: Keys, ranges: int) -> None:
    """One record batch for each range of keys, so that a task reads its range of every shard and no more."""
    flat = buckets.reshape(-1)
    node = np.repeat(nodes.astype(np.uint32), buckets.shape[1] if buckets.ndim == 2 else 1)
    part = _range_of(flat, ranges)
    order = np.argsort(part, kind="stable")
    bounds = np.searchsorted(part[order], np.arange(ranges + 1, dtype=np.uint64))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, BUCKETS) as writer:
        for number in range(ranges):
            chosen = order[bounds[number] : bounds[number + 1]]
            writer.write_batch(
                pa.RecordBatch.from_arrays([pa.array(flat[chosen]), pa.array(node[chosen])], schema=BUCKETS)
            )


def _range_of(buckets: Keys, ranges: int) -> Keys:
    """Which of so many equal ranges (a power of two) each bucket key lies in."""
    shift = 64 - (ranges.bit_length() - 1)
    return np.zeros(buckets.shape, dtype=np.uint64) if shift == 64 else buckets >> np.uint64(shift)
