"""Tables in Markdown."""

from __future__ import annotations

from curation.escape import Markdown, inline


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """One line for the head, one below it, one for each row. Cells are texts, escaped here, or `Markdown`."""

    def cell(text: str) -> str:
        return text.replace("|", "\\|").replace("\n", " ") if isinstance(text, Markdown) else inline(text)

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(map(cell, cells)) + " |"

    return [line(head), line(["---"] * len(head)), *(line(row) for row in rows)]
