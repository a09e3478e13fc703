"""Documents of a run: lists by outcome, stage, rule, text or SQL, and one document with its whole story."""

from __future__ import annotations

from typing import Any

from curation.manifest.sql import run_select
from curation.manifest.views import connect
from curation.reasons import rule_of
from curation.store.scan import quoted
from pipelines.results.explain import explain
from pipelines.results.show import show
from pipelines.ui.runs import find_run
from pipelines.ui.work import limits
from pipelines.workspace import Workspace
from schemas.errors import CurationError, Finding

MOST = 100
"""Documents of one answer."""
MOST_CHARACTERS = 4_000
"""Of a text in a list."""
WHOLE = 1_000_000
"""Of a text that is shown alone."""
OUTCOMES = ("kept", "dropped", "errored")


def list_documents(workspace: Workspace, name: str, asked: dict[str, str]) -> dict[str, Any]:
    """A page of documents. `after` is the cursor that the page before ended with.

    `text` is looked for in ids, paths and reasons; texts of documents are in the sources alone. `where` is a condition
    over the view `documents`, `order` an expression of it, perhaps with DESC; without one, the order is the input's.
    Raises C004 for a number that is none, C033 and C034 for SQL that is refused, C032 for what is not there.
    """
    run = find_run(workspace, name)
    count = min(_whole(asked, "n", 20), MOST)
    offset = _whole(asked, "after", 0)
    condition = _condition(workspace, run, asked)
    order = f"{_expression(asked['order'])} NULLS LAST, doc_id" if asked.get("order") else "doc_id"
    columns = "doc_id, twin, similarity"
    with connect(workspace.manifest, run, limits(), "documents") as connection:
        page = f"SELECT {columns} FROM documents WHERE {condition} ORDER BY {order} LIMIT {count + 1} OFFSET {offset}"
        rows = run_select(connection, page, limits()).to_pylist()
        counted = run_select(connection, f"SELECT count(*) FROM documents WHERE {condition}", limits())
    more = len(rows) > count
    rows = rows[:count]
    return {
        "documents": documents_of(workspace, run, rows),
        "after": str(offset + count) if more else None,
        "total": counted.column(0)[0].as_py(),
    }


def one_document(workspace: Workspace, name: str, doc: str) -> dict[str, Any]:
    """A document's text, what every stage said of it, and its twin beside it. Raises C032 for one that is not there."""
    run = find_run(workspace, name)
    story = explain(workspace.manifest, _number(doc), run)
    told = next((item for item in story if str(item.doc_id) == doc), None)
    if told is None:
        raise CurationError(Finding("C032", f"no document '{doc}' in run {run}", None))
    rows = _rows(workspace, run, [told.doc_id])
    document = documents_of(workspace, run, rows, WHOLE)[0]
    twins = _rows(workspace, run, [rows[0]["twin"]]) if rows[0]["twin"] is not None else []
    twin = documents_of(workspace, run, twins, WHOLE)[0] if twins else None
    ended = [stage.stage == told.dropped_by for stage in told.stages]
    return {
        "document": document,
        "story": [
            {
                "stage": stage.stage,
                "kind": stage.kind,
                "verdict": stage.verdict,
                "values": stage.values,
                "gate": stage.keep,
                "reason": told.reason if here else None,
                "threshold": told.threshold if here else None,
                "score": told.score if here else None,
            }
            for stage, here in zip(told.stages, ended, strict=True)
        ],
        "twin": twin,
        "diff": None,
        "containment": told.containment,
        "loss": told.loss,
        "labels": _labels(workspace, run, told.doc_id),
    }


def documents_by_id(workspace: Workspace, run: str, ids: list[int]) -> list[dict[str, Any]]:
    """Documents in the order of their doc_ids, with the beginning of their texts."""
    return documents_of(workspace, run, _rows(workspace, run, ids))


def documents_of(
    workspace: Workspace, run: str, rows: list[dict[str, Any]], characters: int = MOST_CHARACTERS
) -> list[dict[str, Any]]:
    """`schemas.charts.Document` of each row, which has doc_id, twin and similarity. Where a source cannot be read any
    more, without its text, and a note that says why."""
    ids = [row["doc_id"] for row in rows]
    if not ids:
        return []
    condition = f"doc_id IN ({', '.join(map(str, ids))})"
    wanted: dict[str, Any] = {"where": condition, "count": len(ids), "run": run}
    note = None
    try:
        shown = {item["doc_id"]: item for item in show(workspace.manifest, details=True, **wanted)}
    except CurationError as failure:
        note = f"{failure.findings[0].message}; {failure.findings[0].hint or 'its text cannot be shown'}"
        with connect(workspace.manifest, run, limits(), "documents") as connection:
            columns = "doc_id, id, path, row, outcome, dropped_by, reason, score, threshold"
            plain = run_select(connection, f"SELECT {columns} FROM documents WHERE {condition}", limits()).to_pylist()
        shown = {item["doc_id"]: item for item in plain}
    return [_document(shown[row["doc_id"]], row, characters, note) for row in rows]


