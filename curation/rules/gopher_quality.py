"""Gopher quality rules (Rae et al. 2021, arXiv 2112.11446) as datatrove 0.10.1 words and orders them.

W are the tokens of `curation.text.words`, punctuation included; S those with a character that is no symbol of
datatrove's; L the lines of str.splitlines. What other toolkits call by the same names is another number (dolma splits
at white space and takes a median, dclm counts other bullets), hence the profile's name.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.rules.datatrove import symbols
from curation.rules.profile import Profile, Rule, Thresholds
from curation.text.analysis import analyse
from curation.text.arrow import buffers
from curation.text.characters import SPACE, SYMBOL, before, decode, is_letter
from curation.text.compiling import njit, njit_inline
from curation.text.hashing import read64
from curation.text.lines import line
from curation.text.words import Words, words

_PAPER = "2112.11446"
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Counted once each, case-sensitive."""


def measure(text: pa.LargeStringArray) -> dict[str, NDArray[np.generic]]:
    """The measurements of each text, on the words of `curation.text.words`."""
    return measure_words(text, analyse(text).find(words))


def measure_words(text: pa.LargeStringArray, words: Words) -> dict[str, NDArray[np.generic]]:
    """The measurements of each text on given words, whichever rule found them.

    Returns a column a measurement, as `DATATROVE.measurements` names them: int32 counts, float64 ratios. Ratios to W
    are NaN where there are no tokens, the mean word length where there are no words, ratios to L where there is no
    line.
    """
    offsets, data = buffers(text)
    counts = _Counts(*_count(offsets, data, words.documents, words.starts, words.ends, symbols()))
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: not measured
        return {
            "words": counts.words,
            "tokens": counts.tokens,
            "mean_word_length": counts.characters / counts.words,
            "hash_ratio": counts.hashes / counts.tokens,
            "ellipsis_ratio": counts.ellipses / counts.tokens,
            "bullet_lines_ratio": counts.bullet_lines / counts.lines,
            "ellipsis_lines_ratio": counts.ellipsis_lines / counts.lines,
            "alpha_words_ratio": counts.alpha_words / counts.tokens,
            "stop_words": counts.stop_words,
        }


def judge_words(text: pa.LargeStringArray, words: Words, thresholds: Thresholds) -> pa.RecordBatch:
    """`DATATROVE.measure` on given words: the rules alone, apart from what a word is."""
    return DATATROVE.judge(measure_words(text, words), thresholds)


DATATROVE = Profile(
    name="gopher-quality@datatrove",
    version=1,
    rules=(
        Rule("words", "min", 50, "gopher_short_doc", _PAPER),
        Rule("words", "max", 100_000, "gopher_long_doc", _PAPER),
        Rule("mean_word_length", "min", 3, "gopher_below_avg_threshold", _PAPER),
        Rule("mean_word_length", "max", 10, "gopher_above_avg_threshold", _PAPER),
        Rule("hash_ratio", "max", 0.1, "gopher_too_many_hashes", _PAPER),
        Rule("ellipsis_ratio", "max", 0.1, "gopher_too_many_ellipsis", _PAPER),
        Rule("bullet_lines_ratio", "max", 0.9, "gopher_too_many_bullets", _PAPER),
        Rule("ellipsis_lines_ratio", "max", 0.3, "gopher_too_many_end_ellipsis", _PAPER),
        Rule("alpha_words_ratio", "min", 0.8, "gopher_below_alpha_threshold", _PAPER),
        # datatrove's name for it; it means too few of them
        Rule("stop_words", "min", 2, "gopher_enough_stop_words", _PAPER),
    ),
    measurements=(
        pa.field("words", pa.int32()),
        pa.field("tokens", pa.int32()),
        pa.field("mean_word_length", pa.float64()),
        pa.field("hash_ratio", pa.float64()),
        pa.field("ellipsis_ratio", pa.float64()),
        pa.field("bullet_lines_ratio", pa.float64()),
        pa.field("ellipsis_lines_ratio", pa.float64()),
        pa.field("alpha_words_ratio", pa.float64()),
        pa.field("stop_words", pa.int32()),
    ),
    measurer=measure,
    nothing="gopher_short_doc",
    substance="tokens",
)


_ONES = np.uint64(0x0101010101010101)
_HIGH = np.uint64(0x8080808080808080)
_HASH = np.uint64(0x2323232323232323)
_DOT = np.uint64(0x2E2E2E2E2E2E2E2E)
_ELLIPSIS = np.uint64(0xE2E2E2E2E2E2E2E2)
"""First byte of U+2026."""


class _Counts(NamedTuple):
    """What the kernel counts, int32 of shape (documents,) each."""

    words: NDArray[np.int32]
    tokens: NDArray[np.int32]
    characters: NDArray[np.int32]
    """In words."""
    hashes: NDArray[np.int32]
    ellipses: NDArray[np.int32]
    lines: NDArray[np.int32]
    bullet_lines: NDArray[np.int32]
    ellipsis_lines: NDArray[np.int32]
    alpha_words: NDArray[np.int32]
    stop_words: NDArray[np.int32]


