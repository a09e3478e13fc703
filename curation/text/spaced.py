"""Words as str.split finds them: runs of characters that are no white space, as one kernel over Arrow buffers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from curation.text.arrow import buffers
from curation.text.characters import classes, decode, is_space
from curation.text.compiling import njit
from curation.text.words import Words


def spaced(text: pa.Array | pa.ChunkedArray) -> Words:
    """The words of every document in a string or large_string array: `str.split()`; a null document has none."""
    offsets, data = buffers(text)
    return Words(*_split(offsets, data, classes()))


@njit(nogil=True, cache=True)
def _split(offsets, data, classes):  # type: ignore[no-untyped-def]
    n = len(offsets) - 1
    documents = np.zeros(n + 1, np.int64)
    most = (offsets[n] - offsets[0] + n) // 2 + 1  # a word and the white space behind it; pages not used cost nothing
    starts = np.empty(most, np.uint32)
    ends = np.empty(most, np.uint32)
    count = 0
    for document in range(n):
        base, stop = offsets[document], offsets[document + 1]
        i = base
        start = np.int64(-1)
        while i < stop:
            byte = data[i]
            width = 1
            if 32 < byte < 0x80:
                space = False
            else:
                codepoint, width = decode(data, i, stop)
                space = is_space(classes, codepoint)
            if space:
                if start >= 0:
                    starts[count] = start - base
                    ends[count] = i - base
                    count += 1
                    start = np.int64(-1)
            elif start < 0:
                start = i
            i += width
        if start >= 0:
            starts[count] = start - base
            ends[count] = stop - base
            count += 1
        documents[document + 1] = count
    return documents, starts[:count].copy(), ends[:count].copy()
