"""Which bytes of a document's text were edited, or found by a stage, in the text as the source has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Mark:
    """Bytes [start, end) of a text as the source has it."""

    start: int
    end: int
    what: str
    """`edit`, or what a stage found there: a type of PII, the name of an evaluation set."""
    put: str = ""
    """Of an edit, what takes its place."""
    stage: str | None = None
    """Which found it."""
    weight: float | None = None
    """What it adds to a score."""


def marks_of(edits: Sequence[dict[str, Any]], spans: Sequence[tuple[Sequence[dict[str, Any]], Any]]) -> list[Mark]:
    """Marks, ascending and disjoint; where an edit and a find meet, the edit's, since it says what became of them.

    `edits` are those of all transforms together. `spans`: for each stage that has some, the edits of the transforms
    before it, and what it found, in the text that these made.
    """
    return disjoint([*edit_marks(edits), *(mark for span in spans for mark in span_marks(*span))])


def edit_marks(edits: Sequence[dict[str, Any]]) -> list[Mark]:
    return [Mark(edit["start"], edit["end"], "edit", edit["replacement"]) for edit in edits]


def span_marks(before: Sequence[dict[str, Any]], spans: Any, stage: str | None = None) -> list[Mark]:
    """What one stage found in the text that the edits `before` it made."""
    marks = []
    for span in spans or ():
        what = next((value for name, value in span.items() if name not in ("start", "end")), None)
        start, end = in_source(span["start"], before), in_source(span["end"], before)
        marks.append(Mark(start, end, str(what or "found"), stage=stage))
    return marks


def disjoint(marks: Sequence[Mark]) -> list[Mark]:
    """Ascending, of marks that meet the first, and an edit before what was found in it."""
    taken: list[Mark] = []
    for mark in sorted(marks, key=lambda mark: (mark.start, mark.what != "edit", mark.end)):
        if not taken or mark.start >= taken[-1].end:
            taken.append(mark)
        elif mark.what == "edit" and taken[-1].what != "edit":
            taken[-1] = mark
    return taken


def in_source(position: int, edits: Sequence[dict[str, Any]]) -> int:
    """Where a byte of an edited text stands in the text before; of what was put in, where that begins."""
    shift = 0  # given text less edited text, behind the edits passed
    for edit in edits:
        start, put = edit["start"] - shift, len(edit["replacement"].encode())
        if position < start:
            break
        if position < start + put:
            return int(edit["start"])
        shift += edit["end"] - edit["start"] - put
    return position + shift


def segments(text: str, marks: Sequence[Mark]) -> list[tuple[str, Mark | None]]:
    """A text in pieces, each with its mark."""
    data = text.encode()
    pieces: list[tuple[str, Mark | None]] = []
    position = 0
    for mark in marks:
        pieces.append((data[position : mark.start].decode(errors="replace"), None))
        pieces.append((data[mark.start : mark.end].decode(errors="replace"), mark))
        position = mark.end
    pieces.append((data[position:].decode(errors="replace"), None))
    return [(piece, mark) for piece, mark in pieces if piece or mark is not None]
