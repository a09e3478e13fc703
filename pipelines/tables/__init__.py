"""A result as a table for people, or as JSON, JSON lines, CSV or Parquet for programs. Imports `curation` and below."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from pipelines.streams import coloured, writable
from pipelines.tables.layout import Layout, Show
from pipelines.tables.people import markdown_rows, write_people
from pipelines.tables.programs import write_csv, write_json, write_jsonl, write_parquet
from pipelines.tables.values import Rows
from pipelines.tables.width import folded
from schemas.errors import CurationError, Finding

__all__ = ["Layout", "Show", "print_table", "sentences", "width_of"]


def print_table(
    table: Rows,
    format: str = "table",
    stream: TextIO | None = None,
    layout: Layout | None = None,
    wide: bool = False,
    fit: bool = True,
) -> None:
    """Print a result; `jsonl`, `csv` and `parquet` hold one record batch at a time.

    - `table`: for people, as `layout` says. On a terminal, or as wide as COLUMNS, columns that do not fit are left out
      and named, long texts cut, and of many rows the middle is left out, but
      where the layout folds texts; `wide` leaves out nothing. Elsewhere, and
      without `fit`, every row and column is printed, and a text up to 1,000 characters.
    - `markdown`: the same columns, every row, texts whole.
    - `json`: `{"schema_version": 1, "columns": [...], "rows": [{...}, ...]}`.
    - `jsonl`: an object a line.
    - `csv`: with a header; null is empty, lists and structs are JSON.
    - `parquet`: to a file or a pipe; raises C004 for a terminal.

    In all of them two columns of one name are `a` and `a_1`. In the last four a value is never shortened: times are
    ISO 8601, intervals as DuckDB writes them, bytes are base64 (but in Parquet), NaN and infinities are null in JSON
    and CSV, which have no word for them, and an integer beyond 2**53 stays exact. What
    steers a terminal is shown on one: in JSON as its escapes, which mean the same, in CSV only where no pipe reads it.
    """
    stream = sys.stdout if stream is None else stream
    writable(stream)
    match format:
        case "table":
            width = width_of(stream) if fit else None
            listing = any(show.form == "wrap" for show in layout or ())  # texts to be read: all of them
            colour, short = coloured(stream), stream.isatty() and not listing
            write_people(table, stream, layout, wide=wide, width=width, colour=colour, short=short)
        case "markdown":
            _write_markdown(table, stream, layout, wide)
        case "json":
            write_json(table, stream)
        case "jsonl":
            write_jsonl(table, stream)
        case "csv":
            write_csv(table, stream)
        case "parquet":
            if stream.isatty():
                raise CurationError(
                    Finding("C004", "Parquet is not for a terminal", "name a file: --output rows.parquet")
                )
            stream.flush()
            write_parquet(table, stream.buffer)
        case _:
            raise ValueError(f"no such format: {format}")
    stream.flush()


def _write_markdown(table: Rows, stream: TextIO, layout: Layout | None, wide: bool) -> None:
    from curation.report.tables import table as lines

    heads, cells, right = markdown_rows(table, layout, wide)
    head, rule, *body = lines(heads, cells)
    rule = "| " + " | ".join("---:" if one else "---" for one in right) + " |"
    stream.write("".join(f"{line}\n" for line in [head, rule, *body]))


def width_of(stream: TextIO) -> int | None:
    """Of a table: what COLUMNS says, else the terminal's; None for a file or a pipe, where nothing is to fit."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    if not stream.isatty():
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def sentences(line: str, stream: TextIO, indent: str) -> list[str]:
    """Lines of a sentence, folded between words as wide as the terminal. Elsewhere it is one line, COLUMNS or not: who
    searches a log looks for it whole."""
    width = width_of(stream) if stream.isatty() else None
    return [line] if width is None else folded(line, width, indent, whole=True)
