"""A recipe on a few documents: the real thing in a workspace that is gone afterwards, and what each stage did."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.manifest.parts import KEY, Manifest
from pipelines.results.show import texts
from pipelines.running.result import Result
from pipelines.start.unseen import gone_afterwards
from pipelines.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.running.events import Report

ROWS, DOCUMENTS, CHARACTERS = 200, 10, 200
"""Of a preview, unless other numbers are asked for: documents curated, those shown of a stage, characters of each."""


@dataclass(frozen=True)
class Judged:
    """What one stage did to one document."""

    document: str
    """`path#row`."""
    id: str | None
    verdict: str
    """kept, dropped or errored."""
    reason: str | None
    values: dict[str, Any]
    """The stage's columns that hold something."""
    text: str
    """As it is at the end, edits of all stages applied; cut."""


@dataclass(frozen=True)
class StagePreview:
    """One stage, and some documents that came to it."""

    stage: str
    kind: str
    keep: str | None
    rows_in: int
    dropped: int
    errored: int
    rows_out: int
    documents: list[Judged] = field(default_factory=list)


@dataclass(frozen=True)
class Preview:
    """What a recipe did to some rows."""

    result: Result
    stages: list[StagePreview]

    def as_dict(self) -> dict[str, Any]:
        counts = {name: getattr(self.result, name) for name in ("outcome", "rows", "kept", "dropped", "errored")}
        return {"schema_version": 1, **counts, "stages": [asdict(stage) for stage in self.stages]}


def preview(
    recipe: str | Path | Mapping[str, Any],
    rows: int = ROWS,
    documents: int = DOCUMENTS,
    characters: int = CHARACTERS,
    report: Report | None = None,
    beside: Workspace | None = None,
) -> Preview:
    """Run a recipe on `rows` documents chosen by hash, and show up to `documents` of those that came to each stage.

    Nothing is kept: what is scored here is scored again by a run. What a workspace `beside` has recorded of input files
    is believed, so that they are not hashed anew. Raises CurationError as `Workspace.run` does.
    """
    with tempfile.TemporaryDirectory(prefix="curation-preview-") as folder:
        workspace = Workspace(folder)
        if beside is not None and beside.exists:
            recorded = Manifest(beside.store).read("seen").drop_columns([KEY]).to_pylist()
            if recorded:
                workspace.create()
                Manifest(workspace.store).commit("seen", "beside", recorded)
        with gone_afterwards(folder):
            result = workspace.run(recipe, executor="local", sample=rows, report=report)
        stages = _stages(workspace, result.run, documents, characters)
    result.folder = None
    result.failures = [
        (path, replace(failure, hint=None) if folder in (failure.hint or "") else failure)
        for path, failure in result.failures
    ]
    return Preview(result, stages)


def _stages(workspace: Workspace, run: str, documents: int, characters: int) -> list[StagePreview]:
    funnel = workspace.sql("SELECT * FROM funnel", run).to_pylist()
    if not funnel:
        return []
    judged = workspace.sql("SELECT * FROM documents ORDER BY hash(path, row), doc_id", run).to_pylist()
    position = {row["stage"]: row["position"] for row in funnel}
    beyond = max(position.values()) + 1
    ends = {row["doc_id"]: position.get(row["dropped_by"], beyond) for row in judged}
    chosen = {stage["stage"]: _chosen(judged, ends, stage["position"], documents) for stage in funnel}
    wanted = {(row["path"], row["row"]): row for some in chosen.values() for row in some}
    shown = texts(Manifest(workspace.store), run, [wanted[key] for key in sorted(wanted)])
    return [
        StagePreview(
            stage["stage"],
            stage["kind"],
            stage["keep"],
            stage["rows_in"],
            stage["dropped"],
            stage["errored"],
            stage["rows_out"],
            [
                _judged(row, stage, ends[row["doc_id"]], shown.get((row["path"], row["row"])), characters)
                for row in chosen[stage["stage"]]
            ],
        )
        for stage in funnel
    ]


def _chosen(judged: list[dict[str, Any]], ends: dict[int, int], position: int, count: int) -> list[dict[str, Any]]:
    """Of the documents that came to a stage those that ended there, up to half of `count`, then some that went on."""
    ended = [row for row in judged if ends[row["doc_id"]] == position]
    passed = [row for row in judged if ends[row["doc_id"]] > position]
    shown = ended[: max(count // 2, count - len(passed))]
    return [*shown, *passed[: count - len(shown)]]


def _judged(
    row: dict[str, Any],
    stage: dict[str, Any],
    end: int,
    text: tuple[str | None, str | None] | None,
    characters: int,
) -> Judged:
    ended = end == stage["position"]
    values = {name: value for name, value in (row.get(stage["stage"]) or {}).items() if value is not None}
    source, edited = text or (None, None)
    whole = source if edited is None else edited
    cut = (whole or "")[: characters + 1]
    return Judged(
        f"{row['path']}#{row['row']}",
        row["id"],
        row["outcome"] if ended else "kept",
        row["reason"] if ended else None,
        {**values, **({"similarity": row["similarity"]} if ended and row["similarity"] is not None else {})},
        cut if len(cut) <= characters else f"{cut[:characters]}…",
    )
