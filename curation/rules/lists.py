"""Lists that people keep in files (domains, words, ids): read in order, and looked up by the million."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.sources import rows
from curation.sources.files import format_of
from curation.sources.rows import UnusableError
from curation.sources.texts import valid_text
from curation.text.arrow import buffers
from curation.text.compiling import njit, njit_inline
from curation.text.hashing import hash_spans, xxh64

Files = str | list[str]
"""How a recipe names the files of a list: one, or several."""
_SEED = 0
_WHAT = "the list "


class Lookup(NamedTuple):
    """Strings to be found by their bytes: binary search over their hashes (XXH64), then a comparison of the bytes."""

    hashes: NDArray[np.uint64]
    """Ascending; equal strings in their order."""
    numbers: NDArray[np.int64]
    """Place of each in the array that the lookup was made of."""
    offsets: NDArray[np.int64]
    data: NDArray[np.uint8]
    longest: int
    """Bytes of the longest string: nothing longer need be looked up."""


def names(files: Files) -> list[str]:
    """The files of a list as a recipe names them."""
    return [files] if isinstance(files, str) else list(files)


def lookup(strings: pa.LargeStringArray) -> Lookup:
    """A lookup of `strings`, none of them null."""
    offsets, data = buffers(strings)
    hashes = hash_spans(data, offsets[:-1], offsets[1:], _SEED)
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    for array in (hashes, order):
        array.flags.writeable = False
    return Lookup(hashes, order, offsets, data, int(np.diff(offsets).max(initial=0)))


def find_all(strings: pa.LargeStringArray, lookup: Lookup) -> NDArray[np.int64]:
    """Place of each string in the array behind the lookup, the first of equal ones; -1 where it is not there."""
    offsets, data = buffers(strings)
    return _find_all(offsets, data, lookup)  # type: ignore[no-any-return]


@njit(nogil=True, cache=True)
def _find_all(offsets, data, lookup):  # type: ignore[no-untyped-def]
    entries = np.empty(len(offsets) - 1, np.int64)
    for i in range(len(entries)):
        entries[i] = find(data, offsets[i], offsets[i + 1], lookup)
    return entries


@njit_inline
def find(data, start, end, lookup):  # type: ignore[no-untyped-def]
    """Place of `data[start:end]` in the array behind the lookup, or -1."""
    if end - start > lookup.longest:
        return np.int64(-1)
    wanted = xxh64(data, start, end, _SEED)
    low, high = 0, len(lookup.hashes)
    while low < high:
        middle = (low + high) // 2
        if lookup.hashes[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    while low < len(lookup.hashes) and lookup.hashes[low] == wanted:
        number = lookup.numbers[low]
        first = lookup.offsets[number]
        if lookup.offsets[number + 1] - first == end - start:
            i = start
            while i < end and data[i] == lookup.data[first + i - start]:
                i += 1
            if i == end:
                return number
        low += 1
    return np.int64(-1)


def check(path: Path, column: str | None = None) -> None:
    """Raise ValueError where `path` is no list with that column, as far as its first bytes tell."""
    rows.check(path, _WHAT)
    columns = None if column is None else rows.names(path, _WHAT)
    if columns is not None and column not in columns:
        raise UnusableError(f"{_WHAT}{path} has no column '{column}'; its columns: {', '.join(columns)}")


def read(path: Path, column: str | None = None) -> pa.LargeStringArray:
    """The entries of a list in order, none of them null or empty.

    Plain text has an entry a line, white space around it stripped; a line that starts with # is a comment. With
    `column`, files that end in .parquet, .csv, .tsv, .json or .jsonl have it in the column of that name, exactly as it
    stands there, numbers as text. All but Parquet may be packed. Raises ValueError for a file that cannot be read so.
    """
    check(path, column)
    if column is None or format_of(path.name) is None:
        lines, entry = _lines(path)
        return lines.filter(entry)
    columns = [pa.array([], pa.large_string())]
    count = 0
    for batch in rows.batches(path, pa.schema([pa.field(column, pa.large_string())]), _WHAT):
        for row, fault in batch.faults.items():
            raise UnusableError(f"{_WHAT}{batch.places[row]}, entry {count + row + 1}: {fault}")
        count += batch.columns.num_rows
        texts, broken = valid_text(batch.columns.column(column))
        if broken.any():
            raise UnusableError(f"{_WHAT}{batch.places[int(broken.argmax())]}: cannot be read: not UTF-8")
        columns.append(texts)
    entries = pa.concat_arrays(columns)
    if len(entries) and entries.null_count == len(entries):
        raise UnusableError(f"{_WHAT}{path} has no column '{column}'")
    return entries.filter(pc.fill_null(pc.not_equal(entries, ""), False))


def line_of(path: Path, number: int) -> int:
    """The line, from 1, on which the entry of that number stands in a list of plain text."""
    return int(np.flatnonzero(_lines(path)[1])[number]) + 1


def _lines(path: Path) -> tuple[pa.LargeStringArray, pa.BooleanArray]:
    """The lines of a list of plain text, and which of them are entries."""
    lines = pc.utf8_trim_whitespace(pa.array(rows.text(path, _WHAT).split("\n"), pa.large_string()))
    return lines, pc.invert(pc.or_(pc.equal(lines, ""), pc.starts_with(lines, "#")))
