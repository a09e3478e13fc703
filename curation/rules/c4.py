"""C4's line rules (Raffel et al. 2020, arXiv 1910.10683) as datatrove 0.10.1 words and orders them.

Each line of str.splitlines is stripped, then, in this order: dropped for a word of over 1,000 characters; freed of
citation marks ([12], [], [edit], [citation needed]); dropped when it ends in none of . ? ! " ' or in "..."; dropped
for under 3 words, counted before the marks went; it condemns the document by "lorem ipsum"; dropped for "javascript";
condemns the document by "{"; dropped for talk of cookies or policies. Phrases are looked for in lower case. A document
with under 5 sentences left is condemned too.

Sentences are counted as datatrove counts them by default, with spaCy's rule-based sentencizer: a mark such as . ? !
that is a token by itself ends one, and the next token that is no punctuation begins another. So "Mr. Smith" ends none
and "Wait... what" neither. C4 itself used NLTK's punkt, which also knows abbreviations it was never told.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from curation.rules.datatrove import sentence_ends
from curation.text.arrow import buffers
from curation.text.characters import before, classes, decode, is_digit, is_punctuation, is_space, lower
from curation.text.edits import apply_edits
from curation.text.lines import line, lines
from curation.text.words import words
from schemas.documents import EDIT, EDITS

NAME = "c4@datatrove"
VERSION = 1
"""Raised whenever some text would be edited or judged otherwise."""
LONGEST_WORD = 1000
FEWEST_WORDS = 3
FEWEST_SENTENCES = 5
LINE_RULES = ("too_long_word", "no_terminal_punctuation", "too_few_words", "javascript", "policy")
"""Why lines go, in the order checked; what goes for citation marks is part of a line, not a line."""
FIELDS = [
    pa.field("pass", pa.bool_()),
    pa.field("reason", pa.string()),
    pa.field("lines", pa.int32()),
    *(pa.field(f"lines_removed_{rule}", pa.int32()) for rule in LINE_RULES),
    pa.field("sentences", pa.int32()),
]
"""Columns of `clean`; `reason` is lorem_ipsum, curly_bracket, too_few_sentences or null, `lines` the count before."""

_KEEP, _LOREM_IPSUM, _CURLY_BRACKET = 0, -1, -2
_REASONS = ("lorem_ipsum", "curly_bracket", "too_few_sentences")
_PHRASES = (
    b"lorem ipsum",
    b"javascript",
    b"terms of use",
    b"privacy policy",
    b"cookie policy",
    b"uses cookies",
    b"use of cookies",
    b"use cookies",
)
_OTHER = 0xFF
"""Stands for any character beyond ASCII where phrases are looked for."""


class _Phrases(NamedTuple):
    offsets: NDArray[np.int64]
    data: NDArray[np.uint8]


def clean(text: pa.LargeStringArray) -> pa.RecordBatch:
    """Verdict, counts and edits of each text: columns FIELDS, then `edits` (`schemas.documents.EDITS`).

    The edited text is what datatrove would have left: the kept lines, stripped and without citation marks, joined by
    "\\n". A condemned document gets its edits too, its offending line kept; counts are of all its lines.
    """
    offsets, data = buffers(text)
    found = lines(text)
    phrases = _Phrases(
        np.cumsum([0, *(len(phrase) for phrase in _PHRASES)]), np.frombuffer(b"".join(_PHRASES), np.uint8)
    )
    verdicts = _judge_lines(offsets, data, found.documents, found.starts, found.ends, phrases, classes(), lower())
    edits = _edits(*_make_edits(offsets, data, found.documents, found.starts, found.ends, verdicts, classes()))
    removed, condemned = _tally(found.documents, verdicts)
    left = apply_edits(text, edits)
    sentences = _sentences(left)
    reason = np.where((condemned == 0) & (sentences < FEWEST_SENTENCES), len(_REASONS), condemned)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(reason == 0),
            pa.array(_REASONS, pa.string()).take(pa.array(reason - 1, pa.int32(), mask=reason == 0)),
            pa.array(np.diff(found.documents), pa.int32()),
            *(pa.array(counts) for counts in removed),
            pa.array(sentences),
            edits,
        ],
        schema=pa.schema([*FIELDS, pa.field("edits", EDITS)]),
    )


def _edits(
    bounds: NDArray[np.int32], starts: NDArray[np.uint32], ends: NDArray[np.uint32], breaks: NDArray[np.int32]
) -> pa.ListArray:
    fields = [
        pa.array(["text"], pa.string()).take(pa.array(np.zeros(len(starts), np.int32))),
        pa.array(starts),
        pa.array(ends),
        pa.array(["", "\n"], pa.string()).take(pa.array(breaks)),
    ]
    return pa.ListArray.from_arrays(pa.array(bounds), pa.StructArray.from_arrays(fields, fields=list(EDIT)), type=EDITS)


def _sentences(text: pa.LargeStringArray) -> NDArray[np.int32]:
    """Sentences of each text, counted line by line; shape (documents,)."""
    offsets, data = buffers(text)
    tokens = words(text)
    sentences: NDArray[np.int32] = _count_sentences(
        offsets, data, tokens.documents, tokens.starts, tokens.ends, classes(), sentence_ends()
    )
    return sentences


@njit(nogil=True, cache=True)
def _judge_lines(offsets, data, documents, starts, ends, phrases, classes, lower):  # type: ignore[no-untyped-def]
    """What becomes of each line: _KEEP, 1 and on for LINE_RULES, or _LOREM_IPSUM, _CURLY_BRACKET. int8, a line each."""
    verdicts = np.empty(len(starts), np.int8)
    letters = np.empty(256, np.uint8)
    for document in range(len(offsets) - 1):
        base = offsets[document]
        for number in range(documents[document], documents[document + 1]):
            start, end = strip(data, base + starts[number], base + ends[number], classes)
            if end - start > len(letters):
                letters = np.empty(2 * (end - start), np.uint8)
            verdicts[number] = _judge_line(data, start, end, letters, phrases, classes, lower)
    return verdicts


@njit(nogil=True, cache=True)
def _judge_line(data, start, end, letters, phrases, classes, lower):  # type: ignore[no-untyped-def]
    words = 0
    longest = 0
    size = 0
    i = start
    while i < end:
        codepoint, width = decode(data, i, end)
        if is_space(classes, codepoint):
            size = 0
        else:
            words += size == 0
            size += 1
            longest = max(longest, size)
        i += width
    if longest > LONGEST_WORD:
        return 1
    count = _lower_ascii(data, start, end, letters, classes, lower)
    if not _ends_well(letters, count):
        return 2
    if words < FEWEST_WORDS:
        return 3
    phrase = _first_phrases(letters, count, phrases)
    if phrase & 1:
        return _LOREM_IPSUM
    if phrase & 2:
        return 4
    for i in range(count):
        if letters[i] == 123:
            return _CURLY_BRACKET
    return 5 if phrase else _KEEP


@njit(nogil=True, cache=True)
def strip(data, start, end, classes):  # type: ignore[no-untyped-def]
    """str.strip: the span without white space at its edges."""
    while start < end:
        codepoint, width = decode(data, start, end)
        if not is_space(classes, codepoint):
            break
        start += width
    while end > start:
        at = before(data, start, end)
        codepoint, _ = decode(data, at, end)
        if not is_space(classes, codepoint):
            break
        end = at
    return start, end


@njit(nogil=True, cache=True)
def citation(data, i, end, classes):  # type: ignore[no-untyped-def]
    r"""Bytes of the citation mark at `i`, or 0: `\[\d*]|\[edit]|\[citation needed]`."""
    if data[i] != 91:
        return 0
    j = i + 1
    while j < end:
        codepoint, width = decode(data, j, end)
        if codepoint == 93:
            return j + 1 - i
        if not is_digit(classes, codepoint):
            break
        j += width
    for mark in (b"[edit]", b"[citation needed]"):
        size = len(mark)
        if i + size <= end:
            same = True
            for k in range(size):
                if data[i + k] != mark[k]:
                    same = False
                    break
            if same:
                return size
    return 0


@njit(nogil=True, cache=True)
def _lower_ascii(data, start, end, letters, classes, lower):  # type: ignore[no-untyped-def]
    """Fill `letters` with the line in lower case, without citation marks, a byte a character; returns how many."""
    count = 0
    i = start
    while i < end:
        size = citation(data, i, end, classes)
        if size > 0:
            i += size
            continue
        codepoint, width = decode(data, i, end)
        # U+0130 is "i" and a combining dot in lower case, so it continues no phrase
        small = np.int32(_OTHER) if codepoint == 0x130 else lower[codepoint]
        letters[count] = small if small < 128 else _OTHER
        count += 1
        i += width
    return count


@njit(nogil=True, cache=True)
def _ends_well(letters, count):  # type: ignore[no-untyped-def]
    if count == 0:
        return False
    last = letters[count - 1]
    if last == 46:
        return not (count >= 3 and letters[count - 2] == 46 and letters[count - 3] == 46)
    return last == 63 or last == 33 or last == 34 or last == 39


@njit(nogil=True, cache=True)
def _first_phrases(letters, count, phrases):  # type: ignore[no-untyped-def]
    """Which of _PHRASES occur, a bit each."""
    found = 0
    for i in range(count):
        letter = letters[i]
        if letter != 99 and letter != 106 and letter != 108 and letter != 112 and letter != 116 and letter != 117:
            continue  # begins none of them
        for phrase in range(len(phrases.offsets) - 1):
            at = phrases.offsets[phrase]
            size = phrases.offsets[phrase + 1] - at
            if i + size > count:
                continue
            same = True
            for k in range(size):
                if letters[i + k] != phrases.data[at + k]:
                    same = False
                    break
            if same:
                found |= 1 << phrase
    return found


@njit(nogil=True, cache=True)
def _tally(documents, verdicts):  # type: ignore[no-untyped-def]
    """Lines removed by each rule, int32 (rules, documents), and which of _REASONS came first, from 1, or 0."""
    n = len(documents) - 1
    removed = np.zeros((len(LINE_RULES), n), np.int32)
    condemned = np.zeros(n, np.int64)
    for document in range(n):
        for number in range(documents[document], documents[document + 1]):
            verdict = verdicts[number]
            if verdict > 0:
                removed[verdict - 1, document] += 1
            elif verdict < 0 and condemned[document] == 0:
                condemned[document] = -verdict
    return removed, condemned


@njit(nogil=True, cache=True)
def _make_edits(offsets, data, documents, starts, ends, verdicts, classes):  # type: ignore[no-untyped-def]
    """The edits of each document: bounds, shape (n + 1,), then start, end, and whether a line break takes their place.

    What is kept between two edits is one piece of a line; the gap before a line's first piece becomes "\\n", unless
    it is one already.
    """
    n = len(offsets) - 1
    bounds = np.zeros(n + 1, np.int32)
    # an edit lies before each kept line, at each mark and at the end of the text
    most = len(starts) + n
    for document in range(n):
        for i in range(offsets[document], offsets[document + 1]):
            most += data[i] == 91
    edit_starts = np.empty(most, np.uint32)
    edit_ends = np.empty(most, np.uint32)
    breaks = np.empty(most, np.int32)
    count = 0
    for document in range(n):
        base = offsets[document]
        gap = base  # where the last kept piece ended
        joint = 0  # whether a line break is due before the next
        some = False
        for number in range(documents[document], documents[document + 1]):
            if verdicts[number] > 0:
                continue
            start, end = strip(data, base + starts[number], base + ends[number], classes)
            joint = 1 if some else 0
            i = start
            while i < end:
                size = citation(data, i, end, classes)
                if size > 0:
                    i += size
                    continue
                codepoint, width = decode(data, i, end)
                if not some and is_space(classes, codepoint):
                    i += width  # the whole is stripped once more, which shows behind a leading mark
                    continue
                if (i > gap or joint) and not (joint and i == gap + 1 and data[gap] == 10):
                    edit_starts[count] = gap - base
                    edit_ends[count] = i - base
                    breaks[count] = joint
                    count += 1
                joint = 0
                some = True
                i += width
                gap = i
        if gap < offsets[document + 1]:
            edit_starts[count] = gap - base
            edit_ends[count] = offsets[document + 1] - base
            breaks[count] = 0
            count += 1
        bounds[document + 1] = count
    return bounds, edit_starts[:count].copy(), edit_ends[:count].copy(), breaks[:count].copy()


@njit(nogil=True, cache=True)
def _count_sentences(offsets, data, documents, starts, ends, classes, enders):  # type: ignore[no-untyped-def]
    n = len(offsets) - 1
    sentences = np.zeros(n, np.int32)
    for document in range(n):
        base = offsets[document]
        limit = base  # end of the current line
        ended = False
        for token in range(documents[document], documents[document + 1]):
            start, end = base + starts[token], base + ends[token]
            fresh = start >= limit
            while start >= limit:
                _, limit = line(data, limit, offsets[document + 1])
            codepoint, width = decode(data, start, end)
            ender = start + width == end and enders[codepoint]
            if fresh:
                sentences[document] += 1
                ended = ender
            elif ender:
                ended = True
            elif ended and not _only_punctuation(data, start, end, classes):
                sentences[document] += 1
                ended = False
    return sentences


@njit(nogil=True, cache=True)
def _only_punctuation(data, start, end, classes):  # type: ignore[no-untyped-def]
    i = start
    while i < end:
        codepoint, width = decode(data, i, end)
        if not is_punctuation(classes, codepoint):
            return False
        i += width
    return True
