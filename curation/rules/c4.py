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

from functools import cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.rules.c4_options import Options
from curation.rules.datatrove import sentence_ends
from curation.text.analysis import analyse
from curation.text.arrow import buffers
from curation.text.characters import before, classes, decode, is_digit, is_punctuation, is_space, lower
from curation.text.compiling import njit, njit_inline
from curation.text.edits import apply_edits
from curation.text.lines import lines
from curation.text.words import words
from schemas.documents import EDIT, EDITS

NAME = "c4@datatrove"
VERSION = 1
"""Raised whenever some text would be edited or judged otherwise."""
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
_ODD = -128
"""Stands for a verdict that takes a closer look."""
_LOREM, _JAVASCRIPT, _POLICY, _BRACE, _MARK = 1, 2, 4, 8, 16
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
_ANCHORS = (b"jJ", b"pP", b"fF", b"vV", b"kK", b"{", b"[", b"\xe2")
"""Bytes at which a look at what is around them pays: the rarest letter of each phrase, marks, U+212A's first byte."""
_OTHER = 0xFF
"""Stands for any character beyond ASCII where phrases are looked for."""


class _Phrases(NamedTuple):
    offsets: NDArray[np.int64]
    data: NDArray[np.uint8]


def clean(text: pa.LargeStringArray, options: Options = Options()) -> pa.RecordBatch:  # noqa: B008 - immutable
    """Verdict, counts and edits of each text: columns FIELDS, then `edits` (`schemas.documents.EDITS`).

    The edited text is what datatrove would have left: the kept lines, stripped and without citation marks, joined by
    "\\n". A condemned document gets its edits too, its offending line kept; counts are of all its lines.
    """
    analysis = analyse(text)
    offsets, data = analysis.offsets, analysis.data
    line_spans = analysis.find(lines)
    tables = (anchors(), classes(), lower())
    verdicts, marked = _judge_lines(offsets, data, *line_spans, _phrases(), options, *tables)
    edits = _edits(*_make_edits(offsets, data, *line_spans, verdicts, options.remove_citations, classes()))
    removed, condemned = _tally(line_spans.documents, verdicts)
    sentences = _count_sentences(
        offsets, data, *line_spans, verdicts, *analysis.find(words), classes(), sentence_ends()
    )
    if marked.any():  # without its citation marks a line may have other words
        rows = np.flatnonzero(marked)
        sentences[rows] = _sentences(apply_edits(text.take(pa.array(rows)), edits.take(pa.array(rows))))
    reason = np.where((condemned == 0) & (sentences < options.min_num_sentences), len(_REASONS), condemned)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(reason == 0),
            pa.array(_REASONS, pa.string()).take(pa.array(reason - 1, pa.int32(), mask=reason == 0)),
            pa.array(np.diff(line_spans.documents), pa.int32()),
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
    line_spans = lines(text)
    kept = np.zeros(len(line_spans.starts), np.int8)
    sentences: NDArray[np.int32] = _count_sentences(
        offsets, data, *line_spans, kept, *words(text), classes(), sentence_ends()
    )
    return sentences


@cache
def _phrases() -> _Phrases:
    data = np.frombuffer(b"".join(_PHRASES), np.uint8)
    return _Phrases(np.cumsum([0, *(len(phrase) for phrase in _PHRASES)]), data)


@cache
def anchors() -> NDArray[np.uint8]:
    """For each byte, 1 + the number of the anchor that it is, or 0; read-only."""
    table = np.zeros(256, np.uint8)
    for number, characters in enumerate(_ANCHORS, start=1):
        table[list(characters)] = number
    table.flags.writeable = False
    return table


@njit(nogil=True, cache=True)
def _judge_lines(  # type: ignore[no-untyped-def]
    offsets, data, documents, starts, ends, phrases, options, anchors, classes, lower
):
    """What becomes of each line, int8: _KEEP, 1 and on for LINE_RULES, or _LOREM_IPSUM, _CURLY_BRACKET; and which
    documents have citation marks in lines that stay, bool."""
    verdicts = np.empty(len(starts), np.int8)
    marked = np.zeros(len(offsets) - 1, np.bool_)
    letters = np.empty(256, np.uint8)
    for document in range(len(offsets) - 1):
        base = offsets[document]
        for number in range(documents[document], documents[document + 1]):
            start, end = strip(data, base + starts[number], base + ends[number], classes)
            verdict, mark = _judge_plain(data, start, end, options, anchors, classes)
            if verdict == _ODD:
                if end - start > len(letters):
                    letters = np.empty(2 * (end - start), np.uint8)
                verdict, mark = _judge_odd(data, start, end, letters, phrases, options, classes, lower)
            verdicts[number] = verdict
            marked[document] = marked[document] or (mark and verdict <= 0)
    return verdicts, marked


