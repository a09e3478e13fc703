"""What a model knows of words and n-grams, and how they are found in a text."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation.text.compiling import njit, njit_inline

LABEL = "__label__"
"""What label tokens begin with; those in a text are not read."""
EOS = "</s>"
"""The token at the end of a line."""
HS, NS, SOFTMAX, OVA = 1, 2, 3, 4
"""Losses as fastText numbers them: hierarchical softmax, negative sampling, softmax, one-vs-all."""
MOST_GRAMS = 255
"""Longest n-gram that the kernels have room for; models have up to 6."""
LANES = 8
"""Rows of matrices are padded with zeros to a multiple of this many values, to be added without a remainder."""

_FILTER = 16
"""Bits of filter for each slot of a table."""
_CROWD = 1000
"""Steps from its own slot that a key is never found at, unless many are equal: a table is half full at most."""
FNV_OFFSET, _FNV_PRIME = np.uint32(2166136261), np.uint32(16777619)
_GOLDEN = np.uint32(2654435769)
WORD_GRAM = np.uint64(116049371)
LABEL_BYTES = np.frombuffer(LABEL.encode(), np.uint8)
EOS_BYTES = np.frombuffer(EOS.encode(), np.uint8)
ZERO = np.int64(0)
"""For arguments, since numba would compile a function once more for the literal."""


class Table(NamedTuple):
    """A hash table with open addressing from 32-bit keys, made by `table`."""

    slots: NDArray[np.int32]
    """Shape (power of two, 2): key, and value or -1."""
    bits: NDArray[np.uint32]
    """A filter: a key's bit is set if the key is there. Most n-grams are not, and the bits fit into the cache."""


class Words(NamedTuple):
    """The dictionary. Entries are numbered, words before labels; `names[starts[i]:ends[i]]` is the name of entry i."""

    names: NDArray[np.uint8]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    entries: Table
    """From the hash of a name to the entry."""
    sizes: NDArray[np.int64]
    """For each word, the vectors added up in its row."""


class Grams(NamedTuple):
    """Which n-grams there are, and the row of each."""

    shortest: int
    longest: int
    """Characters in a word's n-grams; `longest` is 0 for none."""
    words: int
    """Most words in an n-gram of words; below 2 for none."""
    buckets: np.uint64
    first: int
    """Row of the first bucket, behind the words'."""
    kept: Table
    """From a bucket to its row where the model was pruned; without slots where it was not."""


