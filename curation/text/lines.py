"""Lines as str.splitlines finds them, as one kernel over Arrow buffers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.text.arrow import buffers
from curation.text.compiling import njit, njit_inline
from curation.text.hashing import read64

_HIGH = np.uint64(0x8080808080808080)
_SPACES = np.uint64(0x2020202020202020)


class Lines(NamedTuple):
    """Lines of n documents: those of document `i` have the numbers `documents[i]` to `documents[i + 1]`."""

    documents: NDArray[np.int64]
    """Shape (n + 1,), ascending from 0."""
    starts: NDArray[np.uint32]
    """First byte of each line, counted from the start of its document."""
    ends: NDArray[np.uint32]
    """One past its last byte, the line break not included."""


def lines(text: pa.Array | pa.ChunkedArray) -> Lines:
    r"""Lines of every document in a string or large_string array; an empty or null document has none.

    Breaks are those of str.splitlines: \n, \v, \f, \r, \x1c, \x1d, \x1e, U+0085, U+2028, U+2029, and \r\n as one.
    """
    offsets, data = buffers(text)
    return Lines(*split(offsets, data))


@njit(nogil=True, cache=True)
def split(offsets, data):  # type: ignore[no-untyped-def]
    """Kernel behind `lines`: (documents, starts, ends) for buffers as `curation.text.arrow.buffers` gives them."""
    n = len(offsets) - 1
    documents = np.zeros(n + 1, np.int64)
    count = 0
    for document in range(n):
        i = offsets[document]
        stop = offsets[document + 1]
        while i < stop:
            _, i = line(data, i, stop)
            count += 1
        documents[document + 1] = count
    starts = np.empty(count, np.uint32)
    ends = np.empty(count, np.uint32)
    count = 0
    for document in range(n):
        base = offsets[document]
        i = base
        stop = offsets[document + 1]
        while i < stop:
            starts[count] = i - base
            end, i = line(data, i, stop)
            ends[count] = end - base
            count += 1
    return documents, starts, ends


@njit_inline
def line(data, i, stop):  # type: ignore[no-untyped-def]
    """The line that starts at byte `i`: (its end, where the next one starts), neither beyond `stop`."""
    while i < stop:
        if i + 8 <= stop:
            block = read64(data, i)
            if ((block - _SPACES) & ~block | block) & _HIGH == np.uint64(0):  # eight bytes from 0x20 to 0x7F
                i += 8
                continue
        byte = data[np.uint64(i)]
        if byte > 0x1E and byte < 0xC2:  # nothing that begins a break
            i += 1
        elif byte == 0x0D and i + 1 < stop and data[i + 1] == 0x0A:
            return i, i + 2
        elif 0x0A <= byte <= 0x0D or 0x1C <= byte <= 0x1E:
            return i, i + 1
        elif byte == 0xC2 and i + 1 < stop and data[i + 1] == 0x85:
            return i, i + 2
        elif byte == 0xE2 and i + 2 < stop and data[i + 1] == 0x80 and data[i + 2] | 1 == 0xA9:
            return i, i + 3
        else:
            i += 1
    return stop, stop
