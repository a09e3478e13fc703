r"""Gopher quality rules (Rae et al. 2021, arXiv 2112.11446) as DCLM measures and orders them (arXiv 2406.11794).

`words` are those of `curation.rules.dclm.count_words`, `tokens` those of str.split, to which everything else refers;
lines are those of str.split("\n"), stripped, without the empty ones. Symbols are "#", "...", ". . ." and the ellipsis
character, wherever they stand, each counted for itself; bullets are ●, •, * and -; the same three ellipses end a line.
Stop words count as often as they occur, in any case.

Thresholds and order are those of DCLM-Baseline (mlfoundations/dclm, baselines/mappers/filters/content_filters.py and
baselines/baselines_configs/dclm_baseline_refinedweb.yaml); a reason is the name of DCLM's function. DCLM can count each
stop word once (`count_unique`): a gate on `distinct_stop_words` does.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.rules.c4 import strip
from curation.rules.dclm import count_words
from curation.rules.gopher import IGNORING_CASE, PAPER, has_letter, line_feed, stop_word
from curation.rules.profile import Profile, Rule
from curation.text.analysis import analyse
from curation.text.characters import classes, count_characters, decode
from curation.text.compiling import njit, njit_inline
from curation.text.spaced import spaced


def measure(text: pa.LargeStringArray) -> dict[str, NDArray[np.generic]]:
    """The measurements of each text: a column each, as `DCLM.measurements` names them, int32 counts, float64 ratios.

    Ratios are NaN where there is no token.
    """
    analysis = analyse(text)
    counts = _count(analysis.offsets, analysis.data, *analysis.find(spaced), classes())
    words, tokens, characters, symbols, lines, bullets, ellipses, letterless, stop_words, distinct = counts
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: not measured
        return {
            "words": words,
            "tokens": tokens,
            "mean_word_length": characters / tokens,
            "symbols_ratio": symbols / tokens,
            "bullet_lines_ratio": bullets / lines,
            "ellipsis_lines_ratio": ellipses / lines,
            "letterless_words_ratio": letterless / tokens,
            "stop_words": stop_words,
            "distinct_stop_words": distinct,
        }


DCLM = Profile(
    name="gopher-quality@dclm",
    version=1,
    rules=(
        Rule("words", "min", 50, "page_length_filter", PAPER),
        Rule("words", "max", 100_000, "page_length_filter", PAPER),
        Rule("mean_word_length", "min", 3, "word_length_filter", PAPER),
        Rule("mean_word_length", "max", 10, "word_length_filter", PAPER),
        Rule("symbols_ratio", "max", 0.1, "symbol_ratio_filter", PAPER),
        Rule("bullet_lines_ratio", "max", 0.9, "bullet_count_filter", PAPER),
        Rule("ellipsis_lines_ratio", "max", 0.3, "ellipsis_count_filter", PAPER),
        Rule("letterless_words_ratio", "max", 0.2, "alphabetic_word_ratio_filter", PAPER),
        Rule("stop_words", "min", 2, "stop_word_filter", PAPER),
    ),
    measurements=(
        pa.field("words", pa.int32()),
        pa.field("tokens", pa.int32()),
        pa.field("mean_word_length", pa.float64()),
        pa.field("symbols_ratio", pa.float64()),
        pa.field("bullet_lines_ratio", pa.float64()),
        pa.field("ellipsis_lines_ratio", pa.float64()),
        pa.field("letterless_words_ratio", pa.float64()),
        pa.field("stop_words", pa.int32()),
        pa.field("distinct_stop_words", pa.int32()),
    ),
    measurer=measure,
    nothing="page_length_filter",
    substance="tokens",
)


@njit(nogil=True, cache=True)
def _count(offsets, data, documents, starts, ends, classes):  # type: ignore[no-untyped-def]
    """Words, tokens, their characters, symbols, lines, those with a bullet, with an ellipsis, tokens without a letter,
    stop words, distinct ones: int32 (10, n).
    """
    n = len(offsets) - 1
    counts = np.zeros((10, n), np.int32)
    for document in range(n):
        base, stop = offsets[document], offsets[document + 1]
        counts[0, document] = count_words(data, base, stop, classes)
        seen = 0
        for token in range(documents[document], documents[document + 1]):
            start, end = base + starts[token], base + ends[token]
            counts[1, document] += 1
            counts[2, document] += count_characters(data, start, end)
            counts[7, document] += not has_letter(data, start, end, classes)
            found = stop_word(data, start, end, IGNORING_CASE)
            counts[8, document] += found != 0
            seen |= found
        while seen:
            counts[9, document] += seen & 1
            seen >>= 1
        counts[3, document] = _symbols(data, base, stop)
        start = base
        while True:
            feed = line_feed(data, start, stop)
            start, end = strip(data, start, feed, classes)
            if start < end:
                codepoint, _ = decode(data, start, end)
                counts[4, document] += 1
                counts[5, document] += codepoint == 42 or codepoint == 45 or codepoint == 0x2022 or codepoint == 0x25CF
                counts[6, document] += _ends_in_ellipsis(data, start, end)
            if feed == stop:
                break
            start = feed + 1
    return counts


@njit_inline
def _symbols(data, start, stop):  # type: ignore[no-untyped-def]
    """Occurrences of "#", "...", ". . ." and U+2026, those of one kind not overlapping."""
    symbols = 0
    close = spread = start  # where the next "..." and ". . ." may begin
    for i in range(start, stop):
        byte = data[np.uint64(i)]
        if byte == 35:
            symbols += 1
        elif byte == 46:
            if i >= close and i + 2 < stop and data[i + 1] == 46 and data[i + 2] == 46:
                symbols += 1
                close = i + 3
            if i >= spread and _is_spread(data, i, stop):
                symbols += 1
                spread = i + 5
        elif byte == 0xE2 and i + 2 < stop and data[i + 1] == 0x80 and data[i + 2] == 0xA6:
            symbols += 1
    return symbols


@njit_inline
def _is_spread(data, i, stop):  # type: ignore[no-untyped-def]
    """Whether ". . ." begins with the full stop at `i`."""
    return i + 4 < stop and data[i + 1] == 32 and data[i + 2] == 46 and data[i + 3] == 32 and data[i + 4] == 46


@njit_inline
def _ends_in_ellipsis(data, start, end):  # type: ignore[no-untyped-def]
    if end - start < 3:
        return False
    if data[end - 1] == 46:
        close = data[end - 2] == 46 and data[end - 3] == 46
        return close or (end - start >= 5 and data[end - 5] == 46 and _is_spread(data, end - 5, end))
    return data[end - 3] == 0xE2 and data[end - 2] == 0x80 and data[end - 1] == 0xA6
