"""Values of an Arrow table as Python has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Rows: TypeAlias = "pa.Table | pa.RecordBatchReader"
"""A result: whole, or as it comes."""


def batches(table: Rows) -> Iterator[pa.RecordBatch]:
    yield from table.to_batches(max_chunksize=8192) if isinstance(table, pa.Table) else table


def unique_names(schema: pa.Schema) -> list[str]:
    """Column names, made different from one another: an object cannot hold one key twice."""
    names: list[str] = []
    for name in schema.names:
        unique, count = name, 1
        while unique in names:
            unique, count = f"{name}_{count}", count + 1
        names.append(unique)
    return names


def rows(table: Rows) -> Iterator[list[Any]]:
    for batch in batches(table):
        # A Python value for each cell: that is what printing is.
        columns = [python_values(column) for column in batch.columns]
        yield from ([column[row] for column in columns] for row in range(batch.num_rows))


def python_values(column: pa.Array) -> list[Any]:
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
        children = [python_values(pc.struct_field(column, [number])) for number in range(len(names))]
        rows = (dict(zip(names, row, strict=True)) for row in zip(*children, strict=True)) if children else iter(())
        return [None if null else row for null, row in zip(nulls, rows, strict=True)]
    if pa.types.is_map(kind):
        pairs = column.cast(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)])))
        return [row if row is None else [(item["key"], item["value"]) for item in row] for row in python_values(pairs)]
    inner = iter(python_values(column.flatten()))
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