@njit_inline
def _judge_plain(data, start, end, options, anchors, classes):  # type: ignore[no-untyped-def]
    """(verdict, False) of a line without citation marks and Kelvin signs; _ODD for one that may have some."""
    if _too_long_word(data, start, end, options, classes):
        return 1, False
    if options.filter_no_terminal_punct:
        last = data[np.uint64(end - 1)] if end > start else np.uint8(0)
        for i in range(max(start, end - 3), end):
            if data[np.uint64(i)] == 93:  # "]" may end a mark
                return _ODD, False
        if last == 46:
            if end - start >= 3 and data[np.uint64(end - 2)] == 46 and data[np.uint64(end - 3)] == 46:
                return 2, False
        elif last != 63 and last != 33 and last != 34 and last != 39:
            return 2, False
    if _too_few_words(data, start, end, options, classes):
        return 3, False
    signs = _anchored(data, start, end, options.remove_citations, anchors, classes)
    if signs & _MARK:
        return _ODD, False
    return _condemn(signs, options), False


@njit_inline
def _condemn(signs, options):  # type: ignore[no-untyped-def]
    if options.filter_lorem_ipsum and signs & _LOREM:
        return _LOREM_IPSUM
    if options.filter_javascript and signs & _JAVASCRIPT:
        return 4
    if options.filter_curly_bracket and signs & _BRACE:
        return _CURLY_BRACKET
    return 5 if options.filter_policy and signs & _POLICY else _KEEP


@njit_inline
def _too_long_word(data, start, end, options, classes):  # type: ignore[no-untyped-def]
    most = options.max_word_length
    if most < 0 or end - start <= most:
        return False
    size = 0
    i = start
    while i < end:
        codepoint, width = decode(data, i, end)
        size = 0 if is_space(classes, codepoint) else size + 1
        if size > most:
            return True
        i += width
    return False


@njit_inline
def _too_few_words(data, start, end, options, classes):  # type: ignore[no-untyped-def]
    words = 0
    inside = False
    i = start
    while i < end and words < options.min_words_per_line:
        codepoint, width = decode(data, i, end)
        space = is_space(classes, codepoint)
        words += not space and not inside
        inside = not space
        i += width
    return words < options.min_words_per_line


@njit_inline
def _anchored(data, start, end, citations, anchors, classes):  # type: ignore[no-untyped-def]
    """What of _PHRASES, "{" and citation marks a line holds, a bit each: looked for around their rarest letters."""
    signs = 0
    for i in range(start, end):
        anchor = anchors[data[np.uint64(i)]]
        if anchor == 0:
            continue
        if anchor == 1:
            if _around(data, i, start, end, b"", b"avascript"):
                signs |= _JAVASCRIPT
        elif anchor == 2:
            if _around(data, i, start, end, b"lorem i", b"sum"):
                signs |= _LOREM
        elif anchor == 3:
            if _around(data, i, start, end, b"terms o", b" use"):
                signs |= _POLICY
        elif anchor == 4:
            if _around(data, i, start, end, b"pri", b"acy policy"):
                signs |= _POLICY
        elif anchor == 5:
            if _around(data, i, start, end, b"coo", b"ie") and (
                _around(data, i, start, end, b"", b"ie policy")
                or _around(data, i, start, end, b"uses coo", b"ies")
                or _around(data, i, start, end, b"use of coo", b"ies")
                or _around(data, i, start, end, b"use coo", b"ies")
            ):
                signs |= _POLICY
        elif anchor == 6:
            signs |= _BRACE
        elif anchor == 7:
            if citations and citation(data, i, end, classes) > 0:
                signs |= _MARK
        elif i + 2 < end and data[i + 1] == 0x84 and data[i + 2] == 0xAA:  # U+212A is "k" in lower case
            signs |= _MARK
    return signs


@njit_inline
def _around(data, i, start, end, head, tail):  # type: ignore[no-untyped-def]
    """Whether the bytes before and behind `i` are these in lower case."""
    if i - len(head) < start or i + len(tail) >= end:
        return False
    same = True
    for k in range(len(head)):
        same = same and _small(data[i - len(head) + k]) == head[k]
    for k in range(len(tail)):
        same = same and _small(data[i + 1 + k]) == tail[k]
    return same


@njit_inline
def _small(byte):  # type: ignore[no-untyped-def]
    return byte | 32 if 65 <= byte <= 90 else byte


@njit(nogil=True, cache=True)
def _judge_odd(data, start, end, letters, phrases, options, classes, lower):  # type: ignore[no-untyped-def]
    """(verdict, whether it has a citation mark) of any line, by way of a copy."""
    if _too_long_word(data, start, end, options, classes):
        return 1, False
    count, marks = _lower_ascii(data, start, end, letters, options.remove_citations, classes, lower)
    if options.filter_no_terminal_punct and not _ends_well(letters, count):
        return 2, marks
    if _too_few_words(data, start, end, options, classes):
        return 3, marks
    signs = _first_phrases(letters, count, phrases)
    for i in range(count):
        if letters[i] == 123:
            signs |= _BRACE
            break
    return _condemn(signs, options), marks


