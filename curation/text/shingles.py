"""Word n-grams as 32-bit hashes: the sets that MinHash, decontamination and exact Jaccard compare.

A word is a maximal run of letters, numbers and combining marks (Unicode L*, N*, M*), each character in its simple
lower case; everything else separates. Scripts that write without spaces have no such runs to offer, so there each
letter, with the marks that follow it, is a word of its own: `SOLITARY` lists the ranges. Nothing else is normalised:
numbers stay, accents stay, and a precomposed letter differs from its decomposed form.

A word's hash folds its lower-cased UTF-8 bytes, in little-endian blocks of eight, the last one padded with zeros:
h = mix64(h ^ block), from h = 0. No word holds a zero byte, so the padding is unambiguous, and words of up to eight
bytes never collide. The shingle of words w_1 .. w_n is the upper half of mix64(sum of w_i * P^(n - i) mod 2^64), which
depends on their order and takes one multiplication a word however large n is (Karp and Rabin 1987).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.text.arrow import buffers
from curation.text.characters import CATEGORIES, CATEGORY, classes, decode, lower
from curation.text.compiling import njit, njit_inline
from curation.text.hashing import mix64, read64

SOLITARY = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x2E80, 0x2FDF),  # CJK and Kangxi radicals
    (0x3005, 0x3007),  # ideographic iteration mark, closing mark, zero
    (0x3021, 0x3029),  # Hangzhou numerals
    (0x3031, 0x303C),  # kana repeat marks
    (0x3040, 0x312F),  # Hiragana, Katakana, Bopomofo
    (0x31A0, 0x31BF),  # Bopomofo extended
    (0x31F0, 0x31FF),  # Katakana phonetic extensions
    (0x3400, 0x4DBF),  # CJK extension A
    (0x4E00, 0x9FFF),  # CJK unified ideographs
    (0xA000, 0xA48F),  # Yi syllables
    (0xA980, 0xA9FF),  # Javanese, Myanmar extended-B
    (0xAA60, 0xAADF),  # Myanmar extended-A, Tai Viet
    (0xF900, 0xFAFF),  # CJK compatibility ideographs
    (0xFF66, 0xFF9F),  # halfwidth Katakana
    (0x16F00, 0x18DFF),  # Miao, Tangut, Khitan, Nushu marks
    (0x1AFF0, 0x1B2FF),  # Kana supplement and extensions, Nushu
    (0x20000, 0x3FFFF),  # CJK extensions B and later
)
"""Code point ranges, both ends included, whose letters and numbers are words of their own. Hangul, Tibetan and Ethiopic
are absent: they mark words or syllables."""

BASE = np.uint64(0x9E3779B97F4A7C15)
"""P, the base of a shingle's polynomial."""

_SEPARATOR, _JOINED, _MARK, _ALONE = range(4)
_KIND = 3
_HIGH = np.uint64(0x8080808080808080)
_ONES = np.uint64(0x0101010101010101)
_SUM, _SLOT, _WORDS, _RING = range(4)


