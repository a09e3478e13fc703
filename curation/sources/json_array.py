"""Files that hold one JSON array, or objects over several lines: cut into their elements, a block at a time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from curation.sources.streams import lines

_BLOCK = 1 << 20


class MalformedError(OSError):
    """A file that cannot be divided into documents."""


def elements(stream: io.BufferedReader[Any], limit: int) -> Iterator[tuple[int, bytes | None, int]]:
    """Number from 1, JSON and bytes of each element of an array, or of objects one behind the other, on a line each or
    over several. The JSON of one beyond `limit` is None.

    Raises MalformedError where the array does not end, or something stands behind it.
    """
    head = stream.peek(1 << 16).lstrip()
    while not head and stream.read(1 << 16):
        head = stream.peek(1 << 16).lstrip()
    if head.startswith(b"["):
        yield from _divided(stream, limit, array=True)
    elif head.startswith(b"{") and _is_open(head.partition(b"\n")[0]):
        yield from _divided(stream, limit, array=False)
    else:
        yield from lines(stream, limit)


def _is_open(line: bytes) -> bool:
    """Whether an object goes on behind its first line, or another begins on it."""
    cut = _Cut(array=False)
    ends = cut.ends(line + b"\n")
    if cut.inside:  # a text goes over no line's end, so the line is damaged, or cut off by what was looked at
        return False
    if cut.depth > 0:
        return True
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return len(ends) > 1
    return False


def _divided(stream: io.BufferedReader[Any], limit: int, array: bool) -> Iterator[tuple[int, bytes | None, int]]:
    cut = _Cut(array)
    number = 0
    element = _Element(limit)
    while block := stream.read(_BLOCK):
        if cut.depth == 0:  # ahead of the array, or behind it
            block = block.lstrip()
            if cut.closed and block:
                raise MalformedError("something stands behind the array")
            if not block:
                continue
        start = 1 if array and cut.depth == 0 else 0
        for end in cut.ends(block).tolist():
            element.add(block[start:end] if array else block[start : end + 1])
            start = end + 1
            closing = array and block[end : end + 1] == b"]"
            if not (closing and element.is_blank()):  # nothing stands behind the last comma, or between the brackets
                number += 1
                yield element.taken(number)
            element = _Element(limit)
            if closing:
                break
        if cut.closed:
            if block[start:].strip():
                raise MalformedError("something stands behind the array")
        else:
            element.add(block[start:])
    if array and not cut.closed:
        raise MalformedError("the file ends inside the array")
    if not element.is_blank():
        yield element.taken(number + 1)


class _Element:
    """What there is of an element so far; nothing but its size once it is too large."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self.pieces: list[bytes] = []

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        self.pieces = [] if self.size > self.limit else [*self.pieces, piece]

    def is_blank(self) -> bool:
        return self.size <= self.limit and not b"".join(self.pieces).strip()

    def taken(self, number: int) -> tuple[int, bytes | None, int]:
        return number, None if self.size > self.limit else b"".join(self.pieces), self.size


class _Cut:
    """Finds where elements end: brackets are counted, texts stepped over."""

    def __init__(self, array: bool) -> None:
        self.array = array
        self.depth = 0
        self.inside = False
        """In a text."""
        self.escaped = False
        """Behind a backslash that counts."""

    closed = False

    def ends(self, block: bytes) -> np.ndarray:
        """Places in the block at which an element ends: of an array the comma or bracket behind it, else its own last
        bracket."""
        data = np.frombuffer(block, np.uint8)
        places = np.flatnonzero(_MARKED[data])
        if not len(places):
            self.escaped = False
            return places
        marks = data[places]
        slash = marks == 0x5C
        quote = marks == 0x22
        if slash.any() or self.escaped:
            quote &= ~self._escaped(places, slash, len(data))
        inside = np.cumsum(quote) % 2 == 1
        if self.inside:
            inside = ~inside
        self.inside = bool(inside[-1])
        free = ~inside
        step = np.zeros(len(places), np.int64)
        step[free & ((marks == 0x5B) | (marks == 0x7B))] = 1
        step[free & ((marks == 0x5D) | (marks == 0x7D))] = -1
        depth = self.depth + np.cumsum(step)
        self.depth = int(depth[-1])
        end = (step == -1) & (depth == 0)
        if self.array:
            if end.any():
                self.closed = True
                end[int(np.argmax(end)) + 1 :] = False
            end |= free & (marks == 0x2C) & (depth == 1)
        return np.asarray(places[end])

    def _escaped(self, places: np.ndarray, slash: np.ndarray, size: int) -> np.ndarray:
        """Which marks (bool [n]) stand behind an odd number of backslashes."""
        index = np.arange(len(places))
        behind = np.diff(places, prepend=-2) == 1
        begins = slash & ~(behind & np.concatenate([[False], slash[:-1]]))
        first = np.maximum.accumulate(np.where(begins, index, 0))
        run = np.where(slash, index - first + 1, 0)  # backslashes up to here
        if self.escaped:  # one more ahead of the block
            run += slash & (places == index)
        before = np.where(behind, np.concatenate([[0], run[:-1]]), 0)
        if self.escaped and places[0] == 0:
            before[0] = 1
        self.escaped = bool(slash[-1] and places[-1] == size - 1 and run[-1] % 2 == 1)
        return np.asarray(before % 2 == 1)


_MARKED = np.zeros(256, dtype=bool)
_MARKED[list(b'"\\[]{},')] = True
