r"""RefinedWeb's line rules (Penedo et al. 2023, arXiv 2306.01116) as DCLM applies them (arXiv 2406.11794).

Lines are those of str.split("\n"). The whole text goes through these steps, in this order, each on what the one before
left; empty lines always stay:

1. of more than two line feeds in a row two are left;
2. lines of which more than half of the characters are upper case go, white space counting as a character;
3. lines of digits only go;
4. counters go: "3 likes", "1,024 Views.";
5. lines of fewer than two words (str.split) go;
6. from lines of up to ten words "items in cart" is cut, wherever it stands,
7. then "read more..." at their end,
8. then "sign-in" at their beginning, all ignoring case and with one white space beside it; a line of which nothing but
   white space is left goes.

After each of the steps 2 to 8 the text is stripped (by DCLM not after step 5, which comes to the same). DCLM's phrases
are regular expressions: the three full stops of "read more..." stand for any three characters, so "Read more >>" is one
and "Read more" is none.

A document fails when a step leaves nothing of it, when it had no word to begin with, or when more than 5 % of its words
are gone at the end: words as `curation.rules.dclm.count_words` counts them.

Source: mlfoundations/dclm, baselines/mappers/modifiers.py with the settings of dclm_baseline_refinedweb.yaml. DCLM puts
step 1 before its filters on documents, and everything else behind them.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.rules.dclm import count_words
from curation.text import characters
from curation.text.arrow import buffers
from curation.text.characters import CATEGORIES, CATEGORY, classes, decode, lower
from curation.text.compiling import njit, njit_inline
from curation.text.edits import apply_edits
from schemas.documents import EDIT, EDITS

NAME = "refinedweb@dclm"
VERSION = 1
"""Raised whenever some text would be edited or judged otherwise."""
MOST_LINE_FEEDS = 2
MOST_UPPER_CASE = 0.5
MOST_DIGITS = 0.999999
"""DCLM's way to say: not all of them, in lines of up to a million characters."""
COUNTED = (
    *("likes", "shares", "comments", "retweets", "reposts", "quotes"),
    *("bookmarks", "upvotes", "downvotes", "downloads", "views", "followers"),
)
FEWEST_WORDS = 2
LONGEST_WITH_PHRASE = 10
MOST_WORDS_REMOVED = 0.05
LINE_RULES = ("upper_case", "digits", "counter", "too_few_words", "phrase")
"""Why lines go, in the order of the steps; "phrase" where nothing else is in the line."""
PHRASES = ("items_in_cart", "read_more", "sign_in")
FIELDS = [
    pa.field("pass", pa.bool_()),
    pa.field("reason", pa.string()),
    pa.field("lines", pa.int32()),
    *(pa.field(f"lines_removed_{rule}", pa.int32()) for rule in LINE_RULES),
    *(pa.field(f"phrases_removed_{phrase}", pa.int32()) for phrase in PHRASES),
    pa.field("line_feeds_removed", pa.int32()),
    pa.field("words", pa.int32()),
    pa.field("words_removed_ratio", pa.float64()),
]
"""Columns of `clean`; `reason` is empty, no_words, words_removed or null, `lines` and `words` count what was there."""

_REASONS = ("empty", "no_words", "words_removed")
_ITEMS = tuple(b"items in cart")
_MORE = tuple(b"read more\0\0\0")
"""0 is any character."""
_SIGN = tuple(b"sign-in")
_FEED = 10
_UPPER, _DIGIT, _DECIMAL, _SPACE, _WORD = 1, 2, 4, 8, 16
_COUNTS = 2 + len(LINE_RULES) + len(PHRASES)
# str.isupper and str.isdigit beyond the categories Lu and Nd (Unicode 14.0: Other_Uppercase, Numeric_Type=Digit)
_OTHER_UPPER = "2160-216f 24b6-24cf 1f130-1f149 1f150-1f169 1f170-1f189"
_OTHER_DIGITS = (
    "b2-b3 b9-b9 1369-1371 19da-19da 2070-2070 2074-2079 2080-2089 2460-2468 2474-247c 2488-2490 24ea-24ea 24f5-24fd "
    "24ff-24ff 2776-277e 2780-2788 278a-2792 10a40-10a43 10e60-10e68 11052-1105a 1f100-1f10a"
)


