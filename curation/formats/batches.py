"""Batches of a dataset for training, in an order that no rank and no restart changes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from curation.formats.shuffle import Spill
from schemas.errors import CurationError, Finding

ROUNDS = 6
Batch = dict[str, Any]


class RowSource(Protocol):
    """What batches are made of: `pipelines.dataset.Dataset`."""

    @property
    def schema(self) -> pa.Schema: ...

    def __len__(self) -> int: ...

    def to_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]: ...

    def _bytes_of(self, columns: Sequence[str]) -> int: ...

    def _with_nulls(self, columns: Sequence[str]) -> set[str]: ...


class Batches(IterableDataset[Batch]):
    """One epoch each time that it is iterated: `for batch in batches`, a dictionary of columns.

    Numbers and booleans are tensors [rows], lists of one length [rows, length], all else lists; where the dataset has
    nulls, numbers are float64 with NaN. Over all ranks each row comes exactly once an epoch, in an order that seed and
    epoch decide and the number of ranks does not: rank r has every `world_size`-th row of it from the r-th on. So one
    rank may have one row more than another; `drop_last` gives all the same number of whole batches instead.

    At the beginning of an epoch the dataset is read once, and the rank's rows are spilled to files below `$TMPDIR` that
    go with the epoch: memory is about five times a bucket of them, 64 MB, or a 256th of them where that is more.

    `state_dict()` is small, and the same on all ranks that have taken as many batches. After `load_state_dict()` the
    next epoch to be iterated is the rest of that one, on as many ranks and in batches as large as they are now.

    `torch.utils.data.DataLoader(batches, batch_size=None)` takes it; its workers share the rank's rows. Each of
    them has a copy that goes on by itself, so that these batches do not know how far it is: say `set_epoch()` before
    each epoch, or give `persistent_workers=True`, which keeps the copies. Without either every epoch is the same. A
    state in the middle of an epoch is the workers' too: use torchdata's StatefulDataLoader, with as many of them.
    """

    def __init__(
        self,
        rows: RowSource,
        columns: Sequence[str] | None,
        batch_size: int,
        seed: int,
        rank: int,
        world_size: int,
        drop_last: bool,
    ) -> None:
        self.columns = list(rows.schema.names if columns is None else columns)
        missing = [name for name in self.columns if name not in rows.schema.names]
        if missing or not self.columns:
            what = f"the dataset has no column '{missing[0]}'" if missing else "no column is asked for"
            raise CurationError(Finding("C004", what, f"columns: {', '.join(rows.schema.names)}"))
        if batch_size < 1 or not 0 <= rank < world_size:
            what = f"batch_size {batch_size}, rank {rank} and world_size {world_size} do not go together"
            raise CurationError(Finding("C004", what, "batch_size is at least 1, and rank from 0 to world_size - 1"))
        self.batch_size = batch_size
        self.seed = seed
        self.rank, self.world_size = rank, world_size
        self.drop_last = drop_last
        self.epoch = 0
        self._rows = rows
        self._total = len(rows)
        self._nulls = rows._with_nulls(self.columns)
        self._begin = 0
        """Where the next epoch that is iterated begins: rows of it that were taken before, by all ranks."""
        self._taken = 0

    def __len__(self) -> int:
        """Batches of this rank in a whole epoch."""
        if self.drop_last:
            return self._total // (self.batch_size * self.world_size)
        rows = len(range(self.rank, self._total, self.world_size))
        return -(-rows // self.batch_size)

    def state_dict(self) -> dict[str, int]:
        """Where it stands: seed, epoch, and how many of its `of` rows all ranks together have taken."""
        return {"seed": self.seed, "epoch": self.epoch, "rows": self._taken, "of": self._total}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a `state_dict`. Raises C004 for one of another dataset."""
        if state["of"] != self._total:
            what = f"this state is of a dataset of {state['of']:,} rows, and this one has {self._total:,}"
            raise CurationError(Finding("C004", what, "load it into batches of the dataset that it was saved with"))
        self.seed, self.epoch, self._begin = state["seed"], state["epoch"], state["rows"]
        self._taken = self._begin

    def set_epoch(self, epoch: int) -> None:
        """The next epoch to be iterated is this one: its rest, where a state of it was loaded, and else the whole.

        Needed before each epoch of a DataLoader with workers that are not persistent."""
        if epoch != self.epoch:
            self._begin = 0
        self.epoch, self._taken = epoch, self._begin

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        workers = 1 if worker is None else worker.num_workers
        ranks = self.world_size * workers
        rank = self.rank * workers + (0 if worker is None else worker.id)
        begin, self._begin = self._begin, 0
        self._taken = begin
        step = ranks * self.batch_size
        end = begin + (self._total - begin) // step * step if self.drop_last else self._total
        for table in self._in_order(begin, end, rank, ranks):
            self._taken = min(end, self._taken + step)
            yield {name: _values(table.column(name).combine_chunks(), name in self._nulls) for name in self.columns}
        self.epoch, self._taken = self.epoch + 1, 0

    def _in_order(self, begin: int, end: int, rank: int, ranks: int) -> Iterator[pa.Table]:
        """The rank's rows at positions [begin, end) of the epoch's order, a batch at a time."""
        schema = pa.schema([self._rows.schema.field(name) for name in self.columns])
        spread = np.uint64((2**64 - 1) // max(1, self._total))
        size = self._rows._bytes_of(self.columns) // ranks
        with tempfile.TemporaryDirectory(prefix="curation-batches-") as folder:
            spill = Spill(Path(folder), size, schema)
            first = 0
            for batch in self._rows.to_batches(self.columns):
                positions = order(np.arange(first, first + len(batch)), self._total, self.seed, self.epoch)
                first += len(batch)
                selected = (positions >= begin) & (positions < end) & ((positions - begin) % ranks == rank)
                if selected.any():
                    chosen = batch.select(self.columns).filter(pa.array(selected))
                    spill.add(positions[selected].astype(np.uint64) * spread, chosen.columns)
            left = schema.empty_table()
            for table in spill:
                left = pa.concat_tables([left, table])
                whole = len(left) // self.batch_size * self.batch_size
                for start in range(0, whole, self.batch_size):
                    yield left.slice(start, self.batch_size)
                left = left.slice(whole).combine_chunks()
            if len(left):
                yield left


def order(rows: NDArray[np.int64], count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Where rows [k] of `count` stand in an epoch's order, int64 [k]: a permutation that needs no memory.

    A Feistel network over the next power of four, walked until it falls below `count` (Black and Rogaway, Ciphers with
    arbitrary finite domains, 2002).
    """
    half = np.uint64(max(1, (max(1, count - 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    keys = np.random.SeedSequence([seed, epoch]).generate_state(ROUNDS, np.uint64)
    places = rows.astype(np.uint64)
    outside = np.arange(len(places))
    while len(outside):
        left, right = places[outside] >> half, places[outside] & mask
        for key in keys:
            left, right = right, left ^ (_mixed(right ^ key) & mask)
        places[outside] = (left << half) | right
        outside = outside[places[outside] >= np.uint64(count)]
    return places.astype(np.int64)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of splitmix64."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _values(column: pa.Array, nulls: bool) -> Any:
    """A column as a tensor, or as a list where it is neither numbers nor lists of one length of them."""
    kind = column.type
    if pa.types.is_fixed_size_list(kind) and _number(kind.value_type):
        values = np.full((len(column), kind.list_size), np.nan) if column.null_count else None
        given = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, kind.list_size)
        if values is None:
            return torch.from_numpy(given.copy())
        values[column.is_valid().to_numpy(zero_copy_only=False)] = given
        return torch.from_numpy(values.astype(given.dtype) if given.dtype.kind == "f" else values)
    if not _number(kind):
        return column.to_pylist()
    if nulls and not pa.types.is_floating(kind):
        column = column.cast(pa.int8() if pa.types.is_boolean(kind) else kind).cast(pa.float64(), safe=False)
    return torch.from_numpy(column.to_numpy(zero_copy_only=False).copy())


def _number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))
