r"""N-grams of characters and words as vectors, and what a linear model makes of them, over Arrow string buffers.

The two families of scikit-learn's text models, each a vector of length 1 of its own (Salton and Buckley 1988):

- n-grams of the characters of each word between white space, with a blank before and behind it, in their case:
  `TfidfVectorizer(analyzer="char_wb", lowercase=False)`;
- n-grams of the tokens `\w+|[^\w\s]+` (`curation.text.wordpunct`) in lower case.

An n-gram's key is 31 bits of a hash of its characters, and one bit for its family. A count c has the weight
c or 1 + ln c (`sublinear`), times the n-gram's idf; n-grams without an idf count for nothing.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.text.arrow import buffers
from curation.text.characters import CATEGORIES, CATEGORY, SPACE, classes, decode, lower
from curation.text.compiling import njit, njit_inline
from curation.text.fasttext.dictionary import Table, frozen, lookup, table
from curation.text.hashing import mix64
from schemas.errors import Refusal

LONGEST = 8
"""The longest n-grams of characters that the kernels have room for."""
OF_WORDS = np.uint32(1 << 31)
"""The bit of a key that says that it is of words, so that their keys are the highest."""
_PENDING = 1 << 13
"""N-grams found before they are counted: they fit into the cache."""
_SLOTS, _SHORT, _ARENA = 1 << 14, 16, 1 << 20
"""Words whose rows are remembered, how many bytes long those are at most, and room for all their rows: most words of a
text are both frequent and short."""
_BLOCK = 1 << 20
"""Bytes of text that are listed at once, at least one document."""
_WORD = frozen(np.array([name[0] in "LN" for name in CATEGORIES]))
_PRIME, _OTHER_PRIME = np.uint64(0x9FB21C651E98DF25), np.uint64(0xD6E8FEB86659FD93)
_NONE, _TOKEN, _MARKS = range(3)
# What `_list` remembers of a word between two calls: how many characters were read; of the token, its kind, hash and
# first byte; of the word's first token, hash and end; of its last, hash and begin; how many there are; and behind them
# the last characters, with the byte that each begins at. And of the words before: hash and begin of the last token.
_READ, _KIND, _HASH, _BEGIN, _FIRST, _FIRST_END, _LAST, _LAST_BEGIN, _COUNT, _CODES, _ORIGINS = (*range(9), 16, 24)
_OF_WORD = 32
_BEFORE, _BEFORE_BEGIN, _ANY, _STATE = 32, 33, 34, 35


class Grams(NamedTuple):
    """Which n-grams there are: of `shortest` to `longest` characters, and of up to `words` words, 0 to 2."""

    shortest: int = 2
    longest: int = 5
    words: int = 2


class Counts(NamedTuple):
    """How often each text has which n-grams; those of text `i` are numbered `documents[i]` to `documents[i + 1]`."""

    documents: NDArray[np.int64]
    """Shape (n + 1,), ascending from 0."""
    keys: NDArray[np.uint32]
    """Of each text ascending."""
    counts: NDArray[np.int64]


class Model(NamedTuple):
    """A linear model of n-grams. All arrays are read-only."""

    table: Table
    """From a key to its row."""
    numbers: NDArray[np.float32]
    """Shape (rows, 2): idf and weight of each n-gram, those of characters first."""
    characters: int
    """How many n-grams are of characters."""


def check(grams: Grams) -> None:
    """Raises ValueError for n-grams that the kernels have no room for."""
    if not 2 <= grams.shortest <= grams.longest <= LONGEST or not 0 <= grams.words <= 2:
        raise ValueError(f"n-grams have 2 to {LONGEST} characters and up to 2 words, not {tuple(grams)}")


def model(keys: NDArray[np.uint32], idf: NDArray[np.float32], weight: NDArray[np.float32]) -> Model:
    """A model of n-grams with these keys, ascending. Raises ValueError where the arrays do not fit together."""
    if not len(keys) == len(idf) == len(weight) or (keys[1:] <= keys[:-1]).any():
        raise ValueError(f"{len(idf)} idf and {len(weight)} weights do not fit {len(keys)} n-grams, each once")
    slots, bits = table(keys, np.arange(len(keys), dtype=np.int32))
    if not len(slots):
        raise Refusal("too many n-grams have one hash", "look for rows made to break hash tables")
    numbers = np.stack([idf, weight], axis=1).astype(np.float32)
    return Model(Table(frozen(slots), frozen(bits)), frozen(numbers), int(np.searchsorted(keys, OF_WORDS)))


def products(text: pa.Array, grams: Grams, linear: Model, sublinear: bool) -> NDArray[np.float64]:
    """w·x of each text, float64 [n], x its two vectors; NaN where it has no n-gram that the model knows."""
    offsets, data = buffers(text)
    return np.asarray(_products(offsets, data, classes(), lower(), _WORD, grams, linear, sublinear))


def counted(text: pa.Array, grams: Grams) -> Counts:
    """N-grams of texts and how often each has them. Memory: 16 bytes for each n-gram of about 1 MB of text."""
    offsets, data = buffers(text)
    sizes, keys, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.uint32)], [np.zeros(0, np.int64)]
    start = 0
    while start < len(offsets) - 1:
        stop = max(start + 1, int(np.searchsorted(offsets, offsets[start] + _BLOCK, side="right")) - 1)
        documents, block, _, _ = _listed(offsets[start : stop + 1], data, grams)
        owner = np.repeat(np.arange(stop - start, dtype=np.uint64), np.diff(documents))
        pairs, repeats = np.unique(owner << np.uint64(32) | block, return_counts=True)
        sizes.append(np.bincount((pairs >> np.uint64(32)).astype(np.int64), minlength=stop - start))
        keys.append(pairs.astype(np.uint32))
        counts.append(repeats)
        start = stop
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(sizes))])
    return Counts(bounds, np.concatenate(keys), np.concatenate(counts))


def named(text: str, grams: Grams) -> tuple[NDArray[np.uint32], list[str]]:
    """Keys of a text's n-grams, repeats included, and each as it is read there: of characters with the blanks around
    the word, of words with one space between them."""
    texts = pa.array([text], pa.large_string())
    _, keys, starts, ends = _listed(*buffers(texts), grams)
    data = text.encode()
    names = []
    for key, start, end in zip(keys, starts.tolist(), ends.tolist(), strict=True):
        piece = data[start >> 1 : end >> 1].decode(errors="replace")
        if key & OF_WORDS:
            names.append(" ".join(re.findall(r"\w+|[^\w\s]+", piece.lower())))
        else:
            names.append(f"{' ' * (start & 1)}{piece}{' ' * (end & 1)}")
    return keys, names


def shares(keys: NDArray[np.uint32], linear: Model, sublinear: bool) -> NDArray[np.float64]:
    """Of a text's n-grams, repeats included, what each adds to w·x, float64 [n]; NaN of those that do not count."""
    rows = np.asarray(_rows(keys, linear.table.slots, linear.table.bits))
    counting = rows >= 0
    _, first, counts = np.unique(rows[counting], return_inverse=True, return_counts=True)
    repeats = counts[first].astype(np.float64)
    idf, weight = linear.numbers[rows[counting]].astype(np.float64).T
    # An n-gram that is met c times has the value tf idf once, so each time a c-th of it.
    value = (1 + np.log(repeats) if sublinear else repeats) * idf
    words = rows[counting] >= linear.characters
    squares = np.bincount(words.astype(np.int64), weights=value * value / repeats, minlength=2)
    out = np.full(len(keys), np.nan)
    out[counting] = value * weight / repeats / np.sqrt(squares)[words.astype(np.int64)]
    return out


