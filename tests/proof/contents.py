"""What a workspace holds, file by file, in a form in which two can be compared that different attempts have written."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

VOLATILE = {
    *("created_at", "started_at", "ended_at", "failed_at", "labelled_at", "last_started_at", "asked_at"),
    *("mtime_ns", "ctime_ns"),
    *("inode", "settled", "attempt", "host", "pid", "process", "hardware", "seconds", "busy", "wall", "peak"),
    *(
        "tokens_per_second",
        "documents_per_second",
        "busy_share",
        "flop_utilisation",
        "first_started_at",
        "last_ended_at",
    ),
}
"""Columns of records and views that hold times, machines, processes and files' stamps."""
_MARK = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}(-[0-9a-f]{8})?")
"""The attempt, and the execution, in the name of what they wrote."""
_HASH = re.compile(r"[0-9a-f]{16,64}")
SNAPSHOT = "manifest.duckdb"
Masks = Mapping[str, str]
"""Texts that stand for what differs between two folders: paths, and ids that are made of paths."""


def masked(text: str, masks: Masks) -> str:
    for found, instead in masks.items():
        text = text.replace(found, instead)
    return _MARK.sub("MARK", text)


def hashed(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value, sort_keys=True, default=str).encode()
    return hashlib.sha256(data).hexdigest()[:16]


def rows_of(rows: list[dict[str, Any]], masks: Masks) -> list[str]:
    """Rows as sorted text, without what is volatile; an order of their own few of them have."""
    kept = [{name: value for name, value in row.items() if name not in VOLATILE} for row in rows]
    return sorted(masked(json.dumps(row, sort_keys=True, default=_plain), masks) for row in kept)


def files(root: Path, masks: Masks, of_machine: re.Pattern[str] | None = None) -> dict[str, str]:
    """Hash by name of every file; of those that begin with `of_machine`, whose bits depend on the machine, the shape.

    Records are compared by their rows, and what holds a path by its text; all else byte by byte.
    """
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        name = masked(path.relative_to(root).as_posix(), masks)
        if name.startswith("manifest/parts/seen/"):
            name = "manifest/parts/seen/STAMPS.parquet"  # named by the stamps of input files
        if name.startswith("cache/"):
            name = re.sub(r"[^/]+$", "ANSWERS", name)  # named by who asked
        if of_machine is not None and of_machine.match(name):
            found[_HASH.sub("HASH", name)].append(_shape(path))
        else:
            found[name].append(_content(path, root, masks))
    return {name: " ".join(sorted(hashes)) for name, hashes in found.items()}


def _content(path: Path, root: Path, masks: Masks) -> str:
    name = path.relative_to(root).as_posix()
    if name == SNAPSHOT:
        return _shape(path)
    if name.startswith("manifest/") or (masks and path.name.startswith("train-")):
        table = pq.read_table(path)
        return hashed([str(table.schema.remove_metadata()), rows_of(table.to_pylist(), masks)])
    if masks and path.suffix in (".md", ".json", ".html"):
        return hashed(masked(path.read_text(encoding="utf-8"), masks))
    return hashed(path.read_bytes())


def _shape(path: Path) -> str:
    """Of a table its columns and the number of rows."""
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        return hashed([str(table.schema.remove_metadata()), table.num_rows])
    if path.name == SNAPSHOT:
        import duckdb

        with duckdb.connect(str(path), read_only=True) as connection:
            columns = connection.execute("SELECT table_name, column_name, data_type FROM duckdb_columns() ORDER BY ALL")
            return hashed(columns.fetchall())
    return "there"


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names whose values differ, or that only one side has."""
    said = [f"{name} is gone" for name in one.keys() - other.keys()]
    said += [f"{name} is new" for name in other.keys() - one.keys()]
    said += [f"{name} differs" for name in one.keys() & other.keys() if one[name] != other[name]]
    return sorted(said)
