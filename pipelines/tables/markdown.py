"""Markdown of our own cards and reports, for a terminal: headings, lists and tables as a person reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from curation.escape import terminal
from pipelines.tables.people import text_table
from pipelines.tables.width import folded

_HEADING = re.compile(r"(#{1,6}) +(.*)")
_ITEM = re.compile(r"( *)([-*+]|\d+[.)]) +(.*)")
_CODE = re.compile(r"(`+)(.+?)\1(?!`)")
_LINK = re.compile(r"!?\[([^\]]*)\]\(([^)\s]*)\)")
_STRONG = re.compile(r"(?<!\\)\*\*(.+?)\*\*")
_ESCAPED = re.compile(r"\\([^\w\s])")
_BOLD, _FAINT, _RESET = "\x1b[1m", "\x1b[2m", "\x1b[0m"


def readable(text: str, width: int | None, colour: bool) -> Iterator[str]:
    """Lines of at most `width` columns, but for code, which stays as it can be copied."""

    def paint(line: str, code: str) -> str:
        return f"{code}{line}{_RESET}" if colour and line else line

    lines = terminal(text, lines=True).expandtabs(4).rstrip("\n").split("\n")
    fence = "---" if lines[0] == "---" else ""  # front matter
    if fence:
        yield paint(lines.pop(0), _FAINT)
    while lines:
        line = lines.pop(0)
        if fence:
            fence = "" if line.rstrip() == fence else fence
            yield line if fence and fence != "---" else paint(line, _FAINT)
        elif opened := re.match(r"(`{3,})", line):
            fence = opened.group(1)
            yield paint(line, _FAINT)
        elif heading := _HEADING.fullmatch(line):
            yield from (paint(piece, _BOLD) for piece in _fold(inline(heading.group(2)), width, ""))
        elif line.startswith("|") and lines and re.fullmatch(r"[|\s:-]+", lines[0]):
            lines.pop(0)
            rows = []
            while lines and lines[0].startswith("|"):
                rows.append(_cells(lines.pop(0)))
            yield from text_table(_cells(line), rows, width, colour)
        elif item := _ITEM.fullmatch(line):
            lead = f"{item.group(1)}{item.group(2)} "
            yield from _fold(lead + inline(item.group(3), marked=True), width, " " * len(lead))
        else:
            indent = " " * (len(line) - len(line.lstrip(" ")))
            yield from _fold(indent + inline(line.strip(), marked=True), width, indent)


def _fold(text: str, width: int | None, indent: str) -> list[str]:
    return [text] if width is None else folded(text, width, indent)


def inline(text: str, marked: bool = False) -> str:
    """Without marks: of a link its text and address, of code what stands in it, `marked` as that within a sentence."""
    pieces, end = [], 0
    for code in _CODE.finditer(text):
        inside = code.group(2).strip(" ") or code.group(2)
        pieces += [_plain(text[end : code.start()]), f"`{inside}`" if marked else inside]
        end = code.end()
    return "".join([*pieces, _plain(text[end:])])


def _plain(text: str) -> str:
    text = _LINK.sub(_linked, text)
    return _ESCAPED.sub(r"\1", _STRONG.sub(r"\1", text))


def _linked(link: re.Match[str]) -> str:
    text, address = link.groups()
    return text if text == address else f"{text} ({address})"


def _cells(line: str) -> list[str]:
    return [inline(cell.strip().replace("\\|", "|")) for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
