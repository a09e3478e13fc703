"""How `curate show` prints a document for people: what became of it, its scores, its text with what was found in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from curation.escape import terminal
from pipelines.cli.render import put_escaped, put_verdicts, tell
from pipelines.results.marks import Mark, segments
from pipelines.streams import coloured
from pipelines.tables import width_of
from pipelines.tables.programs import utf8
from pipelines.tables.width import beginning, folded

_RED, _GREEN, _YELLOW, _DIM, _RESET = "\x1b[31m", "\x1b[32m", "\x1b[30;43m", "\x1b[2m", "\x1b[0m"
ON_TERMINAL = 2_000
"""Characters of a text that a terminal shows, unless it is told another number."""
BAR = "│ "
"""Before every line of a document's text."""


def print_document(row: dict[str, Any], columns: Sequence[str], chars: int | None, marks: bool) -> None:
    """One document: a heading, its values, and its text with a bar before every line, so that no text can pass for a
    heading. Without `marks`, and where there is no colour, the text is as the output has it."""
    verdict = "kept" if row["outcome"] == "kept" else f"{row['outcome']} by {row['dropped_by']}: {row['reason']}"
    put_verdicts([f"--- {row['path']}#{row['row']}  {verdict}"])
    values = {**row["scores"], **{name: row[name] for name in columns if name not in ("text", "edited")}}
    if values:
        line = terminal("    " + "  ".join(f"{name}={_short(value)}" for name, value in values.items()))
        width = _width(sys.stdout)
        put_escaped("".join(f"{piece}\n" for piece in (folded(line, width, "    ") if width else [line])))
    if row["parts"]:
        for name, part in row["parts"].items():
            tell(f"[{name}]", stream=sys.stdout)
            put_behind_bar(part or "", (), chars, False, sys.stdout)
    elif row["text"] is not None and (marks or coloured(sys.stdout)) and row["marks"]:
        put_behind_bar(row["text"], row["marks"], chars, coloured(sys.stdout), sys.stdout)
    else:
        text = row["edited"] if row["edited"] is not None else row["text"] or ""
        put_behind_bar(text, (), chars, False, sys.stdout)
    put_escaped("\n")


def put_behind_bar(text: str, marks: Sequence[Mark], chars: int | None, colour: bool, stream: TextIO) -> None:
    """A document's text, each of its lines behind a bar; on a terminal folded, so that what goes on stands there, too.
    At most so many characters, where None is ON_TERMINAL of them there."""
    if chars is None and stream.isatty():
        chars = ON_TERMINAL
    left, pieces = chars or len(text), []
    for piece, mark in segments(text, marks) if marks else [(text, None)]:
        shown = terminal(piece[:left], lines=True)
        pieces += [(shown, "")] if mark is None else _painted(shown, mark, colour)
        left -= len(piece[:left])
        if left <= 0:
            break
    width = _width(stream)
    bar = BAR if utf8(stream) else "| "
    for line in _lines(pieces):
        for row in _folded(line, max(1, width - len(bar))) if width else [line]:
            painted = "".join(f"{style}{part}{_RESET}" if style and part else part for part, style in row)
            stream.write(f"{bar}{painted}".rstrip(" ") + "\n")
    more = len(text) - (chars or len(text))
    if more > 0:
        tell(f"… {more:,} more characters: --chars 0 shows all", stream=stream)
    stream.flush()


Styled = list[tuple[str, str]]
"""Texts that were escaped, each with the code of its colour."""


def _lines(pieces: Styled) -> Iterator[Styled]:
    line: Styled = []
    for text, style in pieces:
        first, *others = text.split("\n")
        line.append((first, style))
        for other in others:
            yield line
            line = [(other, style)]
    yield line


def _folded(line: Styled, width: int) -> Iterator[Styled]:
    """A line in rows of a terminal, broken between words, and within one that is longer than a row."""
    line = [(text.expandtabs(4), style) for text, style in line]
    whole = "".join(text for text, _ in line)
    ends = []
    start = 0
    while start < len(whole):
        window = whole[start : start + 2 * width]
        end = start + max(1, len(beginning(window, width)))
        space = whole.rfind(" ", start + 1, end + 1)
        start = end if end == len(whole) or space < 0 else space + 1
        ends.append(start)
    row: Styled = []
    position, ahead = 0, iter(ends or [0])
    end = next(ahead)
    for text, style in line:
        while position + len(text) > end:
            cut = end - position
            yield [*row, (text[:cut], style)]
            text, row, position, end = text[cut:], [], end, next(ahead)
        row.append((text, style))
        position += len(text)
    yield row


def _width(stream: TextIO) -> int | None:
    return width_of(stream) if stream.isatty() else None


def _painted(shown: str, mark: Mark, colour: bool) -> Styled:
    put = terminal(mark.put, lines=True)
    if mark.what == "edit":
        gone, new = [(shown, _RED)] if shown else [], [(put, _GREEN)] if put else []
        return (
            [*gone, *new]
            if colour
            else [(f"[-{text}-]", "") for text, _ in gone] + [(f"{{+{text}+}}", "") for text, _ in new]
        )
    named = terminal(mark.what)
    return [(shown, _YELLOW), (f"({named})", _DIM)] if colour else [(f"[{shown}]({named})", "")]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else terminal(str(value))
