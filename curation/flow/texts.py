"""The texts of some documents that reach a dataset-wide stage, as the sets of grams that a dedup compares."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.duplicates.grams import Grams, grams_of
from curation.flow.documents import rows_at, wanted_columns
from curation.flow.entrants import Entrants
from curation.flow.units import ResolveWork, ShardWork
from schemas.documents import TEXT

AT_ONCE = 4
"""Batches that are hashed together: nothing else of the run works while a dataset-wide stage is resolved."""


@contextmanager
def text_grams(
    task: ResolveWork,
    nodes: Entrants,
    involved: np.ndarray,
    wanted: np.ndarray,
    columns: Sequence[str],
    n: int,
    scratch: Path,
) -> Iterator[Grams]:
    """Word n-grams of documents, of several columns as of one text.

    `involved` int64[m], ascending entrants; `wanted`, ascending positions in it: the others are without a gram. Memory:
    AT_ONCE batches, and 30 bytes a document. Disk: eight bytes a distinct gram, at `scratch`. Raises CurationError R001
    or R002 for a file that is not the one that was scored.
    """
    scratch.parent.mkdir(parents=True, exist_ok=True)
    paths = [scratch.with_name(f"{scratch.name}.{name}") for name in ("grams", "words")]
    sizes, word_sizes = np.zeros(len(involved), np.int64), np.zeros(len(involved), np.int64)
    distinct = np.zeros(len(involved), np.int32)
    try:
        with open(paths[0], "wb") as grams, open(paths[1], "wb") as words:
            for numbers, part_grams in _in_order(task, nodes, involved[wanted], columns, n):
                positions = wanted[numbers]
                sizes[positions] = np.diff(part_grams.offsets)
                word_sizes[positions] = np.diff(part_grams.word_offsets)
                distinct[positions] = part_grams.distinct
                for file, values in ((grams, part_grams.grams), (words, part_grams.words)):
                    file.write(values.data)
        offsets, word_offsets = (np.concatenate([[0], np.cumsum(each)]) for each in (sizes, word_sizes))
        yield Grams(offsets, _mapped(paths[0]), distinct, word_offsets, _mapped(paths[1]))
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def _in_order(
    task: ResolveWork, nodes: Entrants, wanted: np.ndarray, columns: Sequence[str], n: int
) -> Iterator[tuple[np.ndarray, Grams]]:
    """Positions in `wanted` (entrants) and their grams, ascending: batches are read in turn, and hashed by threads."""
    shards = nodes.shard_at(wanted)
    waiting: deque[tuple[np.ndarray, Future[Grams]]] = deque()
    threads = min(AT_ONCE, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        for number, begin in zip(*np.unique(shards, return_index=True), strict=True):
            numbers = np.arange(begin, np.searchsorted(shards, number, side="right"))
            rows = nodes.rows[wanted[numbers]]
            for come, text in _texts(task, task.shards[number], rows, columns):
                waiting.append((numbers[come], pool.submit(grams_of, text, n)))
                if len(waiting) > threads:
                    first, hashing = waiting.popleft()
                    yield first, hashing.result()
        for first, hashing in waiting:
            yield first, hashing.result()


def _texts(
    task: ResolveWork, shard_work: ShardWork, rows: np.ndarray, columns: Sequence[str]
) -> Iterator[tuple[slice, pa.Array]]:
    """Which of ascending rows of a shard come, and the columns of each as one text, as the stage sees them."""
    start = 0
    for documents in rows_at(shard_work, rows, task.stage.position, wanted_columns(task.work, columns)):
        end = start + len(documents.rows)
        yield slice(start, end), joint_text([documents.field(name) for name in columns])
        start = end


def joint_text(columns: Sequence[pa.Array]) -> pa.Array:
    """Several columns as one text, as `curation.dedup.minhash` compares them."""
    from curation.dedup.minhash import BETWEEN

    return columns[0] if len(columns) == 1 else pc.binary_join_element_wise(*columns, pa.scalar(BETWEEN, TEXT))


def _mapped(path: Path) -> np.ndarray:
    values = np.zeros(0, np.uint64)
    if path.stat().st_size:
        values = np.asarray(np.memmap(path, dtype=np.uint64, mode="r"))
    values.flags.writeable = False  # always: kernels are compiled anew for writable arrays
    return values
