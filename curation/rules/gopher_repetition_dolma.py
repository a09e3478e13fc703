r"""Gopher repetition rules (Rae et al. 2021, arXiv 2112.11446, table A1) as the Dolma toolkit measures them.

Words are those of str.split, lines those of str.split("\n"), empty ones and all their copies included; there is no rule
on paragraphs. Characters are measured against those of all words, so characters of duplicate lines, white space
included, may be more than all. The top n-gram is the most frequent one, the first of several, even where it occurs
once: its words' characters times its count. For duplicated n-grams, characters are summed over every occurrence of an
n-gram that occurs twice, overlaps and all, and divided by the same sum over all n-grams.

The toolkit (allenai/dolma, taggers/gopher.py, "gopher_v1") only scores. The thresholds here are those of Dolma v1.5
(configs/dolma-v1_5/mixing/cc-*.yaml), among them 0.3 for the characters of duplicate lines, where the paper has 0.2.
Three of its rules never fired: the configuration asks for "fraction_of_characters_in_most_common_2gram" (3gram, 4gram),
the tagger writes "…2grams", and what is absent rejects nothing. Here they do what the paper means, and what the
configuration says; `max_top_2_gram: null`, and the other two likewise, gives what was done.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.rules.gopher import PAPER, line_feed, most_lines
from curation.rules.profile import Profile, Rule
from curation.rules.repetition import DUPLICATED, LONGEST, TOP, bench, count, duplicates, lengthen, put
from curation.text.analysis import analyse
from curation.text.compiling import njit
from curation.text.spaced import spaced


def measure(text: pa.LargeStringArray) -> dict[str, NDArray[np.generic]]:
    """The measurements of each text: a column each, as `DOLMA.measurements` names them, int32 words, float64 else.

    NaN for the n-grams of a text with fewer than n words.
    """
    analysis = analyse(text)
    word_spans = analysis.find(spaced)
    words = np.diff(word_spans.documents).astype(np.int32)
    items = max(int(words.max(initial=0)), most_lines(analysis.offsets, analysis.data))
    shares = _measure(analysis.offsets, analysis.data, *word_spans, bench(items))
    return {"words": words, **dict(zip(_COLUMNS, shares, strict=True))}


_COLUMNS = (
    "dup_line_frac",
    "dup_line_char_frac",
    *(f"top_{n}_gram" for n in TOP),
    *(f"duplicated_{n}_n_grams" for n in DUPLICATED),
)
_REASONS = (
    "fraction_of_duplicate_lines",
    "fraction_of_characters_in_duplicate_lines",
    *(f"fraction_of_characters_in_most_common_{n}grams" for n in TOP),
    *(f"fraction_of_characters_in_duplicate_{n}grams" for n in DUPLICATED),
)
_BOUNDS = (0.3, 0.3, 0.2, 0.18, 0.16, 0.15, 0.14, 0.13, 0.12, 0.11, 0.1)

DOLMA = Profile(
    name="gopher-repetition@dolma",
    version=1,
    rules=tuple(
        Rule(column, "max", bound, reason, PAPER)
        for column, bound, reason in zip(_COLUMNS, _BOUNDS, _REASONS, strict=True)
    ),
    measurements=(pa.field("words", pa.int32()), *(pa.field(column, pa.float64()) for column in _COLUMNS)),
    measurer=measure,
    nothing="word_count",
    substance="words",
)


@njit(nogil=True, cache=True)
def _measure(offsets, data, documents, starts, ends, bench):  # type: ignore[no-untyped-def]
    """The shares in the order of _COLUMNS, float64 (11, n)."""
    n = len(offsets) - 1
    shares = np.full((2 + len(TOP) + len(DUPLICATED), n), np.nan)
    for document in range(n):
        base, stop = offsets[document], offsets[document + 1]
        first, last = documents[document], documents[document + 1]
        characters = 0
        lines = 0
        start = base
        while True:
            end = line_feed(data, start, stop)
            put(bench, lines, data, start, end)
            lines += 1
            if end == stop:
                break
            start = end + 1
        count(bench, lines)
        repeated, repeated_characters = duplicates(bench, lines)

        words = last - first
        for word in range(words):
            put(bench, word, data, base + starts[first + word], base + ends[first + word])
        characters = max(bench.ends[words], 1)
        shares[0, document] = repeated / lines
        shares[1, document] = repeated_characters / characters

        count(bench, words)
        for size in range(2, min(LONGEST, words) + 1):
            lengthen(bench, words, size)
            share = _top(bench, words, size) / characters if size <= TOP[-1] else _duplicated(bench, words, size)
            shares[size, document] = share
    return shares


@njit(nogil=True, cache=True)
def _top(bench, words, size):  # type: ignore[no-untyped-def]
    """Characters of the most frequent n-gram, the first of several, times its count."""
    most = 0
    characters = 0
    for i in range(words - size + 1):
        if bench.times[i] > most:
            most = bench.times[i]
            characters = bench.ends[i + size] - bench.ends[i]
    return most * characters


@njit(nogil=True, cache=True)
def _duplicated(bench, words, size):  # type: ignore[no-untyped-def]
    """Characters of all n-grams that occur twice, divided by those of all n-grams."""
    repeated = 0
    characters = 0
    for i in range(words - size + 1):
        length = bench.ends[i + size] - bench.ends[i]
        characters += length
        if bench.times[i] > 1:
            repeated += length
    return repeated / characters
