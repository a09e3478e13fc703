"""The English tables behind `curation.text.words`: what each character may do at a token's edge, and special cases.

They restate spaCy 3.8's blank English tokenizer (spacy/lang/punctuation.py, lang/en/punctuation.py,
lang/char_classes.py; MIT licence). Its hand-kept letter ranges are Unicode categories here: a letter is L*, lower case
is Ll or a letter without case, upper case Lu or a letter without case, an icon is So.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation.text.characters import CATEGORIES, CATEGORY, SIZE, classes
from curation.text.characters import SPACE as _SPACE_FLAG
from curation.text.compiling import njit_inline

PREFIX = 1
"""Split off at a chunk's start."""
SUFFIX = 2
"""Split off at a chunk's end."""
LETTER = 4
LOWER = 8
UPPER = 16
QUOTE = 32
ICON = 64
BEFORE_DOT = 128
"""A full stop after it, at a chunk's end, is a token."""
CURRENCY = 256
HOST = 512
"""May begin and end a label of a host name."""
SPACE = 1024
DIGIT = 2048
"""0 to 9."""

KEY_BOUNDS, PIECE_BOUNDS, UNIT_BOUNDS, UNITS, HEADER = range(5)
SLOTS = 8192
SIEVE = 1 << 16
"""Bits; few enough for the L1 cache, so many that a word which is no special case seldom meets one."""
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
LONGEST = 29
"""Bytes of the longest special case."""

_PUNCTUATION = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉〈〉⟦⟧"
_CURRENCY = "$£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫€₭₮₯₰₱₲₳₴₵₶₷₸₹₺₻₼₽₾₿"
_UNITS = (
    "km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft kg g mg µg t lb oz m/s km/h kmh mph hPa Pa "
    "mbar mb MB kb KB gb GB tb TB T G M K %"
)
_SPECIAL_CASES = Path(__file__).with_name("english.tsv")


class English(NamedTuple):
    """Everything a kernel needs. Few arrays, because numba counts references to each at every call."""

    characters: NDArray[np.uint16]
    """Flags of each code point, shape (0x110000,)."""
    edges: NDArray[np.bool_]
    """Whether some special case has these low seven bits of its first and last byte, shape (128, 128)."""
    cases: NDArray[np.int32]
    """Special cases and units: where each section begins (indices KEY_BOUNDS and on), then SLOTS slots, the sections.

    A slot holds the number of the special case with that hash, or -1 (open addressing). Bounds are positions in this
    array; keys and units are a byte an element, pieces the bytes of each token of each special case.
    """
    sieve: NDArray[np.uint64]
    """Bits at the hashes of every special case's first eight bytes, shape (SIEVE / 64,)."""


