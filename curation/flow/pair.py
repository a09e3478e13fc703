"""Find candidate pairs among all shards' entrants, in one range of bucket keys; and read those of all ranges."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from curation import failpoints, parquet
from curation.flow.commit import once
from curation.flow.dataset_wide import Rows, family_of
from curation.flow.units import PairWork, ResolveWork, database
from curation.store.scan import scan


def pair_prefix(task: PairWork) -> dict[str, Any]:
    """Commit the `pairs` record of one prefix and return it. Pairs are numbers of entrants over all shards, a < b."""
    failpoints.hit("in-group")
    return once(task.work, "pairs", f"{task.group}-{task.prefix:04d}", partial(_paired, task))


def _paired(task: PairWork) -> tuple[dict[str, Any], list[str]]:
    store = task.work.store
    buckets, nodes = [], []
    base = 0
    for record in task.entrants:
        with store.reading(record["buckets"], mapped=True) as file, file as source:
            batch = pa.ipc.open_file(source).get_batch(task.prefix)
            buckets.append(batch.column("bucket").to_numpy().copy())
            nodes.append(batch.column("node").to_numpy().astype(np.int64) + base)
        base += record["rows"]
    a, b = family_of(task.stage).pair(_join(buckets, np.uint64), _join(nodes, np.int64))
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


def distinct_pairs(task: ResolveWork) -> tuple[Rows, Rows]:
    """All prefixes' pairs, each once, sorted: two documents often meet in several bands."""
    if not task.pairs:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if len(task.pairs) == 1:
        with task.work.store.reading(task.pairs[0]) as source:
            table = parquet.read(source)
        return table.column("a").to_numpy(), table.column("b").to_numpy()
    paths = [task.work.store.checked(name) for name in task.pairs]
    with database(task.work.store, f"groups/{task.group}", task.work.mark()) as connection:
        result = connection.execute(f"SELECT DISTINCT a, b FROM {scan(paths)} ORDER BY a, b").fetchnumpy()
    return np.asarray(result["a"]), np.asarray(result["b"])


def _join(arrays: list[np.ndarray], kind: type) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype=kind)
