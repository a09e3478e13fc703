"""Which word n-grams of a text occur in reference texts: an index of the references, the hits, and what they cover.

A reference text is part of an item (a question, its answer), an item part of a set (a benchmark). Words are those of
`curation.text.shingles`; the hash of an n-gram is all 64 bits of which a shingle is the upper half, and equal hashes
count as equal n-grams: among 10^7 of the index a text of 10^6 words meets a wrong one with probability 5e-7.

A reference text of fewer than n words has no n-gram. It is one gram as a whole, of its own length, from `shortest`
words on; below that it is never found, since few words in a row say little.

N-grams of 13 words: Brown et al. 2020 (arXiv 2005.14165), appendix C.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.text.arrow import buffers
from curation.text.compiling import njit, njit_inline
from curation.text.hashing import mix64
from curation.text.shingles import BASE, check_width, next_word, word_table

_SIEVE_BITS = 16
"""Bits of the sieve for each n-gram, at least: of the words of other texts, about one in 100 passes it."""
_GRAM, _FIRST, _LENGTH, _START, _END = range(5)


class Index(NamedTuple):
    """N-grams of reference texts, and whose they are. All arrays are read-only."""

    lengths: NDArray[np.int64]
    """Words in the n-grams: each length that occurs, ascending."""
    powers: NDArray[np.uint64]
    """P^length mod 2^64 for each of `lengths`, P as in `curation.text.shingles`."""
    sieve: NDArray[np.uint64]
    """Bloom filter (blocks of 64 bits, two bits an entry, a power of two of blocks) of the last `lengths[0]` words of
    each n-gram: one look into it a word, however many lengths there are."""
    slots: NDArray[np.int32]
    """Open-addressing hash table with linear probing: numbers of n-grams, -1 where empty; as long as a power of two."""
    grams: NDArray[np.uint64]
    """The n-grams' hashes, ascending."""
    item_bounds: NDArray[np.int64]
    """N-gram g occurs in the items `items[item_bounds[g]:item_bounds[g + 1]]`, each once, ascending."""
    items: NDArray[np.int32]
    set_bounds: NDArray[np.int64]
    """The same for sets."""
    sets: NDArray[np.int32]
    firsts: NDArray[np.int64]
    """Set s has the items `firsts[s]` to `firsts[s + 1]`."""


class Hits(NamedTuple):
    """N-grams of n documents that an index holds: those of document `i` are `documents[i]` to `documents[i + 1]`.

    In the order of their last words, shorter ones first.
    """

    documents: NDArray[np.int64]
    words: NDArray[np.int32]
    """Words in each document, shape (n,)."""
    grams: NDArray[np.int64]
    """Number of the n-gram in the index."""
    first: NDArray[np.int64]
    """Its first word, counted in the document from 0."""
    lengths: NDArray[np.int64]
    """Its words."""
    starts: NDArray[np.int64]
    """First byte, counted from the start of the document."""
    ends: NDArray[np.int64]
    """One past the last byte, likewise."""


class Overlaps(NamedTuple):
    """What the hits cover in n documents. A word is covered when it lies in some hit."""

    words: NDArray[np.int32]
    """Words, shape (n,)."""
    covered: NDArray[np.int32]
    """Those that are covered, shape (n,)."""
    longest: NDArray[np.int32]
    """Longest run of covered words, shape (n,)."""
    most: NDArray[np.int32]
    """The set that covers most words, the first of them on a tie, -1 where none does; shape (n,)."""
    set_bounds: NDArray[np.int64]
    """Document i meets the sets `sets[set_bounds[i]:set_bounds[i + 1]]`, ascending; shape (n + 1,)."""
    sets: NDArray[np.int32]
    set_covered: NDArray[np.int32]
    """Words that each of `sets` covers."""
    item_bounds: NDArray[np.int64]
    """Entry k of `sets` is met through `items[item_bounds[k]:item_bounds[k + 1]]`, ascending."""
    items: NDArray[np.int32]
    spans: NDArray[np.int64]
    """Document i has the spans `spans[i]` to `spans[i + 1]`, by set, then by start; shape (n + 1,)."""
    span_sets: NDArray[np.int32]
    span_starts: NDArray[np.uint32]
    """First byte of each run of words that a set covers, counted from the start of the document."""
    span_ends: NDArray[np.uint32]


