"""Text from outside, for each place where it would be obeyed: a terminal, Markdown, HTML, a sheet's cell.

Documents, ids, paths, reasons and messages may hold anything: sequences that steer a terminal, marks that turn letters
round or hide them, Markdown and HTML, formulas. Each function shows what is there, and none of it acts.
"""

from __future__ import annotations

import html
import re
import unicodedata

_STEERING = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Categories of characters that steer or cannot be seen: controls, marks of direction and joiners, ends of lines."""
_MARKED = re.compile(
    r"([\\`*\[\]<>|~&$]|(?<!\w)_|_(?!\w)|(?:(?<=\bhttp)|(?<=\bhttps)|(?<=\bftp))(?=://))", re.IGNORECASE
)
_LEADS = re.compile(r"(\s*)([#+=>:-]|\d+(?=[.)]))")
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")


class Markdown(str):
    """Text that is Markdown by intent, not to be escaped again."""

    __slots__ = ()


def terminal(text: str, lines: bool = False) -> str:
    """What a terminal may print: one line, or with `lines` several, and tabs. ESC is \\\\x1b, U+202E \\\\u202e."""
    if lines:
        text = text.replace("\r\n", "\n")
    if text.isprintable():
        return text
    return "".join(char if _plain(char) or (lines and char in "\n\t") else _shown(char) for char in text)


def _plain(char: str) -> bool:
    return char.isprintable() or unicodedata.category(char) not in _STEERING


def _shown(char: str) -> str:
    return char.encode("unicode_escape").decode()


def markdown(text: str) -> Markdown:
    """One line of Markdown that shows the text: no markup, no link, no HTML, no cell's end, no heading."""
    escaped = inline(text)
    leads = _LEADS.match(escaped)
    if leads is None:
        return escaped
    begin, end = leads.end(1), leads.end()
    mark = escaped[begin:end]
    return Markdown(escaped[:begin] + (mark + "\\" if mark.isdigit() else "\\" + mark) + escaped[end:])


def inline(text: str) -> Markdown:
    """As `markdown`, for text within a line or a cell, where no block can begin."""
    return text if isinstance(text, Markdown) else Markdown(_MARKED.sub(r"\\\1", terminal(text)))


def code(text: str) -> Markdown:
    """A span of code that the text cannot end."""
    text = terminal(text)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    ticks = "`" * (longest + 1)
    pad = " " if text[:1] in ("`", " ") or text[-1:] in ("`", " ") else ""
    return Markdown(f"{ticks}{pad}{text}{pad}{ticks}" if text else "")


def fenced(text: str, language: str = "") -> list[str]:
    """Lines of a block of code that the text cannot end."""
    text = terminal(text, lines=True)
    longest = max((len(run) for run in re.findall("`{3,}", text)), default=2)
    ticks = "`" * (longest + 1)
    return [f"{ticks}{language}", *text.split("\n"), ticks]


def page(text: str) -> str:
    """Text of an HTML page."""
    return html.escape(terminal(text))


def sheet(text: str) -> str:
    """A cell that no spreadsheet computes: what begins as a formula gets a quote, which `from_sheet` takes off."""
    return f"'{text}" if _FORMULA.match(text) else text


def from_sheet(cell: str) -> str:
    """What `sheet` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
