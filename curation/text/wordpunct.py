r"""Words and runs of punctuation as `\w+|[^\w\s]+` finds them (NLTK's wordpunct), in lower case, and their n-grams.

`\w` is Python's: letters, numbers and the underscore; marks are none. Lower case is that of
`curation.text.characters.lower`, so the two texts that `str.lower` writes otherwise, U+0130 and a capital sigma at the
end of a word, give other tokens.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from curation.text.arrow import buffers
from curation.text.characters import CATEGORIES, CATEGORY, SPACE, classes, decode
from curation.text.compiling import njit, njit_inline
from curation.text.words import Words

_WORD = np.array([name[0] in "LN" for name in CATEGORIES])
_WORD.flags.writeable = False
_BLANK, _WORDS, _MARKS = range(3)


def wordpunct(text: pa.Array | pa.ChunkedArray) -> Words:
    """The tokens of every document in a string or large_string array; a null document has none."""
    offsets, data = buffers(text)
    return Words(*_split(offsets, data, classes(), _WORD))


@njit(nogil=True, cache=True)
def _split(offsets, data, classes, word):  # type: ignore[no-untyped-def]
    n = len(offsets) - 1
    documents = np.zeros(n + 1, np.int64)
    most = offsets[n] - offsets[0] + 1  # a token is a byte at least; pages not used cost nothing
    starts = np.empty(most, np.uint32)
    ends = np.empty(most, np.uint32)
    count = 0
    for document in range(n):
        base, stop = offsets[document], offsets[document + 1]
        before = _BLANK
        i = base
        while i < stop:
            codepoint, width = decode(data, i, stop)
            kind = classes[codepoint]
            if kind & SPACE:
                token_kind = _BLANK
            elif codepoint == 0x5F or word[kind & CATEGORY]:
                token_kind = _WORDS
            else:
                token_kind = _MARKS
            if token_kind != before:
                if before != _BLANK:
                    ends[count] = i - base
                    count += 1
                if token_kind != _BLANK:
                    starts[count] = i - base
                before = token_kind
            i += width
        if before != _BLANK:
            ends[count] = stop - base
            count += 1
        documents[document + 1] = count
    return documents, starts[:count].copy(), ends[:count].copy()


@njit_inline
def write_lower(data, start, end, lower, out, cursor):  # type: ignore[no-untyped-def]
    """Write `data[start:end]` in lower case to `out[cursor:]`; returns where it ends. `lower` is `characters.lower()`.

    A character may take one byte more than before, so `out` needs room for half as much again.
    """
    i = start
    while i < end:
        byte = data[i]
        if byte < 0x80:
            out[cursor] = byte + 32 if 65 <= byte <= 90 else byte
            cursor += 1
            i += 1
            continue
        codepoint, width = decode(data, i, end)
        c = lower[codepoint]
        i += width
        if c < 0x80:
            out[cursor] = c
            cursor += 1
        elif c < 0x800:
            out[cursor] = 0xC0 | c >> 6
            out[cursor + 1] = 0x80 | c & 0x3F
            cursor += 2
        elif c < 0x10000:
            out[cursor] = 0xE0 | c >> 12
            out[cursor + 1] = 0x80 | c >> 6 & 0x3F
            out[cursor + 2] = 0x80 | c & 0x3F
            cursor += 3
        else:
            out[cursor] = 0xF0 | c >> 18
            out[cursor + 1] = 0x80 | c >> 12 & 0x3F
            out[cursor + 2] = 0x80 | c >> 6 & 0x3F
            out[cursor + 3] = 0x80 | c & 0x3F
            cursor += 4
    return cursor


@njit(nogil=True, cache=True)
def write_tokens(data, base, starts, ends, lower, out, bounds):  # type: ignore[no-untyped-def]
    """Write a document's tokens in lower case to `out`, one space behind each, and where each begins to `bounds`.

    So the n-gram of tokens i to j is `out[bounds[i]:bounds[j + 1] - 1]`. `bounds` has one entry more than there are
    tokens, `out` one and a half times the tokens' bytes and one for each.
    """
    cursor = 0
    for token in range(len(starts)):
        bounds[token] = cursor
        cursor = write_lower(data, base + np.int64(starts[token]), base + np.int64(ends[token]), lower, out, cursor)
        out[cursor] = 0x20
        cursor += 1
    bounds[len(starts)] = cursor


@njit(nogil=True, cache=True)
def room(documents, starts, ends):  # type: ignore[no-untyped-def]
    """What `write_tokens` needs for the largest document: bytes of `out`, entries of `bounds`."""
    size = 0
    most = 0
    for document in range(len(documents) - 1):
        first, last = documents[document], documents[document + 1]
        total = np.int64(0)
        for token in range(first, last):
            total += np.int64(ends[token]) - np.int64(starts[token])
        size = max(size, total + total // 2 + 1 + last - first)
        most = max(most, last - first)
    return size, most + 1
