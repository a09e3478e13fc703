"""English words: the token rule of spaCy's blank English pipeline as one kernel over Arrow buffers.

Chunks between white space are split as spaCy splits them: a special case ("don't" is do + n't, "Mr." stays whole) ends
the search; otherwise one prefix and one suffix at a time come off ("(", "'s", "...", "km" after a digit); what is left
stays whole when it reads as a URL, and else breaks at infixes (a hyphen between letters, ".." or more, a full stop
between lower and upper case). Punctuation is a token too, white space never.

At last, neighbouring tokens that spell a special case are joined again: ")" and ":" are the emoticon "):" to spaCy.

Two things differ from spaCy: letters are judged by Unicode category instead of by spaCy's own ranges, and hosts given
as numbers are not read as URLs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.text.arrow import buffers
from curation.text.characters import before, decode
from curation.text.compiling import njit, njit_inline
from curation.text.english import (
    BEFORE_DOT,
    CURRENCY,
    DIGIT,
    ICON,
    LETTER,
    LOWER,
    PIECE_BOUNDS,
    PREFIX,
    QUOTE,
    SPACE,
    SUFFIX,
    UPPER,
    ends_in_unit,
    english,
    may_be_special,
    special_case,
)
from curation.text.hashing import read64
from curation.text.urls import is_url

VERSION = 1
"""Raised whenever some text would be split otherwise; scorers that read words put it in their fingerprint."""

_HIGH = np.uint64(0x8080808080808080)
_CASE = np.uint64(0x2020202020202020)
_ONES = np.uint64(0x0101010101010101)
LONGEST_JOIN = 8
"""Tokens that one emoticon may have been split into."""


class Words(NamedTuple):
    """Tokens of n documents: those of document `i` have the numbers `documents[i]` to `documents[i + 1]`."""

    documents: NDArray[np.int64]
    """Shape (n + 1,), ascending from 0."""
    starts: NDArray[np.uint32]
    """First byte of each token, counted from the start of its document."""
    ends: NDArray[np.uint32]
    """One past the last byte, likewise."""


def words(text: pa.Array | pa.ChunkedArray) -> Words:
    """Tokens of every document in a string or large_string array; a null document has none."""
    offsets, data = buffers(text)
    return Words(*split(offsets, data, english()))


@njit(nogil=True, cache=True)
def split(offsets, data, rules):  # type: ignore[no-untyped-def]
    """Kernel behind `words`: (documents, starts, ends) for buffers as `curation.text.arrow.buffers` gives them."""
    characters, edges, cases, sieve = rules
    n = len(offsets) - 1
    documents = np.zeros(n + 1, np.int64)
    # A document has at most as many tokens as bytes; memory that no token needs is never touched, so never taken.
    most = offsets[n] - offsets[0]
    starts = np.empty(most, np.uint32)
    ends = np.empty(most, np.uint32)
    stack = np.empty(most, np.int64)
    count = 0
    for document in range(n):
        base, stop = offsets[document], offsets[document + 1]
        count = _split_document(data, base, stop, starts, ends, count, stack, characters, edges, cases, sieve)
        documents[document + 1] = count
    return documents, starts[:count].copy(), ends[:count].copy()


@njit_inline
def _split_document(  # type: ignore[no-untyped-def]
    data, base, stop, starts, ends, count, stack, characters, edges, cases, sieve
):
    """Tokens of `data[base:stop]`, written from `count` on; returns the new count."""
    i = base
    while i < stop:
        byte = data[np.uint64(i)]
        if byte == 32 or byte == 10:
            i += 1
            continue
        # Nine chunks of ten are ASCII words with a mark or two: no rules needed, eight bytes a step.
        end, count = _plain_chunk(data, i, stop, base, starts, ends, count, characters, sieve)
        if end > i:
            i = end
            continue
        i, end, plain = _chunk(data, i, stop, characters)
        if i == end:
            break
        if plain and special_case(data, i, end, edges, cases, sieve) < 0:
            count = _token(starts, ends, count, i - base, end - base)
        else:
            count = _split_chunk(data, i, end, base, starts, ends, count, stack, characters, edges, cases, sieve)
        i = end
    return count


@njit_inline
def _plain_chunk(data, start, stop, base, starts, ends, count, characters, sieve):  # type: ignore[no-untyped-def]
    """Tokens of a chunk of a common shape, written from `count` on: (where it ends, the new count).

    The shapes: a mark; letters or digits; letters with a mark before or behind them, or with 's; two words and a
    hyphen. (start, count) for any other, near the text's end, and wherever a special case might hide.
    """
    if start + 9 > stop:
        return start, count
    byte = data[np.uint64(start)]
    digits = 48 <= byte <= 57
    cursor = start
    if not digits and not 97 <= byte | 32 <= 122:
        if byte >= 0x80 or characters[byte] & SPACE != 0 or may_be_special(np.uint64(byte), np.uint64(1), sieve):
            return start, count
        if _gap(data, start + 1, stop):
            return start + 1, _token(starts, ends, count, start - base, start + 1 - base)
        if characters[byte] & PREFIX == 0 or not 97 <= data[np.uint64(start + 1)] | 32 <= 122:
            return start, count
        cursor = start + 1
    end = _run(data, cursor, stop, digits)
    if end < 0:
        return start, count
    if digits or cursor > start or _gap(data, end, stop) or data[np.uint64(end)] != 45:
        middle = last = end
    else:  # a hyphen, if a word follows
        if end + 9 > stop or not 97 <= data[np.uint64(end + 1)] | 32 <= 122:
            return start, count
        middle = end
        last = end = _run(data, end + 1, stop, False)
        if end < 0:
            return start, count
    if not _gap(data, end, stop):
        last = _mark(data, cursor, end, stop, digits, characters)
        if last == end:
            return start, count
    if cursor > start:
        if _hides(data, start, end, last, sieve):
            return start, count
        count = _token(starts, ends, count, start - base, cursor - base)
    elif middle < end and (_hides(data, cursor, middle, middle + 1, sieve) or _hides(data, middle, end, last, sieve)):
        return start, count
    if digits and last == end:
        return end, _token(starts, ends, count, cursor - base, end - base)
    if _hides(data, cursor, end, last, sieve):
        return start, count - (cursor > start)
    if middle < end:
        count = _token(starts, ends, count, cursor - base, middle - base)
        count = _token(starts, ends, count, middle - base, middle + 1 - base)
        cursor = middle + 1
        if last > end and _hides(data, cursor, last, last, sieve):
            return start, count - 2
    count = _token(starts, ends, count, cursor - base, end - base)
    if last > end:
        count = _token(starts, ends, count, end - base, last - base)
    return last, count


@njit_inline
def _gap(data, i, stop):  # type: ignore[no-untyped-def]
    """Whether a chunk ends at `i`, as far as a look can tell."""
    if i >= stop:
        return True
    byte = data[np.uint64(i)]
    return byte == 32 or byte == 10


@njit_inline
def _run(data, i, stop, digits):  # type: ignore[no-untyped-def]
    """Where the ASCII letters, or digits, from `i` on end; -1 where the text ends within eight bytes."""
    length = 8
    while length == 8:
        if i + 8 > stop:
            return np.int64(-1)
        block = read64(data, i)
        length = _digits(block) if digits else _letters(block)
        i += length
    return i


@njit_inline
def _mark(data, start, end, stop, digits, characters):  # type: ignore[no-untyped-def]
    """Where the chunk ends, if all that comes behind `end` is a token of its own: one mark, or 's; else `end`."""
    byte = data[np.uint64(end)]
    if _gap(data, end + 1, stop):
        if byte == 46:  # belongs to the word behind a capital, unless another one stands before it
            return end + 1 if digits or data[np.uint64(end - 1)] >= 97 else end
        return end + 1 if byte < 0x80 and characters[byte] & SUFFIX != 0 else end
    if byte == 39 and not digits and data[np.uint64(end + 1)] | 32 == 115 and _gap(data, end + 2, stop):
        return end + 2
    return end


