"""What each Unicode character is, for kernels that read UTF-8 bytes.

The tables are shipped (`unicode.npz`, Unicode 14.0) instead of asked from the running Python, whose Unicode version
moves with each release: the same text has to give the same words everywhere. Kernels take the table as an argument::

    @njit(nogil=True, cache=True)
    def letters(data, start, end, classes):
        count = 0
        i = start
        while i < end:
            codepoint, width = decode(data, i, end)
            count += is_letter(classes, codepoint)
            i += width
        return count

    letters(data, 0, len(data), classes())

One entry of `classes()` holds the general category in its low five bits, beside the flags SPACE, BREAK and SYMBOL.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.text.compiling import njit_inline

UNICODE = "14.0.0"
"""Version of the shipped tables."""
SIZE = 0x110000
INVALID = 0xFFFD
"""What `decode` gives for bytes that are no UTF-8."""

CATEGORIES = (
    *("Lu", "Ll", "Lt", "Lm", "Lo"),
    *("Mn", "Mc", "Me"),
    *("Nd", "Nl", "No"),
    *("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po"),
    *("Sm", "Sc", "Sk", "So"),
    *("Zs", "Zl", "Zp"),
    *("Cc", "Cf", "Cs", "Co", "Cn"),
)
CATEGORY = 0x1F
"""Mask for the general category, an index into CATEGORIES."""
SPACE = 0x20
"""str.isspace."""
BREAK = 0x40
"""str.splitlines breaks here."""
SYMBOL = 0x80
"""One of datatrove's PUNCTUATION: what it counts as symbols, and what its MinHash turns into spaces."""

_LU, _LL, _LO, _MN, _ME, _ND, _NO, _PC, _PO = (
    CATEGORIES.index(name) for name in ("Lu", "Ll", "Lo", "Mn", "Me", "Nd", "No", "Pc", "Po")
)
_BREAKS = "\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"
# datatrove 0.10.1, utils/text.py: every control character but tab and line feed among them
_SYMBOLS = "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»" + "".join(
    chr(i) for a, b in ((0, 9), (11, 13), (13, 32), (127, 160)) for i in range(a, b)
)
_FILE = Path(__file__).with_name("unicode.npz")


@cache
def classes() -> NDArray[np.uint8]:
    """Class of every code point, uint8 of shape (0x110000,): category | SPACE | BREAK | SYMBOL. Read-only, shared."""
    with np.load(_FILE) as tables:
        table: NDArray[np.uint8] = tables["blocks"][tables["index"]].reshape(-1)
    table.flags.writeable = False
    return table


@cache
def lower() -> NDArray[np.int32]:
    """Simple lower case of every code point, int32 of shape (0x110000,). Read-only, shared.

    It is `chr(i).lower()` wherever that is one character. The two differences to str.lower: U+0130 becomes "i" alone,
    without the combining dot, and a capital sigma becomes U+03C3 at the end of words too.
    """
    table = np.arange(SIZE, dtype=np.int32)
    with np.load(_FILE) as tables:
        table[tables["upper"]] = tables["lower"]
    table.flags.writeable = False
    return table


@njit_inline
def decode(data, i, end):  # type: ignore[no-untyped-def]
    """The character that starts at byte `i`: (code point, bytes that it takes), reading nothing at or after `end`.

    A byte that starts no well-formed character (Unicode 14.0, table 3-7) gives (INVALID, 1).
    """
    a = data[i]
    if a < 0x80:
        return np.int32(a), 1
    if a < 0xC2 or a > 0xF4:
        return np.int32(INVALID), 1
    if a < 0xE0:
        if i + 1 < end and data[i + 1] & 0xC0 == 0x80:
            return np.int32((a & 0x1F) << 6 | (data[i + 1] & 0x3F)), 2
        return np.int32(INVALID), 1
    if a < 0xF0:
        if i + 2 < end and data[i + 1] & 0xC0 == 0x80 and data[i + 2] & 0xC0 == 0x80:
            codepoint = np.int32((a & 0x0F) << 12 | (data[i + 1] & 0x3F) << 6 | (data[i + 2] & 0x3F))
            if codepoint >= 0x800 and not 0xD800 <= codepoint <= 0xDFFF:
                return codepoint, 3
        return np.int32(INVALID), 1
    if i + 3 < end and data[i + 1] & 0xC0 == 0x80 and data[i + 2] & 0xC0 == 0x80 and data[i + 3] & 0xC0 == 0x80:
        codepoint = np.int32(
            (a & 0x07) << 18 | (data[i + 1] & 0x3F) << 12 | (data[i + 2] & 0x3F) << 6 | (data[i + 3] & 0x3F)
        )
        if 0x10000 <= codepoint <= 0x10FFFF:
            return codepoint, 4
    return np.int32(INVALID), 1


