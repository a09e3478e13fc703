"""Phone numbers, in the international form or the North American one.

Either "+", an assigned country code (ITU-T E.164) and 8 to 15 digits in all: in one run, or in groups parted by single
spaces, hyphens or dots, the area code perhaps in parentheses; dots do not mix with others; +1 and +7 take 11 digits.
Or a North American number (NANP: area code and exchange begin with 2–9 and do not end in 11, the area code's middle
digit is no 9) written (212) 555-0187, 212-555-0187 or 212.555.0187, perhaps after a 1. Neither follows a letter, digit
or one of _ + - . / #, nor ends before a letter, "@", "%" or one more group of digits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.rules.pii.bytes import digits, is_digit, is_number_end, is_word, space
from curation.text.compiling import njit, njit_inline

ANCHORS = b"+(0123456789"
_COUNTRY_CODES = (
    "1 7 20 27 30-34 36 39-41 43-49 51-58 60-66 81 82 84 86 90-95 98 211-213 216 218 220-258 260-269 290 291 297-299 "
    "350-359 370-383 385-387 389 420 421 423 500-509 590-599 670 672-683 685-692 800 808 850 852 853 855 856 870 878 "
    "880-883 886 888 960-968 970-977 979 992-996 998"
)
"""Assigned by ITU-T E.164; none is the beginning of another."""
_COLON, _DOT, _HYPHEN, _PLUS, _SLASH, _HASH, _OPEN, _CLOSE, _BRACKET, _X = b":.-+/#()]x"


def country_codes() -> NDArray[np.bool_]:
    """Whether a number is a country code; shape (1000,)."""
    codes = np.zeros(1000, np.bool_)
    for entry in _COUNTRY_CODES.split():
        first, _, last = entry.partition("-")
        codes[int(first) : int(last or first) + 1] = True
    return codes


@njit(nogil=True, cache=True)
def match(data, lo, hi, start, codes):  # type: ignore[no-untyped-def]
    """The number whose "+", "(" or first digit is at byte `start`."""
    if not _is_start(data, lo, start):
        return 0, 0
    if data[start] == _PLUS:
        return _international(data, hi, start, codes)
    return _north_american(data, hi, start)


@njit(nogil=True, cache=True)
def _international(data, hi, plus, codes):  # type: ignore[no-untyped-def]
    code = _country_code(data, plus + 1, hi, codes)
    total = first = digits(data, plus + 1, hi)
    end = plus + 1 + total
    if code == 0 or first < code or first > 15:
        return 0, 0
    most = 11 if code == 1 else 15
    groups = 1
    shortest = longest = 3  # digits in the groups behind the first
    marks = 0  # which separators were seen: 1 a space, 2 a hyphen, 4 a dot
    dots = 0
    closed = False  # whether the last group stands in parentheses
    while total < most:
        i = end
        width = _separator(data, i, hi)
        mark = 0
        if width > 0:
            mark = 4 if data[i] == _DOT else 2 if data[i] == _HYPHEN else 1
        i += width
        opened = i < hi and data[i] == _OPEN
        i += opened
        size = digits(data, i, hi)
        if size == 0 or total + size > most or (mark == 0 and not opened and not closed):
            break
        if opened:
            if groups > 1 or size > 5 or i + size >= hi or data[i + size] != _CLOSE:
                break
        else:
            shortest = min(shortest, size)
            longest = max(longest, size)
        closed = opened
        end = i + size + opened
        total += size
        groups += 1
        marks |= mark
        dots += mark == 4
    if total < 8 or closed or not _is_end(data, end, hi):
        return 0, 0
    if code == 1:
        if total != 11 or (data[plus + 1] == 49 and not _is_nanp(data, plus + 1, end)):
            return 0, 0
    elif marks > 4 or (dots == 1 and groups == 2):  # a decimal number, or coordinates
        return 0, 0
    elif groups == 1:
        if total == 8 and code == 2 and data[plus + 1] == 50 and data[plus + 2] == 48:  # a date: +20240115
            return 0, 0
    elif first > code:  # an area code is glued to the country's
        if marks & (marks - 1) or shortest < 3 or total < 10:
            return 0, 0
    elif total == 8 and groups == 3 and shortest == longest:  # a sum: +45 000 000
        return 0, 0
    return plus, end


@njit_inline
def _country_code(data, start, hi, codes):  # type: ignore[no-untyped-def]
    """How many digits from byte `start` are a country code, or 0."""
    code = 0
    for i in range(start, min(start + 3, hi)):
        if not is_digit(data[i]):
            return 0
        code = 10 * code + data[i] - 48
        if codes[code]:
            return i + 1 - start
    return 0


@njit(nogil=True, cache=True)
def _north_american(data, hi, start):  # type: ignore[no-untyped-def]
    i = start
    size = digits(data, i, hi)
    if size == 1 and data[i] == 49:
        width = _separator(data, i + 1, hi)
        i += 1 + width
        size = digits(data, i, hi) if width > 0 else 0
    if i < hi and data[i] == _OPEN:
        if digits(data, i + 1, hi) != 3 or i + 4 >= hi or data[i + 4] != _CLOSE:
            return 0, 0
        i += 5 + _separator(data, i + 5, hi)
        width = _separator(data, i + 3, hi)
        if digits(data, i, hi) != 3 or width == 0:
            return 0, 0
        i += 3 + width
    else:
        if size != 3 or i + 7 >= hi or data[i + 7] != data[i + 3] or digits(data, i + 4, hi) != 3:
            return 0, 0
        if data[i + 3] != _HYPHEN and data[i + 3] != _DOT:
            return 0, 0
        i += 8
    end = i + 4
    if digits(data, i, hi) != 4 or not _is_nanp(data, start, end) or not _is_end(data, end, hi):
        return 0, 0
    return start, end


@njit_inline
def _is_nanp(data, start, end):  # type: ignore[no-untyped-def]
    """Whether the last ten digits in [start, end) may be area code, exchange and line (NANP)."""
    number = 0
    for i in range(start, end):
        if is_digit(data[i]):
            number = 10 * number + data[i] - 48
    area, exchange = number // 10_000_000 % 1000, number // 10_000 % 1000
    return area >= 200 and area // 10 % 10 != 9 and area % 100 != 11 and exchange >= 200 and exchange % 100 != 11


@njit_inline
def _is_start(data, lo, i):  # type: ignore[no-untyped-def]
    if i == lo:
        return True
    byte = data[i - 1]
    if is_word(byte) or byte in (_PLUS, _HYPHEN, _DOT, _SLASH, _HASH):
        return False
    if data[i] != _PLUS:  # a time of day: 12:212-…
        return not (byte == _COLON and i - 2 >= lo and is_digit(data[i - 2]))
    return byte != _CLOSE and byte != _BRACKET


@njit_inline
def _is_end(data, i, hi):  # type: ignore[no-untyped-def]
    if i + 1 < hi and is_digit(data[i + 1]):
        if data[i] == _COLON:
            return False
        if data[i] == _X:  # an extension: x123
            return True
    return is_number_end(data, i, hi)


@njit_inline
def _separator(data, i, hi):  # type: ignore[no-untyped-def]
    """Bytes of the space, hyphen or dot at byte `i`, or 0."""
    return 1 if i < hi and (data[i] == _HYPHEN or data[i] == _DOT) else space(data, i, hi)
