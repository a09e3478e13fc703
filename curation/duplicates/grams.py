"""What two texts say, compared word for word: sets of word n-grams, and for texts of few words their sequence.

Words are those of `curation.text.shingles`. A gram is a 64-bit hash of n words in a row, so that even of a million
pairs of grams none collides by chance; a text of fewer words is one gram. Sets are kept sorted, one after another:
text i has `grams[offsets[i]:offsets[i + 1]]`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.text.compiling import njit
from curation.text.hashing import mix64
from curation.text.shingles import BASE, check_width, next_word, spans, word_table

WORDS = 3
"""Words in a gram of `contains` and of what a drop loses."""
FEW = 32
"""Distinct words up to which a text may repeat all its n-grams whatever it says, as a sequence of bases does."""
SLICE = 1 << 25
"""Grams of dropped texts that are looked up at once: their table takes eight times as many bytes, twice over."""


class Grams(NamedTuple):
    """Texts as grams."""

    offsets: NDArray[np.int64]
    grams: NDArray[np.uint64]
    distinct: NDArray[np.int32]
    """Distinct words of each text, FEW + 1 for any more."""
    word_offsets: NDArray[np.int64]
    words: NDArray[np.uint64]
    """Hashes of all words in their order, for texts of at most FEW distinct ones."""


def grams_of(text: pa.Array, n: int = WORDS) -> Grams:
    """`text` strings, m of them; `n` >= 1 words. Memory: about twice the text."""
    offsets, data = spans(text)
    return Grams(*_grams(offsets, data, word_table(), check_width(n), FEW))


@njit(cache=True, nogil=True)
def _grams(offsets, data, table, n, few):  # type: ignore[no-untyped-def]
    documents = offsets.size - 1
    room = (offsets[-1] - offsets[0] + documents) // 2 + 1
    grams = np.empty(room, np.uint64)
    words = np.empty(room, np.uint64)
    starts = np.zeros(documents + 1, np.int64)
    word_starts = np.zeros(documents + 1, np.int64)
    distinct = np.zeros(documents, np.int32)
    ring = np.empty(n, np.uint64)
    seen = np.empty(few, np.uint64)
    leaving = np.uint64(1)
    for _ in range(n):
        leaving *= BASE
    total = 0
    held = 0
    for i in range(documents):
        cursor, end = offsets[i], offsets[i + 1]
        begin = total
        value = np.uint64(0)
        ring[:] = 0
        slot = 0
        count = 0
        different = 0
        while True:
            start, cursor, h = next_word(data, cursor, end, table)
            if start == cursor:
                break
            value = value * BASE + h - ring[slot] * leaving
            ring[slot] = h
            slot = slot + 1 if slot + 1 < n else 0
            count += 1
            if count >= n:
                grams[total] = mix64(value)
                total += 1
            if different <= few:
                words[held + count - 1] = h
                repeated = False
                for j in range(different):
                    if seen[j] == h:
                        repeated = True
                        break
                if not repeated:
                    if different < few:
                        seen[different] = h
                    different += 1
        if 0 < count < n:
            grams[total] = mix64(value)
            total += 1
        if total - begin > 1:
            own = grams[begin:total]
            own.sort()
            kept = begin + 1
            for j in range(begin + 1, total):
                if grams[j] != grams[j - 1]:
                    grams[kept] = grams[j]
                    kept += 1
            total = kept
        starts[i + 1] = total
        distinct[i] = different
        if different <= few:
            held += count
        word_starts[i + 1] = held
    return starts, grams[:total].copy(), distinct, word_starts, words[:held].copy()


@njit(cache=True, nogil=True)
def shared(offsets, grams, one, other):  # type: ignore[no-untyped-def]
    """How many grams two texts have in common."""
    return _common(grams[offsets[one] : offsets[one + 1]], grams[offsets[other] : offsets[other + 1]])


@njit(cache=True, nogil=True)
def _common(a, b):  # type: ignore[no-untyped-def]
    """How many values two ascending arrays have in common; of one that is repeated, as often as in both."""
    i, j, both = 0, 0, 0
    while i < a.size and j < b.size:
        if a[i] == b[j]:
            both += 1
            i += 1
            j += 1
        elif a[i] < b[j]:
            i += 1
        else:
            j += 1
    return both


@njit(cache=True, nogil=True)
def contained(offsets, grams, one, other):  # type: ignore[no-untyped-def]
    """The share of the first text's grams that stand in the second; 1 for a text without words."""
    size = offsets[one + 1] - offsets[one]
    return shared(offsets, grams, one, other) / size if size else 1.0


@njit(cache=True, nogil=True)
def containments(offsets, grams, first, second):  # type: ignore[no-untyped-def]
    """`contained` of each pair, float64[p]; NaN where either node is -1."""
    result = np.full(first.size, np.nan)
    for i in range(first.size):
        if first[i] >= 0 and second[i] >= 0:
            result[i] = contained(offsets, grams, first[i], second[i])
    return result


@njit(cache=True, nogil=True)
def jaccards(offsets, grams, first, second):  # type: ignore[no-untyped-def]
    """Jaccard similarity of the two sets of each pair, float64[p]; 1 for two texts without words."""
    result = np.empty(first.size, np.float64)
    for i in range(first.size):
        one, other = first[i], second[i]
        both = shared(offsets, grams, one, other)
        either = offsets[one + 1] - offsets[one] + offsets[other + 1] - offsets[other] - both
        result[i] = both / either if either else 1.0
    return result


