"""Turning a source column into texts that stages can trust: UTF-8, large_string, null where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from schemas.documents import TEXT


def usable(kind: pa.DataType) -> bool:
    """Whether a column of this type can be read as text."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return stringlike(kind) or binary(kind)


def stringlike(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def nested(kind: pa.DataType) -> bool:
    """Whether values of this type are lists or objects, which are read as JSON where a text is wanted."""
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(listed or pa.types.is_struct(kind) or pa.types.is_map(kind))


def as_json(array: pa.Array, sparse: bool = False) -> pa.Array:
    """Nested values as JSON texts, null where they are. Bytes that are no UTF-8 show as U+FFFD.

    `sparse`: what is null is left out of objects, as where it stands for a name that other files have.
    """
    # A loop over rows: Arrow has no kernel that writes JSON.
    try:
        found = array.to_pylist()
    except (ValueError, OverflowError):  # Python has no such date, or no such text
        from curation.sources.shapes import fitted

        found = fitted(array, _printable(array.type)).to_pylist()
    found = [without_nulls(value) for value in found] if sparse else found
    rows = [None if value is None else orjson.dumps(value, default=_spelt).decode() for value in found]
    return pa.array(rows, TEXT)


def without_nulls(value: Any) -> Any:
    """Without nulls inside objects."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def _spelt(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _printable(kind: pa.DataType) -> pa.DataType:
    """The type with texts in place of times, which Python knows for some years alone, and bytes in place of texts."""
    from curation.sources.shapes import plain

    kind = plain(kind)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_printable(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(kind.key_type, _printable(kind.item_type))
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(_printable(kind.value_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(_printable(kind.value_type))
    if pa.types.is_duration(kind):
        return pa.int64()
    if pa.types.is_temporal(kind):
        return pa.string()
    return pa.large_binary() if stringlike(kind) else kind


def valid_text(array: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """A `TEXT` array with invalid UTF-8 made null, and where that happened (bool [n])."""
    bad = np.zeros(len(array), dtype=bool)
    if not _valid(array):
        # one document at a time: Arrow says only that some row is invalid, and this path is rare
        raw = array.view(pa.large_binary()).to_pylist()
        for row, value in enumerate(raw):
            try:
                (value or b"").decode()
            except UnicodeDecodeError:
                bad[row], raw[row] = True, None
        array = pa.array(raw, type=pa.large_binary()).view(TEXT)
    return array, bad


def repaired(array: pa.Array) -> pa.Array:
    """A string array with U+FFFD in place of bytes that are not UTF-8: for columns that are carried along unread."""
    if _valid(array):
        return array
    raw = array.cast(pa.large_string()).view(pa.large_binary()).to_pylist()
    marked = [None if value is None else value.decode(errors="replace") for value in raw]
    return pa.array(marked, type=array.type)


def _valid(array: pa.Array) -> bool:
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
