"""How much of a terminal's line a text takes, and texts made to fit."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache

MORE = "…"


def cells(text: str) -> int:
    """Columns of a terminal: two for what is wide (CJK, emoji), none for marks that stand on a letter."""
    return len(text) if text.isascii() else sum(map(_width, text))


@lru_cache(maxsize=4096)
def _width(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf") or "\u1160" <= char <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def steady(text: str) -> str:
    """Without what makes a character wide in some terminals only: marks for a picture's form, tones of skin."""
    if text.isascii():
        return text
    return "".join(char for char in text if not ("\ufe00" <= char <= "\ufe0f" or "\U0001f3fb" <= char <= "\U0001f3ff"))


def right_to_left(text: str) -> bool:
    return not text.isascii() and any(unicodedata.bidirectional(char) in ("R", "AL", "AN") for char in text)


def cut(text: str, width: int, middle: bool = False, more: str = MORE) -> str:
    """At most `width` columns, with `…` at the end or in the middle where something is left out."""
    if cells(text) <= width:
        return text
    room = max(0, width - cells(more))
    if not middle:
        return beginning(text, room) + more
    head = beginning(text, room // 3)
    return head + more + _end(text, room - cells(head))


def beginning(text: str, width: int) -> str:
    """As much of a text as takes at most `width` columns."""
    taken = 0
    for index, char in enumerate(text):
        taken += _width(char)
        if taken > width:
            return text[:index]
    return text


def _end(text: str, width: int) -> str:
    start = len(text)
    while start and width >= _width(text[start - 1]):
        start -= 1
        width -= _width(text[start])
    while start < len(text) and _width(text[start]) == 0:  # a mark without its letter
        start += 1
    return text[start:]


def padded(text: str, width: int, right: bool = False) -> str:
    pad = " " * max(0, width - cells(text))
    return pad + text if right else text + pad


def folded(text: str, width: int, indent: str = "", whole: bool = False) -> list[str]:
    """Lines of at most `width` columns, broken between words; those after the first are indented. A word that is
    longer than a line is broken where the line ends, or stays `whole`."""
    lines: list[str] = []
    line = ""
    for word in _words(text, None if whole else width - cells(indent)):
        if not line.strip():
            line += word
        elif cells(line) + 1 + cells(word) <= width:
            line += " " + word
        else:
            lines.append(line.rstrip(" "))
            line = indent + word
    return [*lines, line.rstrip(" ")]


def _words(text: str, width: int | None) -> Iterator[str]:
    lead = len(text) - len(text.lstrip(" "))
    for index, word in enumerate(text.strip(" ").split(" ")):
        word = " " * lead + word if index == 0 else word
        while width is not None and cells(word) > width > 1:
            piece = beginning(word, width)
            yield piece
            word = word[len(piece) :]
        yield word
