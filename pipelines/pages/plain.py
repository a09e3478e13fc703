"""What of a report can be read without a script: what became of the documents, and the funnel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from curation.escape import page

NEEDS = "Charts and documents need JavaScript. All of it is in this file, and it asks no server."


def plain(data: Mapping[str, Any]) -> str:
    """HTML of a `schemas.charts.Report`; whatever comes from data is text in it."""
    share = f" ({data['kept'] / data['documents']:.1%})" if data["documents"] else ""
    head = ("stage", "kind", "in", "dropped", "errored", "left", "gate")
    counts = ("rows_in", "dropped", "errored", "rows_out")
    rows = [
        [page(row["stage"]), page(row["stage_kind"]), *(f"{row[name]:,}" for name in counts), page(row["keep"] or "")]
        for row in data["funnel"]["rows"]
    ]
    reasons = [
        [page(row["stage"]), page(reason["rule"]), f"{reason['documents']:,}"]
        for row in data["funnel"]["rows"]
        for reason in row["reasons"]
    ]
    return "\n".join(
        [
            f"<main>\n<h1>{page(data['name'])}</h1>",
            f"<p>Run {page(data['run'])}: {data['kept']:,} of {data['documents']:,} documents were kept{share}, "
            f"{data['dropped']:,} dropped, {data['errored']:,} errored.</p>",
            *(f"<p>{page(sentence)}</p>" for sentence in data["striking"]),
            "<h2>Funnel</h2>",
            _table(head, rows),
            "<h2>Why documents were dropped</h2>",
            _table(("stage", "reason", "documents"), reasons),
            f"<noscript><p>{NEEDS}</p></noscript>",
            "</main>",
        ]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML already."""
    lines = ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    top = "".join(f'<th scope="col">{name}</th>' for name in head)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(f'<tr>{line}</tr>' for line in lines)}</tbody></table>"
