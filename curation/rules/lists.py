"""Lists that people keep in files (domains, words, ids): read in order, and looked up by the million."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
from numba import njit
from numpy.typing import NDArray

from curation import parquet
from curation.sources import jsonl
from curation.sources.files import format_of
from curation.text.arrow import buffers
from curation.text.compiling import njit_inline
from curation.text.hashing import hash_spans, xxh64

Files = str | list[str]
"""How a recipe names the files of a list: one, or several."""
_SEED = 0
_BATCH_BYTES = 1 << 24


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
    found = np.empty(len(offsets) - 1, np.int64)
    for i in range(len(found)):
        found[i] = find(data, offsets[i], offsets[i + 1], lookup)
    return found


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
    if not path.is_file():
        raise ValueError(f"the list {path} does not exist; relative paths count from the recipe's folder")
    if column is not None and (columns := _columns(path)) is not None and column not in columns:
        raise ValueError(f"the list {path} has no column '{column}'; its columns: {', '.join(columns)}")


def read(path: Path, column: str | None = None) -> pa.LargeStringArray:
    """The entries of a list in order, none of them null or empty.

    Plain text has an entry a line, white space around it stripped; a line that starts with # is a comment. With
    `column`, files that end in .parquet, .csv or .jsonl have it in the column of that name, exactly as it stands there,
    numbers as text. Text, CSV and JSON lines may be compressed: .gz, JSON lines .zst too. Raises ValueError for a file
    that cannot be read so.
    """
    check(path, column)
    try:
        if column is not None and format_of(path.name) == "parquet":
            entries = parquet.read(path, columns=[column]).column(column)
        elif column is not None and _is_csv(path):
            as_text = csv.ConvertOptions(include_columns=[column], column_types={column: pa.large_string()})
            entries = csv.read_csv(path, convert_options=as_text).column(column)
        elif column is not None and format_of(path.name):
            entries = _read_jsonl(path, column)
        else:
            return _read_text(path)
        entries = pc.cast(entries, pa.large_string())
    except (pa.ArrowException, UnicodeDecodeError, *jsonl.UNREADABLE) as failure:
        raise ValueError(f"the list {path} cannot be read: {failure}") from failure
    if isinstance(entries, pa.ChunkedArray):
        entries = entries.combine_chunks()
    return entries.filter(pc.fill_null(pc.not_equal(entries, ""), False))


def _is_csv(path: Path) -> bool:
    return path.name.lower().endswith((".csv", ".csv.gz"))


def _columns(path: Path) -> list[str] | None:
    """Columns of a file that declares them, None for any other."""
    try:
        if format_of(path.name) == "parquet":
            return list(parquet.schema_of(path).names)
        if _is_csv(path):
            with csv.open_csv(path) as reader:
                return list(reader.schema.names)
    except (pa.ArrowException, *jsonl.UNREADABLE) as failure:
        raise ValueError(f"the list {path} cannot be read: {failure}") from failure
    return None


def _read_text(path: Path) -> pa.LargeStringArray:
    data = path.read_bytes()
    try:
        if path.name.lower().endswith(".gz"):
            data = gzip.decompress(data)
        lines = data.decode("utf-8-sig").split("\n")
    except (UnicodeDecodeError, OSError, EOFError, zlib.error) as failure:
        raise ValueError(f"the list {path} cannot be read: {failure}") from failure
    entries = pc.utf8_trim_whitespace(pa.array(lines, pa.large_string()))
    comment = pc.or_(pc.equal(entries, ""), pc.starts_with(entries, "#"))
    return entries.filter(pc.invert(comment))


def _read_jsonl(path: Path, column: str) -> pa.ChunkedArray:
    wanted = pa.schema([pa.field(column, pa.large_string())])
    batches = []
    read = 0
    for lines in jsonl.read(str(path), format_of(path.name) or "jsonl", _BATCH_BYTES):
        batch, faults = jsonl.columns(lines, wanted)
        for row, fault in faults.items():
            raise ValueError(f"the list {path}, entry {read + row + 1}: {fault}")
        batches.append(batch)
        read += len(lines)
    entries = pa.Table.from_batches(batches, wanted).column(column)
    if read and entries.null_count == read:
        raise ValueError(f"the list {path} has no column '{column}'")
    return entries
