"""Words by Unicode's default word boundaries (UAX #29, Unicode 16.0) as one kernel over Arrow buffers.

Between any two boundaries lies a segment: a word ("can't", "3.14", "naïve"), a mark, a run of white space, an emoji.
The rules need no language, and split no Thai and no Chinese. `segments` gives what is not white space; which of it
counts as a word and not as punctuation, `is_word` tells::

    found = analyse(text).find(segments)
    words = [is_word(data, base + start, base + end, breaks()) for start, end in zip(found.starts, found.ends)]

The Word_Break property is shipped (`segments.npz`), taken from uniseg 0.10.1 (MIT), whose segments these are. What is
white space, a letter or a number is asked from `curation.text.characters`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.text import characters
from curation.text.arrow import buffers
from curation.text.characters import CATEGORIES, CATEGORY, SIZE, classes, decode
from curation.text.compiling import njit, njit_inline
from curation.text.words import Words

UNICODE = "16.0.0"
"""Version of the shipped Word_Break values; `characters.UNICODE` is that of the categories."""
VERSION = 1
"""Raised whenever some text would be segmented otherwise."""

WORD_BREAK = (
    *("Other", "CR", "LF", "Newline", "Extend", "ZWJ", "Format"),
    *("Regional_Indicator", "Katakana", "Hebrew_Letter", "ALetter", "Single_Quote", "Double_Quote"),
    *("MidNumLet", "MidLetter", "MidNum", "Numeric", "ExtendNumLet", "WSegSpace"),
)
"""Values of the property Word_Break (UAX #29, table 3)."""
VALUE = 0x1F
"""Mask for the value, an index into WORD_BREAK."""
PICTOGRAPHIC = 0x20
"""Extended_Pictographic (UTS #51): what a zero width joiner joins."""
SPACE = 0x40
"""str.isspace."""
ALPHANUMERIC = 0x80
"""General category L* or N*: str.isalnum."""

_CR, _LF, _NEWLINE, _EXTEND, _ZWJ, _FORMAT = 1, 2, 3, 4, 5, 6
_REGIONAL, _KATAKANA, _HEBREW, _LETTER, _QUOTE, _QUOTES = 7, 8, 9, 10, 11, 12
_MID_NUM_LET, _MID_LETTER, _MID_NUM, _NUMERIC, _CONNECTOR, _WSPACE = 13, 14, 15, 16, 17, 18
_NONE = 0
"""Before the text and behind it; joins as little as Other does."""
_FILE = Path(__file__).with_name("segments.npz")


@cache
def breaks() -> NDArray[np.uint8]:
    """Class of every code point, uint8 of shape (0x110000,): Word_Break | PICTOGRAPHIC | SPACE | ALPHANUMERIC.

    Read-only, shared.
    """
    with np.load(_FILE) as tables:
        table: NDArray[np.uint8] = tables["blocks"][tables["index"]].reshape(-1)
    initials = np.array([category[0] in "LN" for category in CATEGORIES])
    table[classes() & characters.SPACE != 0] |= SPACE
    table[initials[classes() & CATEGORY]] |= ALPHANUMERIC
    table.flags.writeable = False
    return table


def segments(text: pa.Array | pa.ChunkedArray) -> Words:
    """Segments of every document in a string or large_string array that are more than white space.

    A null document has none. A mark that combines with a space takes the space with it.
    """
    offsets, data = buffers(text)
    return Words(*_split(offsets, data, breaks()))


@njit_inline
def is_word(data, start, end, breaks):  # type: ignore[no-untyped-def]
    """Whether a segment begins with a letter or a number, which is what DCLM takes for a word."""
    codepoint, _ = decode(data, start, end)
    return breaks[codepoint] & ALPHANUMERIC != 0


@njit(nogil=True, cache=True)
def _split(offsets, data, breaks):  # type: ignore[no-untyped-def]
    n = len(offsets) - 1
    documents = np.zeros(n + 1, np.int64)
    most = offsets[n] - offsets[0]  # pages not used cost nothing
    starts = np.empty(most, np.uint32)
    ends = np.empty(most, np.uint32)
    count = 0
    for document in range(n):
        base, stop = offsets[document], offsets[document + 1]
        start = i = base
        blank = True  # so far, the segment from `start` on
        before = _NONE  # value of the character before
        previous = earlier = _NONE  # values of the last two characters that are not ignored
        regional = 0  # regional indicators in a row
        while i < stop:
            codepoint, width = decode(data, i, stop)
            entry = breaks[codepoint]
            value = entry & VALUE
            ignored = _EXTEND <= value <= _FORMAT
            if i > base and not _joined(data, i + width, stop, before, earlier, previous, entry, regional, breaks):
                if not blank:
                    starts[count] = start - base
                    ends[count] = i - base
                    count += 1
                start = i
                blank = True
            blank = blank and entry & SPACE != 0
            before = value
            if not ignored:
                regional = regional + 1 if value == _REGIONAL else 0
                earlier = previous
                previous = value
            i += width
            if _plain(value):  # what follows of its kind in ASCII, nearly every byte, is joined to it
                while i < stop and data[i] < 0x80 and _plain(breaks[data[i]] & VALUE):
                    earlier = previous
                    before = previous = breaks[data[i]] & VALUE
                    blank = False
                    i += 1
        if not blank:
            starts[count] = start - base
            ends[count] = stop - base
            count += 1
        documents[document + 1] = count
    return documents, starts[:count].copy(), ends[:count].copy()


@njit_inline
def _joined(data, following, stop, before, earlier, previous, entry, regional, breaks):  # type: ignore[no-untyped-def]
    """Whether no boundary lies before a character with this entry; names in comments are rules of UAX #29."""
    value = entry & VALUE
    if before == _CR and value == _LF:  # WB3
        return True
    if _CR <= before <= _NEWLINE or _CR <= value <= _NEWLINE:  # WB3a, WB3b
        return False
    if before == _ZWJ and entry & PICTOGRAPHIC != 0:  # WB3c
        return True
    if before == _WSPACE and value == _WSPACE:  # WB3d
        return True
    if _EXTEND <= value <= _FORMAT:  # WB4
        return True
    if _plain(previous) and _plain(value):  # WB5, WB8, WB9, WB10, WB13a, WB13b
        return True
    if previous == _KATAKANA and value in (_KATAKANA, _CONNECTOR):  # WB13, WB13a
        return True
    if previous == _CONNECTOR and value == _KATAKANA:  # WB13b
        return True
    if _is_letter(previous):
        if value == _QUOTE and previous == _HEBREW:  # WB7a
            return True
        if value in (_QUOTE, _MID_NUM_LET, _MID_LETTER):  # WB6
            return _is_letter(_next(data, following, stop, breaks))
        if value == _QUOTES and previous == _HEBREW:  # WB7b
            return _next(data, following, stop, breaks) == _HEBREW
        return False
    if _is_letter(value):
        if previous in (_QUOTE, _MID_NUM_LET, _MID_LETTER):  # WB7
            return _is_letter(earlier)
        return previous == _QUOTES and value == _HEBREW and earlier == _HEBREW  # WB7c
    if value == _NUMERIC:  # WB11
        return earlier == _NUMERIC and previous in (_QUOTE, _MID_NUM_LET, _MID_NUM)
    if previous == _NUMERIC:  # WB12
        if value in (_QUOTE, _MID_NUM_LET, _MID_NUM):
            return _next(data, following, stop, breaks) == _NUMERIC
        return False
    return value == _REGIONAL and regional % 2 == 1  # WB15, WB16


@njit_inline
def _is_letter(value):  # type: ignore[no-untyped-def]
    return value in (_LETTER, _HEBREW)


@njit_inline
def _plain(value):  # type: ignore[no-untyped-def]
    """One of the values of which any two are joined: letters, numerals and what connects them."""
    return value in (_LETTER, _NUMERIC, _CONNECTOR, _HEBREW)


@njit_inline
def _next(data, i, stop, breaks):  # type: ignore[no-untyped-def]
    """Value of the first character from byte `i` on that is not ignored (WB4)."""
    while i < stop:
        codepoint, width = decode(data, i, stop)
        value = breaks[codepoint] & VALUE
        if not _EXTEND <= value <= _FORMAT:
            return value
        i += width
    return np.uint8(_NONE)


def from_uniseg() -> NDArray[np.uint8]:
    """Word_Break and PICTOGRAPHIC of every code point, asked from an installed uniseg, of which the file was made."""
    word_break = import_module("uniseg.wordbreak").word_break
    pictographic = import_module("uniseg.emoji").extended_pictographic
    number = {name: i for i, name in enumerate(WORD_BREAK)}
    table = np.fromiter((number[word_break(chr(i)).value] for i in range(SIZE)), np.uint8, SIZE)
    table[[i for i in range(SIZE) if pictographic(chr(i))]] |= PICTOGRAPHIC
    return table


def write(path: Path = _FILE) -> None:
    """Make the shipped file anew: `python -m curation.text.segments`, where uniseg with Unicode `UNICODE` is installed.

    Raises ImportError without uniseg, RuntimeError for one of another version of Unicode.
    """
    version = import_module("uniseg").unidata_version
    if version != UNICODE:
        raise RuntimeError(f"this uniseg has Unicode {version}, the table is {UNICODE}")
    blocks, index = np.unique(from_uniseg().reshape(-1, 128), axis=0, return_inverse=True)
    np.savez_compressed(path, blocks=blocks, index=index.astype(np.uint16))


if __name__ == "__main__":
    write()