class Network(NamedTuple):
    """A model. All arrays are read-only."""

    words: Words
    grams: Grams
    rows: NDArray[np.float32]
    """Shape (rows, dim): for each word, once `fold` was called, its vector and its n-grams' added up; then buckets."""
    eos: int
    """The word that EOS is, or -1."""
    loss: int
    output: NDArray[np.float32]
    """Shape (labels, dim): vectors of the labels, or with hierarchical softmax of the inner nodes."""
    children: NDArray[np.int32]
    """Shape (labels - 1, 2): left and right child of each inner node, the root last. Labels are nodes 0 to labels - 1,
    inner nodes follow."""


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A read-only view, so that each kernel is compiled for one type only."""
    view = array.view()
    view.flags.writeable = False
    return view


@njit(nogil=True, cache=True)
def table(keys, values):  # type: ignore[no-untyped-def]
    """The fields of a `Table` from uint32 keys to int32 values; of equal keys, a search meets the last first.

    There are no slots in it where keys crowd as no honest ones do: searches would take for ever.
    """
    size = 2
    while size < 2 * len(keys):
        size *= 2
    slots = np.full((size, 2), -1, np.int32)
    bits = np.zeros(min(size * _FILTER, 1 << 31) // 32, np.uint32)
    for i in range(len(keys) - 1, -1, -1):
        spread = _spread(keys[i])
        slot = _scale(spread, size)
        steps = 0
        while slots[slot, 1] >= 0:
            slot = (slot + np.uint64(1)) & np.uint64(size - 1)
            steps += 1
            if steps == _CROWD:
                return slots[:0], bits
        slots[slot, 0] = np.int32(keys[i])
        slots[slot, 1] = values[i]
        bit = _scale(spread, 32 * len(bits))
        bits[bit >> np.uint64(5)] |= np.uint32(1) << np.uint32(bit & np.uint64(31))
    return slots, bits


@njit(nogil=True, cache=True)
def hashes(names, starts, ends):  # type: ignore[no-untyped-def]
    """The hash of each name, uint32."""
    hashed = np.empty(len(starts), np.uint32)
    for entry in range(len(starts)):
        hashed[entry] = name_hash(names, starts[entry], ends[entry])
    return hashed


@njit(nogil=True, cache=True)
def end_of_line(words):  # type: ignore[no-untyped-def]
    """The entry of EOS, or -1."""
    return find_entry(EOS_BYTES, ZERO, len(EOS_BYTES), name_hash(EOS_BYTES, ZERO, len(EOS_BYTES)), words)


@njit(nogil=True, cache=True)
def bucket_row(bucket, grams):  # type: ignore[no-untyped-def]
    """Row of a bucket, or -1 where it was pruned."""
    if len(grams.kept.slots) == 0:
        return np.int64(grams.first + np.int64(bucket))
    return lookup(bucket, grams.kept.slots, grams.kept.bits)


@njit_inline
def lookup(key, slots, bits):  # type: ignore[no-untyped-def]
    """Value of a key in a `Table`, or -1."""
    spread = _spread(key)
    if _absent(spread, bits):
        return np.int64(-1)
    slot = _scale(spread, len(slots))
    while slots[slot, 1] >= 0 and slots[slot, 0] != np.int32(key):
        slot = (slot + np.uint64(1)) & np.uint64(len(slots) - 1)
    return np.int64(slots[slot, 1])


@njit(nogil=True, cache=True)
def find_entry(data, start, end, h, words):  # type: ignore[no-untyped-def]
    """Entry of the name `data[start:end]`, whose hash is `h`, or -1."""
    slots = words.entries.slots
    spread = _spread(h)
    if _absent(spread, words.entries.bits):
        return np.int64(-1)
    slot = _scale(spread, len(slots))
    while slots[slot, 1] >= 0:
        if slots[slot, 0] == np.int32(h):
            entry = slots[slot, 1]
            if equal_bytes(data, start, end, words.names, words.starts[entry], words.ends[entry]):
                return np.int64(entry)
        slot = (slot + np.uint64(1)) & np.uint64(len(slots) - 1)
    return np.int64(-1)


@njit_inline
def _absent(spread, bits):  # type: ignore[no-untyped-def]
    """Whether the filter knows that a key is not there."""
    bit = _scale(spread, 32 * len(bits))
    return (bits[bit >> np.uint64(5)] >> np.uint32(bit & np.uint64(31))) & np.uint32(1) == 0


@njit_inline
def _spread(key):  # type: ignore[no-untyped-def]
    """Fibonacci hashing of a 32-bit key: the high bits come to depend on all of it."""
    return np.uint64(np.uint32(np.uint32(key) * _GOLDEN))


@njit_inline
def _scale(spread, size):  # type: ignore[no-untyped-def]
    """A place from 0 to `size` - 1, a power of two, by the high bits."""
    return (spread * np.uint64(size)) >> np.uint64(32)


@njit(nogil=True, cache=True)
def separates(byte):  # type: ignore[no-untyped-def]
    return byte <= 32 and (byte == 32 or 9 <= byte <= 13 or byte == 0)


@njit(nogil=True, cache=True)
def begins(data, start, end, prefix):  # type: ignore[no-untyped-def]
    return end - start >= len(prefix) and equal_bytes(data, start, start + len(prefix), prefix, ZERO, len(prefix))


@njit(nogil=True, cache=True)
def equal_bytes(data, start, end, other, begin, stop):  # type: ignore[no-untyped-def]
    if end - start != stop - begin:
        return False
    k = 0
    while k < end - start and data[start + k] == other[begin + k]:
        k += 1
    return k == end - start


@njit(nogil=True, cache=True)
def name_hash(data, start, end):  # type: ignore[no-untyped-def]
    h = FNV_OFFSET
    for i in range(start, end):
        h = fnv_step(h, data[i])
    return h


@njit(nogil=True, cache=True)
def fnv_step(h, byte):  # type: ignore[no-untyped-def]
    """A step of 32-bit FNV-1a, but with the byte extended by its sign."""
    return np.uint32((h ^ np.uint32(np.int8(byte))) * _FNV_PRIME)