def _listed(
    offsets: NDArray[np.int64], data: NDArray[np.uint8], grams: Grams
) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]:
    """Bounds of each text's n-grams, keys, and spans: bytes from the text's start, twice, plus 1 where a blank is
    before or behind them."""
    empty = np.empty(0, np.uint32), np.empty(0, np.int64), np.empty(0, np.int64)
    arguments = (frozen(offsets), data, classes(), lower(), _WORD, grams)
    documents = _all(*arguments, *empty)
    count = int(documents[-1])
    written = np.empty(count, np.uint32), np.empty(count, np.int64), np.empty(count, np.int64)
    _all(*arguments, *written)
    return documents, *written


@njit(nogil=True, cache=True)
def _all(offsets, data, classes, lower, word, grams, keys, starts, ends):  # type: ignore[no-untyped-def]
    """Bounds of each text's n-grams; they are written as far as the arrays reach."""
    n = len(offsets) - 1
    documents = np.zeros(n + 1, np.int64)
    state = np.zeros(_STATE, np.uint64)
    pending = np.empty(_PENDING, np.uint32)
    spans = np.empty((_PENDING, 2), np.int64)
    total = np.int64(0)
    for i in range(n):
        base, stop = offsets[i], offsets[i + 1]
        cursor = base
        state[_ANY] = 0
        while True:
            start, cursor, _ = _next_word(data, cursor, stop, classes)
            if start == cursor:
                break
            state[:_OF_WORD] = 0
            position = start
            while position <= cursor:
                count, position = _list(
                    data, base, position, cursor, classes, lower, word, grams, state, pending, spans, True
                )
                if position > cursor and grams.words > 1:
                    if state[_ANY]:
                        pending[count] = _pair(state[_BEFORE], state[_FIRST])
                        spans[count, 0] = 2 * np.int64(state[_BEFORE_BEGIN])
                        spans[count, 1] = 2 * np.int64(state[_FIRST_END])
                        count += 1
                    state[_BEFORE], state[_BEFORE_BEGIN] = state[_LAST], state[_LAST_BEGIN]
                    state[_ANY] = 1
                for k in range(min(count, max(len(keys) - total, 0))):
                    keys[total + k] = pending[k]
                    starts[total + k] = spans[k, 0]
                    ends[total + k] = spans[k, 1]
                total += count
        documents[i + 1] = total
    return documents