def _document(item: dict[str, Any], row: dict[str, Any], characters: int, note: str | None) -> dict[str, Any]:
    from pipelines.results.marks import segments

    text = item.get("text") or ""
    pieces, left = [], characters
    for piece, mark in segments(text, item.get("marks", ())):
        if left <= 0:
            break
        what = None
        if mark is not None:
            edit = mark.what == "edit"
            what = {
                "what": "edit" if edit else "found",
                "stage": None,
                "label": "" if edit else mark.what,
                "put": mark.put if edit else None,
                "weight": None,
            }
        pieces.append({"text": piece[:left], "mark": what})
        left -= len(piece[:left])
    reason = item["reason"]
    return {
        "kind": "document",
        "note": note,
        "doc": str(item["doc_id"]),
        "id": item["id"],
        "path": item["path"],
        "row": item["row"],
        "source": None,
        "outcome": item["outcome"],
        "stage": item["dropped_by"],
        "rule": rule_of(reason) if reason is not None else None,
        "reason": reason,
        "score": item["score"],
        "threshold": item["threshold"],
        "twin": None if row["twin"] is None else str(row["twin"]),
        "similarity": row["similarity"],
        "scores": item.get("scores", {}),
        "pieces": pieces,
        "shown": min(len(text), characters),
        "characters": len(text),
        "bytes": len(text.encode(errors="replace")),
    }


def _rows(workspace: Workspace, run: str, ids: list[int]) -> list[dict[str, Any]]:
    if not ids:
        return []
    query = f"SELECT doc_id, twin, similarity FROM documents WHERE doc_id IN ({', '.join(map(str, ids))})"
    with connect(workspace.manifest, run, limits(), "documents") as connection:
        rows = {row["doc_id"]: row for row in run_select(connection, query, limits()).to_pylist()}
    return [rows[doc] for doc in ids if doc in rows]


def _labels(workspace: Workspace, run: str, doc_id: int) -> list[dict[str, Any]]:
    rows = workspace.manifest.where("audit_labels", run=run, doc_id=doc_id).sort_by("number").to_pylist()
    return [{"good": row["good"], "note": row["note"], "at": row["labelled_at"]} for row in rows]


def _condition(workspace: Workspace, run: str, asked: dict[str, str]) -> str:
    conditions = ["true"]
    if outcome := asked.get("outcome"):
        if outcome not in OUTCOMES:
            raise CurationError(Finding("C004", f"there is no outcome '{outcome}'", ", ".join(OUTCOMES)))
        conditions.append(f"outcome = {quoted(outcome)}")
    if stage := asked.get("stage"):
        known = workspace.manifest.where("stages", run=run).column("stage").to_pylist()
        if stage not in known:
            raise CurationError(Finding("C032", f"run {run} has no stage '{stage}'", f"stages: {', '.join(known)}"))
        conditions.append(f"dropped_by = {quoted(stage)}")
    if rule := asked.get("rule"):
        conditions.append(f"_rule(reason) = {quoted(rule)}")
    if doc := asked.get("id"):
        conditions.append(f"(id = {quoted(doc)}" + (f" OR doc_id = {_number(doc)})" if doc.isdecimal() else ")"))
    if text := asked.get("text"):
        searched = " OR ".join(f"contains(lower({name}), lower({quoted(text)}))" for name in ("id", "path", "reason"))
        conditions.append(f"({searched})")
    if where := asked.get("where"):
        conditions.append(f"({_expression(where)}\n)")
    return " AND ".join(conditions)


def _expression(text: str) -> str:
    """One expression, perhaps with ASC or DESC behind it. Raises C033 for what would end the parentheses around it."""
    from pipelines.results.show import _condition as one_condition

    bare, direction = text.strip(), ""
    for word in (" desc", " asc"):
        if bare.casefold().endswith(word):
            bare, direction = bare[: -len(word)], word.upper()
    return one_condition(bare) + ("\n" + direction if direction else "\n")


def _number(doc: str) -> str:
    if not doc.isascii() or not doc.isdecimal() or int(doc) >= 2**63:
        raise CurationError(Finding("C032", f"no document '{doc[:40]}'", "documents go by doc_id here"))
    return doc


def _whole(asked: dict[str, str], name: str, usual: int) -> int:
    given = asked.get(name) or str(usual)
    if not given.isascii() or not given.isdecimal() or int(given) > 10**12:
        raise CurationError(Finding("C004", f"{name}: expected a whole number, got '{given[:40]}'"))
    return int(given)
