"""Credit card numbers.

13 to 19 digits in one run, or in 4-4-4-4(-3), 4-6-5, 4-6-4, 4-3-3-3 or 6-13 by single spaces or hyphens, of an issuer's
range (ISO/IEC 7812: Visa, Mastercard, American Express, Discover, Diners Club, JCB, UnionPay) and length, with the Luhn
check digit (ISO/IEC 7812-1, annex B).
"""

from __future__ import annotations

import numpy as np

from curation.rules.pii.bytes import digits, is_digit, is_number_end, is_word, space
from curation.text.characters import before
from curation.text.compiling import njit, njit_inline

ANCHORS = b"0123456789"
_GROUPS = (0x4444, 0x44443, 0x465, 0x464, 0x4333, 0x6D)
"""Digits of each group, a hexadecimal digit each."""
_DOT, _COMMA, _HYPHEN, _PLUS, _SLASH = b".,-+/"


@njit(nogil=True, cache=True)
def match(data, lo, hi, start):  # type: ignore[no-untyped-def]
    """The number whose first digit is at byte `start`."""
    size = digits(data, start, hi)
    if size < 4 or size > 19 or data[start] < 50 or data[start] > 54:  # no issuer begins beyond 2 to 6
        return 0, 0
    if not _is_start(data, lo, start, size):
        return 0, 0
    number = np.uint64(0)
    total = shape = mark = 0
    i = end = start
    for _ in range(5):
        size = digits(data, i, hi)
        if size == 0 or total + size > 19:
            break
        for k in range(i, i + size):
            number = np.uint64(10) * number + np.uint64(data[k] - 48)
        i += size
        total += size
        shape = shape << 4 | min(size, 15)
        whole = shape in _GROUPS or total == size >= 13
        if whole and is_number_end(data, i, hi) and _is_issued(number, total) and _is_luhn(number):
            end = i
        hyphen = i < hi and data[i] == _HYPHEN
        width = 1 if hyphen else space(data, i, hi)
        if width == 0 or (mark != 0 and hyphen != (mark == _HYPHEN)):
            break
        mark = _HYPHEN if hyphen else 32
        i += width
    return start, end


@njit_inline
def _is_start(data, lo, start, size):  # type: ignore[no-untyped-def]
    """Whether no longer number, nor a longer row of groups, begins before byte `start`."""
    if start == lo:
        return True
    byte = data[start - 1]
    if is_word(byte) or byte in (_DOT, _HYPHEN, _PLUS, _SLASH, _COMMA):
        return False
    edge = before(data, lo, start)
    return size >= 13 or edge == lo or space(data, edge, start) == 0 or not is_digit(data[edge - 1])


@njit_inline
def _is_issued(number, total):  # type: ignore[no-untyped-def]
    """Whether a number of `total` digits lies in the range of an issuer that uses that length (ISO/IEC 7812)."""
    for _ in range(total - 4):
        number = number // np.uint64(10)
    four = np.int64(number)
    two, three = four // 100, four // 10
    if two // 10 == 4:  # Visa
        return total == 13 or total == 16 or total == 19
    if 51 <= two <= 55 or 2221 <= four <= 2720:  # Mastercard
        return total == 16
    if two == 34 or two == 37:  # American Express
        return total == 15
    if four == 6011 or 644 <= three <= 649 or two == 65 or two == 62:  # Discover; UnionPay
        return total >= 16
    if 300 <= three <= 305 or four == 3095 or two == 36 or two == 38 or two == 39:  # Diners Club
        return total == 14 or total >= 16
    return 3528 <= four <= 3589 and total >= 16  # JCB


@njit_inline
def _is_luhn(number):  # type: ignore[no-untyped-def]
    total = np.uint64(0)
    while number > 0:
        total += number % np.uint64(10)
        double = np.uint64(2) * (number // np.uint64(10) % np.uint64(10))
        total += double // np.uint64(10) + double % np.uint64(10)
        number = number // np.uint64(100)
    return total % np.uint64(10) == 0
