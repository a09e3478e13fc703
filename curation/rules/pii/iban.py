"""International bank account numbers: country, exact length and the check digits modulo 97 (ISO 13616, ISO 7064).

In capitals, whole or in groups of four. The lengths are those of SWIFT's IBAN Registry, release 101, as python-stdnum
2.2 and schwifty 2026.10.1 carry them; countries with numbers alike that are not registered are left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.rules.pii.bytes import is_digit, is_number_end, is_upper, is_word, space
from curation.text.compiling import njit, njit_inline

ANCHORS = b"0123456789"
_LENGTHS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
    "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
    "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
    "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
    "YE30"
)


def lengths() -> NDArray[np.uint8]:
    """Length of a number by its country's letters, 26 · first + second; 0 for no country; shape (676,)."""
    table = np.zeros(26 * 26, np.uint8)
    for entry in _LENGTHS.split():
        table[26 * (ord(entry[0]) - 65) + ord(entry[1]) - 65] = int(entry[2:])
    return table


@njit(nogil=True, cache=True)
def match(data, lo, hi, check, lengths):  # type: ignore[no-untyped-def]
    """The number whose check digits start at byte `check`."""
    start = check - 2
    if start < lo or check + 2 >= hi or not (is_upper(data[start]) and is_upper(data[start + 1])):
        return 0, 0
    length = lengths[26 * (data[start] - 65) + data[start + 1] - 65]
    if length == 0 or not is_digit(data[check + 1]) or (start > lo and is_word(data[start - 1])):
        return 0, 0
    grouped = space(data, check + 2, hi) > 0
    remainder = 0
    i = check + 2
    for place in range(4, length):
        if grouped and place % 4 == 0:
            width = space(data, i, hi)
            if width == 0:
                return 0, 0
            i += width
        if i == hi or not (is_digit(data[i]) or is_upper(data[i])):
            return 0, 0
        remainder = _append(remainder, data[i])
        i += 1
    for k in range(start, start + 4):  # country and check digits count last
        remainder = _append(remainder, data[k])
    return (start, i) if remainder == 1 and is_number_end(data, i, hi) else (0, 0)


@njit_inline
def _append(remainder, byte):  # type: ignore[no-untyped-def]
    """Remainder modulo 97 with one more digit, or with a letter as two: A is 10, Z is 35."""
    return (10 * remainder + byte - 48) % 97 if is_digit(byte) else (100 * remainder + byte - 55) % 97
