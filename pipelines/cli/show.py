"""How `curate show` prints a document for people: what became of it, its scores, its text with what was found in it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from curation.escape import terminal
from pipelines.cli.render import put_escaped, put_verdicts, tell, tell_text
from pipelines.results.marks import Mark, segments
from pipelines.streams import coloured

_RED, _GREEN, _YELLOW, _DIM, _RESET = "\x1b[31m", "\x1b[32m", "\x1b[30;43m", "\x1b[2m", "\x1b[0m"
ON_TERMINAL = 2_000
"""Characters of a text that a terminal shows, unless it is told another number."""


def print_document(row: dict[str, Any], columns: Sequence[str], chars: int | None, marks: bool) -> None:
    """One document. Without `marks`, and where there is no colour, the text is as the output has it."""
    verdict = "kept" if row["outcome"] == "kept" else f"{row['outcome']} by {row['dropped_by']}: {row['reason']}"
    put_verdicts([f"--- {row['path']}#{row['row']}  {verdict}"])
    values = {**row["scores"], **{name: row[name] for name in columns if name not in ("text", "edited")}}
    if values:
        tell("    " + "  ".join(f"{name}={_short(value)}" for name, value in values.items()), stream=sys.stdout)
    if row["parts"]:
        for name, part in row["parts"].items():
            tell(f"[{name}]", stream=sys.stdout)
            _put(part or "", (), chars, False)
        return
    marked = row["text"] is not None and (marks or coloured(sys.stdout)) and row["marks"]
    if marked:
        _put(row["text"], row["marks"], chars, coloured(sys.stdout))
    else:
        _put(row["edited"] if row["edited"] is not None else row["text"] or "", (), chars, False)


def _put(text: str, marks: Sequence[Mark], chars: int | None, colour: bool) -> None:
    if chars is None and sys.stdout.isatty():
        chars = ON_TERMINAL
    left, pieces = chars or len(text), []
    for piece, mark in segments(text, marks) if marks else [(text, None)]:
        shown = terminal(piece[:left], lines=True)
        pieces.append(shown if mark is None else _painted(shown, mark, colour))
        left -= len(piece[:left])
        if left <= 0:
            break
    put_escaped("".join(pieces))
    more = len(text) - (chars or len(text))
    tell_text(f"… {more:,} more characters: --chars 0 shows all" if more > 0 else "", sys.stdout)


def _painted(shown: str, mark: Mark, colour: bool) -> str:
    put = terminal(mark.put, lines=True)
    if mark.what == "edit":
        gone, new = (f"{_RED}{shown}{_RESET}", f"{_GREEN}{put}{_RESET}") if colour else (f"[-{shown}-]", f"{{+{put}+}}")
        return (gone if shown else "") + (new if put else "")
    named = terminal(mark.what)
    return f"{_YELLOW}{shown}{_RESET}{_DIM}({named}){_RESET}" if colour else f"[{shown}]({named})"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else terminal(str(value))