@njit(nogil=True, cache=True)
def _rows(keys, slots, bits):  # type: ignore[no-untyped-def]
    """Row of each key, or -1."""
    rows = np.empty(len(keys), np.int64)
    for k in range(len(keys)):
        rows[k] = lookup(keys[k], slots, bits)
    return rows


@njit(nogil=True, cache=True)
def _products(offsets, data, classes, lower, word, grams, linear, sublinear):  # type: ignore[no-untyped-def]
    """A word is counted as one until the text ends; only then are its n-grams, at once. Whenever that happens earlier,
    the n-grams' order is the same: that of the words they are first in, and of pairs across words behind them."""
    n = len(offsets) - 1
    out = np.full(n, np.nan)
    slots, bits, numbers = linear.table.slots, linear.table.bits, linear.numbers
    state = np.zeros(_STATE, np.uint64)
    pending = np.empty(_PENDING, np.uint32)
    spans = np.empty((0, 2), np.int64)
    rows = np.empty(_ARENA + _PENDING, np.int32)
    used = 0
    names = np.empty((_SLOTS, _SHORT), np.uint8)
    lengths = np.zeros(_SLOTS, np.uint8)
    bounds = np.empty((_SLOTS, 2), np.int32)
    ends = np.empty((_SLOTS, 2), np.uint64)
    repeats = np.zeros(_SLOTS, np.int32)
    live = np.empty(_SLOTS + 1, np.int32)
    living = 0
    pairs = np.empty(_PENDING, np.int32)
    counts = np.zeros(len(numbers), np.int32)
    touched = np.empty(len(numbers) + 1, np.int32)
    for i in range(n):
        base, stop = offsets[i], offsets[i + 1]
        cursor = base
        distinct = 0
        paired = 0
        tokens = False
        before = np.uint64(0)
        while True:
            start, cursor, h = _next_word(data, cursor, stop, classes)
            length = cursor - start
            if length == 0:
                break
            slot = np.int64((h ^ (h >> np.uint64(32))) & np.uint64(_SLOTS - 1))
            same = length <= _SHORT and lengths[slot] == length
            k = 0
            while same and k < length:
                same = names[slot, k] == data[start + k]
                k += 1
            if not same:
                if length > _SHORT or repeats[slot] or used > _ARENA - _PENDING:
                    distinct = _count_words(live, living, repeats, bounds, rows, counts, touched, distinct)
                    living = 0
                if used > _ARENA - _PENDING:
                    lengths[:] = 0
                    used = 0
                state[:_OF_WORD] = 0
                first = last = used if length <= _SHORT else _ARENA
                position = start
                while position <= cursor:
                    count, position = _list(
                        data, base, position, cursor, classes, lower, word, grams, state, pending, spans, False
                    )
                    last = first
                    for k in range(count):
                        row = lookup(pending[k], slots, bits)
                        if row >= 0:
                            rows[last] = row
                            last += 1
                    if length > _SHORT:
                        distinct = _add(rows, first, last, 1, counts, touched, distinct)
                if length <= _SHORT:
                    used = last
                    lengths[slot] = length
                    for k in range(length):
                        names[slot, k] = data[start + k]
                    bounds[slot, 0], bounds[slot, 1] = first, last
                    ends[slot, 0], ends[slot, 1] = state[_FIRST], state[_LAST]
            opening, closing = state[_FIRST], state[_LAST]
            if length <= _SHORT:
                live[living] = slot
                living += repeats[slot] == 0
                repeats[slot] += 1
                opening, closing = ends[slot, 0], ends[slot, 1]
            if grams.words > 1:
                if tokens:
                    row = lookup(_pair(before, opening), slots, bits)
                    if row >= 0:
                        pairs[paired] = row
                        paired += 1
                before = closing
                tokens = True
                if paired == _PENDING:
                    distinct = _count_words(live, living, repeats, bounds, rows, counts, touched, distinct)
                    distinct = _add(pairs, 0, paired, 1, counts, touched, distinct)
                    living = paired = 0
        distinct = _count_words(live, living, repeats, bounds, rows, counts, touched, distinct)
        distinct = _add(pairs, 0, paired, 1, counts, touched, distinct)
        living = 0
        if distinct:
            out[i] = _product(touched, distinct, counts, numbers, linear.characters, sublinear)
    return out