@njit_inline
def strip(data, start, end, classes):  # type: ignore[no-untyped-def]
    """str.strip: the span without white space at its edges."""
    while start < end:
        codepoint, width = decode(data, start, end)
        if not is_space(classes, codepoint):
            break
        start += width
    while end > start:
        last_begin = before(data, start, end)
        codepoint, _ = decode(data, last_begin, end)
        if not is_space(classes, codepoint):
            break
        end = last_begin
    return start, end


@njit_inline
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


@njit_inline
def _lower_ascii(data, start, end, letters, citations, classes, lower):  # type: ignore[no-untyped-def]
    """Fill `letters` with the line in lower case, without citation marks, a byte a character: (how many, any marks)."""
    count = 0
    marks = False
    i = start
    while i < end:
        size = citation(data, i, end, classes) if citations else 0
        if size > 0:
            marks = True
            i += size
            continue
        codepoint, width = decode(data, i, end)
        # U+0130 is "i" and a combining dot in lower case, so it continues no phrase
        small = np.int32(_OTHER) if codepoint == 0x130 else lower[codepoint]
        letters[count] = small if small < 128 else _OTHER
        count += 1
        i += width
    return count, marks


@njit_inline
def _ends_well(letters, count):  # type: ignore[no-untyped-def]
    if count == 0:
        return False
    last = letters[count - 1]
    if last == 46:
        return not (count >= 3 and letters[count - 2] == 46 and letters[count - 3] == 46)
    return last == 63 or last == 33 or last == 34 or last == 39


@njit_inline
def _first_phrases(letters, count, phrases):  # type: ignore[no-untyped-def]
    """What of _PHRASES occurs, as `_anchored` has it."""
    signs = 0
    for i in range(count):
        for phrase in range(len(phrases.offsets) - 1):
            first = phrases.offsets[phrase]
            size = phrases.offsets[phrase + 1] - first
            if i + size > count or letters[i] != phrases.data[first]:
                continue
            same = True
            for k in range(size):
                if letters[i + k] != phrases.data[first + k]:
                    same = False
                    break
            if same:
                signs |= _LOREM if phrase == 0 else _JAVASCRIPT if phrase == 1 else _POLICY
    return signs


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
def _make_edits(offsets, data, documents, starts, ends, verdicts, citations, classes):  # type: ignore[no-untyped-def]
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
        any_kept = False
        for number in range(documents[document], documents[document + 1]):
            if verdicts[number] > 0:
                continue
            start, end = strip(data, base + starts[number], base + ends[number], classes)
            joint = 1 if any_kept else 0
            i = start
            while i < end:
                size = citation(data, i, end, classes) if citations else 0
                if size > 0:
                    i += size
                    continue
                if not any_kept:  # the whole is stripped once more, which shows behind a leading mark
                    codepoint, width = decode(data, i, end)
                    if is_space(classes, codepoint):
                        i += width
                        continue
                if (i > gap or joint) and not (joint and i == gap + 1 and data[gap] == 10):
                    edit_starts[count] = gap - base
                    edit_ends[count] = i - base
                    breaks[count] = joint
                    count += 1
                joint = 0
                any_kept = True
                i += 1
                while i < end and not (citations and data[np.uint64(i)] == 91):
                    i += 1
                gap = i
        if gap < offsets[document + 1]:
            edit_starts[count] = gap - base
            edit_ends[count] = offsets[document + 1] - base
            breaks[count] = 0
            count += 1
        bounds[document + 1] = count
    return bounds, edit_starts[:count].copy(), edit_ends[:count].copy(), breaks[:count].copy()


@njit(nogil=True, cache=True)
def _count_sentences(  # type: ignore[no-untyped-def]
    offsets, data, documents, starts, ends, verdicts, word_documents, word_starts, word_ends, classes, enders
):
    """Sentences in the lines that stay, int32 [n]."""
    n = len(offsets) - 1
    sentences = np.zeros(n, np.int32)
    for document in range(n):
        base = offsets[document]
        token = word_documents[document]
        last = word_documents[document + 1]
        count = 0
        for number in range(documents[document], documents[document + 1]):
            while token < last and word_starts[np.uint64(token)] < starts[number]:
                token += 1
            if verdicts[number] > 0:
                continue
            fresh = True
            ended = False
            while token < last and word_starts[np.uint64(token)] < ends[number]:
                start = base + word_starts[np.uint64(token)]
                end = base + word_ends[np.uint64(token)]
                token += 1
                byte = data[np.uint64(start)]
                if 97 <= byte | 32 <= 122:  # a word, whatever follows
                    ender = punctuation = False
                else:
                    codepoint, width = decode(data, start, end)
                    ender = start + width == end and enders[codepoint]
                    punctuation = ended and _only_punctuation(data, start, end, classes)
                if fresh or (ended and not ender and not punctuation):
                    count += 1
                    ended = False
                fresh = False
                ended = ended or ender
        sentences[document] = count
    return sentences


@njit_inline
def _only_punctuation(data, start, end, classes):  # type: ignore[no-untyped-def]
    i = start
    while i < end:
        codepoint, width = decode(data, i, end)
        if not is_punctuation(classes, codepoint):
            return False
        i += width
    return True
