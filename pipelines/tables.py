"""A result as a table for people, or as JSON, JSON lines or CSV for programs."""

from __future__ import annotations

import base64
import io
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.escape import terminal

SCHEMA_VERSION = 1
"""Of the JSON form of a result."""
HEAD_ROWS = 20
"""Rows shown at either end of a table that is cut on a terminal."""
CELL_CHARACTERS = 80
"""Longest cell of a table."""

_STEERING = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def print_table(table: pa.Table | pa.RecordBatchReader, format: str = "table", stream: TextIO | None = None) -> None:
    """Print a result; `jsonl` and `csv` hold one record batch at a time.

    - `table`: boxes. On a terminal the middle of a long result is left out, and said so; elsewhere every row is
      printed. Cells over `CELL_CHARACTERS` are shortened in both.
    - `json`: `{"schema_version": 1, "columns": [...], "rows": [{...}, ...]}`.
    - `jsonl`: an object a line.
    - `csv`: with a header; null is empty, lists and structs are JSON.

    In the last three a value is never shortened: times are ISO 8601, bytes are base64, NaN and infinities are null in
    JSON (which has no word for them) and `nan`, `inf`, `-inf` in CSV, and an integer beyond 2**53 stays exact. What
    steers a terminal is shown on one: in JSON as its escapes, which mean the same, in CSV only where no pipe reads it.
    """
    stream = sys.stdout if stream is None else stream
    writable(stream)
    writers: dict[str, Callable[[pa.Table | pa.RecordBatchReader, TextIO], None]] = {
        "table": _write_boxes,
        "json": _write_json,
        "jsonl": _write_jsonl,
        "csv": _write_csv,
    }
    writers[format](table, stream)
    stream.flush()


def _batches(table: pa.Table | pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    yield from table.to_batches(max_chunksize=8192) if isinstance(table, pa.Table) else table


def _names(schema: pa.Schema) -> list[str]:
    """Column names, made different from one another: an object cannot hold one key twice."""
    names: list[str] = []
    for name in schema.names:
        unique, count = name, 1
        while unique in names:
            unique, count = f"{name}_{count}", count + 1
        names.append(unique)
    return names


def _rows(table: pa.Table | pa.RecordBatchReader) -> Iterator[list[Any]]:
    for batch in _batches(table):
        # A Python value for each cell: that is what printing is.
        columns = [_python(column) for column in batch.columns]
        yield from ([column[row] for column in columns] for row in range(batch.num_rows))


def _python(column: pa.Array) -> list[Any]:
    kind = column.type
    if not _odd(kind):
        return column.to_pylist()  # type: ignore[no-any-return]
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return _moments(column)
    if pa.types.is_time(kind):
        return [
            None if value is None else _clock(value, kind.unit)
            for value in column.cast(_WIDTHS[kind.bit_width]).to_pylist()
        ]
    if pa.types.is_duration(kind):
        return _durations(column)
    if kind == pa.month_day_nano_interval():
        return [None if value is None else _interval(*value) for value in column.to_pylist()]
    nulls = column.is_null().to_pylist()
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        children = [_python(pc.struct_field(column, [number])) for number in range(len(names))]
        rows = (dict(zip(names, row, strict=True)) for row in zip(*children, strict=True)) if children else iter(())
        return [None if null else row for null, row in zip(nulls, rows, strict=True)]
    if pa.types.is_map(kind):
        pairs = column.cast(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)])))
        return [row if row is None else [(item["key"], item["value"]) for item in row] for row in _python(pairs)]
    inner = iter(_python(column.flatten()))
    sizes = pc.list_value_length(column).to_pylist()
    return [None if size is None else [next(inner) for _ in range(size)] for size in sizes]


_WIDTHS = {32: pa.int32(), 64: pa.int64()}
_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
"""Of a second, by unit."""


def _odd(kind: pa.DataType) -> bool:
    """Whether a type may hold values for which Python has none: years beyond 9999, nanoseconds, months."""
    if pa.types.is_nested(kind):
        return any(_odd(kind.field(number).type) for number in range(kind.num_fields))
    return bool(pa.types.is_temporal(kind) or kind == pa.month_day_nano_interval())