@njit(cache=True, nogil=True)
def sequences(distinct, offsets, words, first, second, n, few):  # type: ignore[no-untyped-def]
    """How alike the sequences of two texts of at most `few` distinct words are, float64[p]; NaN where one has more.

    The runs of k words of both, counted as often as they occur: what is common, by what either has (Ruzicka). k is at
    least `n` and so large that two texts of so few words hardly share a run by chance; but small beside the texts.
    """
    result = np.full(first.size, np.nan)
    for i in range(first.size):
        one, other = first[i], second[i]
        if distinct[one] > few or distinct[other] > few:
            continue
        a = words[offsets[one] : offsets[one + 1]]
        b = words[offsets[other] : offsets[other + 1]]
        fewest = min(distinct[one], distinct[other])
        shorter = min(a.size, b.size)
        if not shorter:
            result[i] = 1.0 if a.size == b.size else 0.0
            continue
        k = n
        if fewest > 1:
            chance = (2.0 * np.log2(max(a.size, b.size)) + 4.0) / np.log2(fewest)
            k = max(n, int(np.ceil(chance)))
        k = min(k, max(n, shorter // 8), shorter)
        result[i] = _ruzicka(_runs(a, k), _runs(b, k))
    return result


@njit(cache=True, nogil=True)
def _runs(words, k):  # type: ignore[no-untyped-def]
    leaving = np.uint64(1)
    for _ in range(k):
        leaving *= BASE
    runs = np.empty(words.size - k + 1, np.uint64)
    value = np.uint64(0)
    for i in range(words.size):
        value = value * BASE + words[i]
        if i >= k:
            value -= words[i - k] * leaving
        if i >= k - 1:
            runs[i - k + 1] = mix64(value)
    runs.sort()
    return runs


@njit(cache=True, nogil=True)
def _ruzicka(a, b):  # type: ignore[no-untyped-def]
    both = _common(a, b)
    return both / (a.size + b.size - both)


def losses(
    offsets: NDArray[np.int64], grams: NDArray[np.uint64], label: NDArray[np.int64], dropped: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """What each dropped text loses: the share of its grams that stand in no text of its cluster that stays.

    `offsets`, `grams` as in `Grams`, n texts; `label` int64[n], the cluster, any number that its members share;
    `dropped` bool[n]. Returns float64[n], NaN for texts that stay, 0 for dropped ones without words. Each gram is
    looked at twice, however large the cluster; memory beside them is bounded by SLICE.
    """
    order = np.argsort(label, kind="stable")
    return _losses(offsets, grams, label, dropped, order, SLICE)  # type: ignore[no-any-return]


@njit(cache=True, nogil=True)
def _losses(offsets, grams, label, dropped, order, limit):  # type: ignore[no-untyped-def]
    result = np.full(label.size, np.nan)
    begin = 0
    while begin < order.size:
        end = begin + 1
        while end < order.size and label[order[end]] == label[order[begin]]:
            end += 1
        cursor = begin
        while cursor < end:
            size = 0
            last = cursor
            while last < end and (size == 0 or size < limit):  # one text alone may be larger
                node = order[last]
                if dropped[node]:
                    size += offsets[node + 1] - offsets[node]
                last += 1
            if size:
                _slice(offsets, grams, dropped, order[cursor:last], order[begin:end], size, result)
            else:
                for node in order[cursor:last]:
                    if dropped[node]:
                        result[node] = 0.0
            cursor = last
        begin = end
    return result


@njit(cache=True, nogil=True)
def _slice(offsets, grams, dropped, members, cluster, size, result):  # type: ignore[no-untyped-def]
    """Losses of `members` of a cluster: a table of their grams, struck off where a member that stays has it."""
    bits = 1
    while (1 << bits) < 2 * size:
        bits += 1
    mask = np.uint64((1 << bits) - 1)
    keys = np.zeros(1 << bits, np.uint64)
    state = np.zeros(1 << bits, np.uint8)  # 0 free, 1 lost, 2 also in one that stays
    for node in members:
        if dropped[node]:
            for i in range(offsets[node], offsets[node + 1]):
                entry = grams[i] & mask
                while state[entry] and keys[entry] != grams[i]:
                    entry = (entry + np.uint64(1)) & mask
                keys[entry] = grams[i]
                state[entry] = 1
    for node in cluster:
        if not dropped[node]:
            for i in range(offsets[node], offsets[node + 1]):
                entry = grams[i] & mask
                while state[entry] and keys[entry] != grams[i]:
                    entry = (entry + np.uint64(1)) & mask
                if state[entry]:
                    state[entry] = 2
    for node in members:
        if dropped[node]:
            lost = 0
            for i in range(offsets[node], offsets[node + 1]):
                entry = grams[i] & mask
                while keys[entry] != grams[i] or not state[entry]:
                    entry = (entry + np.uint64(1)) & mask
                lost += state[entry] == 1
            own = offsets[node + 1] - offsets[node]
            result[node] = lost / own if own else 0.0
