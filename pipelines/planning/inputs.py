"""Input files as a plan knows them: which there are, what is recorded of each, one type a column, the sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from curation.manifest.parts import Manifest
from curation.plan import fingerprint
from curation.sources import Shard, SourceFile, column_types, hash_rows, inspect, stamp
from curation.sources.column_types import still_typed
from curation.sources.files import Stamp, input_format
from curation.sources.shapes import common, plain
from curation.sources.streams import MAX_DOCUMENT_BYTES
from curation.sources.texts import stringlike
from curation.store import StoreError
from schemas.documents import TEXT
from schemas.errors import Finding
from schemas.recipe import Input


def sources_of(given: Input) -> tuple[list[str], list[str]]:
    """Patterns, and the names of their sources: the patterns themselves unless the recipe names them."""
    if isinstance(given.path, dict):
        return list(given.path.values()), list(given.path)
    patterns = [given.path] if isinstance(given.path, str) else list(given.path)
    return patterns, patterns


def inspect_files(
    source_of_path: dict[str, str],
    manifest: Manifest,
    max_document_bytes: int = MAX_DOCUMENT_BYTES,
    unit: str = "file",
) -> tuple[tuple[SourceFile, ...], tuple[SourceFile, ...]]:
    """Every file, and those among them that had to be read, because they were not seen as they are now.

    `source_of_path` gives the source of each path; `unit` is what a document is in a text file.
    """
    seen: dict[tuple[str, Stamp], dict[str, Any]] = {}
    for record in manifest.read("seen").to_pylist():
        if record["settled"]:
            there = Stamp(*(record[name] for name in Stamp._fields))  # of an earlier version without the last two
            seen[record["path"], there] = record
    fresh: list[SourceFile] = []
    result: list[SourceFile] = []
    for path, source in source_of_path.items():
        try:
            record = seen.get((path, stamp(path)))
        except StoreError:
            raise
        except OSError:
            record = None
        schema = pa.ipc.read_schema(pa.py_buffer(record["columns"])) if record and record["columns"] else None
        renamed = record is not None and record["format"] != (input_format(path, unit) or "parquet")
        if record is None or renamed or not still_typed(record["format"], schema, max_document_bytes):
            file = inspect(path, max_document_bytes, unit)
            fresh.append(file)
        else:
            file = SourceFile(
                path,
                record["size"],
                record["mtime_ns"],
                record["fingerprint"],
                record["format"],
                record["rows"],
                tuple((group["rows"], group["bytes"]) for group in record["groups"]),
                schema,
                record["error"],
                ctime_ns=record["ctime_ns"],
                inode=record["inode"],
                prints=record["prints"],
            )
        result.append(replace(file, source=source))
    return tuple(result), tuple(fresh)


def record_inputs(manifest: Manifest, files: Sequence[SourceFile]) -> None:
    """Keep what was learned by reading files, so that the next plan need not."""
    rows = [
        {
            "path": file.path,
            "size": file.size,
            "mtime_ns": file.mtime_ns,
            "ctime_ns": file.ctime_ns,
            "inode": file.inode,
            "prints": file.prints,
            "settled": file.settled,
            "fingerprint": file.fingerprint,
            "format": file.format,
            "rows": file.rows,
            "groups": [{"rows": rows, "bytes": size} for rows, size in file.groups],
            "columns": file.schema.serialize().to_pybytes() if file.schema is not None else None,
            "error": file.error,
        }
        for file in files
    ]
    if rows:
        names = ("path", "fingerprint", "mtime_ns", "ctime_ns", "inode", "settled")
        named = [[row[name] for name in names] for row in rows]
        manifest.commit("seen", fingerprint(named), rows)


def unify(files: tuple[SourceFile, ...]) -> tuple[dict[str, pa.DataType], dict[str, Finding]]:
    """One type for each column over all files, and findings by name for those that have none.

    Files without rows have no say.
    """
    kinds: dict[str, pa.DataType] = {}
    where: dict[str, tuple[SourceFile, pa.Field]] = {}
    broken: dict[str, Finding] = {}
    texts: set[str] = set()
    long: set[str] = set()
    for file in [file for file in files if file.rows] or files:
        for field in file.schema or ():
            kind = plain(field.type)
            before = kinds.setdefault(field.name, kind)
            shared = common(before, kind)
            if not column_types.is_number(field):
                texts.add(field.name)
            if column_types.first_line(field, "long") is not None:
                long.add(field.name)
            if field.name not in texts and (
                (shared is None and (stringlike(before) or stringlike(kind)))
                or (field.name in long and shared is not None and pa.types.is_floating(shared))
            ):
                shared = TEXT  # numbers that no type holds both of keep their digits
            if shared is None:
                if field.name not in broken:
                    other, first = where[field.name]
                    message = (
                        f"column '{field.name}' is {_type_in(other, first, before)} and {_type_in(file, field, kind)}"
                    )
                    hint = "convert one of them, or leave the column out of output.columns"
                    broken[field.name] = Finding("C023", message, hint)
                continue
            if field.name not in where or shared != before:
                where[field.name] = file, field
            kinds[field.name] = shared
    return {name: pa.string() if pa.types.is_null(kind) else kind for name, kind in kinds.items()}, broken


def _type_in(file: SourceFile, field: pa.Field, kind: pa.DataType) -> str:
    """A column's type in a file, and the line with the first value of that kind."""
    line = column_types.first_line(field, "str", "list") if stringlike(kind) else None
    return f"{kind} in {file.path}" + (f" (line {line})" if line else "")


def sampled_rows(shards: list[Shard], count: int) -> dict[int, tuple[int, ...]]:
    """`count` documents by hash of (file fingerprint, row): the same ones whatever else is in the input."""
    best = np.zeros(0, dtype=[("hash", "<u8"), ("shard", "<i8"), ("row", "<i8")])
    for shard in shards:
        if shard.error:
            continue
        candidates = np.zeros(shard.rows, dtype=best.dtype)
        candidates["row"] = np.arange(shard.rows)
        candidates["shard"] = shard.index
        candidates["hash"] = hash_rows(shard, candidates["row"])
        best = np.concatenate([best, candidates])
        if len(best) > count:
            best = best[np.argsort(best, order=("hash", "shard", "row"))[:count]]
    return {
        shard.index: tuple(int(row) for row in np.sort(best["row"][best["shard"] == shard.index]))
        for shard in shards
        if not shard.error
    }
