"""Lists and objects as the JSON texts that stages read."""

from __future__ import annotations

from typing import Any

import orjson
import pyarrow as pa

from curation.sources.shapes import fitted, plain
from curation.sources.texts import stringlike
from schemas.documents import TEXT


def as_json(array: pa.Array, sparse: bool = False) -> pa.Array:
    """Nested values as JSON texts, null where they are. Bytes that are no UTF-8 show as U+FFFD.

    `sparse`: what is null is left out of objects, as where it stands for a name that other files have.
    """
    # A loop over rows: Arrow has no kernel that writes JSON.
    try:
        values = array.to_pylist()
    except (ValueError, OverflowError):  # Python has no such date, or no such text
        values = fitted(array, _printable(array.type)).to_pylist()
    values = [without_nulls(value) for value in values] if sparse else values
    rows = [None if value is None else orjson.dumps(value, default=_spelt).decode() for value in values]
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
