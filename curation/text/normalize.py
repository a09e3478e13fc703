"""When two texts count as the same: equal after case, white space and Unicode composition are levelled."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.text.arrow import buffers
from curation.text.characters import SIZE, SPACE, classes, decode, lower
from curation.text.compiling import njit
from curation.text.hashing import hash_spans, read64, xxh64

DIGEST = pa.binary(16)
"""Type of a digest."""


_HIGH = np.uint64(0x8080808080808080)
SETTLED = (
    (0x0000, 0x02FF),  # Latin
    (0x03A3, 0x0482),  # Greek, Cyrillic
    (0x048A, 0x052F),
    (0x05D0, 0x05EA),  # Hebrew
    (0x0620, 0x064A),  # Arabic
    (0x10D0, 0x10FF),  # Georgian
    (0x1E00, 0x1EFF),  # Latin with two accents
    (0x2002, 0x2064),  # dashes, quotes, spaces
    (0x2190, 0x2328),  # arrows, mathematics
    (0x2460, 0x2ADB),  # boxes, shapes, dingbats
    (0x3001, 0x3029),  # Chinese and Japanese
    (0x3030, 0x303F),
    (0x3041, 0x3096),
    (0x309B, 0x30FF),
    (0x3220, 0xA48C),
    (0xAC00, 0xD7A3),  # Korean
    (0xFF01, 0xFFBE),
    (0x1F300, 0x1F6D7),  # emoji
    (0x1F900, 0x1FA53),
    (0x20000, 0x2A6DF),
)
"""Code point ranges, both ends included, of which any text is in NFC: no character in them decomposes, combines with
the one before it or is reordered. Not all such characters are here, only those that common texts are made of."""


def normalized(text: str) -> str:
    """The text of which `normalized_digest` takes the digest; plain Python, to read and to test against.

    In this order: NFC; each character to its simple lower case (`curation.text.characters.lower`); each run of white
    space (str.isspace) to one space, none at the ends. Everything else stays and makes texts differ: punctuation,
    digits, accents, zero-width characters, compatibility forms (NFKC), full case folding ("ß" is not "ss").
    """
    small = lower()
    return " ".join("".join(chr(small[ord(c)]) for c in unicodedata.normalize("NFC", text)).split())


def normalized_digest(text: pa.Array | pa.ChunkedArray) -> pa.FixedSizeBinaryArray:
    """128-bit digest of each normalised text: equal texts have equal digests, whatever the process or the machine.

    `text` strings, n of them, a null counting as empty. Returns `DIGEST`, n long: XXH64 with seed 0, then with seed 1,
    each little-endian, over the UTF-8 bytes of `normalized(text)`. Were the two independent, some two of a billion
    texts would collide with probability 1e-21; who builds a collision on purpose can, XXH64 is not cryptographic.
    Raises TypeError for anything but strings. Memory beside the result: one and a half times the longest text, and a
    second copy of the texts if some are not in NFC.
    """
    if isinstance(text, pa.ChunkedArray):
        text = text.combine_chunks() if text.num_chunks != 1 else text.chunk(0)
    offsets, data = _spans(text)
    # Arrow composes at 70 MB/s, several times slower than the rest, so only rows pay that may need it.
    unsettled = pa.array(_unsettled(offsets, data, _settled_table()))
    if pc.any(unsettled).as_py():
        composed = pc.utf8_normalize(text.filter(unsettled), form="NFC")
        offsets, data = _spans(pc.replace_with_mask(text, unsettled, composed))
    digests = _digests(offsets, data, classes(), lower()).astype("<u8", copy=False)
    return pa.Array.from_buffers(DIGEST, len(text), [None, pa.py_buffer(digests)])


def joint_digest(texts: Sequence[pa.Array]) -> pa.FixedSizeBinaryArray:
    """128-bit digest of each row of some columns of texts, equal where every column is when normalised.

    Of one column it is `normalized_digest`; of more, XXH64 with seeds 0 and 1 over the columns' digests in their order,
    so that what stands at the end of one column never counts as the beginning of the next.
    """
    column_digests = [normalized_digest(column) for column in texts]
    if len(column_digests) == 1:
        return column_digests[0]
    rows, width = len(column_digests[0]), DIGEST.byte_width
    parts = [np.frombuffer(column.buffers()[1], np.uint8).reshape(rows, width) for column in column_digests]
    data = np.concatenate(parts, axis=1).ravel()
    offsets = np.arange(rows + 1) * len(parts) * width
    data.flags.writeable = offsets.flags.writeable = False
    halves = [hash_spans(data, offsets[:-1], offsets[1:], seed) for seed in (0, 1)]
    digests = np.stack(halves, axis=1).astype("<u8", copy=False)
    return pa.Array.from_buffers(DIGEST, rows, [None, pa.py_buffer(digests)])


def _spans(text: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    # Always read-only: numba compiles a kernel anew for writable arrays.
    offsets, data = buffers(text)
    offsets.flags.writeable = False
    data.flags.writeable = False
    return offsets, data


@cache
def _settled_table() -> NDArray[np.bool_]:
    table = np.zeros(SIZE, np.bool_)
    for first, last in SETTLED:
        table[first : last + 1] = True
    table.flags.writeable = False
    return table


@njit(cache=True, nogil=True)
def _unsettled(offsets, data, settled):  # type: ignore[no-untyped-def]
    rows = np.zeros(offsets.size - 1, np.bool_)
    for i in range(rows.size):
        cursor = offsets[i]
        end = offsets[i + 1]
        while cursor < end:
            if cursor + 8 <= end and read64(data, cursor) & _HIGH == np.uint64(0):
                cursor += 8
                continue
            codepoint, width = decode(data, cursor, end)
            if not settled[np.uint32(codepoint)]:
                rows[i] = True
                break
            cursor += width
    return rows


@njit(cache=True, nogil=True)
def _digests(offsets, data, classes, lower):  # type: ignore[no-untyped-def]
    documents = offsets.size - 1
    longest = 0
    for i in range(documents):
        longest = max(longest, offsets[i + 1] - offsets[i])
    # Lower case can take a byte more than the character did (U+023A, two bytes, becomes U+2C65, three).
    scratch = np.empty(longest + longest // 2 + 1, np.uint8)
    digests = np.empty((documents, 2), np.uint64)
    for i in range(documents):
        length = _normalize(data, offsets[i], offsets[i + 1], classes, lower, scratch)
        digests[i, 0] = xxh64(scratch, 0, length, np.uint64(0))
        digests[i, 1] = xxh64(scratch, 0, length, np.uint64(1))
    return digests


@njit(cache=True, nogil=True)
def _normalize(data, cursor, end, classes, lower, out):  # type: ignore[no-untyped-def]
    length = 0
    gap = False
    while cursor < end:
        byte = data[np.uint64(cursor)]
        if byte < 0x80:
            codepoint, width = np.int32(byte), 1
        else:
            codepoint, width = decode(data, cursor, end)
        cursor += width
        if classes[np.uint32(codepoint)] & SPACE:
            gap = True
            continue
        if gap and length > 0:
            out[np.uint64(length)] = 0x20
            length += 1
        gap = False
        length = _append(out, length, lower[np.uint32(codepoint)])
    return length


@njit(cache=True, nogil=True)
def _append(out, cursor, codepoint):  # type: ignore[no-untyped-def]
    if codepoint < 0x80:
        out[np.uint64(cursor)] = codepoint
        return cursor + 1
    if codepoint < 0x800:
        out[cursor] = 0xC0 | codepoint >> 6
        out[cursor + 1] = 0x80 | codepoint & 0x3F
        return cursor + 2
    if codepoint < 0x10000:
        out[cursor] = 0xE0 | codepoint >> 12
        out[cursor + 1] = 0x80 | codepoint >> 6 & 0x3F
        out[cursor + 2] = 0x80 | codepoint & 0x3F
        return cursor + 3
    out[cursor] = 0xF0 | codepoint >> 18
    out[cursor + 1] = 0x80 | codepoint >> 12 & 0x3F
    out[cursor + 2] = 0x80 | codepoint >> 6 & 0x3F
    out[cursor + 3] = 0x80 | codepoint & 0x3F
    return cursor + 4
