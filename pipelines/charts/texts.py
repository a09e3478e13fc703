"""Texts as pages show them: pieces with what was found in them, the beginning and what is around marks."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipelines.results.marks import Mark as ByteMark
from pipelines.results.marks import segments
from schemas.charts import Mark, Piece

AROUND = 200
"""Characters that are shown on either side of a mark."""
GRAM = 5
"""Words of the shortest n-gram that counts as repeated, as in Gopher's rules."""
_WORD = re.compile(r"\w+")


def pieces(text: str, marks: Sequence[ByteMark], kinds: dict[str, str], characters: int) -> tuple[list[Piece], int]:
    """A text of at most so many characters in pieces, and how many there are; `kinds` has the kind of each stage."""
    shown: list[Piece] = []
    left = characters
    whole = len(text) <= characters
    every = segments(text, marks) if marks else [(text, None)]
    for number, (part, mark) in enumerate(every):
        first, last = number == 0, number == len(every) - 1
        if mark is None and not whole and not (first and last):
            head, tail = (0, AROUND) if first else (AROUND, 0 if last else AROUND)
            head = max(head, characters // 3) if first else head
            parts = [part] if len(part) <= head + tail else [part[:head], part[len(part) - tail :]]
            gap = len(part) - sum(map(len, parts))
        else:
            parts, gap = [part], 0
        for place, cut in enumerate(parts):
            if place:
                shown.append({"text": "", "mark": None, "skipped": gap})
            if left <= 0:
                break
            kept = cut[:left]
            if kept or mark is not None:
                shown.append({"text": valid(kept), "mark": None if mark is None else _mark(mark, kinds), "skipped": 0})
            left -= len(kept)
        if left <= 0:
            break
    told = sum(len(piece["text"]) + piece["skipped"] for piece in shown)
    if told < len(text):
        shown.append({"text": "", "mark": None, "skipped": len(text) - told})
    return shown, sum(len(piece["text"]) for piece in shown)


def _mark(mark: ByteMark, kinds: dict[str, str]) -> Mark:
    if mark.what in ("loss", "moved", "repeated"):
        what = mark.what
    elif mark.stage is None:
        what = "edit"
    else:
        what = {"redact-pii": "pii", "decontaminate": "contaminated"}.get(kinds.get(mark.stage, ""), "found")
    label = "" if mark.what == what else mark.what
    return {
        "what": what,  # type: ignore[typeddict-item]
        "stage": mark.stage,
        "label": valid(label),
        "put": valid(mark.put) if what in ("edit", "pii") else None,
        "weight": mark.weight,
    }


def with_finds(marks: Sequence[ByteMark], finds: Sequence[ByteMark]) -> list[ByteMark]:
    """Disjoint marks, in which an edit bears the name of what a stage found there: an address that was taken out."""
    named = []
    for mark in marks:
        find = next((f for f in finds if f.start < mark.end and mark.start < f.end), None)
        if mark.what == "edit" and find is not None:
            mark = ByteMark(mark.start, mark.end, find.what, mark.put, find.stage)
        named.append(mark)
    return named


def repeated(text: str, stage: str | None) -> list[ByteMark]:
    """Words that stand in an n-gram which the text has before already."""
    words = list(_WORD.finditer(text))
    seen = set[tuple[str, ...]]()
    ranges: list[tuple[int, int]] = []
    for first in range(len(words) - GRAM + 1):
        gram = tuple(word.group().lower() for word in words[first : first + GRAM])
        if gram in seen:
            start, end = words[first].start(), words[first + GRAM - 1].end()
            if ranges and start <= ranges[-1][1]:
                ranges[-1] = ranges[-1][0], end
            else:
                ranges.append((start, end))
        seen.add(gram)
    return in_bytes(text, [(start, end, None) for start, end in ranges], "repeated", stage)


def in_bytes(
    text: str, ranges: Sequence[tuple[int, int, float | None]], what: str, stage: str | None
) -> list[ByteMark]:
    """Marks of ranges [start, end) in characters, ascending, with a weight each."""
    marks, position, offset = [], 0, 0
    for start, end, weight in ranges:
        offset += len(text[position:start].encode())
        length = len(text[start:end].encode())
        marks.append(ByteMark(offset, offset + length, what, stage=stage, weight=weight))
        offset, position = offset + length, end
    return marks


def valid(text: str) -> str:
    """Valid Unicode: halves of surrogate pairs become question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
