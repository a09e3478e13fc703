r"""FineWeb's own filters (Penedo et al. 2024, arXiv 2406.17557), as its code has them and as its paper tells them.

Lines are the text split at `\n`; those of white space alone do not count, the others are not stripped, so a space at
the end hides a full stop. Words are the tokens of `curation.text.words`, punctuation included. Code (datatrove 0.10.1)
and paper differ in what happens on a bound, and in the bound for repeated lines: 0.01 in every version of the code, 0.1
in the paper. The rule on line feeds for each word is the code's alone.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.rules.datatrove import line_ends
from curation.rules.profile import Profile, Rule
from curation.text.analysis import analyse
from curation.text.arrow import buffers
from curation.text.characters import before, classes, count_characters, decode, is_space
from curation.text.compiling import njit, njit_inline
from curation.text.hashing import read64, xxh64
from curation.text.tables import grow, slot, slots
from curation.text.words import Words, words

_PAPER = "2406.17557"
SHORT = 30
"""Characters up to which a line is short."""
RATIOS = ("line_punct_ratio", "short_line_ratio", "char_dup_ratio", "list_ratio")


def measure(text: pa.LargeStringArray) -> dict[str, NDArray[np.generic]]:
    """The measurements of each text, on the words of `curation.text.words`."""
    return measure_words(text, analyse(text).find(words))


def measure_words(text: pa.LargeStringArray, words: Words) -> dict[str, NDArray[np.generic]]:
    """The measurements of each text on given words, whichever rule found them.

    Returns `lines` int32[n], those that are not blank, and RATIOS, float64[n], NaN where there is no line or no word.
    """
    offsets, data = buffers(text)
    lines, well_ended, short, repeated, solid, feeds = _count(offsets, data, classes(), line_ends())
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 is NaN: not measured
        tokens = np.where(words.documents[1:] > words.documents[:-1], np.diff(words.documents), np.nan)
        ratios = (well_ended / lines, short / lines, repeated / solid, feeds / tokens)
    some = np.where(lines > 0, 1.0, np.nan)
    return {"lines": lines, **{name: ratio * some for name, ratio in zip(RATIOS, ratios, strict=True)}}


def _profile(name: str, rules: tuple[Rule, ...]) -> Profile:
    return Profile(
        name=name,
        version=1,
        rules=rules,
        measurements=(pa.field("lines", pa.int32()), *(pa.field(ratio, pa.float64()) for ratio in RATIOS)),
        measurer=measure,
        nothing="empty",
        substance="lines",
    )


CODE = _profile(
    "fineweb-code",
    (
        Rule("line_punct_ratio", "min", 0.12, "line_punct_ratio", _PAPER),
        Rule("short_line_ratio", "max", 0.67, "short_line_ratio", _PAPER),
        Rule("char_dup_ratio", "max", 0.01, "char_dup_ratio", _PAPER),
        Rule("list_ratio", "max", 0.3, "list_ratio", "datatrove 0.10.1"),
    ),
)
PAPER = _profile(
    "fineweb-paper",
    (
        Rule("line_punct_ratio", "min", 0.12, "line_punct_ratio", _PAPER, on_bound=True),
        Rule("short_line_ratio", "max", 0.67, "short_line_ratio", _PAPER, on_bound=True),
        Rule("char_dup_ratio", "max", 0.1, "char_dup_ratio", _PAPER, on_bound=True),
        Rule("list_ratio", "max", None, "list_ratio", "datatrove 0.10.1"),
    ),
)

_FEED = np.uint64(0x0A0A0A0A0A0A0A0A)
_ONES = np.uint64(0x0101010101010101)
_HIGH = np.uint64(0x8080808080808080)


@njit(nogil=True, cache=True)
def _count(offsets, data, classes, ends):  # type: ignore[no-untyped-def]
    """Of each text, int32 [6, n]: lines, those that end well, short ones, characters in later copies of lines,
    characters that are no line feed, line feeds."""
    n = len(offsets) - 1
    counts = np.zeros((6, n), np.int32)
    most = 0
    for document in range(n):
        most = max(most, offsets[document + 1] - offsets[document])
    keys = np.zeros(slots(most // 2 + 2), np.uint64)
    for document in range(n):
        base, stop = offsets[document], offsets[document + 1]
        used = 64 if len(keys) > 64 else len(keys)
        keys[:used] = 0
        held = 0
        start = base
        while start <= stop:
            end = _feed(data, start, stop)
            counts[5, document] += end < stop
            size = count_characters(data, start, end)
            counts[4, document] += size
            if not _blank(data, start, end, classes):
                counts[0, document] += 1
                codepoint, _ = decode(data, before(data, start, end), end)
                counts[1, document] += ends[codepoint]
                counts[2, document] += size <= SHORT
                key = max(xxh64(data, start, end, np.uint64(0)), np.uint64(1))
                entry = slot(keys, used, key)
                if keys[entry] == key:
                    counts[3, document] += size
                else:
                    keys[entry] = key
                    held += 1
                    if 2 * held > used:
                        used = grow(keys, used)
            start = end + 1
    return counts


@njit_inline
def _feed(data, i, stop):  # type: ignore[no-untyped-def]
    """Where the next line feed is, or `stop`."""
    while i < stop:
        if i + 8 <= stop:
            block = read64(data, i) ^ _FEED
            if (block - _ONES) & ~block & _HIGH == np.uint64(0):
                i += 8
                continue
        if data[np.uint64(i)] == 10:
            return i
        i += 1
    return stop


@njit_inline
def _blank(data, i, end, classes):  # type: ignore[no-untyped-def]
    while i < end:
        codepoint, width = decode(data, i, end)
        if not is_space(classes, codepoint):
            return False
        i += width
    return True
