"""Why was this document kept, or dropped? Everything that is stored about one document, in the order of the stages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from curation.paths import is_text, printable
from curation.reasons import rule_of
from pipelines.results.spelling import ending, same_file, spelled
from schemas.errors import CurationError, Finding, command

if TYPE_CHECKING:
    from curation.manifest.parts import Manifest

MOST = 20
"""Documents that are explained of those that have one id."""


@dataclass(frozen=True)
class StageView:
    """What one stage found in the document."""

    stage: str
    kind: str
    keep: str | None
    values: dict[str, Any] | None
    """The stage's columns; None when the document did not reach it."""
    verdict: str
    """passed, dropped, errored or not reached."""


@dataclass(frozen=True)
class Explanation:
    """One document's way through a run."""

    run: str
    doc_id: int
    id: str | None
    path: str
    row: int
    outcome: str
    dropped_by: str | None
    reason: str | None
    score: float | None
    threshold: float | None
    details: dict[str, Any] | None
    twin: str | None
    """`path#row` of the document that stayed, for which it was dropped."""
    similarity: float | None
    containment: float | None
    """Of a duplicate, the share of its word 3-grams that stand in the twin."""
    loss: float | None
    """The share that stands in no document of the cluster that stayed."""
    link: str | None
    """`path#row` of its most similar neighbour in the cluster."""
    link_similarity: float | None
    stages: list[StageView] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def rows(self) -> list[dict[str, Any]]:
        """For tables: one row for each stage."""
        same = {"path": self.path, "row": self.row, "doc_id": self.doc_id, "id": self.id, "outcome": self.outcome}
        return [
            {
                **same,
                "stage": view.stage,
                "verdict": view.verdict,
                "reason": self.reason if self.dropped_by == view.stage else None,
                "values": None if view.values is None else json.dumps(view.values, default=str),
            }
            for view in self.stages
        ]

    def lines(self) -> list[str]:
        """For people: the verdict first, then each stage."""
        head = [
            f"{self.path}#{self.row}" + (f"  id {self.id}" if self.id is not None else "") + f"  doc_id {self.doc_id}"
        ]
        if self.outcome == "kept":
            head.append("kept: it passed every stage")
        else:
            verdict = f"{self.outcome} by {self.dropped_by}: {self.reason}"
            whole = self.reason is not None and rule_of(self.reason) != self.reason  # it has the values already
            if self.score is not None and self.threshold is not None and not whole:
                verdict += f" (score {self.score:.6g}, threshold {self.threshold:.6g})"
            head.append(verdict)
            if self.details and not whole:
                head.append(
                    "  because " + ", ".join(f"{name} = {_short(value)}" for name, value in self.details.items())
                )
        if self.twin:
            what = "duplicate of" if self.link else "like"  # a dedup's clusters have links
            measured = f"similarity {self.similarity:.4f}"
            if self.containment is not None:
                measured += f", {self.containment:.1%} of its word 3-grams stand there"
            head.append(f"  {what} {self.twin}, which stayed at this stage ({measured})")
            if self.loss is not None:
                head.append(f"  lost: {self.loss:.1%} of them, which stand in no document of the cluster that stayed")
            if self.link and (self.similarity or 0.0) < (self.threshold or 0.0):
                head.append(f"  through a chain that begins with {self.link} (similarity {self.link_similarity:.4f})")
        width = max((len(view.stage) for view in self.stages), default=0)
        for view in self.stages:
            values = (
                ""
                if view.values is None
                else "  ".join(f"{k}={_short(v)}" for k, v in view.values.items() if v is not None)
            )
            head.append(f"  {view.stage:<{width}}  {view.verdict:<11}  {values}".rstrip())
        return head


def explain(manifest: Manifest, document: str, run: str | None) -> list[Explanation]:
    """Find documents by `path#row`, else by doc_id and by the user's id. Raises C032 when none matches."""
    from curation.manifest.runs import choose_run
    from curation.manifest.views import connect

    chosen = choose_run(manifest, run)
    if not is_text(document):
        raise _unknown(document, chosen, manifest.store.root)
    with connect(manifest, chosen, query="documents") as connection:
        stages = connection.execute("SELECT * FROM stages WHERE run = $run ORDER BY position", {"run": chosen})
        names = [column[0] for column in stages.description]
        order = [dict(zip(names, row, strict=True)) for row in stages.fetchall()]
        records = manifest.where("runs", run=chosen).to_pylist()
        bases = [record["recipe_dir"] for record in records]

        def recorded() -> list[str]:
            paths: list[str] = manifest.where("shards", run=chosen).column("path").unique().to_pylist()
            return paths

        for condition, values in _conditions(document, bases, recorded):
            selected = connection.execute(
                f"SELECT * FROM documents WHERE {condition} ORDER BY path, row LIMIT {MOST}", values
            )
            columns = [column[0] for column in selected.description]
            rows = [dict(zip(columns, row, strict=True)) for row in selected.fetchall()]
            if rows:
                places = _places(connection, rows)
                return [_explanation(row, order, places) for row in rows]
    raise _unknown(document, chosen, manifest.store.root)


def _unknown(document: str, run: str | None, workspace: object) -> CurationError:
    message = f"no document '{printable(document)}' in run {run}" if run else "nothing was run here yet"
    hint = "name it as path#row (rows count from 0), by doc_id, or by the id column; list some: "
    some = command('sql "SELECT doc_id, id, path, row FROM documents LIMIT 5"', workspace)
    return CurationError(Finding("C032", message, hint + some))


def _conditions(
    document: str, bases: list[str], recorded: Callable[[], list[str]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    path, mark, row = document.strip().rpartition("#")
    if mark and row.isdecimal() and int(row) < 2**63:
        number = {"row": int(row)}
        for name in spelled(path, bases):
            yield "path = $path AND row = $row", {"path": name, **number}
        if end := ending(path):
            yield "ends_with(path, '/' || $path) AND row = $row", {"path": end, **number}
        for name in same_file(path, recorded(), bases):
            yield "path = $path AND row = $row", {"path": name, **number}
    if document.isdecimal() and int(document) < 2**63:  # ids may be numbers as well
        yield "doc_id = $doc_id OR id = $id", {"doc_id": int(document), "id": document}
    else:
        yield "id = $id", {"id": document}


def _places(connection: Any, rows: list[dict[str, Any]]) -> dict[int, str]:
    wanted = sorted({row[name] for row in rows for name in ("twin", "link") if row[name] is not None})
    if not wanted:
        return {}
    selected = connection.execute(
        "SELECT doc_id, path || '#' || row FROM documents WHERE doc_id IN (SELECT unnest($ids))", {"ids": wanted}
    )
    return dict(selected.fetchall())


def _explanation(row: dict[str, Any], order: list[dict[str, Any]], places: dict[int, str]) -> Explanation:
    views = []
    for stage in order:
        values = row[stage["stage"]]
        if row["dropped_by"] == stage["stage"]:
            verdict = row["outcome"]
        elif values is None:
            verdict = "not reached"
        else:
            verdict = "passed"
        views.append(StageView(stage["stage"], stage["kind"], stage["keep"], values, verdict))
    return Explanation(
        **{name: row[name] for name in ("run", "doc_id", "id", "path", "row", "outcome", "dropped_by", "reason")},
        score=row["score"],
        threshold=row["threshold"],
        details=json.loads(row["details"]) if row["details"] else None,
        twin=places.get(row["twin"]),
        similarity=row["similarity"],
        containment=row["containment"],
        loss=row["loss"],
        link=places.get(row["link"]),
        link_similarity=row["link_similarity"],
        stages=views,
    )


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)
