"""What a run moved: language, source, length, domain and words of the documents that came in and of those that stay."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from curation.store.scan import quoted
from pipelines.charts.histogram import histogram
from pipelines.charts.run import DOC, OpenRun, identifier
from pipelines.charts.texts import valid
from pipelines.results.show import read_documents
from schemas.charts import Shift, ShiftPanel, ShiftRow
from schemas.errors import CurationError

ROWS = 30
"""Names that a panel lists."""
SAMPLE = 600
"""Documents of each side whose texts are read."""
READ = 1 << 26
"""Bytes of the shards that they are drawn from, or one shard."""
CHARACTERS = 3_000
"""Of each text that words are counted in."""
URLS = ("url", "uri", "source_url", "page_url", "warc_target_uri", "link")
"""Columns of the input whose domains are counted, the first that is there."""
_DOMAIN = r"^[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^/@]*@)?([^/:?#]+)"
_WORD = re.compile(r"\w+")


def shift(run: OpenRun) -> Shift:
    panels = [*_languages(run), _sources(run), *_lengths(run), *_read(run)]
    return {"kind": "shift", "note": None, "panels": [panel for panel in panels if panel["rows"]]}


def divergence(before: Mapping[str, int], after: Mapping[str, int]) -> float | None:
    """Jensen–Shannon divergence of two distributions, in bits: 0 for the same, 1 for nothing in common."""
    names = sorted({*before, *after})
    counts = np.array([[side.get(name, 0) for name in names] for side in (before, after)], dtype=np.float64)
    if not names or not counts.sum(axis=1).all():
        return None
    shares = counts / counts.sum(axis=1, keepdims=True)
    middle = shares.mean(axis=0)
    logs = np.log2(np.divide(shares, middle, out=np.ones_like(shares), where=shares > 0))
    return round(max(0.0, float((shares * logs).sum() / 2)), 6)


def _languages(run: OpenRun) -> list[ShiftPanel]:
    """By the first stage that tells languages."""
    for row, fields in zip(run.stages, run.columns, strict=True):
        if "lang" in fields.names and str(fields.field("lang").type) in ("string", "large_string"):
            column = f"d.{identifier(row['stage'])}.lang"
            note = f"Of documents that reached {row['stage']}."
            return [_counted(run, "language", f"coalesce({column}, 'unknown')", run.reaches(row["stage"]), note)]
    return []


def _sources(run: OpenRun) -> ShiftPanel:
    query = f"SELECT f.source, count(*), count(*) FILTER (d.outcome = 'kept') FROM {run.decisions} GROUP BY ALL"
    counts = [(str(run.sources[number]), before, after) for number, before, after in run.rows(query)]
    return _panel("source", counts, None)


def _lengths(run: OpenRun) -> list[ShiftPanel]:
    """Bytes of texts as they were read."""
    if "bytes" not in run.columns[0].names or run.ids[0] != "input":
        return []
    bars = histogram(run, "input.bytes")
    edges = [f"{edge:,.0f}" for edge in bars["edges"]]
    sides = zip(bars["bars"]["before"], bars["bars"]["after"], strict=True)
    counts = {f"{low} to {high}": side for low, high, side in zip(edges, edges[1:], sides, strict=False)}
    rows: list[ShiftRow] = [{"name": name, "before": b, "after": a} for name, (b, a) in counts.items() if b]
    before, after = ({row["name"]: row[side] for row in rows} for side in ("before", "after"))
    return [
        {
            "of": "length",
            "note": "Bytes of texts as they were read.",
            "rows": rows,
            "before": sum(before.values()),
            "after": sum(after.values()),
            "divergence": divergence(before, after),
        }
    ]


def _counted(run: OpenRun, of: Any, name: str, condition: str, note: str | None) -> ShiftPanel:
    query = f"""SELECT {name}, count(*), count(*) FILTER (d.outcome = 'kept') FROM {run.decisions}
                WHERE {condition} GROUP BY ALL ORDER BY 2 DESC, 1 LIMIT 10000"""
    return _panel(of, run.rows(query), note)


def _panel(of: Any, counts: Iterable[tuple[str, int, int]], note: str | None, by_change: bool = False) -> ShiftPanel:
    listed = [(valid(str(name)), before, after) for name, before, after in counts]
    before = {name: count for name, count, _ in listed}
    after = {name: count for name, _, count in listed}
    total = max(1, sum(before.values())), max(1, sum(after.values()))

    def order(row: tuple[str, int, int]) -> tuple[float, str]:
        name, b, a = row
        return (-abs(a / total[1] - b / total[0]) if by_change else -b, name)

    rows: list[ShiftRow] = [{"name": n, "before": b, "after": a} for n, b, a in sorted(listed, key=order)[:ROWS]]
    return {
        "of": of,
        "note": note,
        "rows": rows,
        "before": sum(before.values()),
        "after": sum(after.values()),
        "divergence": divergence(before, after),
    }


def _read(run: OpenRun) -> list[ShiftPanel]:
    """Of a sample that is read again: domains, and pairs of words."""
    drawn, shards = _sampled(run)
    if not drawn:
        return []
    try:
        column = _url_column(run)
        texts = read_documents(run.recorded, drawn, [column] if column else [], details=False)
    except (CurationError, OSError):
        return []  # the input is no longer there, or no longer what it was
    came, stayed = (sum(row[side] for row in drawn) for side in ("any", "kept"))
    note = f"Of {came:,} documents of the input and {stayed:,} of the output, drawn by hash"
    note += "" if shards == len(run.decided) else f" from {shards:,} of {len(run.decided):,} shards"
    panels = []
    if column is not None:
        domains = (Counter[str](), Counter[str]())
        for row in drawn:
            match = re.match(_DOMAIN, str(texts[row["path"], row["row"]][column] or ""))
            if match:
                domains[0][match.group(1).lower()] += row["any"]
                domains[1][match.group(1).lower()] += row["kept"]
        panels.append(_panel("domain", _sides(*domains), f"{note}, by {column}."))
    pairs = (Counter[str](), Counter[str]())
    for row in drawn:
        read = texts[row["path"], row["row"]]
        text = read["text"] or ""
        if row["any"]:
            pairs[0].update(_pairs(text))
        if row["kept"]:
            pairs[1].update(_pairs(text if read["edited"] is None else read["edited"]))
    panels.append(_panel("ngram", _sides(*pairs), f"Two words in a row; {note[0].lower()}{note[1:]}.", by_change=True))
    return panels


def _sampled(run: OpenRun) -> tuple[list[dict[str, Any]], int]:
    """Documents, whether they stand for all and for what was kept; and how many shards they are of."""
    size = 0
    records: list[dict[str, Any]] = []
    for record in run.sampled:
        size += run.shards[record["shard"]]["bytes"] or 0
        if records and size > READ:
            break
        records.append(record)
    listed = ", ".join(quoted(run.name_of(record)) for record in records)
    columns = "f.path AS path, d.row AS row, d.outcome = 'kept' AS is_kept"
    query = f"""SELECT path, row, bool_or(side = 0) AS "any", bool_or(side = 1) AS kept FROM (
                    (SELECT 0 AS side, {columns} FROM {run.decisions} WHERE filename IN ({listed})
                     ORDER BY hash({DOC}, 3), {DOC} LIMIT {SAMPLE})
                    UNION ALL
                    (SELECT 1, {columns} FROM {run.decisions} WHERE filename IN ({listed}) AND d.outcome = 'kept'
                     ORDER BY hash({DOC}, 3), {DOC} LIMIT {SAMPLE}))
                GROUP BY path, row ORDER BY path, row"""
    names = ("path", "row", "any", "kept")
    return [dict(zip(names, row, strict=True)) for row in run.rows(query)], len(records)


def _url_column(run: OpenRun) -> str | None:
    plan = run.recorded.plan
    names = {name.casefold(): name for name in (*plan.reading.names, *plan.writing.names, *plan.columns.mapping)}
    return next((names[name] for name in URLS if name in names), None)


def _pairs(text: str) -> Counter[str]:
    words = [match.group().lower() for match in _WORD.finditer(text[:CHARACTERS])]
    return Counter(f"{one} {other}" for one, other in itertools.pairwise(words))


def _sides(before: Counter[str], after: Counter[str]) -> list[tuple[str, int, int]]:
    return [(name, before[name], after[name]) for name in sorted({*before, *after})]
