"""A result for people: columns of natural width, and what does not fit a terminal is left out and named.

Numbers and times are whole or not there. Texts get `…` where they are cut, paths in their middle. Columns go from the
right, or by the `rank` that a layout gives them, those first that hold nothing, until the rest fits; some stand below
their row then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

import pyarrow as pa

from curation.escape import terminal
from pipelines.tables.layout import (
    FAINT,
    PATHS,
    STRONG,
    Layout,
    Show,
    form_of,
    shows_of,
    stands_right,
    style_of,
    taken,
    text_of,
)
from pipelines.tables.programs import utf8
from pipelines.tables.values import Rows
from pipelines.tables.width import MORE, cells, cut, folded, padded, right_to_left, steady

HEAD_ROWS = 20
"""Rows shown at either end of a table that is cut on a terminal."""
LEAST = 24
"""Columns of a terminal that a text keeps: names, ids and short reasons are whole."""
LONGEST = 1000
"""Characters of a text where there is no width to fit."""
GAP = "  "
INDENT = "    "
"""Before what stands below a row."""


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
    total, terminal_width = table.num_rows, width
    width = None if wide else width
    short = short and not wide and total > 2 * HEAD_ROWS
    if short:
        table = pa.concat_tables([table.slice(0, HEAD_ROWS), table.slice(total - HEAD_ROWS)])
    generic = layout is None
    columns = _columns(table, shows_of(table.schema, layout, wide), width, "NULL" if generic else "-")
    if generic and total == 1 and terminal_width is not None and _breadth(columns) > terminal_width:
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
    for show, field, values in taken(table, shows_of(table.schema, layout, wide)):
        form = form_of(show, field)
        heads.append(show.head or show.column)
        texts.append(["NULL" if value is None else text_of(value, form) for value in values])
        right.append(stands_right(show, field))
    return heads, [list(row) for row in zip(*texts, strict=True)], right


def _ascii(line: str) -> str:
    return line.replace(MORE, "...").replace("─", "-")


def _columns(table: pa.Table, shows: Sequence[Show], width: int | None, null: str) -> list[_Column]:
    columns = []
    for show, field, values in taken(table, shows):
        form = form_of(show, field)
        texts = [null if value is None else _cell(text_of(value, form)) for value in values]
        limit = LONGEST if width is None else show.most
        if form != "wrap" and not show.whole:
            texts = [cut(text, limit, form == "path") for text in texts]
        styles = [style_of(value, show.column) for value in values]
        head = _cell(show.head or show.column)
        natural = max([cells(head), *map(cells, texts)])
        right = stands_right(show, field)
        least = min(natural, LEAST)
        if right or form == "moment" or show.whole:
            least = max(least, *map(cells, texts), 0)
        blank = bool(values) and all(value is None for value in values)
        columns.append(_Column(head, texts, styles, right, least, natural, show, blank))
    return columns


def _cell(text: str) -> str:
    return steady(terminal(text))


def _breadth(columns: Sequence[_Column]) -> int:
    return sum(column.natural for column in columns) + len(GAP) * (len(columns) - 1)


def _lines(
    columns: list[_Column], width: int | None, colour: bool, short: bool = False, others: str = ON_COMMAND_LINE
) -> Iterator[str]:
    shown = columns if width is None else _that_fit(columns, width)
    below = [column for column in columns if column.show.under and column not in shown]
    widths = _widths(shown, width)
    heads = [(cut(column.head, size), STRONG) for column, size in zip(shown, widths, strict=True)]
    yield _line(heads, widths, shown, colour)
    yield GAP.join("─" * size for size in widths)
    for index in range(len(columns[0].texts) if columns else 0):
        if short and index == HEAD_ROWS:
            yield MORE
        yield from _row(shown, widths, index, colour, width is not None)
        for column in below:
            text = column.texts[index]
            yield from folded(INDENT + text, width or LONGEST, INDENT) if text.strip(" -") else ()
    left = [column.head for column in columns if column not in shown and column not in below]
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
        gone = max(reversed(shown), key=lambda column: (column.show.rank, column.blank)).show
        shown = [column for column in shown if column.show is not gone and gone.mate != column.show.column]
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


def _record(table: pa.Table, width: int | None, colour: bool) -> Iterator[str]:
    """One row, a line for each value; those of a stage have the stage's name before them."""
    entries: list[tuple[str, str, str]] = []
    for show, field, (value,) in taken(table, shows_of(table.schema, None, False)):
        if isinstance(value, dict) and value and pa.types.is_struct(field.type):
            for child in field.type:
                text = text_of(value[child.name], form_of(Show(child.name), child))
                entries.append((f"{show.column}.{child.name}", text, style_of(value[child.name], child.name)))
        else:
            entries.append((show.column, text_of(value, form_of(show, field)), style_of(value, show.column)))
    names = [cut(_cell(name), max(1, width // 2) if width else LONGEST) for name, _, _ in entries]
    size = max(map(cells, names))
    for name, (column, text, style) in zip(names, entries, strict=True):
        text = _cell(text)
        if width is not None:
            text = cut(text, max(1, width - size - len(GAP)), column in PATHS)
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