def _moments(column: pa.Array) -> list[Any]:
    """Dates and timestamps: as Python's where it has them, else as ISO 8601 text, `infinity` and `-infinity`."""
    kind = column.type
    if not (pa.types.is_timestamp(kind) and kind.unit == "ns"):
        with suppress(OverflowError, ValueError, pa.ArrowException):
            return column.to_pylist()  # type: ignore[no-any-return]
    date = pa.types.is_date(kind)
    unit: Any = {32: "D", 64: "ms"}[kind.bit_width] if date else kind.unit
    numbers = column.cast(_WIDTHS[kind.bit_width])
    zone = "" if date or kind.tz is None else "+00:00"
    most = 2 ** (kind.bit_width - 1) - 1
    texts: list[Any] = []
    for number, single in zip(numbers.to_pylist(), column, strict=True):
        if number is None or abs(number) == most:
            texts.append(None if number is None else "infinity" if number > 0 else "-infinity")
            continue
        if unit == "ns" and number % 1000 == 0:
            single = pa.scalar(number // 1000, pa.timestamp("us", kind.tz))
        try:
            texts.append(single.as_py())
        except (OverflowError, ValueError):
            texts.append(str(np.datetime_as_string(np.datetime64(number, unit))) + zone)
    return texts


def _clock(value: int, unit: str) -> str:
    """A time of the day; 24:00:00 is one in SQL."""
    seconds, rest = divmod(value, 10 ** _DIGITS[unit])
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{text}.{rest:0{_DIGITS[unit]}d}" if rest else text


def _durations(column: pa.Array) -> list[Any]:
    """Seconds."""
    digits = _DIGITS[column.type.unit]
    return [None if value is None else value / 10**digits for value in column.cast(pa.int64()).to_pylist()]


def _interval(months: int, days: int, nanoseconds: int) -> str:
    """As DuckDB writes it, which it reads again: `1 year 2 months 3 days 04:05:06.789`."""
    years, months = int(months / 12), months - 12 * int(months / 12)
    parts = [
        f"{number} {unit}{'' if number in (1, -1) else 's'}"
        for number, unit in ((years, "year"), (months, "month"), (days, "day"))
        if number
    ]
    if nanoseconds or not parts:
        clock = _clock(abs(nanoseconds) // 1000, "us")
        parts.append(f"-{clock}" if nanoseconds < 0 else clock)
    return " ".join(parts)


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    match value:
        case bool() | int() | str() | None:
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return (int(value) if value == value.to_integral_value() else float(value)) if value.is_finite() else None
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case dict():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
    return str(value)


def _dumps(value: Any) -> str:
    """JSON whose strings hold no character that steers a terminal or ends a line: the escapes mean the same."""
    return _STEERING.sub(_escaped, json.dumps(value, ensure_ascii=False, allow_nan=False))


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found.group())[1:-1]


def _spelt(text: str, stream: TextIO) -> str:
    """JSON as the stream can hold it: in JSON's own escapes where it is not UTF-8."""
    if (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8":
        return text
    return "".join(char if char.isascii() else json.dumps(char)[1:-1] for char in text)


def coloured(stream: TextIO) -> bool:
    """Whether a stream is to have colours."""
    # https://no-color.org: present and not empty, whatever its value.
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def writable(stream: TextIO) -> None:
    """A terminal or pipe that is not UTF-8 gets what it cannot hold in escapes, and no exception."""
    if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
        stream.reconfigure(errors="backslashreplace")


def _write_json(table: pa.Table | pa.RecordBatchReader, stream: TextIO) -> None:
    names = _names(table.schema)
    stream.write(_spelt(f'{{"schema_version": {SCHEMA_VERSION}, "columns": {_dumps(names)}, "rows": [', stream))
    for index, row in enumerate(_rows(table)):
        stream.write(("\n" if index == 0 else ",\n") + _spelt(_object(names, row), stream))
    stream.write("\n]}\n")


def _write_jsonl(table: pa.Table | pa.RecordBatchReader, stream: TextIO) -> None:
    names = _names(table.schema)
    for row in _rows(table):
        stream.write(_spelt(_object(names, row), stream) + "\n")


def _object(names: Sequence[str], row: Sequence[Any]) -> str:
    return _dumps({name: plain(value) for name, value in zip(names, row, strict=True)})


def _write_csv(table: pa.Table | pa.RecordBatchReader, stream: TextIO) -> None:
    shown = terminal if stream.isatty() else str
    stream.write(",".join(_csv_field(shown(name)) for name in table.schema.names) + "\n")
    for row in _rows(table):
        stream.write(",".join(_csv_field(shown(_cell(value))) for value in row) + "\n")


def _csv_field(text: str) -> str:
    # Not the csv module: with "\n" between lines it leaves a lone "\r" bare, which readers take for a line's end.
    return '"' + text.replace('"', '""') + '"' if any(char in text for char in ',"\n\r') else text


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case float():
            return repr(value)
        case Decimal():
            return str(value)
        case dict() | list() | tuple():
            return _dumps(plain(value))
    return str(plain(value))


def _write_boxes(table: pa.Table | pa.RecordBatchReader, stream: TextIO) -> None:
    # Only this needs rich, and importing it takes longer than most commands run.
    from rich.console import Console
    from rich.text import Text

    if not isinstance(table, pa.Table):
        table = table.read_all()
    wide = not stream.isatty()
    # Off a terminal there is no width to fit.
    console = Console(
        file=stream,
        width=1_000_000 if wide else None,
        color_system="auto" if coloured(stream) else None,
        highlight=False,
        legacy_windows=False,
    )
    total = table.num_rows
    cut = not wide and total > 2 * HEAD_ROWS
    shown = pa.concat_tables([table.slice(0, HEAD_ROWS), table.slice(total - HEAD_ROWS)]) if cut else table
    names = [terminal(name) for name in table.schema.names]
    rows = [[_short(value) for value in row] for row in _rows(shown)]
    # Words broken over several lines can neither be read nor copied.
    if rows and _narrowest(names, rows) > console.width:
        for part in _records(names, rows, total):
            console.print(part)
    else:
        console.print(_boxes(table.schema, names, rows, cut, wide))
    count = f"{total:,} row{'' if total == 1 else 's'}"
    if cut:
        count += f" ({2 * HEAD_ROWS} shown)"
    console.print(Text(count))


def _narrowest(names: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Columns of a terminal that a table takes at least if no word of it is broken."""
    columns = zip(names, *rows, strict=True)
    return sum(max(len(word) for text in column for word in text.split() or [""]) + 3 for column in columns) + 1


def _boxes(schema: pa.Schema, names: Sequence[str], rows: Sequence[Sequence[str]], cut: bool, wide: bool) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    boxes = Table(box=box.ASCII2 if wide else box.ROUNDED, show_header=True, header_style="bold")
    for name, field in zip(names, schema, strict=True):
        right = pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_decimal(field.type)
        boxes.add_column(Text(name), justify="right" if right else "left", overflow="fold")
    # Text, so that brackets in a value are not markup.
    for index, row in enumerate(rows):
        if cut and index == HEAD_ROWS:
            boxes.add_row(*[Text("…") for _ in row])
        boxes.add_row(*[Text(value) for value in row])
    return boxes


def _records(names: Sequence[str], rows: Sequence[Sequence[str]], total: int) -> Iterator[Any]:
    """A table on its side, for a terminal too narrow for it: of each row its number, then a line for each column."""
    from rich.table import Table
    from rich.text import Text

    for index, row in enumerate(rows):
        number = index + 1
        if index >= HEAD_ROWS and total > len(rows):
            number += total - len(rows)
            if index == HEAD_ROWS:
                yield Text("…")
        yield Text(f"-- {number:,}")
        record = Table.grid(padding=(0, 2, 0, 0))
        record.add_column(style="bold", no_wrap=True)
        record.add_column(overflow="fold")
        for name, value in zip(names, row, strict=True):
            record.add_row(Text(name), Text(value))
        yield record


def _short(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, float) and math.isfinite(value):
        text = f"{value:.6g}"
    else:
        text = terminal(_cell(value))
    return text if len(text) <= CELL_CHARACTERS else text[: CELL_CHARACTERS - 1] + "…"