def build(
    text: pa.Array | pa.ChunkedArray, items: NDArray[np.integer], firsts: NDArray[np.integer], n: int, shortest: int
) -> Index:
    """The index of reference texts.

    `text` strings; `items` integers, as many: each text's item; `firsts` integers[sets + 1], ascending from 0: the
    items `firsts[s]` to `firsts[s + 1]` are those of set s; `n` >= 1 words; `shortest` >= 1 words. Raises ValueError
    for lengths that differ or arguments out of range, TypeError for anything but strings.
    """
    if len(text) != len(items):
        raise ValueError(f"{len(text)} reference texts, but items for {len(items)}")
    check_width(shortest)
    offsets, data = buffers(text)
    words = _count_words(offsets, data, word_table())
    lengths = np.where(words >= check_width(n), n, np.where(words >= shortest, words, 0))
    distinct = np.unique(lengths[lengths > 0])
    tail = int(distinct.min(initial=n))
    hashes, tails, rows = _grams(offsets, data, word_table(), words, lengths, tail)
    owners = np.asarray(items, np.int32)[rows]
    order = np.lexsort((owners, hashes))
    hashes, owners = hashes[order], owners[order]
    fresh = _changes(hashes) | _changes(owners)
    hashes, owners = hashes[fresh], owners[fresh]
    heads = np.flatnonzero(_changes(hashes))
    grams = hashes[heads]
    groups = (np.searchsorted(np.asarray(firsts), owners, side="right") - 1).astype(np.int32)
    fresh = _changes(hashes) | _changes(groups)
    index = Index(
        distinct,
        np.array([pow(int(BASE), int(length), 1 << 64) for length in distinct], np.uint64),
        _sieve(tails, np.zeros(_power_of_two(_SIEVE_BITS * len(grams) // 64), np.uint64)),
        _fill(grams, np.full(_power_of_two(2 * len(grams)), -1, np.int32)),
        grams,
        np.append(heads, len(owners)).astype(np.int64),
        owners,
        np.append(np.flatnonzero(_changes(hashes[fresh])), fresh.sum()).astype(np.int64),
        groups[fresh],
        np.asarray(firsts, np.int64).copy(),
    )
    for array in index:
        array.flags.writeable = False
    return index


def hits(text: pa.Array | pa.ChunkedArray, index: Index) -> Hits:
    """Every n-gram of the documents that the index holds. `text` strings; raises TypeError for anything else."""
    offsets, data = buffers(text)
    documents, words, hit_columns = _hits(
        offsets, data, word_table(), index.lengths, index.powers, index.sieve, index.slots, index.grams
    )
    return Hits(documents, words, *hit_columns)


def overlaps(text: pa.Array | pa.ChunkedArray, index: Index) -> Overlaps:
    """What the index covers of each document. `text` strings; raises TypeError for anything else."""
    gram_hits = hits(text, index)
    return Overlaps(
        gram_hits.words,
        *_cover(gram_hits, index.item_bounds, index.items, index.set_bounds, index.sets, index.firsts),
    )


def _changes(values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Where a value differs from the one before it; the first does."""
    changes = np.ones(len(values), np.bool_)
    changes[1:] = values[1:] != values[:-1]
    return changes


def _power_of_two(least: int) -> int:
    # Never under 1024, so that the sieve's shift stays below 64 bits.
    return 1 << max(10, (least - 1).bit_length())


@njit(nogil=True, cache=True)
def _count_words(offsets, data, table):  # type: ignore[no-untyped-def]
    words = np.zeros(len(offsets) - 1, np.int64)
    for document in range(len(words)):
        cursor, end = offsets[document], offsets[document + 1]
        while True:
            start, cursor, _ = next_word(data, cursor, end, table)
            if start == cursor:
                break
            words[document] += 1
    return words


@njit(nogil=True, cache=True)
def _grams(offsets, data, table, words, lengths, tail):  # type: ignore[no-untyped-def]
    """All n-grams of each text, n = `lengths` of it, 0 for none: (hash, hash of the last `tail` words, text)."""
    count = 0
    for document in range(len(words)):
        if lengths[document] > 0:
            count += words[document] - lengths[document] + 1
    hashes = np.empty(count, np.uint64)
    tails = np.empty(count, np.uint64)
    rows = np.empty(count, np.int64)
    sums = np.zeros(words.max() + 1 if len(words) else 1, np.uint64)
    last = _power(tail)
    count = 0
    for document in range(len(words)):
        n = lengths[document]
        if n == 0:
            continue
        whole = _power(n)
        at, end = offsets[document], offsets[document + 1]
        for number in range(words[document]):
            _, at, word = next_word(data, at, end, table)
            total = sums[number] * BASE + word
            sums[number + 1] = total
            if number + 1 >= n:
                hashes[count] = mix64(total - sums[number + 1 - n] * whole)
                tails[count] = mix64(total - sums[number + 1 - tail] * last)
                rows[count] = document
                count += 1
    return hashes, tails, rows


@njit_inline
def _power(n):  # type: ignore[no-untyped-def]
    power = np.uint64(1)
    for _ in range(n):
        power *= BASE
    return power


@njit(nogil=True, cache=True)
def _sieve(tails, sieve):  # type: ignore[no-untyped-def]
    """`sieve` (zeros) with the bits of all `tails` set."""
    shift = _shift(len(sieve))
    for tail in tails:
        sieve[tail >> shift] |= _bits(tail)
    return sieve


@njit(nogil=True, cache=True)
def _fill(grams, slots):  # type: ignore[no-untyped-def]
    """`slots` (all -1) with the number of each n-gram where `_find` looks for it."""
    mask = np.uint64(len(slots) - 1)
    for number in range(len(grams)):
        slot = grams[number] & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = number
    return slots


@njit_inline
def _shift(size):  # type: ignore[no-untyped-def]
    # The upper bits of a hash choose the block, the lower ones the bits in it and the slot.
    shift = 64
    while size > 1:
        size >>= 1
        shift -= 1
    return np.uint64(shift)


@njit_inline
def _bits(gram):  # type: ignore[no-untyped-def]
    one = np.uint64(1)
    low = np.uint64(63)
    return (one << (gram & low)) | (one << ((gram >> np.uint64(6)) & low))


@njit_inline
def _find(gram, slots, grams):  # type: ignore[no-untyped-def]
    """Number of an n-gram, or -1."""
    mask = np.uint64(len(slots) - 1)
    slot = gram & mask
    while slots[slot] >= 0:
        if grams[slots[slot]] == gram:
            return np.int64(slots[slot])
        slot = (slot + np.uint64(1)) & mask
    return np.int64(-1)


@njit(nogil=True, cache=True)
def _hits(offsets, data, table, lengths, powers, sieve, slots, grams):  # type: ignore[no-untyped-def]
    """(documents, words, what was found int64[5, h]) as `Hits` has them."""
    n = len(offsets) - 1
    documents = np.zeros(n + 1, np.int64)
    words = np.zeros(n, np.int32)
    shift = _shift(len(sieve))
    shortest, longest = (lengths[0], lengths[-1]) if len(lengths) else (np.int64(1) << 62, np.int64(0))
    size = 1
    while size <= longest:
        size *= 2
    # Of the last words: the hash of all words up to each, and where each starts.
    ring = size - 1
    sums = np.zeros(size, np.uint64)
    starts = np.zeros(size, np.int64)
    hit_columns = np.empty((5, 1024), np.int64)
    count = 0
    for document in range(n):
        base, end = offsets[document], offsets[document + 1]
        cursor = base
        total = np.uint64(0)
        number = 0
        sums[0] = total
        while True:
            start, cursor, word = next_word(data, cursor, end, table)
            if start == cursor:
                break
            total = total * BASE + word
            starts[number & ring] = start
            number += 1
            sums[number & ring] = total
            if number < shortest:
                continue
            gram = mix64(total - sums[(number - shortest) & ring] * powers[0])
            bits = _bits(gram)
            if sieve[gram >> shift] & bits != bits:
                continue
            for k in range(len(lengths)):
                first = number - lengths[k]
                if first < 0:
                    break
                gram = mix64(total - sums[first & ring] * powers[k])
                index = _find(gram, slots, grams)
                if index < 0:
                    continue
                if count == hit_columns.shape[1]:
                    larger = np.empty((5, 2 * count), np.int64)
                    larger[:, :count] = hit_columns
                    hit_columns = larger
                hit_columns[_GRAM, count] = index
                hit_columns[_FIRST, count] = first
                hit_columns[_LENGTH, count] = lengths[k]
                hit_columns[_START, count] = starts[first & ring] - base
                hit_columns[_END, count] = cursor - base
                count += 1
        words[document] = number
        documents[document + 1] = count
    return documents, words, hit_columns[:, :count].copy()


@njit(nogil=True, cache=True)
def _cover(hits, item_bounds, items, set_bounds, sets, firsts):  # type: ignore[no-untyped-def]
    """The fields of `Overlaps` behind `words`, in their order."""
    n = len(hits.documents) - 1
    covered = np.zeros(n, np.int32)
    longest = np.zeros(n, np.int32)
    most = np.full(n, -1, np.int32)
    bounds = np.zeros(n + 1, np.int64)
    spans = np.zeros(n + 1, np.int64)
    at_most = 0
    deepest = 0
    for document in range(n):
        deepest = max(deepest, hits.documents[document + 1] - hits.documents[document])
    for gram in hits.grams:
        at_most += set_bounds[gram + 1] - set_bounds[gram]
    met = np.empty(at_most, np.int32)
    met_covered = np.empty(at_most, np.int32)
    met_items = np.zeros(at_most + 1, np.int64)
    span_sets = np.empty(at_most, np.int32)
    span_starts = np.empty(at_most, np.uint32)
    span_ends = np.empty(at_most, np.uint32)
    runs = np.empty((4, deepest), np.int64)
    gram_seen = np.zeros(len(item_bounds) - 1, np.int64)
    item_seen = np.zeros(firsts[-1], np.int64)
    leaked = np.empty(1024, np.int32)
    sets_count = items_count = spans_count = 0
    for document in range(n):
        begin, stop = hits.documents[document], hits.documents[document + 1]
        head = items_count
        for hit in range(begin, stop):
            gram = hits.grams[hit]
            if gram_seen[gram] == document + 1:
                continue
            gram_seen[gram] = document + 1
            for place in range(item_bounds[gram], item_bounds[gram + 1]):
                item = items[place]
                if item_seen[item] != document + 1:
                    item_seen[item] = document + 1
                    if items_count == len(leaked):
                        larger = np.empty(2 * items_count, np.int32)
                        larger[:items_count] = leaked
                        leaked = larger
                    leaked[items_count] = item
                    items_count += 1
        leaked[head:items_count].sort()
        for run in range(_runs(hits, begin, stop, -1, set_bounds, sets, runs)):
            size = runs[1, run] - runs[0, run]
            covered[document] += size
            longest[document] = max(longest[document], size)
        best = 0
        group = 0
        while head < items_count:
            while leaked[head] >= firsts[group + 1]:
                group += 1
            while head < items_count and leaked[head] < firsts[group + 1]:
                head += 1
            total = 0
            for run in range(_runs(hits, begin, stop, group, set_bounds, sets, runs)):
                total += runs[1, run] - runs[0, run]
                span_sets[spans_count] = group
                span_starts[spans_count] = runs[2, run]
                span_ends[spans_count] = runs[3, run]
                spans_count += 1
            if total > best:
                best = total
                most[document] = group
            met[sets_count] = group
            met_covered[sets_count] = total
            sets_count += 1
            met_items[sets_count] = head
        bounds[document + 1] = sets_count
        spans[document + 1] = spans_count
    return (
        covered,
        longest,
        most,
        bounds,
        met[:sets_count].copy(),
        met_covered[:sets_count].copy(),
        met_items[: sets_count + 1].copy(),
        leaked[:items_count].copy(),
        spans,
        span_sets[:spans_count].copy(),
        span_starts[:spans_count].copy(),
        span_ends[:spans_count].copy(),
    )


@njit(nogil=True, cache=True)
def _runs(hits, begin, stop, group, set_bounds, sets, runs):  # type: ignore[no-untyped-def]
    """Runs of covered words of the hits from `begin` to `stop`: how many, written to `runs` int64[4, *] as first word,
    one past the last, first byte, one past the last. With `group` >= 0, of that set's hits alone."""
    count = 0
    for hit in range(begin, stop):
        if group >= 0:
            gram = hits.grams[hit]
            ours = False
            for place in range(set_bounds[gram], set_bounds[gram + 1]):
                ours = ours or sets[place] == group
            if not ours:
                continue
        first, start = hits.first[hit], hits.starts[hit]
        # Hits come by their ends, so only the last runs can reach this one, and none ends behind it.
        while count > 0 and runs[1, count - 1] >= first:
            count -= 1
            if runs[0, count] < first:
                first, start = runs[0, count], runs[2, count]
        runs[0, count] = first
        runs[1, count] = hits.first[hit] + hits.lengths[hit]
        runs[2, count] = start
        runs[3, count] = hits.ends[hit]
        count += 1
    return count
