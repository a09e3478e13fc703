"""Finding input files and learning, once each, what is in them."""

from __future__ import annotations

import os
import stat
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import xxhash

from curation import parquet
from curation.sources import csv_rows, jsonl, text_files
from curation.sources.identity import identity
from curation.sources.streams import MAX_DOCUMENT_BYTES, PACKED
from curation.store import StoreError, digest, is_url, remote
from curation.store.local import feed
from schemas.errors import CurationError, Finding

LINES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv"}
"""Endings of files of text, which may be packed, and their formats."""
FORMATS = {
    ".parquet": "parquet",
    **{end + packed: name + kind for end, name in LINES.items() for packed, kind in {"": "", **PACKED}.items()},
}
_BY_LENGTH = sorted(FORMATS, key=len, reverse=True)
_ENDINGS = tuple(FORMATS)
LONGEST = max(map(len, FORMATS))
UNKNOWN = "0" * 32
"""The fingerprint of a file that could not be read at all."""
OFTEN_OTHER = ("json", "csv", "tsv")
"""Formats that files beside the data often have: found by a pattern together with Parquet or JSON lines, they are
passed over."""
TEXTS = {".txt": "txt", **{f".txt{packed}": f"txt{kind}" for packed, kind in PACKED.items()}}
"""Endings of files that are text and nothing else."""
_TEXTS = tuple(TEXTS)
ENDINGS = f"{', '.join(['.parquet', *LINES])}, and the others packed as {', '.join(PACKED)}"
SETTLING_NS = 2_000_000_000
"""A file changed less than this before it was read may change again with the same timestamp: it is read again."""


MOST_PRINTS = 8192
"""Column chunks of a Parquet file up to which each has a hash of its own."""


class Stamp(NamedTuple):
    """What moves when a file's content does. Where only what is beside the content moved, the file is hashed again."""

    size: int
    mtime_ns: int
    """Or of a URL a number made of its ETag."""
    ctime_ns: int = 0
    """Moves too where `cp -p`, `rsync -t` or tar put the old time back."""
    inode: int = 0


@dataclass(frozen=True)
class SourceFile:
    """One input file, known by its content."""

    path: str
    size: int
    mtime_ns: int
    fingerprint: str
    """XXH3-128 of all its bytes."""
    format: str
    rows: int
    groups: tuple[tuple[int, int], ...]
    """Rows and uncompressed bytes of each row group; one pseudo-group for JSON lines."""
    schema: pa.Schema | None
    error: str | None = None
    """Why it cannot be read, in one line; then rows is 0."""
    settled: bool = True
    ctime_ns: int = 0
    inode: int = 0
    prints: bytes = b""
    """XXH3-64 of each column chunk of each row group, 8 bytes each, of a local Parquet file; empty for others."""
    source: str = ""
    """The name of the source that it was found through: the pattern in `input.path`, unless it has a name there."""


def format_of(path: str) -> str | None:
    """The format that a file's name ends in, or None."""
    lower = path[-LONGEST:].lower()
    if not lower.endswith(_ENDINGS):
        return None
    return next(FORMATS[end] for end in _BY_LENGTH if lower.endswith(end))


def input_format(path: str, unit: str = "file") -> str | None:
    """The format that an input file's name ends in, text among them, or None. `unit`: what a document is in a text."""
    lower = path[-LONGEST:].lower()
    text = next((kind for end, kind in TEXTS.items() if lower.endswith(end)), None) if lower.endswith(_TEXTS) else None
    return format_of(path) if text is None else text.replace("txt", text_files.FORMATS[unit], 1)


def inspect(path: str, max_document_bytes: int = MAX_DOCUMENT_BYTES, unit: str = "file") -> SourceFile:
    """Read a file once: its fingerprint, rows, groups and schema. What is wrong with it goes to `error`.

    `unit`: whether in a text file a document is the `file` or a `line`.

    Of JSON and CSV, documents beyond `max_document_bytes` count, but their values say nothing of columns' types. What
    is wrong with a file on a store is believed once it was read twice with the same bytes; else the answers were
    damaged, and the file is read again. Raises StoreError.
    """
    file = _inspect(path, max_document_bytes, unit)
    for _ in range(remote.TRIES):
        if file.error is None or not is_url(path):
            return file
        before, file = file, _inspect(path, max_document_bytes, unit)
        if file.fingerprint == before.fingerprint:
            return file
    raise StoreError(f"reading {path}: the store gives other bytes each time")


