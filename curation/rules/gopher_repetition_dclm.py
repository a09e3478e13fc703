r"""Gopher repetition rules (Rae et al. 2021, arXiv 2112.11446, table A1) as DCLM measures and orders them.

Lines are those of str.split("\n"), paragraphs those of str.split("\n\n"), stripped, without the empty ones; all their
copies count, and characters are measured against those of all lines or paragraphs. Words are the segments of UAX #29
that begin with a letter or a number (`curation.text.segments`), and their characters are the measure for n-grams. The
top n-gram is the longest of those that occur most often, its words' characters times its count, if it occurs twice. In
duplicated n-grams is every word that belongs to an n-gram which occurs twice, counted once.

Thresholds and order are those of DCLM-Baseline (arXiv 2406.11794; mlfoundations/dclm,
baselines/mappers/filters/content_filters.py, massive_web_repetition_filters). Its `skip_paragraph`, for texts whose
paragraphs are lost, is `max_dup_para_frac: null` and `max_dup_para_char_frac: null`. A text without a line is rejected.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.rules.c4 import strip
from curation.rules.gopher import PAPER, line_feed, most_lines
from curation.rules.profile import Profile, Rule
from curation.rules.repetition import DUPLICATED, LONGEST, TOP, bench, count, duplicates, lengthen, put
from curation.text.analysis import analyse
from curation.text.characters import classes
from curation.text.compiling import njit
from curation.text.segments import breaks, is_word, segments


def measure(text: pa.LargeStringArray) -> dict[str, NDArray[np.generic]]:
    """The measurements of each text: a column each, as `DCLM.measurements` names them, int32 counts, float64 shares.

    NaN for the lines and paragraphs of a text that has none, and the n-grams of one with fewer than n words.
    """
    analysis = analyse(text)
    found = analysis.find(segments)
    items = max(int(np.diff(found.documents).max(initial=0)), most_lines(analysis.offsets, analysis.data))
    counts, shares = _measure(analysis.offsets, analysis.data, *found, classes(), breaks(), bench(items))
    return {**dict(zip(_COUNTS, counts, strict=True)), **dict(zip(_COLUMNS, shares, strict=True))}


_COUNTS = ("lines", "paragraphs", "words")
_COLUMNS = (
    *("dup_line_frac", "dup_para_frac", "dup_line_char_frac", "dup_para_char_frac"),
    *(f"top_{n}_gram" for n in TOP),
    *(f"duplicated_{n}_n_grams" for n in DUPLICATED),
)
_BOUNDS = (0.3, 0.3, 0.2, 0.2, 0.2, 0.18, 0.16, 0.15, 0.14, 0.13, 0.12, 0.11, 0.1)

DCLM = Profile(
    name="gopher-repetition@dclm",
    version=1,
    rules=tuple(Rule(column, "max", bound, column, PAPER) for column, bound in zip(_COLUMNS, _BOUNDS, strict=True)),
    measurements=(
        *(pa.field(column, pa.int32()) for column in _COUNTS),
        *(pa.field(column, pa.float64()) for column in _COLUMNS),
    ),
    measurer=measure,
    nothing="empty",
    substance="lines",
)


@njit(nogil=True, cache=True)
def _measure(offsets, data, documents, starts, ends, classes, breaks, bench):  # type: ignore[no-untyped-def]
    """Counts in the order of _COUNTS, int32 (3, n), and shares in that of _COLUMNS, float64 (13, n)."""
    n = len(offsets) - 1
    counts = np.zeros((3, n), np.int32)
    shares = np.full((4 + len(TOP) + len(DUPLICATED), n), np.nan)
    for document in range(n):
        base, stop = offsets[document], offsets[document + 1]
        for kind, feeds in enumerate((1, 2)):  # lines, paragraphs
            parts = _put_parts(bench, data, base, stop, feeds, classes)
            counts[kind, document] = parts
            if parts > 0:
                count(bench, parts)
                repeated, characters = duplicates(bench, parts)
                shares[kind, document] = repeated / parts
                shares[2 + kind, document] = characters / bench.ends[parts]

        words = 0
        for segment in range(documents[document], documents[document + 1]):
            start, end = base + starts[segment], base + ends[segment]
            if is_word(data, start, end, breaks):
                put(bench, words, data, start, end)
                words += 1
        counts[2, document] = words
        count(bench, words)
        for size in range(2, min(LONGEST, words) + 1):
            lengthen(bench, words, size)
            characters = _top(bench, words, size) if size <= TOP[-1] else _duplicated(bench, words, size)
            shares[2 + size, document] = characters / bench.ends[words]
    return counts, shares


@njit(nogil=True, cache=True)
def _put_parts(bench, data, start, stop, feeds, classes):  # type: ignore[no-untyped-def]
    """Put what lies between any `feeds` line feeds on the bench, stripped, if something is left; returns how many."""
    parts = 0
    while True:
        end = line_feed(data, start, stop)
        while feeds == 2 and end < stop and (end + 1 == stop or data[end + 1] != 10):
            end = line_feed(data, end + 1, stop)
        a, b = strip(data, start, end, classes)
        if a < b:
            put(bench, parts, data, a, b)
            parts += 1
        if end == stop:
            return parts
        start = end + feeds


@njit(nogil=True, cache=True)
def _top(bench, words, size):  # type: ignore[no-untyped-def]
    """Characters of the longest of the most frequent n-grams times its count; 0 where none occurs twice."""
    most = 1
    longest = 0
    for i in range(words - size + 1):
        times = bench.times[i]
        if times >= most and times > 1:
            length = bench.ends[i + size] - bench.ends[i]
            longest = max(longest, length) if times == most else length
            most = times
    return most * longest


@njit(nogil=True, cache=True)
def _duplicated(bench, words, size):  # type: ignore[no-untyped-def]
    """Characters of the words that belong to n-grams which occur twice."""
    characters = 0
    counted = 0  # words up to here are
    for i in range(words - size + 1):
        if bench.times[i] > 1:
            characters += bench.ends[i + size] - bench.ends[max(i, counted)]
            counted = i + size
    return characters
