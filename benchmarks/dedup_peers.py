"""The peer's half of benchmarks/dedup.py, in the peers' environment (`make peers`): rows that datatrove keeps.

Takes a Parquet file with a column `text` and an empty folder; prints the kept rows' numbers in one line. Word 5-grams,
14 buckets of 8 hashes, as ours.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.parquet as pq
from datatrove.data import Document
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)


def main() -> None:
    texts = pq.read_table(sys.argv[1], columns=["text"])["text"].to_pylist()
    folder = Path(sys.argv[2])
    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    documents = [Document(text=text, id=str(row)) for row, text in enumerate(texts)]
    signatures, buckets, removed = (str(folder / name) for name in ("signatures", "buckets", "removed"))
    MinhashDedupSignature(signatures, config=config).run(iter(documents), rank=0, world_size=1)
    for bucket in range(14):
        MinhashDedupBuckets(signatures, buckets, config=config).run(rank=bucket, world_size=14)
    MinhashDedupCluster(buckets, removed, config=config).run(None, 0, 1)
    kept = MinhashDedupFilter(removed).run(iter(documents), rank=0, world_size=1)
    print(*(document.id for document in kept))


if __name__ == "__main__":
    main()
