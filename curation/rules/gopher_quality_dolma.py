r"""Gopher quality rules (Rae et al. 2021, arXiv 2112.11446) as the Dolma toolkit measures them.

Words are those of str.split, lines those of str.split("\n"), not stripped. A word is a symbol when it contains "#" or
the ellipsis character; stop words count as often as they occur, in lower case only; bullets are "*" and "-" in the
first column; a line ends in an ellipsis when its last character is one. Where the paper bounds the mean word length,
Dolma takes the median. Of a text without a word every ratio is 0.

The toolkit (allenai/dolma, taggers/gopher.py, "gopher_v1") only scores. The thresholds here are those of Dolma v1.5
(configs/dolma-v1_5/mixing/cc-*.yaml); they are the paper's.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.rules.gopher import EXACT, PAPER, has_letter, line_feed, stop_word
from curation.rules.profile import Profile, Rule
from curation.text.analysis import analyse
from curation.text.characters import classes, count_characters
from curation.text.compiling import njit, njit_inline
from curation.text.spaced import spaced


def measure(text: pa.LargeStringArray) -> dict[str, NDArray[np.generic]]:
    """The measurements of each text: a column each, as `DOLMA.measurements` names them, int32 counts, float64 else."""
    analysis = analyse(text)
    counts, medians = _count(analysis.offsets, analysis.data, *analysis.find(spaced), classes())
    words, symbols, alpha, stop_words, lines, bullets, ellipses = counts
    return {
        "words": words,
        "median_word_length": medians,
        "symbol_words_ratio": symbols / np.maximum(words, 1),
        "alpha_words_ratio": alpha / np.maximum(words, 1),
        "stop_words": stop_words,
        "bullet_lines_ratio": bullets / lines,
        "ellipsis_lines_ratio": ellipses / lines,
    }


DOLMA = Profile(
    name="gopher-quality@dolma",
    version=1,
    rules=(
        Rule("words", "min", 50, "word_count", PAPER),
        Rule("words", "max", 100_000, "word_count", PAPER),
        Rule("median_word_length", "min", 3, "median_word_length", PAPER),
        Rule("median_word_length", "max", 10, "median_word_length", PAPER),
        Rule("symbol_words_ratio", "max", 0.1, "symbol_to_word_ratio", PAPER),
        Rule("alpha_words_ratio", "min", 0.8, "fraction_of_words_with_alpha_character", PAPER),
        Rule("stop_words", "min", 2, "required_word_count", PAPER),
        Rule("bullet_lines_ratio", "max", 0.9, "fraction_of_lines_starting_with_bullet_point", PAPER),
        Rule("ellipsis_lines_ratio", "max", 0.3, "fraction_of_lines_ending_with_ellipsis", PAPER),
    ),
    measurements=(
        pa.field("words", pa.int32()),
        pa.field("median_word_length", pa.float64()),
        pa.field("symbol_words_ratio", pa.float64()),
        pa.field("alpha_words_ratio", pa.float64()),
        pa.field("stop_words", pa.int32()),
        pa.field("bullet_lines_ratio", pa.float64()),
        pa.field("ellipsis_lines_ratio", pa.float64()),
    ),
    measurer=measure,
    nothing="word_count",
    substance="words",
)


@njit(nogil=True, cache=True)
def _count(offsets, data, documents, starts, ends, classes):  # type: ignore[no-untyped-def]
    """Words, those with a symbol, with a letter, stop words, lines, those with bullet, with ellipsis: int32 (7, n).
    And the median length of each text's words, float64 (n,).
    """
    n = len(offsets) - 1
    counts = np.zeros((7, n), np.int32)
    medians = np.zeros(n)
    most = 0
    for document in range(n):
        most = max(most, offsets[document + 1] - offsets[document])
    lengths = np.zeros(most + 1, np.int32)  # words of each length
    for document in range(n):
        base, stop = offsets[document], offsets[document + 1]
        longest = 0
        for word in range(documents[document], documents[document + 1]):
            start, end = base + starts[word], base + ends[word]
            size = count_characters(data, start, end)
            lengths[size] += 1
            longest = max(longest, size)
            counts[0, document] += 1
            counts[1, document] += _has_symbol(data, start, end)
            counts[2, document] += has_letter(data, start, end, classes)
            counts[3, document] += stop_word(data, start, end, EXACT) != 0
        if counts[0, document] > 0:
            medians[document] = _median(lengths, counts[0, document])
            lengths[: longest + 1] = 0
        start = base
        while True:
            end = line_feed(data, start, stop)
            counts[4, document] += 1
            counts[5, document] += start < end and (data[start] == 42 or data[start] == 45)
            counts[6, document] += end - start >= 3 and _is_ellipsis(data, end - 3)
            if end == stop:
                break
            start = end + 1
    return counts, medians


@njit_inline
def _median(lengths, count):  # type: ignore[no-untyped-def]
    """Median of `count` lengths, given how many words have each."""
    low = high = 0
    seen = lengths[0]
    while seen <= (count - 1) // 2:
        low += 1
        seen += lengths[low]
    high = low
    while seen <= count // 2:
        high += 1
        seen += lengths[high]
    return (low + high) / 2


@njit_inline
def _has_symbol(data, start, end):  # type: ignore[no-untyped-def]
    i = start
    while i < end and data[i] != 35 and not (i + 2 < end and _is_ellipsis(data, i)):
        i += 1
    return i < end


@njit_inline
def _is_ellipsis(data, i):  # type: ignore[no-untyped-def]
    """Whether U+2026 is at byte `i`, behind which there are two more."""
    return data[i] == 0xE2 and data[i + 1] == 0x80 and data[i + 2] == 0xA6