class _Tables(NamedTuple):
    kinds: NDArray[np.uint8]
    """Of every code point: _UPPER, _DIGIT, _DECIMAL, _SPACE and _WORD, which is `\\w`."""
    lower: NDArray[np.int32]
    bounds: NDArray[np.int64]
    """Where each of COUNTED begins in `letters`, and the end."""
    letters: NDArray[np.uint8]


def clean(text: pa.LargeStringArray) -> pa.RecordBatch:
    """Verdict, counts and edits of each text: columns FIELDS, then `edits` (`schemas.documents.EDITS`).

    The edited text is what DCLM would have left. A document that fails gets its edits too; of one with reason "empty"
    nothing is left.
    """
    offsets, data = buffers(text)
    counts, bounds, starts, ends = _clean(offsets, data, _tables())
    edits = _edits(bounds, starts, ends)
    words = _words(offsets, data, classes())
    left = _words(*buffers(apply_edits(text, edits)), classes())
    removed = np.divide(words - left, words, out=np.full(len(words), np.nan), where=words > 0)
    empty = counts[_COUNTS] > 0
    reason = np.select([empty, words == 0, removed > MOST_WORDS_REMOVED], [1, 2, 3], 0)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(reason == 0),
            pa.array(_REASONS, pa.string()).take(pa.array(reason - 1, pa.int32(), mask=reason == 0)),
            *(pa.array(count) for count in counts[:_COUNTS]),
            pa.array(words),
            pa.array(removed, from_pandas=True),
            edits,
        ],
        schema=pa.schema([*FIELDS, pa.field("edits", EDITS)]),
    )


def _edits(bounds: NDArray[np.int32], starts: NDArray[np.uint32], ends: NDArray[np.uint32]) -> pa.ListArray:
    same = pa.array(np.zeros(len(starts), np.int32))
    fields = [pa.array(["text"]).take(same), pa.array(starts), pa.array(ends), pa.array([""]).take(same)]
    return pa.ListArray.from_arrays(pa.array(bounds), pa.StructArray.from_arrays(fields, fields=list(EDIT)), type=EDITS)


@cache
def _tables() -> _Tables:
    category = classes() & CATEGORY
    initial = np.array([name[0] for name in CATEGORIES])[category]
    kinds = np.zeros(len(category), np.uint8)
    kinds[category == CATEGORIES.index("Lu")] |= _UPPER
    kinds[category == CATEGORIES.index("Nd")] |= _DIGIT | _DECIMAL
    kinds[(initial == "L") | (initial == "N")] |= _WORD
    kinds[ord("_")] |= _WORD
    kinds[classes() & characters.SPACE != 0] |= _SPACE
    for flag, ranges in ((_UPPER, _OTHER_UPPER), (_DIGIT, _OTHER_DIGITS)):
        for first, last in (bounds.split("-") for bounds in ranges.split()):
            kinds[int(first, 16) : int(last, 16) + 1] |= flag
    small = lower().copy()
    small[0x130] = 0x130  # str.lower makes two characters of it, which are part of no word here
    letters = np.frombuffer("".join(COUNTED).encode(), np.uint8)
    tables = _Tables(kinds, small, np.cumsum([0, *(len(word) for word in COUNTED)]), letters)
    for table in tables:
        table.flags.writeable = False
    return tables


@njit(nogil=True, cache=True)
def _words(offsets, data, classes):  # type: ignore[no-untyped-def]
    words = np.empty(len(offsets) - 1, np.int32)
    for document in range(len(words)):
        words[document] = count_words(data, offsets[document], offsets[document + 1], classes)
    return words