@njit(nogil=True, cache=True)
def _product(touched, distinct, counts, numbers, characters, sublinear):  # type: ignore[no-untyped-def]
    """w·x of a text with these counts, which are set to 0."""
    square = other_square = total = other_total = 0.0
    for k in range(distinct):
        row = touched[k]
        value = np.float64(counts[row])
        counts[row] = 0
        if sublinear and value > 1:
            value = 1.0 + np.log(value)
        value *= numbers[row, 0]
        if row < characters:
            square += value * value
            total += value * numbers[row, 1]
        else:
            other_square += value * value
            other_total += value * numbers[row, 1]
    return total / np.sqrt(max(square, 1e-300)) + other_total / np.sqrt(max(other_square, 1e-300))


@njit_inline
def _count_words(live, living, repeats, bounds, rows, counts, touched, distinct):  # type: ignore[no-untyped-def]
    """Count the rows of words, each as often as it was met, which is then forgotten."""
    for k in range(living):
        slot = live[k]
        distinct = _add(rows, bounds[slot, 0], bounds[slot, 1], repeats[slot], counts, touched, distinct)
        repeats[slot] = 0
    return distinct


@njit_inline
def _add(rows, first, last, repeats, counts, touched, distinct):  # type: ignore[no-untyped-def]
    """Count the rows; those met first are added to `touched`. Returns how many there are then."""
    for k in range(first, last):
        row = rows[k]
        touched[distinct] = row
        distinct += counts[row] == 0
        counts[row] += repeats
    return distinct


