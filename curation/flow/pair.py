"""Find candidate pairs among all shards' entrants, in one range of bucket keys."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from curation import failpoints, parquet
from curation.dedup.base import Dedup
from curation.flow.commit import once
from curation.flow.objects import stage_object
from curation.flow.units import PairWork


def pair_prefix(task: PairWork) -> dict[str, Any]:
    """Commit the `pairs` record of one prefix and return it. Pairs are numbers of entrants over all shards, a < b."""
    failpoints.hit("in-group")
    return once(task.work, "pairs", f"{task.group}-{task.prefix:04d}", lambda: _paired(task))


def _paired(task: PairWork) -> tuple[dict[str, Any], list[str]]:
    from curation.duplicates.candidates import candidate_pairs

    store = task.work.store
    chosen = stage_object(task.stage)
    assert isinstance(chosen, Dedup)
    buckets, nodes = [], []
    base = 0
    for record in task.entrants:
        with store.reading(record["buckets"], mapped=True) as file, file as source:
            batch = pa.ipc.open_file(source).get_batch(task.prefix)
            buckets.append(batch.column("bucket").to_numpy().copy())
            nodes.append(batch.column("node").to_numpy().astype(np.int64) + base)
        base += record["rows"]
    a, b = candidate_pairs(_join(buckets, np.uint64), _join(nodes, np.int64), chosen.members)
    data = f"groups/{task.group}/pairs-{task.prefix:04d}-{task.work.mark()}.parquet"
    written = store.add(data, lambda path: parquet.write(pa.table({"a": a, "b": b}), path))
    record = {
        "group": task.group,
        "prefix": task.prefix,
        "data": written.name,
        "rows": len(a),
        "bytes": written.bytes,
    }
    return record, [written.name]


def _join(arrays: list[np.ndarray], kind: type) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype=kind)