@njit(nogil=True, cache=True)
def _clean(offsets, data, tables):  # type: ignore[no-untyped-def]
    """Counts, int32 (11, n): lines, LINE_RULES, PHRASES, line feeds, whether nothing is left. Then edits, all of them
    deletions: bounds, shape (n + 1,), starts, ends.
    """
    n = len(offsets) - 1
    counts = np.zeros((_COUNTS + 1, n), np.int32)
    bounds = np.zeros(n + 1, np.int32)
    most = 0
    for document in range(n):
        most = max(most, offsets[document + 1] - offsets[document])
    # The text at work: its characters, and the byte of the document where each of them is.
    text = np.empty(most, np.uint32)
    positions = np.empty(most, np.uint32)
    deletions = (offsets[n] - offsets[0] + n) // 2 + n + 1  # pages not used cost nothing
    starts = np.empty(deletions, np.uint32)
    ends = np.empty(deletions, np.uint32)
    edits = 0
    for document in range(n):
        base, stop = offsets[document], offsets[document + 1]
        size, counts[0, document], counts[_COUNTS - 1, document] = _read(data, base, stop, text, positions)
        for rule in range(4):
            size, counts[1 + rule, document] = _remove_lines(text, positions, size, rule, tables)
            size = _strip(text, positions, size, tables.kinds)
        for phrase in range(len(PHRASES)):
            size, lines, phrases = _remove_phrase(text, positions, size, phrase, tables.kinds)
            size = _strip(text, positions, size, tables.kinds)
            counts[len(LINE_RULES), document] += lines
            counts[1 + len(LINE_RULES) + phrase, document] = phrases
        counts[_COUNTS, document] = size == 0
        reached = 0
        for i in range(size):
            if positions[i] > reached:
                starts[edits] = reached
                ends[edits] = positions[i]
                edits += 1
            reached = positions[i] + _width(text[i])
        if reached < stop - base:
            starts[edits] = reached
            ends[edits] = stop - base
            edits += 1
        bounds[document + 1] = edits
    return counts, bounds, starts[:edits].copy(), ends[:edits].copy()


@njit_inline
def _width(codepoint):  # type: ignore[no-untyped-def]
    """Bytes of a character."""
    return 1 + (codepoint >= 0x80) + (codepoint >= 0x800) + (codepoint >= 0x10000)


@njit(nogil=True, cache=True)
def _read(data, base, stop, text, positions):  # type: ignore[no-untyped-def]
    """Fill `text` and `positions`: (characters, lines that are not empty, line feeds left out)."""
    size = lines = feeds = removed = 0
    i = base
    while i < stop:
        codepoint, width = decode(data, i, stop)
        if codepoint == _FEED:
            feeds += 1
        else:
            lines += feeds > 0 or i == base
            feeds = 0
        if feeds > MOST_LINE_FEEDS:
            removed += 1
        else:
            text[size] = codepoint
            positions[size] = i - base
            size += 1
        i += width
    return size, lines, removed


@njit_inline
def _line_end(text, start, size):  # type: ignore[no-untyped-def]
    while start < size and text[start] != _FEED:
        start += 1
    return start


@njit_inline
def _keep(text, positions, kept, start, end):  # type: ignore[no-untyped-def]
    """Move the characters from `start` to `end` down to `kept`; returns where they end then."""
    if kept < start:
        for i in range(start, end):
            text[kept + i - start] = text[i]
            positions[kept + i - start] = positions[i]
    return kept + end - start


@njit(nogil=True, cache=True)
def _strip(text, positions, size, kinds):  # type: ignore[no-untyped-def]
    while size > 0 and kinds[text[size - 1]] & _SPACE:
        size -= 1
    first = 0
    while first < size and kinds[text[first]] & _SPACE:
        first += 1
    return _keep(text, positions, 0, first, size)


@njit(nogil=True, cache=True)
def _remove_lines(text, positions, size, rule, tables):  # type: ignore[no-untyped-def]
    """Take out the lines that LINE_RULES[rule] removes: (characters left, lines gone)."""
    kept = gone = 0
    start = 0
    while True:
        end = _line_end(text, start, size)
        goes = start < end and _goes(text, start, end, rule, tables)
        gone += goes
        if not goes:
            kept = _keep(text, positions, kept, start, min(end + 1, size))
        if end == size:
            return kept, gone
        start = end + 1


