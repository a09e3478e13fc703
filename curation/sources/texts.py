"""Turning a source column into texts that stages can trust: UTF-8, large_string, null where it is not."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from schemas.documents import TEXT


def usable(kind: pa.DataType) -> bool:
    """Whether a column of this type can be read as text."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )


def valid_text(array: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """A `TEXT` array with invalid UTF-8 made null, and where that happened (bool [n])."""
    bad = np.zeros(len(array), dtype=bool)
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        # one document at a time: Arrow says only that some row is invalid, and this path is rare
        raw = array.view(pa.large_binary())
        for row in range(len(raw)):
            value = raw[row].as_py()
            if value is not None:
                try:
                    value.decode()
                except UnicodeDecodeError:
                    bad[row] = True
        array = pa.array(
            [None if bad[row] else raw[row].as_py() for row in range(len(raw))], type=pa.large_binary()
        ).view(TEXT)
    return array, bad
