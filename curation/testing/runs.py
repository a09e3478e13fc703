"""C4, C8 and C9 of runs: whoever calls brings the workspace, of which the library knows nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation import parquet, registry
from curation.scorers.base import Contract
from curation.testing.rows import Document, Row, bits, difference, require, shard_bounds

NUMBER = "number_of_the_document"
"""A column that documents are given in runs, for a gate before the stages that are checked."""


def check_runs(
    open_workspace: Callable[[Path], Any],
    folder: Path,
    stages: Sequence[Mapping[str, Any]],
    documents: Sequence[Document],
) -> None:
    """C4: shards, workers, samples and loosened gates change nothing in what is stored, and nothing is scored twice.

    `open_workspace` is the class `Workspace`. Each of `stages` has an `id`. Paths in them are relative to the current
    folder. Leaves inputs and workspaces in `folder`.
    """
    count = len(documents) + min(len(documents), 8)
    recipe = _recipe(_written(folder / "one", documents, [(0, count)]), stages, count)
    cold = open_workspace(folder / "ws-one")
    first = _done(cold.run(recipe, executor="local", workers=1))
    recipe = _recipe(_written(folder / "many", documents, shard_bounds(count)), stages, count)
    warm = open_workspace(folder / "ws-many")
    # first a part of the documents, chosen by hash; then those that a strict gate lets through; then the rest
    _done(warm.run(recipe, executor="local", workers=1, sample=max(1, count // 4)))
    _done(warm.run(_recipe(folder / "many", stages, count // 2), executor="local", workers=2))
    last = _done(warm.run(recipe, executor="local", workers=3))
    for stage in stages:
        done = last.steps.get(stage["id"], 0)
        # what the strict gate held back, of which the sample had some; where that gate chose what a stage learned from,
        # it has learned anew, and all of it is another stage's
        left = count if _learns_behind_gates(stage) else count - count // 2
        require(done <= left, f"C4: {stage['id']} was asked for {done} documents of {count}, and {left} were left")
    expected, stored = _stored(cold, first.run), _stored(warm, last.run)
    for key, row in expected.items():
        require(bits(stored.get(key)) == bits(row), f"C4: document {key} has other values in another division: "
                 f"{difference(stored.get(key) or {}, row)}")  # fmt: skip


def check_cut_of_runs(
    open_workspace: Callable[[Path], Any],
    folder: Path,
    stage: Mapping[str, Any],
    contract: Contract,
    documents: Sequence[Document],
) -> None:
    """C8 and C9: `select: top` over shards keeps what one stable sort does, ties to the earlier document."""
    count = len(documents) + min(len(documents), 8)
    ties = folder / "ties"
    if not ties.exists():
        _written(ties, documents, shard_bounds(count))
    field, keep = f"{stage['id']}.{contract.score}", max(1, count // 3)
    recipe = _recipe(ties, [stage], count)
    recipe["stages"].append({"select": "top", "by": field, "count": keep, "lowest": contract.orientation < 0})
    workspace = open_workspace(folder / "ws-ties")
    result = _done(workspace.run(recipe, executor="local", workers=2))
    query = f"SELECT id, path, row, kept, {field} AS value FROM documents ORDER BY path, row"
    rows = workspace.sql(query, result.run).to_pylist()
    scored = [row for row in rows if row["value"] is not None]
    best = sorted(scored, key=lambda row: (-contract.orientation * float(row["value"]), row["path"], row["row"]))
    kept = {row["id"] for row in rows if row["kept"]}
    require(kept == {row["id"] for row in best[:keep]}, f"C9: the {keep} best by {field} are not those of one sort")


def _learns_behind_gates(stage: Mapping[str, Any]) -> bool:
    family = "transform" if "transform" in stage else "scorer"
    return bool(registry.find(family, stage[family]).fits_on_survivors)


def _recipe(source: Path, stages: Sequence[Mapping[str, Any]], most: int) -> dict[str, Any]:
    """The stages, behind a gate that lets the first `most` documents through."""
    columns = parquet.schema_of(next(source.glob("*.parquet"))).names
    gate = {"scorer": "imported", "id": "gate_before", "column": NUMBER, "keep": f"gate_before.score < {most}"}
    return {
        "name": "checked",
        "input": {
            "path": str(source),
            "columns": {name: name for name in columns if name != "text"},
            "shard_bytes": 2_000,
        },
        "stages": [gate, *map(dict, stages)],
        "errors": {"documents": 1_000_000},
    }


def _written(folder: Path, documents: Sequence[Document], cuts: Sequence[tuple[int, int]]) -> Path:
    """Documents in a file for each of `cuts`, in row groups of 7; the last few repeat the first: ties."""
    folder.mkdir(parents=True)
    once = [{"text": "", "id": f"document-{row}", **document} for row, document in enumerate(documents)]
    twice = [*once, *({**document, "id": f"again-{row}"} for row, document in enumerate(once[:8]))]
    whole = pa.Table.from_pylist([{**document, NUMBER: float(row)} for row, document in enumerate(twice)])
    for number, (begin, end) in enumerate(cuts):
        parquet.write(whole.slice(begin, end - begin), folder / f"{number}.parquet", row_group_size=7)
    return folder


def _done(result: Any) -> Any:
    require(result.outcome == "done", f"a run with the stage ended as '{result.outcome}': {result.failures}")
    return result


def _stored(workspace: Any, run: str) -> dict[str, Row]:
    """Every stage's struct by the document's id, as it is stored."""
    table = workspace.sql("SELECT * EXCLUDE (run, doc_id, path, row) FROM documents ORDER BY id", run)
    return {row["id"]: row for row in table.to_pylist()}