def shingle_hashes(text: pa.Array | pa.ChunkedArray, n: int) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Hashes of all word n-grams of each document, in text order, repeats included.

    `text` strings, n_docs long; `n` >= 1 words. Returns `offsets` int64[n_docs + 1], from 0, and `hashes`
    uint32[offsets[-1]]: document i has `hashes[offsets[i]:offsets[i + 1]]`. A text of w words has w - n + 1 shingles,
    or none where w < n: such a text is compared as a whole (`curation.text.normalize`), never by shingles. Raises
    ValueError for n < 1, TypeError for anything but strings.
    """
    offsets, data = spans(text)
    return _all_shingles(offsets, data, word_table(), check_width(n))  # type: ignore[no-any-return]


def spans(text: pa.Array | pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """`curation.text.arrow.buffers`, always read-only: numba compiles a kernel anew for writable arrays."""
    offsets, data = buffers(text)
    offsets.flags.writeable = False
    data.flags.writeable = False
    return offsets, data


def check_width(n: int) -> int:
    """`n` itself; ValueError where it is no number of words."""
    if n < 1:
        raise ValueError(f"a shingle has at least one word, not {n}")
    return n


@cache
def word_table() -> NDArray[np.int32]:
    """Lower case and part in a word of every code point: int32[0x110000], lower << 2 | kind. Read-only, shared.

    0 for what separates words.
    """
    kinds = {"L": _JOINED, "N": _JOINED, "M": _MARK}
    kind = np.array([kinds.get(name[0], _SEPARATOR) for name in CATEGORIES], np.int32)[classes() & CATEGORY]
    for first, last in SOLITARY:
        block = kind[first : last + 1]
        block[block == _JOINED] = _ALONE
    table: NDArray[np.int32] = np.where(kind == _SEPARATOR, 0, lower() << 2 | kind)
    table.flags.writeable = False
    return table


@njit(cache=True, nogil=True)
def _all_shingles(offsets, data, table, n):  # type: ignore[no-untyped-def]
    documents = offsets.size - 1
    # A word of one byte needs a separator after it, and solitary letters take three, so there are at most half as many
    # words as bytes. Pages of the scratch array that are never written cost no memory.
    hashes = np.empty((offsets[-1] - offsets[0] + documents) // 2 + 1, np.uint32)
    counts = np.zeros(documents + 1, np.int64)
    window = new_window(n)
    total = 0
    for i in range(documents):
        window[:] = 0
        _, count = next_shingles(data, offsets[i], offsets[i + 1], table, window, hashes[total:])
        total += count
        counts[i + 1] = total
    return counts, hashes[:total].copy()


@njit(cache=True, nogil=True)
def new_window(n):  # type: ignore[no-untyped-def]
    """What `next_shingles` remembers of the last `n` words between calls, uint64[n + 3]; zero it for each document."""
    return np.zeros(n + _RING, np.uint64)


@njit(cache=True, nogil=True)
def next_shingles(data, cursor, end, table, window, out):  # type: ignore[no-untyped-def]
    """Shingles of the words that start in `data[cursor:end]`, until the text or `out` (uint32, at least one) ends.

    `cursor` has to be the document's start or what the last call returned; `window` from `new_window`, `table` from
    `word_table`. Returns (where to go on, number of hashes written); the text is done when the first equals `end`.
    """
    n = window.size - _RING
    ring = window[_RING:]
    total = window[_SUM]
    slot = np.int64(window[_SLOT])
    words = np.int64(window[_WORDS])
    leaving = np.uint64(1)
    for _ in range(n):
        leaving *= BASE
    count = 0
    while count < out.size:
        start, cursor, h = next_word(data, cursor, end, table)
        if start == cursor:
            break
        total = total * BASE + h - ring[slot] * leaving
        ring[slot] = h
        slot += 1
        if slot == n:
            slot = np.int64(0)
        words += 1
        if words >= n:
            out[count] = np.uint32(mix64(total) >> np.uint64(32))
            count += 1
    window[_SUM] = total
    window[_SLOT] = np.uint64(slot)
    window[_WORDS] = np.uint64(words)
    return cursor, count


@njit_inline
def next_word(data, cursor, end, table):  # type: ignore[no-untyped-def]
    """The first word that starts in `data[cursor:end]`: (its start, its end, its hash uint64); (end, end, 0) for none.

    `cursor` must not lie inside a word; `table` from `word_table`.
    """
    byte = np.uint8(0)
    width = 1
    code = np.int32(_SEPARATOR)
    while cursor < end:
        byte = data[np.uint64(cursor)]
        if byte < 0x80:
            codepoint, width = np.int32(byte), 1
        else:
            codepoint, width = decode(data, cursor, end)
        code = table[np.uint32(codepoint)]
        if code != _SEPARATOR:
            break
        cursor += width
    start = cursor
    h = np.uint64(0)
    if cursor >= end:
        return start, cursor, h
    alone = code & _KIND == _ALONE
    block = np.uint64(0)
    bits = np.uint64(0)
    first = True
    ended = False
    if byte < 0x80:
        # Most words are ASCII throughout: eight bytes a step, to the same hash.
        while cursor + 8 <= end:
            first = False
            block, length, ended = _ascii_word(read64(data, cursor))
            cursor += length
            if length < 8:
                bits = np.uint64(8 * length)
                break
            h = mix64(h ^ block)
            block = np.uint64(0)
    while not ended and cursor < end:
        codepoint, width = decode(data, cursor, end)
        code = table[np.uint32(codepoint)]
        kind = code & _KIND
        ended = kind == _SEPARATOR or (not first and (kind == _ALONE or (alone and kind == _JOINED)))
        if ended:
            break
        first = False
        cursor += width
        character, size = _utf8(code >> 2)
        block |= character << bits
        bits += size
        if bits >= np.uint64(64):
            bits -= np.uint64(64)
            h = mix64(h ^ block)
            block = character >> (size - bits)
    if bits > np.uint64(0):
        h = mix64(h ^ block)
    return start, cursor, h


@njit_inline
def _ascii_word(word):  # type: ignore[no-untyped-def]
    """The ASCII letters and digits at the low end of eight bytes.

    Returns (them in lower case, the other bytes zero; how many; whether an ASCII character that is neither ends them).
    Each byte is handled in its own lane: with the high bit off, adding 0x80 - c sets it exactly for bytes >= c.
    """
    byte = word & ~_HIGH
    folded = byte | np.uint64(0x2020202020202020)
    letter = (folded + np.uint64(0x1F1F1F1F1F1F1F1F)) & ~(folded + np.uint64(0x0505050505050505))
    digit = (byte + np.uint64(0x5050505050505050)) & ~(byte + np.uint64(0x4646464646464646))
    stop = ~((letter | digit) & ~word) & _HIGH
    small = byte | ((letter & _HIGH) >> np.uint64(2))
    if stop == np.uint64(0):
        return small, 8, False
    border = stop & (~stop + np.uint64(1))
    before = (border >> np.uint64(7)) - np.uint64(1)
    length = np.int64(((before & _ONES) * _ONES) >> np.uint64(56))
    return small & before, length, word & border == np.uint64(0)


@njit_inline
def _utf8(codepoint: int) -> tuple[np.uint64, np.uint64]:
    # (bytes, the first one lowest; how many bits they take)
    c = np.uint64(codepoint)
    tail = np.uint64(0x80)
    low = np.uint64(0x3F)
    if codepoint < 0x80:
        return c, np.uint64(8)
    last = tail | (c & low)
    if codepoint < 0x800:
        return np.uint64(0xC0) | (c >> np.uint64(6)) | (last << np.uint64(8)), np.uint64(16)
    middle = tail | ((c >> np.uint64(6)) & low)
    if codepoint < 0x10000:
        return (
            np.uint64(0xE0) | (c >> np.uint64(12)) | (middle << np.uint64(8)) | (last << np.uint64(16)),
            np.uint64(24),
        )
    second = tail | ((c >> np.uint64(12)) & low)
    return (
        np.uint64(0xF0)
        | (c >> np.uint64(18))
        | (second << np.uint64(8))
        | (middle << np.uint64(16))
        | (last << np.uint64(24)),
        np.uint64(32),
    )
