"""Documents of a run with their texts: at random, nearest to each threshold, and by the reason that they ended for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

from curation.reasons import rule_of, rule_sql
from pipelines.charts.attribution import attributed
from pipelines.charts.bounds import Threshold, thresholds
from pipelines.charts.run import DOC, OpenRun, identifier
from pipelines.charts.texts import pieces, repeated, valid, with_finds
from pipelines.results.marks import Mark, disjoint, edit_marks, span_marks
from pipelines.results.show import read_documents
from schemas.charts import Document, DocumentGroup, Documents, Outcome
from schemas.errors import CurationError

AT_RANDOM, NEAREST, OF_REASON = 6, 3, 3
"""Documents of each group."""
THRESHOLDS, REASONS = 12, 16
"""Groups of each sort."""
CHARACTERS = 1_500
"""Of a text that are shown."""
SEARCHED = 20_000
"""Characters of a text in which repeated words are looked for."""
OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "=": "!=", "!=": "="}


def documents(run: OpenRun, characters: int = CHARACTERS, attributions: bool = True) -> Documents:
    """The same ones each time: chosen by a hash of their place, or by their distance from a threshold."""
    groups = [*_at_random(run), *_near(run), *_by_reason(run)]
    drawn = dict.fromkeys(doc for _, docs in groups for doc in docs)
    read = load(run, drawn, characters, attributions)
    for group, docs in groups:
        group["documents"] = [read[doc] for doc in docs if doc in read]
    return {
        "kind": "documents",
        "note": run.sampling,
        "groups": [group for group, _ in groups if group["documents"]],
    }


Drawn = list[tuple[DocumentGroup, list[int]]]


def _at_random(run: OpenRun) -> Drawn:
    query = f"""SELECT d.outcome, count(*), min_by({DOC}, hash({DOC}, 1), {AT_RANDOM}) FROM {run.decisions}
                WHERE {run.readable} GROUP BY d.outcome ORDER BY d.outcome DESC"""  # kept, errored, dropped
    return [
        (_group("random", f"{outcome.capitalize()}, at random", total, outcome=outcome), docs)
        for outcome, total, docs in run.rows(query)
    ]


def _near(run: OpenRun) -> Drawn:
    """Of each threshold, the nearest documents that pass it and that fail it, among those that came to its gate."""
    asked = [item for item in thresholds(run) if item.operator in OPPOSITE][:THRESHOLDS]
    if not asked:
        return []
    sides = [
        (f"abs({value} - {item.value!r}::DOUBLE)", f"{run.reaches(item.stage)} AND isfinite({value}) AND {side}")
        for item in asked
        for value in [run.measurement(item.name).sql]
        for side in (item.sql(value), f"NOT {item.sql(value)}")
    ]
    # distances first, since few documents are near enough to be told apart when they are equally near
    columns = [f"min({distance}, {NEAREST}) FILTER ({side}), count(*) FILTER ({side})" for distance, side in sides]
    [row] = run.rows(f"SELECT {', '.join(columns)} FROM {run.decisions} WHERE {run.readable}")
    distances, totals = row[::2], row[1::2]
    columns = []
    for (distance, side), least in zip(sides, distances, strict=True):
        near = f"{side} AND {distance} <= {least[-1]!r}::DOUBLE" if least else "false"
        columns.append(f"min_by({DOC}, {{a: {distance}, b: hash({DOC}, 1)}}, {NEAREST}) FILTER ({near})")
    [row] = run.rows(f"SELECT {', '.join(columns)} FROM {run.decisions} WHERE {run.readable}")
    named = [(item, side) for item in asked for side in ("passing", "failing")]
    groups = zip(named, totals, row, strict=True)
    return [(_near_group(item, side, total), docs) for (item, side), total, docs in groups if docs]


def _near_group(item: Threshold, side: str, total: int) -> DocumentGroup:
    operator = item.operator if side == "passing" else OPPOSITE[item.operator]
    title = f"Nearest to {item.value:g} with {item.name} {operator} {item.value:g}"
    return _group(
        "threshold", title, total, stage=item.stage, field=item.name, threshold=item.value, side=side
    )  # fmt: skip


def _by_reason(run: OpenRun) -> Drawn:
    rule = rule_sql("d.reason")
    query = f"""SELECT d.outcome AS outcome, d.dropped_by AS stage, {rule} AS rule, count(*) AS total,
                       min_by({DOC}, hash({DOC}, 1), {OF_REASON})
                FROM {run.decisions} WHERE {run.readable} AND d.outcome != 'kept' GROUP BY 1, 2, 3
                ORDER BY total DESC, stage, rule LIMIT {REASONS}"""
    return [
        (_group("reason", f"{stage}: {why or outcome}", total, outcome=outcome, stage=stage, rule=why), docs)
        for outcome, stage, why, total, docs in run.rows(query)
    ]


def _group(by: str, title: str, total: int, **told: Any) -> DocumentGroup:
    group: dict[str, Any] = {
        "by": by,
        "title": valid(title),
        "outcome": None,
        "stage": None,
        "field": None,
        "threshold": None,
    }
    group |= {"side": None, "rule": None, "total": total, "documents": [], **told}
    return cast(DocumentGroup, group)


def load(
    run: OpenRun, docs: Iterable[int], characters: int = CHARACTERS, attributions: bool = False
) -> dict[int, Document]:
    """Documents by doc_id, with the first `characters` of their texts and what is around marks.

    With `attributions` also what moved the scores of some, where a model says so (`pipelines.charts.attribution`). A
    text that can no longer be read is told in a document's `note`.
    """
    rows = _decided(run, list(docs))
    texts, why = _texts(run, rows)
    moved = attributed(run, rows, texts) if attributions and texts else {}
    return {row["doc"]: _document(run, row, texts, why, moved.get(row["doc"], []), characters) for row in rows}


def _decided(run: OpenRun, docs: Sequence[int]) -> list[dict[str, Any]]:
    if not docs:
        return []
    shown = _scores(run)
    spans = [row["stage"] for row, fields in zip(run.stages, run.columns, strict=True) if "spans" in fields.names]
    columns = {"doc": DOC, "path": "f.path", "source": "f.source"}
    columns |= {name: f"d.{name}" for name in ("id", "row", "outcome", "dropped_by", "reason", "score", "threshold")}
    columns |= {name: f"d.{name}" for name in ("twin_file", "twin_row", "similarity")}
    columns |= {f"score {name}": f"d.{'.'.join(map(identifier, name.split('.', 1)))}" for name in shown}
    columns |= {f"spans {stage}": f"d.{identifier(stage)}.spans" for stage in spans}
    files = sorted({doc >> 32 for doc in docs})
    selected = ", ".join(f"{sql} AS {identifier(name)}" for name, sql in columns.items())
    query = f"""SELECT {selected} FROM {run.decisions} WHERE f.file_no IN ({", ".join(map(str, files))})
                AND {DOC} IN ({", ".join(map(str, docs))}) ORDER BY doc"""
    return [dict(zip(columns, row, strict=True)) for row in run.rows(query)]


def _scores(run: OpenRun) -> list[str]:
    """What each stage ranks documents by, and what gates read: text, numbers and truths."""
    names = {
        f"{row['stage']}.{field.name}": field.type
        for row, fields in zip(run.stages, run.columns, strict=True)
        for field in fields
    }
    folded = {name.casefold(): name for name in names}
    read = [folded.get(name.casefold()) for gate in run.gates.values() for name in gate.columns]
    wanted = {*read, *(item.name for item in thresholds(run)), *run.ranked_by}
    plain = {item.name for item in run.measurements()} | {name for name, kind in names.items() if str(kind) == "string"}
    return [name for name in names if name in wanted and name in plain]


Texts = dict[tuple[str, int], dict[str, Any]]


def _texts(run: OpenRun, rows: Sequence[dict[str, Any]]) -> tuple[Texts, str | None]:
    """What the source has of documents; where it cannot be read, nothing, and why."""
    if not rows:
        return {}, None
    try:
        return read_documents(run.recorded, rows), None
    except CurationError as failure:
        return {}, f"Its text cannot be shown: {failure.findings[0].message}."
    except OSError as failure:
        return {}, f"Its text cannot be shown: {failure.strerror or failure}."


def _document(
    run: OpenRun, row: dict[str, Any], texts: Texts, why: str | None, moved: list[Mark], characters: int
) -> Document:
    read = texts.get((row["path"], row["row"]))
    text = "" if read is None else _shown(read)
    marks = [] if read is None or read["parts"] else _marks(run, row, read, moved)
    shown, count = pieces(text, marks, run.kinds, characters)
    twin = row["twin_file"]
    return {
        "kind": "document",
        "note": None if read is not None else valid(why or "Its text cannot be shown."),
        "doc": str(row["doc"]),
        "id": None if row["id"] is None else valid(row["id"]),
        "path": valid(row["path"]),
        "row": row["row"],
        "source": valid(run.sources[row["source"]] or ""),
        "outcome": cast(Outcome, row["outcome"]),
        "stage": row["dropped_by"],
        "rule": None if row["reason"] is None else valid(rule_of(row["reason"])),
        "reason": None if row["reason"] is None else valid(row["reason"]),
        "score": finite(row["score"]),
        "threshold": finite(row["threshold"]),
        "twin": None if twin is None or twin < 0 else str(run.file_numbers[twin] << 32 | row["twin_row"]),
        "similarity": finite(row["similarity"]),
        "scores": {
            name.removeprefix("score "): valid(value) if isinstance(value, str) else finite(value)
            for name, value in row.items()
            if name.startswith("score ")
        },
        "pieces": shown,
        "shown": count,
        "characters": len(text),
        "bytes": len(text.encode()),
    }


def _shown(read: dict[str, Any]) -> str:
    """The text, or of a row in a format its parts."""
    if read["parts"]:
        return "\n\n".join(f"[{name}]\n{part or ''}" for name, part in read["parts"].items())
    return read["text"] or ""


def _marks(run: OpenRun, row: dict[str, Any], read: dict[str, Any], moved: list[Mark]) -> list[Mark]:
    spans = {name.removeprefix("spans "): spans for name, spans in row.items() if name.startswith("spans ")}
    finds = [mark for stage in spans for mark in span_marks(read["before"].get(stage, ()), spans[stage], stage)]
    marks = with_finds(disjoint([*edit_marks(read["edits"]), *finds]), finds)
    reason = row["reason"] or ""
    if run.kinds.get(row["dropped_by"] or "") == "rules" and any(word in reason for word in ("dup", "top_", "repet")):
        moved = [*moved, *repeated((read["text"] or "")[:SEARCHED], row["dropped_by"])]
    if not moved:
        return marks
    taken = [(mark.start, mark.end) for mark in marks]
    return disjoint([*marks, *(m for m in moved if not any(m.start < end and start < m.end for start, end in taken))])


def finite(value: Any) -> Any:
    """JSON has no infinity, and no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
