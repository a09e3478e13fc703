"""What the forms of Gopher's rules (Rae et al. 2021, arXiv 2112.11446) in Dolma and in DCLM have in common."""

from __future__ import annotations

import numpy as np

from curation.text.characters import decode, is_letter
from curation.text.compiling import njit, njit_inline

PAPER = "2112.11446"
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
EXACT, IGNORING_CASE = 0, 0x20
"""How `stop_word` compares: this bit is set in every byte first."""

_KEYS = tuple(int.from_bytes(word.encode(), "big") for word in STOP_WORDS)
_SHORTEST, _LONGEST = 2, 4


@njit_inline
def stop_word(data, start, end, case):  # type: ignore[no-untyped-def]
    """A bit for which of STOP_WORDS `data[start:end]` is, or 0; `case` is EXACT or IGNORING_CASE."""
    size = end - start
    if size < _SHORTEST or size > _LONGEST:
        return 0
    key = 0
    for i in range(start, end):
        key = key << 8 | data[i] | case
    for number in range(len(_KEYS)):
        if key == _KEYS[number]:
            return 1 << number
    return 0


@njit_inline
def has_letter(data, start, end, classes):  # type: ignore[no-untyped-def]
    """Whether some character is one for str.isalpha."""
    while start < end:
        codepoint, width = decode(data, start, end)
        if is_letter(classes, codepoint):
            return True
        start += width
    return False


@njit_inline
def line_feed(data, start, stop):  # type: ignore[no-untyped-def]
    r"""Where the first "\n" from `start` on is, or `stop`: what str.split("\n") splits at."""
    while start < stop and data[np.uint64(start)] != 10:
        start += 1
    return start


@njit(nogil=True, cache=True)
def most_lines(offsets, data):  # type: ignore[no-untyped-def]
    """Lines of the document that has most of them, at least 1."""
    most = 1
    for document in range(len(offsets) - 1):
        lines = 1
        for i in range(np.uint64(offsets[document]), np.uint64(offsets[document + 1])):
            lines += data[i] == 10
        most = max(most, lines)
    return most
