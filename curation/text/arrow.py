"""Arrow string arrays as the two plain arrays that kernels read."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def buffers(array: pa.Array | pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Offsets and bytes of a string array: document `i` is `data[offsets[i]:offsets[i + 1]]`.

    Returns `offsets`, int64 of shape (n + 1,), ascending, and `data`, uint8, in UTF-8; views where Arrow's layout
    allows, and always read-only and contiguous, so that a kernel is compiled for one type only. A slice shares its
    parent's bytes, so `offsets[0]` may be above 0 and `data` may go on past `offsets[-1]`. A null is an empty span.

    Raises TypeError for anything but string and large_string arrays, chunked or not.
    """
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)
        if isinstance(array, pa.ChunkedArray):  # too long for one array of 32-bit offsets
            array = array.cast(pa.large_string()).combine_chunks()
    if pa.types.is_large_string(array.type):
        width: type[np.signedinteger] = np.int64
    elif pa.types.is_string(array.type):
        width = np.int32
    else:
        raise TypeError(f"expected an array of string or large_string, not of {array.type}")
    _, offset_buffer, data_buffer = array.buffers()
    data = _read_only(np.frombuffer(b"" if data_buffer is None else data_buffer, np.uint8))
    if offset_buffer is None or offset_buffer.size == 0:  # Arrow allows no offsets for an empty array
        return _read_only(np.zeros(len(array) + 1, np.int64)), data
    itemsize = np.dtype(width).itemsize
    offsets = np.frombuffer(offset_buffer, width, count=len(array) + 1, offset=array.offset * itemsize)
    offsets = _read_only(offsets.astype(np.int64, copy=False))
    if array.null_count:
        return _without_nulls(array, offsets, data)
    return offsets, data


def _without_nulls(
    array: pa.Array, offsets: NDArray[np.int64], data: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    # Arrow lets a null own bytes. Almost nobody writes such arrays, so only they pay for a copy.
    null = np.asarray(array.is_null())
    if not (np.diff(offsets)[null] > 0).any():
        return offsets, data
    return buffers(array.fill_null(""))


def _read_only(array: NDArray[Scalar]) -> NDArray[Scalar]:
    array.flags.writeable = False
    return array
