"""What a notebook or a prompt shows of results: short, and nothing of a document acts on the page."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from curation.escape import page, terminal
from pipelines.tables.human import number
from pipelines.tables.people import write_people

HEAD_ROWS = 20
CHARACTERS = 600
"""Longest text of a document that is shown; the value has all of it."""


class Rows:
    """An Arrow table that a prompt and a notebook show: whatever takes a `pyarrow.Table` takes `to_arrow()`.

    >>> rows = Workspace(folder).run(recipe).funnel()
    >>> len(rows), rows["stage"], list(rows)[0]["rows_in"]
    (3, ['input', 'same', 'language'], 4)
    """

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def to_arrow(self) -> pa.Table:
        return self._table

    def to_pandas(self) -> Any:
        """As a pandas DataFrame. Needs pandas."""
        return self._table.to_pandas()

    def to_pylist(self) -> list[dict[str, Any]]:
        return list(self._table.to_pylist())

    @property
    def columns(self) -> list[str]:
        return list(self._table.column_names)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)

    def __getitem__(self, column: str) -> list[Any]:
        """The values of a column."""
        return list(self._table.column(column).to_pylist())

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.to_pylist())

    def __repr__(self) -> str:
        sink = io.StringIO()
        width = shutil.get_terminal_size().columns
        write_people(self._table, sink, width=width, short=True, others="to_pandas(), to_pylist()")
        return sink.getvalue().rstrip("\n")

    def _repr_html_(self) -> str:
        return html_table(self._table)


class Documents(list[dict[str, Any]]):
    """Documents with their text, as `Workspace.show` gives them: a list that a prompt and a notebook show.

    >>> documents = Workspace(folder).run(recipe).show(dropped_by="same")
    >>> [(document["row"], document["outcome"]) for document in documents]
    [(2, 'dropped')]
    """

    def __repr__(self) -> str:
        return "\n\n".join(f"{_title(document)}\n{_text(document)}" for document in self) or "no documents"

    def _repr_html_(self) -> str:
        return "".join(
            f"<details open><summary>{page(_title(document))}</summary>"
            f'<pre style="white-space:pre-wrap">{_lines(_text(document))}</pre></details>'
            for document in self
        )


def html_table(table: pa.Table, columns: Sequence[str] | None = None) -> str:
    """The first rows of a table as HTML, each value as text."""
    shown = table if columns is None else table.select(list(columns))
    head = "".join(f"<th>{page(name)}</th>" for name in shown.column_names)
    rows = "".join(
        f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row.values())}</tr>"
        for row in shown.slice(0, HEAD_ROWS).to_pylist()
    )
    more = table.num_rows - HEAD_ROWS
    foot = f"<p>… {more:,} more rows</p>" if more > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{foot}"


def html_facts(title: str, facts: dict[str, Any]) -> str:
    """A line of facts."""
    told = " · ".join(f"{page(name)} <b>{_cell(value)}</b>" for name, value in facts.items())
    return f"<p>{page(title)}: {told}</p>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return number(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return page(_cut(str(value), 80))


def _title(document: dict[str, Any]) -> str:
    name = document.get("id") or f"{document.get('path')}#{document.get('row')}"
    by = f" by {document['dropped_by']}: {document.get('reason')}" if document.get("dropped_by") else ""
    return terminal(f"{name} · {document.get('outcome')}{by}")


def _text(document: dict[str, Any]) -> str:
    edited = document.get("edited")
    return terminal(_cut(str(document.get("text") if edited is None else edited), CHARACTERS), lines=True)


def _lines(text: str) -> str:
    return "\n".join(page(line) for line in text.split("\n"))


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[:characters]}…"
