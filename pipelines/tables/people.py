"""A result for people: columns of natural width, and what does not fit a terminal is left out and named.

Numbers and times are whole or not there. Texts get `…` where they are cut, paths in their middle. Columns go from the
right, or by the `rank` that a layout gives them, those first that hold nothing, until the rest fits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TextIO

import pyarrow as pa

from curation.escape import terminal
from pipelines.tables import human
from pipelines.tables.programs import cell, utf8
from pipelines.tables.values import Rows, rows, unique_names
from pipelines.tables.width import MORE, cells, cut, folded, padded, right_to_left, steady

HEAD_ROWS = 20
"""Rows shown at either end of a table that is cut on a terminal."""
LEAST = 24
"""Columns of a terminal that a text keeps: names, ids and short reasons are whole."""
MOST = 80
"""The same at most, while there is a width to fit."""
LONGEST = 1000
"""Characters of a text where there is no width to fit."""
GAP = "  "

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
    """count, bytes, seconds, moment, share, path, list of texts, number, plain, or wrap: a text over several lines. By
    default what type and name say."""
    rank: int = 0
    """Of the columns that do not fit, the highest rank goes first."""
    optional: bool = False
    """Left out where all its values are NULL, zero, empty or `usual`."""
    usual: str = ""
    unlike: str = ""
    """Left out where it says the same as this column."""
    most: int = MOST
    whole: bool = False
    """Never cut, since it is copied: other columns go first."""


Layout = Sequence[Show]


@dataclass
class _Column:
    head: str
    texts: list[str]
    styles: list[str]
    right: bool
    least: int
    natural: int
    show: Show
    blank: bool = False
    """Whether all its values are NULL: of one rank such columns go first."""


ON_COMMAND_LINE = "--wide, -f jsonl"


def write_people(
    table: Rows,
    stream: TextIO,
    layout: Layout | None = None,
    *,
    wide: bool = False,
    width: int | None = None,
    colour: bool = False,
    short: bool = False,
    others: str = ON_COMMAND_LINE,
) -> None:
    """`width` is that of the terminal, None where there is none to fit; `short` leaves out the middle of many rows;
    `others` says how what was left out is to be had."""
    table = table if isinstance(table, pa.Table) else table.read_all()
    width = None if wide else width
    total = table.num_rows
    short = short and not wide and total > 2 * HEAD_ROWS
    if short:
        table = pa.concat_tables([table.slice(0, HEAD_ROWS), table.slice(total - HEAD_ROWS)])
    generic = layout is None
    columns = _columns(table, _layout(table.schema, layout, wide), width, "NULL" if generic else "-")
    if generic and total == 1 and width is not None and _breadth(columns) > width:
        lines: Iterable[str] = _record(table, width, colour)
    else:
        lines = _lines(columns, width, colour, short, others)
    spell = str if utf8(stream) else _ascii
    for line in lines:
        stream.write(spell(line) + "\n")
    if generic or short:
        note = f" ({2 * HEAD_ROWS} shown; the others: {others})" if short else ""
        stream.write(f"{total:,} row{'' if total == 1 else 's'}{note}\n")


def markdown_rows(table: Rows, layout: Layout | None, wide: bool) -> tuple[list[str], list[list[str]], list[bool]]:
    """For a table of Markdown: headers, cells that are neither shortened nor escaped, which columns stand right."""
    table = table if isinstance(table, pa.Table) else table.read_all()
    heads, texts, right = [], [], []
    for show, field, values in _taken(table, _layout(table.schema, layout, wide)):
        form = _form(show, field)
        heads.append(show.head or show.column)
        texts.append(["NULL" if value is None else _text(value, form) for value in values])
        right.append(_right(show, field))
    return heads, [list(row) for row in zip(*texts, strict=True)], right


def _ascii(line: str) -> str:
    return line.replace(MORE, "...").replace("─", "-")


def _layout(schema: pa.Schema, layout: Layout | None, wide: bool) -> list[Show]:
    names = unique_names(schema)
    if layout is None:
        return [Show(name) for name in names]
    there = [show for show in layout if show.column in names]
    more = [name for name in names if name not in {show.column for show in there}] if wide else []
    return [*there, *map(Show, more)]


def _taken(table: pa.Table, shows: Sequence[Show]) -> Iterator[tuple[Show, pa.Field, list[Any]]]:
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


def _columns(table: pa.Table, shows: Sequence[Show], width: int | None, null: str) -> list[_Column]:
    columns = []
    for show, field, values in _taken(table, shows):
        form = _form(show, field)
        texts = [null if value is None else _cell(_text(value, form)) for value in values]
        limit = LONGEST if width is None else show.most
        if form != "wrap" and not show.whole:
            texts = [cut(text, limit, form == "path") for text in texts]
        styles = [_style(value, show.column) for value in values]
        head = _cell(show.head or show.column)
        natural = max([cells(head), *map(cells, texts)])
        right = _right(show, field)
        least = min(natural, LEAST)
        if right or form == "moment" or show.whole:
            least = max(least, *map(cells, texts), 0)
        blank = bool(values) and all(value is None for value in values)
        columns.append(_Column(head, texts, styles, right, least, natural, show, blank))
    return columns


def _cell(text: str) -> str:
    return steady(terminal(text))


def _form(show: Show, field: pa.Field) -> str:
    if show.form:
        return show.form
    name = show.column
    if pa.types.is_integer(field.type):
        if name == "bytes" or name.endswith("_bytes"):
            return "bytes"
        return "count" if name in COUNTS or name.startswith("count") else "plain"
    return "path" if name in PATHS else ""


def _right(show: Show, field: pa.Field) -> bool:
    kind = field.type
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return bool(numeric and show.form != "moment")


def _text(value: Any, form: str) -> str:
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
    if form == "list":
        return ", ".join(value)
    if isinstance(value, datetime):
        return human.moment(value) if form == "moment" else f"{value:%Y-%m-%d %H:%M:%S}"
    return cell(value)


def _style(value: Any, column: str) -> str:
    if value is None:
        return FAINT
    if column in VERDICTS:
        return WORDS.get(value, "") if isinstance(value, str) else ""
    return TALLIES.get(column, "") if value and not isinstance(value, str) else ""


def _breadth(columns: Sequence[_Column]) -> int:
    return sum(column.natural for column in columns) + len(GAP) * (len(columns) - 1)


def _lines(
    columns: list[_Column], width: int | None, colour: bool, short: bool = False, others: str = ON_COMMAND_LINE
) -> Iterator[str]:
    shown = columns if width is None else _that_fit(columns, width)
    widths = _widths(shown, width)
    heads = [(cut(column.head, size), STRONG) for column, size in zip(shown, widths, strict=True)]
    yield _line(heads, widths, shown, colour)
    yield GAP.join("─" * size for size in widths)
    for index in range(len(columns[0].texts) if columns else 0):
        if short and index == HEAD_ROWS:
            yield MORE
        yield from _row(shown, widths, index, colour, width is not None)
    left = [column.head for column in columns if column not in shown]
    if left and width is not None:
        yield _left_out(left, width, colour, others)


def _row(columns: list[_Column], widths: list[int], index: int, colour: bool, marked: bool) -> Iterator[str]:
    pieces = []
    for column, size in zip(columns, widths, strict=True):
        text = column.texts[index]
        wraps = column.show.form == "wrap"
        pieces.append(folded(text, size) if wraps else [cut(text, size, _in_the_middle(column))])
    for number in range(max(map(len, pieces))):
        row = []
        for column, lines in zip(columns, pieces, strict=True):
            text = lines[number] if number < len(lines) else ""
            if marked and right_to_left(text):
                text += "\u200e"  # what follows is read from left to right again
            row.append((text, column.styles[index]))
        yield _line(row, widths, columns, colour)


def _in_the_middle(column: _Column) -> bool:
    return column.show.form == "path" or (not column.show.form and column.show.column in PATHS)


def _line(row: list[tuple[str, str]], widths: list[int], columns: list[_Column], colour: bool) -> str:
    texts = []
    for (text, style), size, column in zip(row, widths, columns, strict=True):
        blank = padded("", size - cells(text))
        painted = f"\x1b[{style}m{text}\x1b[0m" if colour and style and text else text
        texts.append(blank + painted if column.right else painted + blank)
    return GAP.join(texts).rstrip(" ")


def _that_fit(columns: list[_Column], width: int) -> list[_Column]:
    shown = list(columns)
    while len(shown) > 1 and sum(column.least for column in shown) + len(GAP) * (len(shown) - 1) > width:
        shown.remove(max(reversed(shown), key=lambda column: (column.show.rank, column.blank)))
    return shown


def _widths(columns: list[_Column], width: int | None) -> list[int]:
    """Natural ones; where they do not fit, the narrowest of those that were cut grow first."""
    natural = [column.natural for column in columns]
    gaps = len(GAP) * (len(columns) - 1)
    if width is None or sum(natural) + gaps <= width:
        return natural
    if len(columns) == 1:
        return [min(natural[0], width)]
    widths = [column.least for column in columns]
    for _ in range(width - gaps - sum(widths)):
        index = min((i for i, size in enumerate(widths) if size < natural[i]), key=widths.__getitem__)
        widths[index] += 1
    return widths


def _left_out(names: list[str], width: int, colour: bool, others: str) -> str:
    """`… 7 more columns: score, threshold, … (--wide, -f jsonl)`, on one line."""
    lead = f"{MORE} {len(names)} more column{'' if len(names) == 1 else 's'}"
    tail = f" ({others})"
    room = width - cells(lead) - cells(tail) - 2
    joined = ", ".join(names)
    listed = cut(joined, room) if room >= min(8, cells(joined)) else ""
    text = cut(f"{lead}{': ' if listed else ''}{listed}{tail}", width)
    return f"\x1b[{FAINT}m{text}\x1b[0m" if colour else text


def _record(table: pa.Table, width: int, colour: bool) -> Iterator[str]:
    """One row, a line for each value; those of a stage have the stage's name before them."""
    entries: list[tuple[str, str, str]] = []
    for show, field, (value,) in _taken(table, _layout(table.schema, None, False)):
        if isinstance(value, dict) and value and pa.types.is_struct(field.type):
            for child in field.type:
                text = _text(value[child.name], _form(Show(child.name), child))
                entries.append((f"{show.column}.{child.name}", text, _style(value[child.name], child.name)))
        else:
            entries.append((show.column, _text(value, _form(show, field)), _style(value, show.column)))
    names = [cut(_cell(name), max(1, width // 2)) for name, _, _ in entries]
    size = max(map(cells, names))
    for name, (column, text, style) in zip(names, entries, strict=True):
        text = cut(_cell(text), max(1, width - size - len(GAP)), column in PATHS)
        if right_to_left(text):
            text += "\u200e"
        text = f"\x1b[{style}m{text}\x1b[0m" if colour and style else text
        head = padded(name, size)
        yield f"\x1b[{STRONG}m{head}\x1b[0m{GAP}{text}".rstrip() if colour else f"{head}{GAP}{text}".rstrip()


def text_table(heads: Sequence[str], lines: Sequence[Sequence[str]], width: int | None, colour: bool) -> list[str]:
    """A table whose cells are texts already; columns of figures stand right."""
    columns = []
    for number, head in enumerate(heads):
        texts = [_cell(line[number]) if number < len(line) else "" for line in lines]
        right = any(texts) and all(_FIGURE.fullmatch(text) for text in texts)
        natural = max([cells(head), *map(cells, texts)])
        least = natural if right else min(natural, LEAST)
        columns.append(_Column(_cell(head), texts, [""] * len(texts), right, least, natural, Show(head)))
    return list(_lines(columns, width, colour))


_FIGURE = re.compile(r"[-+]?[\d.,]*\d[\d.,]*(e[-+]\d+)?( ?%| [kMGT]?B| m?s)?|")
