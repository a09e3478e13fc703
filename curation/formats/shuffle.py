"""Rows in another order by way of files, so that they need not fit into memory."""

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
LINE = pa.schema([pa.field("row", pa.int64()), pa.field("line", TEXT)])
KEY = "\0key"
"""Beside columns of any name."""


class Spill:
    """Rows go in by `add`, each with a key, and come out in the order of the keys by iterating, once.

    A bucket of neighbouring keys is sorted in memory at a time (distribution sort: Knuth, The Art of Computer
    Programming, volume 3, 5.2.5). Keys are to be spread evenly over 64 bits.
    """

    def __init__(self, folder: Path, size: int, schema: pa.Schema, ties: str | None = None) -> None:
        """`folder` is there, and is filled with files; `size`: about how many bytes will come; `ties`: the column that
        orders rows of one key."""
        self.folder = folder
        self.schema = schema.insert(0, pa.field(KEY, pa.uint64()))
        self.buckets = min(MOST_BUCKETS, 1 + size // BUCKET_BYTES)
        self._order = [(name, "ascending") for name in (KEY, ties) if name]
        self._writers: dict[int, Any] = {}

    def add(self, keys: NDArray[np.uint64], columns: list[pa.Array]) -> None:
        """Take k rows: keys [k], and the schema's columns [k]."""
        places = ((keys >> np.uint64(32)) * np.uint64(self.buckets)) >> np.uint64(32)
        batch = pa.record_batch([pa.array(keys), *columns], schema=self.schema)
        for bucket in np.unique(places).tolist():
            if bucket not in self._writers:
                self._writers[bucket] = pa.ipc.new_stream(str(self._path(bucket)), self.schema)
            self._writers[bucket].write_batch(batch.filter(pa.array(places == bucket)))

    def __iter__(self) -> Iterator[pa.Table]:
        """A bucket at a time, without its keys."""
        for bucket in sorted(self._writers):
            self._writers[bucket].close()
            with pa.memory_map(str(self._path(bucket))) as source:
                table = pa.ipc.open_stream(source).read_all().combine_chunks()
                table = table.take(pc.sort_indices(table, sort_keys=self._order))
            self._path(bucket).unlink()
            yield table.drop_columns([KEY])

    def _path(self, bucket: int) -> Path:
        return self.folder / f"{bucket:03d}.arrows"


class Shuffle:
    """Lines go in by `add`, and come out by iterating, once.

    The order is that of XXH64 under the seed: it depends on the lines alone, not on how they came or on `size`, and
    lines that are added or taken away leave the others' order as it was.
    """

    def __init__(self, folder: Path, size: int, seed: int) -> None:
        self.seed = seed
        self._spill = Spill(folder, size, LINE, "row")

    def add(self, rows: NDArray[np.int64], lines: pa.LargeStringArray) -> None:
        """Take lines [k], each with a number that it comes out with."""
        offsets, data = buffers(lines)
        keys = hash_spans(data, offsets[:-1], offsets[1:], self.seed)
        self._spill.add(keys, [pa.array(rows), lines])

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], pa.LargeStringArray]]:
        """Numbers and lines, a bucket at a time."""
        for table in self._spill:
            yield table.column("row").to_numpy(), table.column("line").combine_chunks()
