"""`read_parquet` in SQL, of exactly the files that are named: a path is data, never a pattern or a column."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ESCAPED = re.compile(r"\[([*?\[])\]")


def scan(paths: Iterable[str], **options: bool) -> str:
    """SQL that reads some files of a workspace, as `Store.uri` names them.

    `options` are DuckDB's own: `filename`, `union_by_name`. No folder `key=value` above a file becomes a column, and
    `*`, `?` and `[` in a path stand for themselves.
    """
    given = {"hive_partitioning": False, **options}
    how = ", ".join(f"{name} = {str(value).lower()}" for name, value in given.items())
    return f"read_parquet([{', '.join(quoted(exact(path)) for path in paths)}], {how})"


def exact(path: str) -> str:
    """The pattern that matches one path and nothing else."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def plain(pattern: str) -> str:
    """The path behind `exact`."""
    return _ESCAPED.sub(r"\1", pattern)


def quoted(text: str) -> str:
    """A string of SQL."""
    return "'" + text.replace("'", "''") + "'"
