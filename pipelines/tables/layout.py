"""Which columns of a result people see, and how each value reads: by a command's layout, else by type and name."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from pipelines.tables import human
from pipelines.tables.programs import cell
from pipelines.tables.values import rows, unique_names

MOST = 80
"""Columns of a terminal that a text takes at most, while there is a width to fit."""
COUNTS = {"documents", "rows", "kept", "dropped", "errored", "rows_in", "rows_out", "files", "shards", "tokens"}
"""Columns whose whole numbers are read, not copied: they have commas."""
PATHS = {"path", "dataset", "file", "folder", "location", "address", "decisions", "recipe_path", "id", "url", "reason"}
"""Columns whose texts are told by how they begin and how they end: they are cut in their middle."""
GOOD, POOR, BAD, BUSY, FAINT, STRONG = "32", "33", "31", "36", "2", "1"
WORDS = {
    "kept": GOOD, "done": GOOD, "passed": GOOD, "SUCCEEDED": GOOD,
    "dropped": POOR, "interrupted": POOR, "unfinished": POOR, "STOPPED": POOR,
    "errored": BAD, "failed": BAD, "FAILED": BAD,
    "running": BUSY, "RUNNING": BUSY, "PENDING": BUSY,
}  # fmt: skip
"""What has a colour in the columns below."""
VERDICTS = {"outcome", "status", "verdict"}
TALLIES = {"kept": GOOD, "dropped": POOR, "errored": BAD, "failed": BAD}
"""Columns whose numbers have a colour where they are not zero."""


@dataclass(frozen=True)
class Show:
    """How a column of a table is shown to people."""

    column: str
    head: str = ""
    """Its header, where that is another word."""
    form: str = ""
    """count, bytes, seconds, moment, share, path, number, plain, or wrap: a text over several lines. By
    default what type and name say."""
    rank: int = 0
    """Of the columns that do not fit, the highest rank goes first."""
    under: bool = False
    """Where it does not fit beside the others it stands below each row, folded, and is not left out."""
    mate: str = ""
    """Goes with this column: the other end of an interval."""
    optional: bool = False
    """Left out where all its values are NULL, zero, empty or `usual`."""
    usual: str = ""
    unlike: str = ""
    """Left out where it says the same as this column."""
    most: int = MOST
    whole: bool = False
    """Never cut, since it is copied: other columns go first."""


Layout = Sequence[Show]


def shows_of(schema: pa.Schema, layout: Layout | None, wide: bool) -> list[Show]:
    names = unique_names(schema)
    if layout is None:
        return [Show(name) for name in names]
    there = [show for show in layout if show.column in names]
    more = [name for name in names if name not in {show.column for show in there}] if wide else []
    return [*there, *map(Show, more)]


def taken(table: pa.Table, shows: Sequence[Show]) -> Iterator[tuple[Show, pa.Field, list[Any]]]:
    names = unique_names(table.schema)
    values = list(zip(*rows(table), strict=True)) or [()] * len(names)
    for show in shows:
        index = names.index(show.column)
        column = list(values[index])
        if show.optional and not any(value and value != show.usual for value in column):
            continue
        if show.unlike and table.column(index).equals(table.column(names.index(show.unlike))):
            continue
        yield show, table.schema.field(index), column


def form_of(show: Show, field: pa.Field) -> str:
    if show.form:
        return show.form
    name = show.column
    if pa.types.is_integer(field.type):
        if name == "bytes" or name.endswith("_bytes"):
            return "bytes"
        return "count" if name in COUNTS or name.startswith("count") else "plain"
    return "path" if name in PATHS else ""


def stands_right(show: Show, field: pa.Field) -> bool:
    kind = field.type
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return bool((numeric and show.form != "moment") or show.form == "count")


def text_of(value: Any, form: str) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        if isinstance(value, float) and not math.isfinite(value):
            return human.number(value)
        match form:
            case "bytes":
                return human.size(float(value))
            case "seconds":
                return human.duration(float(value))
            case "share":
                return human.share(float(value))
            case "count":
                return f"{value:,}"
        return human.number(value) if isinstance(value, float) else str(value)
    if isinstance(value, datetime):
        return human.moment(value) if form == "moment" else f"{value:%Y-%m-%d %H:%M:%S}"
    return cell(value)


def style_of(value: Any, column: str) -> str:
    if value is None:
        return FAINT
    if column in VERDICTS:
        return WORDS.get(value, "") if isinstance(value, str) else ""
    return TALLIES.get(column, "") if value and not isinstance(value, str) else ""