@njit_inline
def _hides(data, start, end, last, sieve):  # type: ignore[no-untyped-def]
    """Whether `data[start:end]` or `data[start:last]` may be a special case. Needs eight bytes from `start` on."""
    block = read64(data, start)
    found = may_be_special(block, np.uint64(min(end - start, 8)), sieve)
    return found or (last > end and may_be_special(block, np.uint64(min(last - start, 8)), sieve))


@njit_inline
def _letters(block):  # type: ignore[no-untyped-def]
    """How many of eight bytes, the lowest first, are ASCII letters before the first that is not."""
    folded = (block & ~_HIGH) | _CASE
    letter = (folded + np.uint64(0x1F1F1F1F1F1F1F1F)) & ~(folded + np.uint64(0x0505050505050505)) & ~block
    return _leading(~letter & _HIGH)


@njit_inline
def _digits(block):  # type: ignore[no-untyped-def]
    """The same of the digits 0 to 9."""
    byte = block & ~_HIGH
    digit = (byte + np.uint64(0x5050505050505050)) & ~(byte + np.uint64(0x4646464646464646)) & ~block
    return _leading(~digit & _HIGH)


@njit_inline
def _leading(stop):  # type: ignore[no-untyped-def]
    # the number of bytes below the lowest high bit that is set
    if stop == np.uint64(0):
        return 8
    below = ((stop & (~stop + np.uint64(1))) >> np.uint64(7)) - np.uint64(1)
    return np.int64(((below & _ONES) * _ONES) >> np.uint64(56))