@njit_inline
def _goes(text, start, end, rule, tables):  # type: ignore[no-untyped-def]
    if rule == 0:
        return _count(text, start, end, tables.kinds, _UPPER) / (end - start) > MOST_UPPER_CASE
    if rule == 1:
        return _count(text, start, end, tables.kinds, _DIGIT) / (end - start) > MOST_DIGITS
    if rule == 2:
        return _is_counter(text, start, end, tables)
    return _count_words(text, start, end, tables.kinds) < FEWEST_WORDS


@njit_inline
def _count(text, start, end, kinds, flag):  # type: ignore[no-untyped-def]
    count = 0
    for i in range(start, end):
        count += kinds[text[i]] & flag != 0
    return count


@njit_inline
def _count_words(text, start, end, kinds):  # type: ignore[no-untyped-def]
    """Words of str.split."""
    words = 0
    before = True
    for i in range(start, end):
        space = kinds[text[i]] & _SPACE != 0
        words += before and not space
        before = space
    return words


@njit_inline
def _is_counter(text, start, end, tables):  # type: ignore[no-untyped-def]
    r"""A number with at most one of k, m, b, white space, one of COUNTED, and `\W` around: ignoring case."""
    i = start
    while i < end and not tables.kinds[text[i]] & _WORD:
        i += 1
    if i == end or not tables.kinds[text[i]] & _DECIMAL:
        return False
    while i < end and (tables.kinds[text[i]] & _DECIMAL or text[i] == 44 or text[i] == 46):
        i += 1
    if i < end:
        unit = tables.lower[text[i]]
        i += unit == 98 or unit == 107 or unit == 109
    space = i
    while i < end and tables.kinds[text[i]] & _SPACE:
        i += 1
    if i == space:
        return False
    for number in range(len(COUNTED)):
        letter = tables.bounds[number]
        k = i
        while letter < tables.bounds[number + 1] and k < end and tables.lower[text[k]] == tables.letters[letter]:
            letter += 1
            k += 1
        if letter == tables.bounds[number + 1]:
            while k < end and not tables.kinds[text[k]] & _WORD:
                k += 1
            return k == end
    return False


@njit(nogil=True, cache=True)
def _remove_phrase(text, positions, size, phrase, kinds):  # type: ignore[no-untyped-def]
    """Take PHRASES[phrase] out of short lines: (characters left, lines gone, phrases gone)."""
    kept = gone = phrases = 0
    start = 0
    while True:
        end = _line_end(text, start, size)
        first = kept
        goes = False
        i = start
        if _count_words(text, start, end, kinds) <= LONGEST_WITH_PHRASE:
            goes = start < end
            while i < end:
                until = _phrase_end(text, i, start, end, phrase, kinds)
                if until > i:
                    phrases += 1
                    i = until
                else:
                    goes = goes and kinds[text[i]] & _SPACE != 0
                    kept = _keep(text, positions, kept, i, i + 1)
                    i += 1
        gone += goes
        kept = first if goes else _keep(text, positions, kept, i, min(end + 1, size))
        if end == size:
            return kept, gone, phrases
        start = end + 1


@njit_inline
def _phrase_end(text, i, start, end, phrase, kinds):  # type: ignore[no-untyped-def]
    """Where the phrase that is to be cut from `i` on ends, with the white space beside it, or `i`."""
    if phrase == 2:
        if i > start or not _spells(text, i, end, _SIGN):
            return i
        until = i + len(_SIGN)
        return until + 1 if until < end and kinds[text[until]] & _SPACE else until
    first = i + 1 if kinds[text[i]] & _SPACE else i
    if phrase == 1:
        return end if first + len(_MORE) == end and _spells(text, first, end, _MORE) else i
    return first + len(_ITEMS) if _spells(text, first, end, _ITEMS) else i


@njit_inline
def _spells(text, i, end, phrase):  # type: ignore[no-untyped-def]
    """Whether `phrase` is at `i`, as Python's `re.IGNORECASE` compares."""
    if i + len(phrase) > end:
        return False
    for k in range(len(phrase)):
        letter = text[i + k]
        if 65 <= letter <= 90:
            letter += 32
        elif letter == 0x130 or letter == 0x131:
            letter = 105
        elif letter == 0x17F:
            letter = 115
        if phrase[k] != 0 and letter != phrase[k]:
            return False
    return True