@njit_inline
def before(data, start, i):  # type: ignore[no-untyped-def]
    """Where the character that ends at byte `i` starts, never before `start`; needs `i > start`, and valid UTF-8."""
    i -= 1
    while i > start and data[i] & 0xC0 == 0x80:
        i -= 1
    return i


@njit_inline
def count_characters(data, start, end):  # type: ignore[no-untyped-def]
    """How many characters `data[start:end]` has: len() of the string, for valid UTF-8."""
    count = np.int64(0)
    for i in range(np.uint64(start), np.uint64(end)):
        count += (data[i] & 0xC0) != 0x80
    return count


@njit_inline
def is_letter(classes, codepoint):  # type: ignore[no-untyped-def]
    """General category L*: str.isalpha."""
    return classes[codepoint] & CATEGORY <= _LO


@njit_inline
def is_upper(classes, codepoint):  # type: ignore[no-untyped-def]
    """General category Lu."""
    return classes[codepoint] & CATEGORY == _LU


@njit_inline
def is_lower(classes, codepoint):  # type: ignore[no-untyped-def]
    """General category Ll."""
    return classes[codepoint] & CATEGORY == _LL


@njit_inline
def is_digit(classes, codepoint):  # type: ignore[no-untyped-def]
    r"""General category Nd: str.isdecimal, and what `\d` matches."""
    return classes[codepoint] & CATEGORY == _ND


@njit_inline
def is_number(classes, codepoint):  # type: ignore[no-untyped-def]
    """General category N*."""
    category = classes[codepoint] & CATEGORY
    return _ND <= category <= _NO


@njit_inline
def is_mark(classes, codepoint):  # type: ignore[no-untyped-def]
    """General category M*: combining marks."""
    category = classes[codepoint] & CATEGORY
    return _MN <= category <= _ME


@njit_inline
def is_punctuation(classes, codepoint):  # type: ignore[no-untyped-def]
    """General category P*."""
    category = classes[codepoint] & CATEGORY
    return _PC <= category <= _PO


@njit_inline
def is_space(classes, codepoint):  # type: ignore[no-untyped-def]
    """str.isspace, and what `str.split()` and `str.strip()` take for white space."""
    return classes[codepoint] & SPACE != 0


def from_python() -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Both tables asked from the running Python's `unicodedata`, which is what the shipped file was made from."""
    number = {name: i for i, name in enumerate(CATEGORIES)}
    flags = np.fromiter((number[unicodedata.category(chr(i))] for i in range(SIZE)), np.uint8, SIZE)
    flags[[i for i in range(SIZE) if chr(i).isspace()]] |= SPACE
    flags[[ord(c) for c in _BREAKS]] |= BREAK
    flags[[ord(c) for c in set(_SYMBOLS)]] |= SYMBOL
    small = np.fromiter((ord(chr(i).lower()[0]) for i in range(SIZE)), np.int32, SIZE)
    return flags, small


def write(path: Path = _FILE) -> None:
    """Make the shipped file anew: `python -m curation.text.characters`, on a Python with Unicode `UNICODE`.

    Raises RuntimeError on any other.
    """
    if unicodedata.unidata_version != UNICODE:
        raise RuntimeError(f"this Python has Unicode {unicodedata.unidata_version}, the tables are {UNICODE}")
    flags, small = from_python()
    blocks, index = np.unique(flags.reshape(-1, 128), axis=0, return_inverse=True)
    upper = np.flatnonzero(small != np.arange(SIZE)).astype(np.int32)
    np.savez_compressed(path, blocks=blocks, index=index.astype(np.uint16), upper=upper, lower=small[upper])


if __name__ == "__main__":
    write()