@njit_inline
def _chunk(data, i, stop, characters):  # type: ignore[no-untyped-def]
    """The next run without white space: (start, end, whether it is ASCII letters only)."""
    while i < stop:
        codepoint, width = decode(data, i, stop)
        if characters[codepoint] & SPACE == 0:
            break
        i += width
    end = i
    plain = True
    while end < stop:
        byte = data[end]
        if 97 <= byte | 32 <= 122:
            end += 1
            continue
        if byte == 32 or byte == 10:
            break
        codepoint, width = decode(data, end, stop)
        if characters[codepoint] & SPACE != 0:
            break
        plain = False
        end += width
    return i, end, plain


@njit_inline
def _split_chunk(data, start, end, base, starts, ends, count, stack, characters, edges, cases, sieve):  # type: ignore[no-untyped-def]
    """Tokens of one chunk, written from `count` on; returns the new count. `stack` holds the suffixes' starts."""
    first = count
    suffixes = 0
    last = end
    number = special_case(data, start, end, edges, cases, sieve)
    while start < end and number < 0:
        pre = _prefix(data, start, end, characters)
        if pre > 0 and start + pre < end:
            number = special_case(data, start + pre, end, edges, cases, sieve)
            if number >= 0:
                count = _token(starts, ends, count, start - base, start + pre - base)
                start += pre
                break
        suf = _suffix(data, start + pre, end, characters, cases)
        if suf > 0 and start < end - suf:
            number = special_case(data, start, end - suf, edges, cases, sieve)
            if number >= 0:
                end -= suf
                stack[suffixes] = end
                suffixes += 1
                break
        if pre == 0 and suf == 0:
            break
        if pre > 0:
            count = _token(starts, ends, count, start - base, start + pre - base)
            start += pre
        if suf > 0:
            end -= suf
            stack[suffixes] = end
            suffixes += 1
        number = special_case(data, start, end, edges, cases, sieve) if start < end else -1
    if number >= 0:
        bound = cases[PIECE_BOUNDS] + number
        for piece in range(cases[bound], cases[bound + 1]):
            count = _token(starts, ends, count, start - base, start + cases[piece] - base)
            start += cases[piece]
    elif start < end:
        if is_url(data, start, end, characters):
            count = _token(starts, ends, count, start - base, end - base)
        else:
            count = _split_infixes(data, start, end, base, starts, ends, count, characters)
    for suffix in range(suffixes - 1, -1, -1):
        stop = last if suffix == 0 else stack[suffix - 1]
        count = _token(starts, ends, count, stack[suffix] - base, stop - base)
    return count if count - first < 2 else _joined(data, base, starts, ends, first, count, edges, cases, sieve)


