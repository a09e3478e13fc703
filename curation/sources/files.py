"""Finding input files and learning, once each, what is in them."""

from __future__ import annotations

import glob
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from curation import parquet
from curation.sources import jsonl
from curation.store import StoreError, digest, is_url, remote
from schemas.errors import CurationError, Finding

FORMATS = {
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonl.gz": "jsonl.gz",
    ".jsonl.zst": "jsonl.zst",
}
SETTLING_NS = 2_000_000_000
"""A file changed less than this before it was read may change again with the same timestamp: it is read again."""


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
    source: str = ""
    """The name of the source that it was found through: the pattern in `input.path`, unless it has a name there."""


def find_files(
    patterns: list[str], base: Path, sources: list[str] | None = None
) -> tuple[dict[str, str], list[Finding], int]:
    """Files behind the patterns, in run order: by pattern, then by path.

    Returns the source of each path, the first of several, which is the pattern unless `sources` names it; findings
    (nothing matched, listed twice); and how many files of other formats were passed over.
    """
    found: dict[str, str] = {}
    twice: set[str] = set()
    findings: list[Finding] = []
    ignored = 0
    for source, pattern in zip(sources or patterns, patterns, strict=True):
        try:
            full, names, refused = _on_store(pattern) if is_url(pattern) else _on_disk(pattern, base)
        except CurationError as failure:
            findings += failure.findings
            continue
        findings += [Finding("C020", reason) for reason in refused]
        usable = [name for name in names if format_of(name)]
        ignored += len(names) - len(usable)
        if not usable:
            what = "matches no file" if not names else "matches no Parquet or JSON lines file"
            findings.append(
                Finding("C020", f"input '{pattern}' {what}", f"looked for {full}; known endings: {', '.join(FORMATS)}")
            )
        for name in usable:
            if name in found:
                twice.add(name)
            found.setdefault(name, source)
    findings += [
        Finding("C024", f"input file {name} is listed twice", "name it in one source only") for name in sorted(twice)
    ]
    return found, findings, ignored


def _on_disk(pattern: str, base: Path) -> tuple[str, list[str], list[str]]:
    """Where was looked, absolute paths of the files there, and what could not be read."""
    path = Path(pattern).expanduser()
    full = str(base / path)
    unreadable: list[OSError] = []
    if not pattern.strip():
        names = []
    elif os.path.isdir(full):
        walk = os.walk(full, onerror=unreadable.append)
        names = sorted(str(Path(folder, file)) for folder, _, files in walk for file in files)
        names = [name for name in names if not _hidden(os.path.relpath(name, full))]
    elif os.path.exists(full):
        names = [full]
    else:
        matches = (str(base / name) for name in glob.glob(str(path), root_dir=base, recursive=True))
        names = sorted(name for name in matches if os.path.isfile(name))
    refused = [f"input folder {failure.filename} cannot be read: {failure.strerror}" for failure in unreadable]
    return full, [os.path.abspath(name) for name in names], refused


def _on_store(pattern: str) -> tuple[str, list[str], list[str]]:
    try:
        names = remote.matching(pattern)
    except StoreError:
        raise
    except OSError as failure:  # the wrong bucket, or no right to list it
        return pattern, [], [f"input '{pattern}' cannot be read: {failure.strerror or failure}"]
    whole = pattern.rstrip("/")
    return pattern, [name for name in names if not _hidden(name.removeprefix(whole).lstrip("/"))], []


def format_of(path: str) -> str | None:
    """The format that a file's name ends in, or None."""
    lower = path.lower()
    return next((FORMATS[end] for end in sorted(FORMATS, key=len, reverse=True) if lower.endswith(end)), None)


def inspect(path: str) -> SourceFile:
    """Read a file once: its fingerprint, rows, groups and schema. What is wrong with it goes to `error`."""
    name = format_of(path) or "parquet"
    try:
        size, changed = stamp(path)
        settled = is_url(path) or time.time_ns() - changed > SETTLING_NS
        if name == "parquet":
            source, fingerprint = _read_once(path, size)
            error, rows, schema = None, 0, None
            groups: tuple[tuple[int, int], ...] = ()
            try:
                with parquet.opened(source) as file:
                    meta = file.metadata
                    groups = tuple(
                        (meta.row_group(i).num_rows, meta.row_group(i).total_byte_size)
                        for i in range(meta.num_row_groups)
                    )
                    rows, schema = meta.num_rows, file.schema_arrow.remove_metadata()
                    twice = next((name for name in schema.names if schema.names.count(name) > 1), None)
                    if twice is not None:
                        error, rows, groups = f"has two columns named '{twice}'", 0, ()
            except StoreError:
                raise
            except (pa.ArrowException, OSError) as failure:
                error = _why(size, failure)
            return SourceFile(path, size, changed, fingerprint, name, rows, groups, schema, error, settled)
        facts = jsonl.inspect(path, name)
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
        )
    except StoreError:
        raise
    except OSError as failure:
        return SourceFile(path, 0, 0, "0" * 32, name, 0, (), None, f"cannot be read: {failure.strerror or failure}")


def stamp(path: str) -> tuple[int, int]:
    """Size in bytes, and what moves when the content does: the time in ns, of a URL a number made of its ETag.

    Raises OSError.
    """
    if is_url(path):
        there = remote.stat(path)
        return there.size, there.version
    here = os.stat(path)
    return here.st_size, here.st_mtime_ns


def _read_once(path: str, size: int) -> tuple[Any, str]:
    """What pyarrow reads a Parquet file's end from, and the XXH3-128 of all its bytes.

    A file on a store is fetched once for both: its last blocks are kept.
    """
    if not is_url(path):
        return path, digest(Path(path))
    state = xxhash.xxh3_128()
    reader = remote.Reader(path, size)
    end = b""
    for start in range(0, size, remote.BLOCK):
        block = remote.fetch(path, start, min(size, start + remote.BLOCK))
        state.update(block)
        end = end[-remote.BLOCK :] + block
        reader.hold(start + len(block) - len(end), end)
    return pa.PythonFile(reader, mode="r"), state.hexdigest()


def _why(size: int, failure: Exception) -> str:
    if size == 0:
        return "is empty (0 bytes)"
    return f"is not a readable Parquet file: {first_line(failure)}"


def first_line(failure: Exception) -> str:
    """A library's message in one line."""
    lines = str(failure).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(failure).__name__


def _hidden(relative: str) -> bool:
    return any(part.startswith((".", "_")) for part in Path(relative).parts)


def refuse(findings: list[Finding]) -> None:
    """Raise all findings at once, if there are any."""
    if findings:
        raise CurationError(*findings)