@njit(nogil=True, cache=True)
def _count(offsets, data, documents, starts, ends, classes):  # type: ignore[no-untyped-def]
    """The fields of `_Counts`, in their order."""
    n = len(offsets) - 1
    counts = np.zeros((10, n), np.int32)
    for document in range(n):
        base, stop = offsets[document], offsets[document + 1]
        stop_words = 0
        for token in range(documents[document], documents[document + 1]):
            start, end = base + starts[token], base + ends[token]
            size, alpha, word = _token(data, start, end, classes)
            counts[1, document] += 1
            counts[8, document] += alpha
            if word:
                counts[0, document] += 1
                counts[2, document] += size
                stop_words |= _stop_word(data, start, end)
        while stop_words:
            counts[9, document] += stop_words & 1
            stop_words >>= 1
        counts[3, document], counts[4, document] = _hashes_and_ellipses(data, base, stop)
        i = base
        while i < stop:
            end, following = line(data, i, stop)
            counts[5, document] += 1
            counts[6, document] += _starts_with_bullet(data, i, end, classes)
            counts[7, document] += _ends_in_ellipsis(data, i, end, classes)
            i = following
    return counts


@njit_inline
def _token(data, start, end, classes):  # type: ignore[no-untyped-def]
    """Of one token: characters, whether one of them is a letter, whether one of them is no symbol."""
    if 97 <= data[np.uint64(start)] | 32 <= 122:  # an ASCII letter is both, and most tokens begin with one
        return _characters(data, start, end), True, True
    size = 0
    alpha = False
    word = False
    i = start
    while i < end:
        codepoint, width = decode(data, i, end)
        size += 1
        alpha = alpha or is_letter(classes, codepoint)
        word = word or classes[codepoint] & SYMBOL == 0
        i += width
    return size, alpha, word


@njit_inline
def _characters(data, start, end):  # type: ignore[no-untyped-def]
    size = end - start
    i = start
    while i < end:
        if i + 8 <= end and read64(data, i) & _HIGH == np.uint64(0):
            i += 8
        else:
            size -= data[np.uint64(i)] & 0xC0 == 0x80
            i += 1
    return size


@njit_inline
def _stop_word(data, start, end):  # type: ignore[no-untyped-def]
    """A bit for which of STOP_WORDS the token is, or 0."""
    size = end - start
    a, b = data[start], data[start + 1] if size > 1 else 0
    if size == 2:
        if a == 98 and b == 101:
            return 2
        if a == 116 and b == 111:
            return 4
        return 8 if a == 111 and b == 102 else 0
    if size == 3:
        c = data[start + 2]
        if a == 116 and b == 104 and c == 101:
            return 1
        return 16 if a == 97 and b == 110 and c == 100 else 0
    if size == 4:
        c, d = data[start + 2], data[start + 3]
        if a == 116 and b == 104 and c == 97 and d == 116:
            return 32
        if a == 104 and b == 97 and c == 118 and d == 101:
            return 64
        return 128 if a == 119 and b == 105 and c == 116 and d == 104 else 0
    return 0


@njit_inline
def _hashes_and_ellipses(data, start, stop):  # type: ignore[no-untyped-def]
    """Counts of "#", and of "..." and its one-character form, none overlapping."""
    hashes = ellipses = 0
    i = start
    while i < stop:
        if i + 8 <= stop:
            block = read64(data, i)
            if _holds(block, _HASH) | _holds(block, _DOT) | _holds(block, _ELLIPSIS) == np.uint64(0):
                i += 8
                continue
        byte = data[np.uint64(i)]
        if byte == 35:
            hashes += 1
        elif (byte == 46 or byte == 0xE2) and i + 2 < stop:
            a, b = data[i + 1], data[i + 2]
            if (byte == 46 and a == 46 and b == 46) or (byte == 0xE2 and a == 0x80 and b == 0xA6):
                ellipses += 1
                i += 2
        i += 1
    return hashes, ellipses


@njit_inline
def _holds(block, eight):  # type: ignore[no-untyped-def]
    """Not 0 where one of the eight bytes equals its fellow in `eight`."""
    other = block ^ eight
    return (other - _ONES) & ~other & _HIGH


@njit_inline
def _starts_with_bullet(data, start, end, classes):  # type: ignore[no-untyped-def]
    while start < end:
        codepoint, width = decode(data, start, end)
        if classes[codepoint] & SPACE == 0:
            return codepoint == 45 or codepoint == 0x2022
        start += width
    return False


@njit_inline
def _ends_in_ellipsis(data, start, end, classes):  # type: ignore[no-untyped-def]
    while end > start:
        last_begin = before(data, start, end)
        codepoint, _ = decode(data, last_begin, end)
        if classes[codepoint] & SPACE == 0:
            dots = codepoint == 46 and end - start >= 3 and data[end - 2] == 46 and data[end - 3] == 46
            return codepoint == 0x2026 or dots
        end = last_begin
    return False