@njit_inline
def _joined(data, base, starts, ends, first, count, edges, cases, sieve):  # type: ignore[no-untyped-def]
    """Join again, in place, runs of a chunk's tokens that spell a special case, the longest first; the new count."""
    kept = first
    i = first
    while i < count:
        number = -1
        size = min(LONGEST_JOIN, count - i)
        while size > 1:
            number = special_case(data, base + starts[i], base + ends[i + size - 1], edges, cases, sieve)
            bound = cases[PIECE_BOUNDS] + number
            if number >= 0 and cases[bound + 1] - cases[bound] <= size:
                break
            number = -1
            size -= 1
        if number < 0:
            kept = _token(starts, ends, kept, starts[i], ends[i])
            i += 1
            continue
        cursor = np.int64(starts[i])
        i += size
        bound = cases[PIECE_BOUNDS] + number
        for piece in range(cases[bound], cases[bound + 1]):
            kept = _token(starts, ends, kept, cursor, cursor + cases[piece])
            cursor += cases[piece]
    return kept


@njit_inline
def _token(starts, ends, count, start, end):  # type: ignore[no-untyped-def]
    starts[count] = start
    ends[count] = end
    return count + 1


@njit_inline
def _prefix(data, start, end, characters):  # type: ignore[no-untyped-def]
    """Bytes to split off the front of `data[start:end]`, or 0."""
    codepoint, width = decode(data, start, end)
    if characters[codepoint] & PREFIX != 0:
        return width
    following = data[start + 1] if start + 1 < end else 0
    if codepoint == 43:  # "+", unless a number follows
        return 0 if 48 <= following <= 57 else 1
    if codepoint == 46 and following == 46:
        return _dots(data, start, end)
    if following == 36:  # A$, C$
        return 2 if codepoint == 65 or codepoint == 67 else 0
    if codepoint == 85 and following == 83 and start + 2 < end and data[start + 2] == 36:  # US$
        return 3
    return 0


@njit_inline
def _dots(data, start, end):  # type: ignore[no-untyped-def]
    i = start
    while i < end and data[i] == 46:
        i += 1
    return i - start


@njit_inline
def _suffix(data, start, end, characters, cases):  # type: ignore[no-untyped-def]
    """Bytes to split off the back of `data[start:end]`, or 0."""
    if start >= end:
        return 0
    last_begin = before(data, start, end)
    codepoint, width = decode(data, last_begin, end)
    flags = characters[codepoint]
    if codepoint == 46:
        return _dot_suffix(data, start, end, characters)
    if last_begin == start:
        return width if flags & SUFFIX != 0 else 0
    other_at = before(data, start, last_begin)
    other, _ = decode(data, other_at, last_begin)
    if codepoint == 0x2026 and other == 0x2026:
        return end - other_at
    if (codepoint == 115 or codepoint == 83) and (other == 39 or other == 0x2019):  # 's
        return end - other_at
    if flags & SUFFIX != 0:
        return width
    if codepoint == 43:
        return width if characters[other] & DIGIT != 0 else 0
    if flags & CURRENCY != 0:
        return _currency_suffix(data, start, end, last_begin, width, codepoint, characters)
    return ends_in_unit(data, start, end, cases)


@njit_inline
def _currency_suffix(data, start, end, last_begin, width, codepoint, characters):  # type: ignore[no-untyped-def]
    if codepoint == 36:  # the whole of US$, C$, A$
        letters = 0
        if data[last_begin - 1] == 67 or data[last_begin - 1] == 65:
            letters = 1
        elif last_begin - 2 >= start and data[last_begin - 1] == 83 and data[last_begin - 2] == 85:
            letters = 2
        if letters > 0:
            digit = last_begin - letters - 1
            return letters + 1 if digit >= start and 48 <= data[digit] <= 57 else 0
    return width if 48 <= data[last_begin - 1] <= 57 else 0


