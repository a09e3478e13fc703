"""Turning a source column into texts that stages can trust: UTF-8, large_string, null where it is not."""

from __future__ import annotations

import numpy as np
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


def nameable(kind: pa.DataType) -> bool:
    """Whether a column of this type can be the user's own id."""
    plain = (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
    )
    return stringlike(kind) or binary(kind) or plain or pa.types.is_date(kind) or pa.types.is_timestamp(kind)


def names(ids: pa.Array) -> pa.Array:
    """Ids as text; bytes that are not UTF-8 show as U+FFFD."""
    if binary(ids.type):
        ids = ids.cast(pa.large_binary()).view(pa.large_string())
    return (repaired(ids) if stringlike(ids.type) else ids).cast(pa.string())


def _valid(array: pa.Array) -> bool:
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
