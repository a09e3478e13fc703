"""What fastText makes of a text, listed piece by piece: training counts on them, and explanations name them.

The pieces are those whose vectors `curation.text.fasttext.predict` averages: words, word n-grams and the end of the
line, as fastText 0.9.2 finds them (github.com/facebookresearch/fastText, src/dictionary.cc).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation.text.compiling import njit
from curation.text.fasttext.dictionary import (
    EOS_BYTES,
    FNV_OFFSET,
    LABEL_BYTES,
    WORD_GRAM,
    ZERO,
    Network,
    begins,
    bucket_row,
    equal_bytes,
    find_entry,
    fnv_step,
    name_hash,
    separates,
)


class Pieces(NamedTuple):
    """Pieces of n texts: those of text `i` have the numbers `documents[i]` to `documents[i + 1]`."""

    documents: NDArray[np.int64]
    """Shape (n + 1,), ascending from 0."""
    rows: NDArray[np.int32]
    """Row of each piece's vector. A piece that has none is not listed, and is not averaged either."""
    starts: NDArray[np.uint32]
    """Its first byte, counted from the start of its text."""
    ends: NDArray[np.uint32]
    """One past the last byte; with the unwritten end of the line in it, one past the text's last byte plus one."""
    tokens: NDArray[np.int64]
    """Shape (n,): words of each text, known or not, and the end of its line."""


def pieces(offsets: NDArray[np.int64], data: NDArray[np.uint8], network: Network, apart: bool) -> Pieces:
    """Pieces of texts, for buffers as `curation.text.arrow.buffers` gives them.

    With `apart`, a known word's n-grams of characters are pieces of their own, as in training; without, they are in
    its row already, where `curation.text.fasttext.fold` put them.
    """
    empty = np.empty(0, np.int32), np.empty(0, np.uint32), np.empty(0, np.uint32)
    documents, tokens = _list(offsets, data, network, apart, *empty)
    count = int(documents[-1])
    found = np.empty(count, np.int32), np.empty(count, np.uint32), np.empty(count, np.uint32)
    _list(offsets, data, network, apart, *found)
    return Pieces(documents, *found, tokens)


@njit(nogil=True, cache=True)
def _list(offsets, data, network, apart, rows, starts, ends):  # type: ignore[no-untyped-def]
    """`documents` and `tokens` of `Pieces`; the rest of it is written as far as the arrays reach."""
    words, grams = network.words, network.grams
    n = len(offsets) - 1
    documents = np.zeros(n + 1, np.int64)
    tokens = np.zeros(n, np.int64)
    running = np.empty(max(grams.words - 1, 0), np.uint64)
    begun = np.empty(len(running), np.int64)
    count = np.int64(0)
    for i in range(n):
        base, stop = offsets[i], offsets[i + 1]
        cursor = base
        seen = 0
        ended = False
        while not ended:
            while cursor < stop and separates(data[cursor]):
                cursor += 1
            start = cursor
            h = FNV_OFFSET
            while cursor < stop and not separates(data[cursor]):
                h = fnv_step(h, data[cursor])
                cursor += 1
            end = cursor
            ended = cursor == start or equal_bytes(data, start, cursor, EOS_BYTES, ZERO, len(EOS_BYTES))
            if ended:
                h = name_hash(EOS_BYTES, ZERO, len(EOS_BYTES))
                entry = np.int64(network.eos)
                if end == start:
                    start, end = stop, stop + 1
            else:
                entry = find_entry(data, start, cursor, h, words)
                if entry >= len(words.sizes) or (entry < 0 and begins(data, start, cursor, LABEL_BYTES)):
                    continue
            tokens[i] += 1
            if entry >= 0:
                count = _put(np.int64(entry), start - base, end - base, rows, starts, ends, count)
            if not ended and (entry < 0 or apart):
                count = _put_subwords(data, base, start, cursor, grams, rows, starts, ends, count)
            if len(running):
                signed = np.uint64(np.int64(np.int32(h)))
                for k in range(min(seen, len(running))):
                    running[k] = running[k] * WORD_GRAM + signed
                    row = bucket_row(running[k] % grams.buckets, grams)
                    if row >= 0:
                        count = _put(row, begun[k] - base, end - base, rows, starts, ends, count)
                running[seen % len(running)] = signed
                begun[seen % len(running)] = start
                seen += 1
        documents[i + 1] = count
    return documents, tokens


@njit(nogil=True, cache=True)
def _put_subwords(data, base, start, end, grams, rows, starts, ends, count):  # type: ignore[no-untyped-def]
    """N-grams of the characters of "<word>", without "<" and ">" alone; spans leave the brackets out."""
    cursor = start
    begins = True
    while cursor < end:
        h = FNV_OFFSET
        size = 0
        i = cursor
        if begins:
            h = fnv_step(h, np.uint8(60))
            size = 1
        while i <= end and size < grams.longest:
            if i == end:
                h = fnv_step(h, np.uint8(62))
            else:
                h = fnv_step(h, data[i])
            i += 1
            while i < end and data[i] & 0xC0 == 0x80:
                h = fnv_step(h, data[i])
                i += 1
            size += 1
            if size >= grams.shortest:
                row = bucket_row(np.uint64(h % np.uint32(grams.buckets)), grams)
                if row >= 0:
                    count = _put(row, cursor - base, min(i, end) - base, rows, starts, ends, count)
        if begins:
            begins = False
        else:
            cursor += 1
            while cursor < end and data[cursor] & 0xC0 == 0x80:
                cursor += 1
    return count


@njit(nogil=True, cache=True)
def _put(row, start, end, rows, starts, ends, count):  # type: ignore[no-untyped-def]
    if count < len(rows):
        rows[count] = row
        starts[count] = start
        ends[count] = end
    return count + 1
