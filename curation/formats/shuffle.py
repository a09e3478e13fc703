"""Lines in the order of a hash of their bytes, by way of files, so that they need not fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.text.arrow import buffers
from curation.text.hashing import hash_spans
from schemas.documents import TEXT

BUCKET_BYTES = 64 * 1024 * 1024
MOST_BUCKETS = 256
SPILLED = pa.schema([pa.field("key", pa.uint64()), pa.field("row", pa.int64()), pa.field("line", TEXT)])


class Shuffle:
    """Lines go in by `add`, and come out by iterating, once.

    The order is that of XXH64 under the seed: it depends on the lines alone, not on how they came or on `size`, and
    lines that are added or taken away leave the others' order as it was. A bucket of neighbouring keys is sorted in
    memory at a time (distribution sort: Knuth, The Art of Computer Programming, volume 3, 5.2.5).
    """

    def __init__(self, folder: Path, size: int, seed: int) -> None:
        """`folder` is there, and is filled with files; `size`: about how many bytes will come."""
        self.folder = folder
        self.seed = seed
        self.buckets = min(MOST_BUCKETS, 1 + size // BUCKET_BYTES)
        self._writers: dict[int, Any] = {}

    def add(self, rows: NDArray[np.int64], lines: pa.LargeStringArray) -> None:
        """Take lines [k], each with a number that it comes out with."""
        offsets, data = buffers(lines)
        keys = hash_spans(data, offsets[:-1], offsets[1:], self.seed)
        places = ((keys >> np.uint64(32)) * np.uint64(self.buckets)) >> np.uint64(32)
        batch = pa.record_batch([pa.array(keys), pa.array(rows), lines], schema=SPILLED)
        for bucket in np.unique(places).tolist():
            if bucket not in self._writers:
                self._writers[bucket] = pa.ipc.new_stream(str(self._path(bucket)), SPILLED)
            self._writers[bucket].write_batch(batch.filter(pa.array(places == bucket)))

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], pa.LargeStringArray]]:
        """Numbers and lines, a bucket at a time."""
        for bucket in sorted(self._writers):
            self._writers[bucket].close()
            with pa.memory_map(str(self._path(bucket))) as source:
                table = pa.ipc.open_stream(source).read_all().combine_chunks()
                table = table.take(pc.sort_indices(table, sort_keys=[("key", "ascending"), ("row", "ascending")]))
            self._path(bucket).unlink()
            yield table.column("row").to_numpy(), table.column("line").combine_chunks()

    def _path(self, bucket: int) -> Path:
        return self.folder / f"{bucket:03d}.arrows"
