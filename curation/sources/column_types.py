"""The types of columns whose files declare none, from every value in them: JSON and CSV."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from curation.sources.identity import is_named
from curation.sources.json_values import Numeral, Raw, prints_alike
from curation.sources.shapes import plain

READER = {b"reader": b"2"}
"""Metadata of a schema that was made here: other rules, another number. One of an older number is made anew."""
UNREAD = b"unread"
"""Key of the same: beyond how many bytes some documents were not read; 0 where all were."""
NUMERALS = b"numerals"
"""Key of a field's metadata: all its values are numbers, though it is held as text to keep their digits."""
LINES = b"lines"
"""Key of a field's metadata: JSON of the kinds of its values and the first line of each."""
EXACT = 2**53
TOO_LARGE = "too_large"
"""In place of a fault: the document is longer than `input.max_document_bytes`, and was not read."""
WORDS = {"str": "text", "int": "a number", "float": "a number", "bool": "a boolean", "list": "a list or an object"}
Seen = dict[str, dict[str, int]]
"""By column and kind of value, the first line that has one."""


def note(seen: Seen, column: str, value: Any, line: int) -> None:
    """Take down one value that is not null."""
    kinds = seen.setdefault(column, {})
    if value is not None:
        kinds.setdefault(kind_of(value), line)


def kind_of(value: Any) -> str:
    """`int`: an integer that a float column may hold too. `long`: any other of 64 bits. `wide` and `big`: the same of
    those beyond 64 bits. `float`, `bool`, `str`, `list`."""
    kind = type(value)
    if kind is int:
        if -EXACT <= value <= EXACT:
            return "int"
        inside = -(2**63) <= value < 2**63
        alike = prints_alike(str(value))
        return ("int" if alike else "long") if inside else ("wide" if alike else "big")
    if kind is Numeral:
        digits = value.removeprefix("-")
        return "float" if not digits.isdigit() else "wide" if prints_alike(value) else "big"
    if kind is float:
        return "float"
    if kind is bool:
        return "bool"
    return "list" if kind in (dict, list, Raw) else "str"


def schema_of(seen: Seen, longest: int, limit: int) -> pa.Schema:
    """Columns in the order in which they came up. `longest`: bytes of the longest document, `limit`: of those read."""
    return pa.schema(
        [_field(name, kinds) for name, kinds in seen.items()],
        READER | {UNREAD: b"%d" % (limit if longest > limit else 0)},
    )


def still_typed(format: str, schema: pa.Schema | None, max_document_bytes: int) -> bool:
    """Whether a recorded schema is what the file would be given now, with documents up to `max_document_bytes` read."""
    if format == "parquet" or schema is None:
        return True
    metadata = schema.metadata or {}
    unread = int(metadata.get(UNREAD, b"0"))
    return (
        is_named(format, metadata)
        and metadata.get(b"reader") == READER[b"reader"]
        and (not unread or unread == max_document_bytes)
    )


def first_line(field: pa.Field, *kinds: str) -> int | None:
    """The first line with a value of one of these kinds."""
    lines = json.loads((field.metadata or {}).get(LINES, b"{}"))
    return min((lines[kind] for kind in kinds if kind in lines), default=None)


def is_number(field: pa.Field) -> bool:
    """Whether a file's column has numbers alone, if some of them as text to keep their digits."""
    return NUMERALS in (field.metadata or {}) or numeric(plain(field.type))


def numeric(kind: pa.DataType) -> bool:
    """Whether a column of this type can be read as numbers."""
    whole = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return bool(whole or pa.types.is_decimal(kind) or pa.types.is_null(kind))


def _field(name: str, lines: dict[str, int]) -> pa.Field:
    kinds = set(lines)
    metadata = {LINES: json.dumps(lines).encode()}
    if not kinds:
        return pa.field(name, pa.null(), metadata=metadata)
    if kinds == {"bool"}:
        return pa.field(name, pa.bool_(), metadata=metadata)
    if kinds <= {"int", "long"}:
        return pa.field(name, pa.int64(), metadata=metadata)
    if kinds <= {"int", "wide", "float"} and "float" in kinds:
        return pa.field(name, pa.float64(), metadata=metadata)
    if kinds <= {"int", "long", "wide", "big", "float", "numeral"}:
        metadata[NUMERALS] = b"1"
    return pa.field(name, pa.large_string(), metadata=metadata)
