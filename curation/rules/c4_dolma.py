r"""C4's rules (Raffel et al. 2020, arXiv 1910.10683) as the Dolma toolkit measures them: of whole documents.

"{", "lorem ipsum" and "javascript" are looked for in the whole text, ignoring case, and one of them rejects the
document, whatever line it stands in and whatever becomes of that line; C4 and datatrove drop a line with "javascript"
only, and look at no line that has gone. Lines are those of str.split("\n"), empty ones included: counted are those
whose last character but white space is none of . ? ! " (an ellipsis will do, an apostrophe not), and those of fewer
than three words of str.split. Nothing is removed; `remove-lines` does that.

Tagger "c4_v2" of the dolma toolkit (taggers/c4.py), thresholds of configs/c4-replication/mixer.yaml; a reason is the
name of Dolma's attribute. The older "c4_v1", whose line rule made Dolma v1.5's web text, wants "javascript" as a word
of its own. Dolma's has_naughty_word needs a list of words (LDNOOBW), which is not here.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.rules.gopher import line_feed
from curation.rules.profile import Profile, Rule
from curation.text.analysis import analyse
from curation.text.compiling import njit, njit_inline
from curation.text.spaced import spaced

_PAPER = "1910.10683"
FEWEST_WORDS = 3
"""In a line."""
_JAVASCRIPT = tuple(b"javascript")
_LOREM_IPSUM = tuple(b"lorem ipsum")


def measure(text: pa.LargeStringArray) -> dict[str, NDArray[np.generic]]:
    """The measurements of each text: a column each, as `DOLMA.measurements` names them, int32 counts."""
    analysis = analyse(text)
    counts = _count(analysis.offsets, analysis.data, *analysis.find(spaced))
    return dict(zip(_COLUMNS, counts, strict=True))


_COLUMNS = (
    *("words", "lines", "lines_without_end_punctuation", "lines_with_too_few_words"),
    *("curly_braces", "lorem_ipsum", "javascript"),
)

DOLMA = Profile(
    name="c4@dolma",
    version=1,
    rules=(
        Rule("curly_braces", "max", 0, "has_curly_brace", _PAPER),
        Rule("lorem_ipsum", "max", 0, "has_lorem_ipsum", _PAPER),
        Rule("javascript", "max", 0, "has_javascript", _PAPER),
    ),
    measurements=tuple(pa.field(column, pa.int32()) for column in _COLUMNS),
    measurer=measure,
    nothing="empty",
    substance="words",
)


@njit(nogil=True, cache=True)
def _count(offsets, data, documents, starts, ends):  # type: ignore[no-untyped-def]
    """The columns in the order of _COLUMNS, int32 (7, n)."""
    n = len(offsets) - 1
    counts = np.zeros((7, n), np.int32)
    for document in range(n):
        base, stop = offsets[document], offsets[document + 1]
        word, last = documents[document], documents[document + 1]
        counts[0, document] = last - word
        start = base
        while True:
            end = line_feed(data, start, stop)
            words = 0
            while word < last and base + starts[word] < end:
                word += 1
                words += 1
            counts[1, document] += 1
            counts[2, document] += words == 0 or not _is_end(data[base + ends[word - 1] - 1])
            counts[3, document] += words < FEWEST_WORDS
            if end == stop:
                break
            start = end + 1
        for i in range(base, stop):
            letter = _lower(data[i])
            if letter == 123:
                counts[4, document] += 1
            elif letter == 108:
                counts[5, document] += _spells(data, i, stop, _LOREM_IPSUM)
            elif letter == 106:
                counts[6, document] += _spells(data, i, stop, _JAVASCRIPT)
    return counts


@njit_inline
def _is_end(byte):  # type: ignore[no-untyped-def]
    return byte == 46 or byte == 63 or byte == 33 or byte == 34


@njit_inline
def _lower(byte):  # type: ignore[no-untyped-def]
    return byte + 32 if 65 <= byte <= 90 else np.int64(byte)


@njit_inline
def _spells(data, i, stop, phrase):  # type: ignore[no-untyped-def]
    """Whether `phrase`, letters in lower case, is at byte `i`."""
    if i + len(phrase) > stop:
        return False
    k = 0
    while k < len(phrase) and _lower(data[i + k]) == phrase[k]:
        k += 1
    return k == len(phrase)
