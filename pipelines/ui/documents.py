"""Documents of a run: lists by outcome, stage, rule, text or SQL, and one document with its whole story."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from curation.manifest.sql import run_select
from curation.manifest.views import connect
from curation.store.scan import quoted
from pipelines.results.explain import explain
from pipelines.results.labels import answers
from pipelines.ui.charts import document_number
from pipelines.ui.open_runs import OpenRuns
from pipelines.ui.runs import find_run
from pipelines.ui.work import limits
from pipelines.workspace import Workspace
from schemas.errors import CurationError, Finding

if TYPE_CHECKING:
    from pipelines.charts.run import OpenRun
    from schemas.charts import Document

MOST = 100
"""Documents of one answer."""
MOST_CHARACTERS = 4_000
"""Of a text in a list."""
WHOLE = 1_000_000
"""Of a text that is shown alone."""
OUTCOMES = ("kept", "dropped", "errored")


def list_documents(runs: OpenRuns, workspace: Workspace, name: str, asked: Mapping[str, str]) -> dict[str, Any]:
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
    with connect(workspace.manifest, run, limits(), "documents") as connection:
        page = f"SELECT doc_id FROM documents WHERE {condition} ORDER BY {order} LIMIT {count + 1} OFFSET {offset}"
        ids = run_select(connection, page, limits()).column(0).to_pylist()
        counted = run_select(connection, f"SELECT count(*) FROM documents WHERE {condition}", limits())
    with runs.lend(workspace, run) as opened:
        documents = documents_by_id(opened, ids[:count])
    after = str(offset + count) if len(ids) > count else None
    return {"documents": documents, "after": after, "total": counted.column(0)[0].as_py()}


def one_document(runs: OpenRuns, workspace: Workspace, name: str, doc: str) -> dict[str, Any]:
    """A document's text, what every stage said of it, and its twin beside it. Raises C032 for one that is not there."""
    from pipelines.charts.diff import word_diff

    run = find_run(workspace, name)
    explained = explain(workspace.manifest, str(document_number(doc)), run)
    told = next((item for item in explained if str(item.doc_id) == doc), None)
    if told is None:
        raise CurationError(Finding("C032", f"no document '{doc}' in run {run}", None))
    with runs.lend(workspace, run) as opened:
        [document] = documents_by_id(opened, [told.doc_id], WHOLE)
        twins = documents_by_id(opened, [int(document["twin"])], WHOLE) if document["twin"] is not None else []
    twin = twins[0] if twins else None
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
                "reason": told.reason if ends else None,
                "threshold": told.threshold if ends else None,
                "score": told.score if ends else None,
            }
            for stage, ends in zip(told.stages, ended, strict=True)
        ],
        "twin": twin,
        "diff": None if twin is None else word_diff((doc, _text(document)), (twin["doc"], _text(twin))),
        "containment": told.containment,
        "loss": told.loss,
        "labels": _labels(workspace, run, told.doc_id),
    }


def documents_by_id(run: OpenRun, ids: list[int], characters: int = MOST_CHARACTERS) -> list[Document]:
    """`schemas.charts.Document` of each doc_id, in their order."""
    from pipelines.charts.documents import load

    loaded = load(run, ids, characters) if ids else {}
    return [loaded[doc] for doc in ids if doc in loaded]


def _text(document: Document) -> str:
    return "".join(piece["text"] for piece in document["pieces"])


def _labels(workspace: Workspace, run: str, doc_id: int) -> list[dict[str, Any]]:
    return [
        {"good": item.good, "note": item.note, "labelled": item.labelled_at}
        for item in answers(workspace.manifest, run)
        if item.doc_id == doc_id
    ]


def _condition(workspace: Workspace, run: str, asked: Mapping[str, str]) -> str:
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
        number = f" OR doc_id = {int(doc)}" if doc.isascii() and doc.isdecimal() and len(doc) < 19 else ""
        conditions.append(f"(id = {quoted(doc)}{number})")
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


def _whole(asked: Mapping[str, str], name: str, usual: int) -> int:
    given = asked.get(name) or str(usual)
    if not given.isascii() or not given.isdecimal() or int(given) > 10**12:
        raise CurationError(Finding("C004", f"{name}: expected a whole number, got '{given[:40]}'"))
    return int(given)