@njit_inline
def _next_word(data, i, stop, classes):  # type: ignore[no-untyped-def]
    """Begin, end and hash of the next word between white space; an empty one where there is none."""
    blank = True
    start = i
    h = np.uint64(0)
    while i < stop:
        codepoint, width = decode(data, i, stop)
        if classes[codepoint] & SPACE != 0:
            if not blank:
                break
        else:
            if blank:
                start = i
                blank = False
            h = (h ^ np.uint64(codepoint)) * _PRIME
        i += width
    return (start, i, h) if not blank else (i, i, h)


@njit_inline
def _pair(first, second):  # type: ignore[no-untyped-def]
    """Key of two tokens."""
    return _key((second * _OTHER_PRIME + first) * _OTHER_PRIME) | OF_WORDS


@njit(nogil=True, cache=True)
def _list(data, base, i, stop, classes, lower, word, grams, state, keys, spans, wanted):  # type: ignore[no-untyped-def]
    """Keys of the n-grams of a word that ends at `stop`, as many as there is room for; how many, and where it went on
    to, one past `stop` once all are there.

    `state` is as `_list` left it, zeros at the beginning of a word; with `wanted`, spans are written too.
    """
    shortest, longest, words = grams.shortest, grams.longest, grams.words
    room = len(keys) - 2 * longest - 8
    read = np.int64(state[_READ])
    kind = np.int64(state[_KIND])
    h = state[_HASH]
    if read == 0:
        state[_CODES] = np.uint64(0x21)
        state[_ORIGINS] = np.uint64(2 * (i - base) + 1)
        read = np.int64(1)
    count = np.int64(0)
    ended = False
    while not ended and count <= room:
        codepoint, width = np.int32(0x20), 0
        new = _NONE
        if i < stop:
            codepoint, width = decode(data, i, stop)
            new = _TOKEN if codepoint == 0x5F or word[classes[codepoint] & CATEGORY] else _MARKS
        else:
            ended = True
        if new != kind:
            if kind != _NONE and words > 0:
                keys[count] = _key(h * _OTHER_PRIME) | OF_WORDS
                if wanted:
                    spans[count, 0] = 2 * np.int64(state[_BEGIN])
                    spans[count, 1] = 2 * (i - base)
                count += 1
                if state[_COUNT] == 0:
                    state[_FIRST] = h
                    state[_FIRST_END] = np.uint64(i - base)
                    state[_COUNT] = 1
                elif words > 1:
                    keys[count] = _pair(state[_LAST], h)
                    if wanted:
                        spans[count, 0] = 2 * np.int64(state[_LAST_BEGIN])
                        spans[count, 1] = 2 * (i - base)
                    count += 1
                state[_LAST], state[_LAST_BEGIN] = h, state[_BEGIN]
            h = np.uint64(0)
            state[_BEGIN] = np.uint64(i - base)
            kind = np.int64(new)
        h = (h + np.uint64(lower[codepoint]) + np.uint64(1)) * _PRIME
        ring = read & 7
        state[_CODES + ring] = np.uint64(codepoint) + np.uint64(1)
        state[_ORIGINS + ring] = np.uint64(2 * (i - base))
        read += 1
        end = 2 * (i - base) + 1 if ended else 2 * (i + width - base)
        run = np.uint64(0)
        for n in range(1, min(longest, read) + 1):
            ring = (read - n) & 7
            run = (run + state[_CODES + ring]) * _PRIME
            if n >= shortest:
                keys[count] = _key(run)
                if wanted:
                    spans[count, 0] = np.int64(state[_ORIGINS + ring])
                    spans[count, 1] = end
                count += 1
        i += width
    state[_READ] = np.uint64(read)
    state[_KIND] = np.uint64(kind)
    state[_HASH] = h
    return count, stop + 1 if ended else i


@njit_inline
def _key(h):  # type: ignore[no-untyped-def]
    """31 bits of a mixed hash; the highest bit is 0, as of characters."""
    return np.uint32(mix64(h) >> np.uint64(33))