@cache
def english() -> English:
    """The tables, made once a process (a few milliseconds)."""
    lines = _SPECIAL_CASES.read_text(encoding="utf-8").split("\n")
    cases = [[piece.encode() for piece in line.split("\t")] for line in lines if line and not line.startswith("# ")]
    keys = [b"".join(case) for case in cases]
    units = [unit.encode() for unit in _UNITS.split()]
    slots = np.full(SLOTS, -1, np.int32)
    edges = np.zeros((128, 128), np.bool_)
    for number, key in enumerate(keys):
        slot = _hash(key) & (SLOTS - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (SLOTS - 1)
        slots[slot] = number
        edges[key[0] & 127, key[-1] & 127] = True
    pieces = [bytes(len(piece) for piece in case) for case in cases]
    sections = [np.zeros(HEADER, np.int32), slots]
    for index, strings in ((KEY_BOUNDS, keys), (PIECE_BOUNDS, pieces), (UNIT_BOUNDS, units)):
        at = sum(len(section) for section in sections)
        sections[0][index] = at
        bounds = at + len(strings) + 1 + np.cumsum([0, *(len(string) for string in strings)])
        sections += [bounds.astype(np.int32), np.frombuffer(b"".join(strings), np.uint8).astype(np.int32)]
    sections[0][UNITS] = len(units)
    sieve = np.zeros(SIEVE // 64, np.uint64)
    for key in keys:
        bit = _sieve_bit(np.uint64(int.from_bytes(key[:8], "little")))
        sieve[bit >> 6] |= np.uint64(1 << (bit & 63))
    return English(characters=_characters(), edges=edges, cases=np.concatenate(sections), sieve=sieve)


@njit_inline
def may_be_special(block, size, sieve):  # type: ignore[no-untyped-def]
    """False where no special case is, or begins with, the `size` (uint64, 1 to 8) lowest bytes of `block`.

    Fewer than eight bytes are taken for the whole of it.
    """
    bit = np.uint64(_sieve_bit(block & (_ALL >> (np.uint64(64) - np.uint64(8) * size))))
    return (sieve[bit >> np.uint64(6)] >> (bit & np.uint64(63))) & np.uint64(1) != np.uint64(0)


@njit_inline
def _sieve_bit(block):  # type: ignore[no-untyped-def]
    return np.int64((block * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - 16))


@njit_inline
def special_case(data, start, end, edges, cases, sieve):  # type: ignore[no-untyped-def]
    """Number of the special case spelt by `data[start:end]`, which is not empty, or -1."""
    size = end - start
    if size > LONGEST or not edges[data[start] & 127, data[end - 1] & 127]:
        return -1
    block = np.uint64(0)
    for i in range(min(size, 8)):
        block |= np.uint64(data[start + i]) << np.uint64(8 * i)
    if not may_be_special(block, np.uint64(min(size, 8)), sieve):
        return -1
    code = np.uint32(2166136261)
    for i in range(start, end):
        code = np.uint32((code ^ data[i]) * np.uint32(16777619))
    slot = np.int64(code) & (SLOTS - 1)
    while cases[HEADER + slot] >= 0:
        number = cases[HEADER + slot]
        if _spells(data, start, size, cases, cases[KEY_BOUNDS] + number):
            return np.int64(number)
        slot = (slot + 1) & (SLOTS - 1)
    return -1


@njit_inline
def ends_in_unit(data, start, end, cases):  # type: ignore[no-untyped-def]
    """Bytes of the unit of measure that ends `data[start:end]` right after a digit, or 0."""
    digit = end - 1
    while digit > start and digit > end - 6 and not 48 <= data[digit] <= 57:
        digit -= 1
    size = end - 1 - digit
    if size <= 0 or not 48 <= data[digit] <= 57:
        return 0
    for unit in range(cases[UNITS]):
        if _spells(data, digit + 1, size, cases, cases[UNIT_BOUNDS] + unit):
            return size
    return 0


@njit_inline
def _spells(data, start, size, cases, bound):  # type: ignore[no-untyped-def]
    """Whether `size` bytes from `start` are the string whose bounds are at `bound`."""
    first = cases[bound]
    if cases[bound + 1] - first != size:
        return False
    same = True
    for i in range(size):
        same = same and cases[first + i] == data[start + i]
    return same


def _characters() -> NDArray[np.uint16]:
    number = {name: i for i, name in enumerate(CATEGORIES)}
    table = classes()
    category = table & CATEGORY
    flags = np.zeros(SIZE, np.uint16)
    flags[category <= number["Lo"]] |= LETTER
    caseless = (category == number["Lo"]) | (category == number["Lm"])
    flags[(category == number["Ll"]) | caseless] |= LOWER | BEFORE_DOT
    flags[(category == number["Lu"]) | caseless] |= UPPER
    flags[category == number["So"]] |= ICON | PREFIX | SUFFIX
    flags[_points(_PUNCTUATION)] |= PREFIX | SUFFIX | BEFORE_DOT
    flags[_points(_QUOTES)] |= PREFIX | SUFFIX | QUOTE | BEFORE_DOT
    flags[_points(_CURRENCY)] |= PREFIX | CURRENCY
    flags[_points("§%=—–")] |= PREFIX
    flags[_points("—–")] |= SUFFIX
    flags[_points("0123456789%²-+|")] |= BEFORE_DOT
    flags[_points("0123456789")] |= DIGIT
    flags[0xA1:0x10000] |= HOST
    flags[_points("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")] |= HOST
    flags[(table & _SPACE_FLAG) != 0] |= SPACE
    return flags


def _points(characters: str) -> list[int]:
    return [ord(character) for character in characters]


def _hash(key: bytes) -> int:
    code = 2166136261  # FNV-1a
    for byte in key:
        code = (code ^ byte) * 16777619 & 0xFFFFFFFF
    return code
