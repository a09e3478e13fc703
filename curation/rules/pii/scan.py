"""One scan over the bytes for all types.

Each byte is looked up in a table of anchors: "@" for an e-mail address, the first of a run of digits for numbers, "_"
for most keys. An anchor leads to the matchers of its types, and what they find is resolved by the earliest start, then
the longest.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.rules.pii import card, email, iban, ip, phone, secret
from curation.rules.pii.bytes import digits, is_digit, is_hex, is_upper
from curation.text.arrow import buffers
from curation.text.characters import classes
from curation.text.compiling import njit, njit_inline

VERSION = 2
"""Raised whenever something else would be found in some text, or put in its place."""
TYPES = ("email", "phone", "ipv4", "ipv6", "credit_card", "iban", "secret")
_EMAIL, _PHONE, _IPV4, _IPV6, _CARD, _IBAN, _SECRET = range(len(TYPES))
_ANCHORS = (
    *(email.ANCHORS, phone.ANCHORS, ip.ANCHORS_V4, ip.ANCHORS_V6),
    *(card.ANCHORS, iban.ANCHORS, secret.ANCHORS),
)
_AT, _COLON, _PLUS, _OPEN = b"@:+("


class Spans(NamedTuple):
    """Spans in n documents: those of document `i` have the numbers `documents[i]` to `documents[i + 1]`."""

    documents: NDArray[np.int64]
    """Shape (n + 1,), ascending from 0."""
    starts: NDArray[np.uint32]
    """First byte of each span, counted from the start of its document; ascending within a document."""
    ends: NDArray[np.uint32]
    """One past its last byte; never beyond the next span's start."""
    types: NDArray[np.uint8]
    """Index into TYPES."""


class _Tables(NamedTuple):
    anchors: NDArray[np.uint8]
    """For each byte the types that may be found from it, a bit each; shape (256,)."""
    classes: NDArray[np.uint8]
    country_codes: NDArray[np.bool_]
    ibans: NDArray[np.uint8]
    keys: secret.Keys


def find(text: pa.Array | pa.ChunkedArray, types: Iterable[str] = TYPES) -> Spans:
    """What is found of `types` in every document of a string or large_string array; null documents have nothing.

    Raises ValueError for a type that is not one of TYPES.
    """
    offsets, data = buffers(text)
    return Spans(*_find(offsets, data, _tables(frozenset(types))))


@cache
def _tables(types: frozenset[str]) -> _Tables:
    unknown = types - set(TYPES)
    if unknown:
        raise ValueError(f"unknown type {min(unknown)!r}. Known: {', '.join(TYPES)}")
    anchors = np.zeros(256, np.uint8)
    for number, characters in enumerate(_ANCHORS):
        anchors[list(characters)] |= (TYPES[number] in types) << number
    tables = _Tables(anchors, classes(), phone.country_codes(), iban.lengths(), secret.keys())
    for table in (anchors, tables.country_codes, tables.ibans, *tables.keys):
        table.flags.writeable = False
    return tables


@njit(nogil=True, cache=True)
def _find(offsets, data, tables):  # type: ignore[no-untyped-def]
    anchors, tails = tables.anchors, tables.keys.tails
    n = len(offsets) - 1
    documents = np.zeros(n + 1, np.int64)
    rows = np.empty((64, 3), np.int64)
    count = 0
    for document in range(n):
        lo, hi = offsets[document], offsets[document + 1]
        first = count
        i = lo
        while True:
            i = _next_anchor(data, lo, i, hi, anchors, tails)
            if i == hi:
                break
            for number in range(len(TYPES)):
                if anchors[data[i]] >> number & 1:
                    start, end = _match(number, data, lo, hi, i, tables)
                    if end > start:
                        rows = with_room(rows, count)
                        _insert(rows, first, count, start - lo, end - lo, number)
                        count += 1
            i += max(1, digits(data, i, hi))
        candidates = range(first, count)
        count = first
        last = 0
        for row in candidates:
            if rows[row, 0] >= last:
                last = rows[row, 1]
                put(rows, count, rows[row, 0], last, rows[row, 2])
                count += 1
        documents[document + 1] = count
    spans = rows[:count]
    return documents, spans[:, 0].astype(np.uint32), spans[:, 1].astype(np.uint32), spans[:, 2].astype(np.uint8)


@njit(nogil=True, cache=True)
def _next_anchor(data, lo, i, hi, anchors, tails):  # type: ignore[no-untyped-def]
    """The first anchor from byte `i` on that is worth a matcher, or `hi`: the loop that nearly every byte ends in."""
    cursor, end = np.uint64(i), np.uint64(hi)  # unsigned, which spares the check for an index from the end
    while cursor < end:
        if anchors[data[cursor]] != 0:
            i = np.int64(cursor)
            if is_digit(data[i]):
                size = digits(data, i, hi)
                if size >= 13 or _is_continued(data, i + size, hi) or (i > lo and is_upper(data[i - 1])):
                    return i
                cursor += np.uint64(size)
                continue
            if data[i] == _COLON or data[i] == _OPEN or data[i] == _PLUS:
                if i + 1 < hi and (is_hex(data[i + 1]) or data[i + 1] == _COLON):
                    return i
            elif data[i] == _AT or (i - 2 >= lo and tails[secret.tail(data[i - 2], data[i - 1], data[i])]):
                return i
        cursor += np.uint64(1)
    return hi


@njit_inline
def _is_continued(data, i, hi):  # type: ignore[no-untyped-def]
    """Whether digits that end before byte `i` are followed by others, or by "(", behind one separator or none."""
    if i + 1 >= hi:
        return False
    return data[i] == _OPEN or data[i + 1] == _OPEN or data[i] == 0xC2 or is_digit(data[i + 1])


@njit(nogil=True, cache=True)
def _match(number, data, lo, hi, i, tables):  # type: ignore[no-untyped-def]
    """Span of a type from the anchor at byte `i` of the document [lo, hi); empty for none."""
    if number == _EMAIL:
        return email.match(data, lo, hi, i, tables.classes)
    if number == _PHONE:
        return phone.match(data, lo, hi, i, tables.country_codes)
    if number == _IPV4:
        return ip.match_v4(data, lo, hi, i)
    if number == _IPV6:
        return ip.match_v6(data, lo, hi, i)
    if number == _CARD:
        return card.match(data, lo, hi, i)
    if number == _IBAN:
        return iban.match(data, lo, hi, i, tables.ibans)
    return secret.match(data, lo, hi, i, tables.keys)


@njit(nogil=True, cache=True)
def with_room(rows, count):  # type: ignore[no-untyped-def]
    """The rows, or a larger copy where all are taken."""
    if count < len(rows):
        return rows
    more = np.empty((2 * len(rows), 3), np.int64)
    for row in range(count):
        put(more, row, rows[row, 0], rows[row, 1], rows[row, 2])
    return more


@njit_inline
def _insert(rows, first, count, start, end, number):  # type: ignore[no-untyped-def]
    """Insert into the rows [first, count), which ascend by start and, of one start, descend by end."""
    row = count
    while row > first and (rows[row - 1, 0] > start or (rows[row - 1, 0] == start and rows[row - 1, 1] < end)):
        put(rows, row, rows[row - 1, 0], rows[row - 1, 1], rows[row - 1, 2])
        row -= 1
    put(rows, row, start, end, number)


@njit_inline
def put(rows, row, start, end, number):  # type: ignore[no-untyped-def]
    # By element: a whole row at a time compiles for seconds, for the sake of an error message.
    rows[row, 0] = start
    rows[row, 1] = end
    rows[row, 2] = number