@njit_inline
def _dot_suffix(data, start, end, characters):  # type: ignore[no-untyped-def]
    """Bytes of a final full stop, or of two or more, to split off."""
    i = end
    while i > start and data[i - 1] == 46:
        i -= 1
    if end - i > 1:
        return end - i
    if i == start:
        return 0
    last_begin = before(data, start, i)
    codepoint, _ = decode(data, last_begin, i)
    if characters[codepoint] & BEFORE_DOT != 0:
        return 1
    if last_begin == start:
        return 0
    other, _ = decode(data, before(data, start, last_begin), last_begin)
    if characters[codepoint] & UPPER != 0 and characters[other] & UPPER != 0:
        return 1
    return 1 if other == 0xB0 and (codepoint == 70 or codepoint == 67 or codepoint == 75) else 0


@njit_inline
def _split_infixes(data, start, end, base, starts, ends, count, characters):  # type: ignore[no-untyped-def]
    """Tokens of a chunk without affixes; a match at its very start is not split, as in spaCy."""
    begin = start
    previous = 0
    i = start
    while i < end:
        codepoint, width = decode(data, i, end)
        size = _infix(data, i, end, codepoint, width, previous, characters)
        if size == 0:
            previous = characters[codepoint]
            i += width
            continue
        if i > start:
            if i > begin:
                count = _token(starts, ends, count, begin - base, i - base)
            count = _token(starts, ends, count, i - base, i + size - base)
            begin = i + size
        # the character before the next one is the last of this match
        codepoint, _ = decode(data, before(data, start, i + size), i + size)
        previous = characters[codepoint]
        i += size
    if begin < end:
        count = _token(starts, ends, count, begin - base, end - base)
    return count


@njit_inline
def _infix(data, i, end, codepoint, width, previous, characters):  # type: ignore[no-untyped-def]
    """Bytes of the infix that starts at `i`, or 0; `previous` holds the flags of the character before it, or 0."""
    if codepoint < 0x80 and (characters[codepoint] & (LETTER | DIGIT) != 0):
        return 0
    if codepoint == 0x2026 or characters[codepoint] & ICON != 0:
        return width
    if codepoint == 46 and i + 1 < end and data[i + 1] == 46:
        return _dots(data, i, end)
    if i + width >= end:
        return 0
    following, _ = decode(data, i + width, end)
    flags = characters[following]
    sign = codepoint == 43 or codepoint == 45 or codepoint == 42 or codepoint == 94  # + - * ^ between numbers
    if sign and previous & DIGIT != 0 and (flags & DIGIT != 0 or following == 45):
        return width
    if codepoint == 46:
        return width if previous & (LOWER | QUOTE) != 0 and flags & (UPPER | QUOTE) != 0 else 0
    if codepoint == 44:
        return width if previous & LETTER != 0 and flags & LETTER != 0 else 0
    if previous & (LETTER | DIGIT) == 0:
        return 0
    if codepoint == 45 or codepoint == 0x2013 or codepoint == 0x2014 or codepoint == 126:
        if flags & LETTER != 0:
            return width
        return _long_dash(data, i, end, codepoint, characters)
    if codepoint == 58 or codepoint == 60 or codepoint == 62 or codepoint == 61 or codepoint == 47:  # : < > = /
        return width if flags & LETTER != 0 else 0
    return 0


@njit_inline
def _long_dash(data, i, end, codepoint, characters):  # type: ignore[no-untyped-def]
    """Bytes of "--", "---" or two em dashes at `i` with a letter after, or 0."""
    if codepoint == 45:
        size = 1
        while size < 4 and i + size < end and data[i + size] == 45:
            size += 1
        if size == 1 or size == 4:
            return 0
    elif codepoint == 0x2014:
        following, _ = decode(data, i + 3, end)
        if following != 0x2014:
            return 0
        size = 6
    else:
        return 0
    if i + size >= end:
        return 0
    following, _ = decode(data, i + size, end)
    return size if characters[following] & LETTER != 0 else 0