def _inspect(path: str, max_document_bytes: int, unit: str) -> SourceFile:
    name = input_format(path, unit) or "parquet"
    unfit = None if is_url(path) else _no_file(path)
    if unfit is not None:
        return SourceFile(path, 0, 0, UNKNOWN, name, 0, (), None, unfit)
    try:
        there = stamp(path)
        size, changed, ctime, inode = there
        settled = is_url(path) or time.time_ns() - max(there.mtime_ns, there.ctime_ns) > SETTLING_NS
        if name == "parquet":
            source, fingerprint = _read_once(path, size)
            error, rows, schema = None, 0, None
            spans: list[tuple[int, int]] = []
            groups: tuple[tuple[int, int], ...] = ()
            try:
                with parquet.opened(source) as file:
                    meta = file.metadata
                    groups = tuple(
                        (meta.row_group(i).num_rows, meta.row_group(i).total_byte_size)
                        for i in range(meta.num_row_groups)
                    )
                    rows, schema = meta.num_rows, file.schema_arrow.remove_metadata()
                    if not is_url(path) and meta.num_row_groups * meta.num_columns <= MOST_PRINTS:
                        every = range(meta.num_columns)
                        spans = [span for i in range(meta.num_row_groups) for span in chunks(meta, i, every)]
                    twice = next((name for name, count in Counter(schema.names).items() if count > 1), None)
                    if twice is not None:
                        error, rows, groups = f"has two columns named '{twice}'", 0, ()
            except StoreError:
                raise
            except (pa.ArrowException, OSError) as failure:
                error = _why(size, failure)
            prints = b""
            if not is_url(path):
                fingerprint, prints = _hashes(path, spans)
            return SourceFile(
                path, size, changed, fingerprint, name, rows, groups, schema, error, settled, ctime, inode, prints
            )
        readers = {"csv": csv_rows.inspect, "tsv": csv_rows.inspect}
        readers |= dict.fromkeys(text_files.FORMATS.values(), text_files.inspect)
        facts = readers.get(name.partition(".")[0], jsonl.inspect)(path, name, max_document_bytes)
        return SourceFile(
            path,
            size,
            changed,
            facts.fingerprint,
            name,
            facts.rows,
            ((facts.rows, facts.bytes),) if facts.rows else (),
            facts.schema,
            facts.error,
            settled,
            ctime,
            inode,
        )
    except StoreError:
        raise
    except OSError as failure:
        return SourceFile(path, 0, 0, UNKNOWN, name, 0, (), None, f"cannot be read: {failure.strerror or failure}")


def stamp(path: str) -> Stamp:
    """Raises OSError."""
    if is_url(path):
        there = remote.stat(path)
        return Stamp(there.size, there.version)
    here = os.stat(path)
    return Stamp(here.st_size, here.st_mtime_ns, here.st_ctime_ns, here.st_ino)


def has_fingerprint(path: str, current: Stamp, name: str, fingerprint: str) -> bool:
    """Whether a file has this fingerprint, of its bytes or of them read as this format: runs of earlier versions know
    CSV and whole texts by the first. Raises OSError."""
    of_bytes = fingerprint_at(path, current)
    return fingerprint in (of_bytes, identity(of_bytes, name))


@lru_cache(maxsize=1 << 14)
def fingerprint_at(path: str, there: Stamp) -> str:
    """XXH3-128 of all bytes of a file; hashed once a process while it stays as it is. Raises OSError."""
    return remote.digest(path) if is_url(path) else digest(Path(path))


def chunks(meta: Any, group: int, columns: Iterable[int]) -> list[tuple[int, int]]:
    """Where some column chunks of a Parquet file's row group begin and end, in bytes."""
    spans = []
    for place in columns:
        chunk = meta.row_group(group).column(place)
        start = min(filter(None, (chunk.dictionary_page_offset, chunk.data_page_offset)), default=0)
        spans.append((start, start + chunk.total_compressed_size))
    return spans


@lru_cache(maxsize=1 << 16)
def chunk_print(path: str, there: Stamp, start: int, stop: int) -> bytes:
    """XXH3-64 of some bytes of a file, hashed once a process while it stays as it is. Raises OSError."""
    state = xxhash.xxh3_64()
    with open(path, "rb", buffering=0) as source:
        source.seek(start)
        feed(source, stop - start, state)
    return state.digest()


def _hashes(path: str, spans: list[tuple[int, int]]) -> tuple[str, bytes]:
    """XXH3-128 of all bytes of a file, and XXH3-64 of some spans of it, 8 bytes each, in one pass.

    Where spans overlap, which those of a sound file do not, there are none.
    """
    order = sorted(range(len(spans)), key=lambda position: spans[position])
    if any(spans[one][1] > spans[two][0] for one, two in pairwise(order)):
        order = []
    whole = xxhash.xxh3_128()
    prints = [b""] * len(order)
    with open(path, "rb", buffering=0) as source:
        position = 0
        for number in order:
            start, stop = spans[number]
            feed(source, start - position, whole)
            own = xxhash.xxh3_64()
            feed(source, stop - start, whole, own)
            prints[number], position = own.digest(), stop
        feed(source, None, whole)
    return whole.hexdigest(), b"".join(prints)


def _read_once(path: str, size: int) -> tuple[Any, str]:
    """What pyarrow reads a Parquet file's end from, and of a URL the XXH3-128 of all its bytes.

    A file on a store is fetched once for both: its last blocks are kept.
    """
    if not is_url(path):
        return path, ""
    state = xxhash.xxh3_128()
    reader = remote.Reader(path, size)
    end = b""
    for start in range(0, size, remote.BLOCK):
        block = remote.fetch(path, start, min(size, start + remote.BLOCK), exact=True)
        state.update(block)
        end = end[-remote.BLOCK :] + block
        reader.hold(start + len(block) - len(end), end)
    return pa.PythonFile(reader, mode="r"), state.hexdigest()


def _no_file(path: str) -> str | None:
    """What has this path, if that is no file: whoever opens a pipe may wait for ever."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return f"is a link to {os.readlink(path)}, which is not there" if os.path.islink(path) else None
    except OSError:
        return None  # whoever opens it will say why
    if stat.S_ISREG(mode):
        return None
    kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket"}
    return f"is no file but a {kinds.get(stat.S_IFMT(mode), 'device')}"


def _why(size: int, failure: Exception) -> str:
    if size == 0:
        return "is empty (0 bytes)"
    return f"is not a readable Parquet file: {first_line(failure)}"


def first_line(failure: Exception) -> str:
    """A library's message in one line."""
    lines = str(failure).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(failure).__name__


def refuse(findings: list[Finding]) -> None:
    """Raise all findings at once, if there are any."""
    if findings:
        raise CurationError(*findings)
