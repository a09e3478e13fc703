"""Documents with their text: read from the source again, by file and row, never stored a second time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.store.scan import quoted
from pipelines.results.marks import marks_of
from schemas.errors import CurationError, Finding
from schemas.manifest import DOCUMENT

if TYPE_CHECKING:
    from curation.flow.documents import Documents
    from curation.flow.score_index import Shards
    from curation.flow.units import ShardWork
    from curation.manifest.parts import Manifest
    from curation.plan import Plan, StagePlan
    from curation.sources import Shard

SHOWN = pa.schema(
    [
        pa.field("doc_id", pa.int64()),
        pa.field("id", pa.string()),
        pa.field("path", pa.string()),
        pa.field("row", pa.int64()),
        pa.field("outcome", pa.string()),
        pa.field("dropped_by", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("threshold", pa.float64()),
        pa.field("text", pa.string()),
        pa.field("edited", pa.string()),
    ]
)
"""What `show` yields of each document, before the columns that it was asked for."""
OF_PAIRS = ("prompt", "output", "rejected")
"""What a row in a format is read as, where the format has it."""
_SPANS = "spans of "
"""Begins the name of a column with what a stage found, which no stage can have."""


def show(
    manifest: Manifest,
    *,
    dropped_by: str | None = None,
    kept: bool | None = None,
    count: int = 5,
    run: str | None = None,
    where: str | None = None,
    reason: str | None = None,
    order_by: str | None = None,
    columns: Sequence[str] = (),
    details: bool = False,
) -> Iterator[dict[str, Any]]:
    """`count` documents spread over the run by hash, in input order: the same ones each time; or the first by
    `order_by`, an expression of SQL over the view `documents`, perhaps with DESC. `where` is a condition over it.

    Each has doc_id, id, path, row, outcome, dropped_by, reason, score, threshold, text (as in the source) and
    `edited` (as later stages and the output have it; None where nothing was edited), and `columns`: of the view, of a
    stage (`language.prob`), or of the input, by the recipe's names or the file's. With `details` also `scores` (what
    each stage ranks by), `parts` (of rows in a format, by name) and `marks` (`pipelines.results.marks`).

    Raises C032 for a run or a stage, C025 for a column that is not there, C033 and C034 for SQL that is refused.
    """
    from curation.manifest.runs import choose_run
    from curation.manifest.sql import run_select
    from curation.manifest.views import connect

    chosen = choose_run(manifest, run)
    stages = manifest.where("stages", run=chosen).sort_by("position").to_pylist()
    fields = {row["stage"]: pa.ipc.read_schema(pa.py_buffer(row["fields"])).names for row in stages}
    conditions = ["true"]
    if kept is not None:
        conditions.append("kept" if kept else "NOT kept")
    if dropped_by is not None:
        if dropped_by not in fields:
            hint = f"stages: {', '.join(fields)}"
            raise CurationError(Finding("C032", f"run {chosen} has no stage '{dropped_by}'", hint))
        conditions.append(f"dropped_by = {quoted(dropped_by)}")
    if reason is not None:
        conditions.append(f"starts_with(reason, {quoted(reason)}) OR _rule(reason) = {quoted(reason)}")
    if where is not None:
        conditions.append(f"{_condition(where)}\n")
    stored = [name for name in columns if name in DOCUMENT or _of_stage(name, fields)]
    scores = _score_columns(manifest, chosen, fields) if details else []
    spans = [stage for stage, names in fields.items() if details and "spans" in names]
    selected = ["doc_id", "id", "path", "row", "outcome", "dropped_by", "reason", "score", "threshold"]
    selected += [
        f"{_dotted(name)} AS {_name(name)}" for name in dict.fromkeys([*stored, *scores]) if name not in selected
    ]
    selected += [f"{_name(stage)}.spans AS {_name(_SPANS + stage)}" for stage in spans]
    filtered = " AND ".join(f"({condition})" for condition in conditions)
    query = f"SELECT {', '.join(selected)} FROM documents WHERE {filtered} ORDER BY "
    if order_by is None:
        query = f"SELECT * FROM ({query} hash(path, row), doc_id LIMIT {int(count)}) ORDER BY path, row"
    else:
        query += f"{order_by}\n NULLS LAST, doc_id LIMIT {int(count)}"
    with connect(manifest, chosen, query="documents") as connection:
        rows = run_select(connection, query).to_pylist()
    read = _read(manifest, str(chosen), rows, [name for name in columns if name not in stored], details)
    for row in rows:
        document = {**{name: row.get(name) for name in SHOWN.names}, **read[row["path"], row["row"]]}
        document |= {name: row[name] for name in stored}
        if details:
            document["scores"] = {name: row[name] for name in scores if row[name] is not None}
            found = [(document["before"].get(stage, ()), row[_SPANS + stage]) for stage in spans]
            document["marks"] = marks_of(document["edits"], found)
        yield {name: value for name, value in document.items() if name not in ("before", "edits")}


def as_table(rows: Sequence[dict[str, Any]], columns: Sequence[str], chars: int | None = None) -> pa.Table:
    """Documents of `show` as a table, with some columns of their own; texts of so many characters at most."""
    values = {name: [row[name] for row in rows] for name in (*SHOWN.names, *columns)}
    for name in ("text", "edited") if chars else ():
        values[name] = [text and text[:chars] for text in values[name]]
    arrays = {name: pa.array(column) for name, column in values.items() if name not in SHOWN.names}
    return pa.table({**{item.name: pa.array(values[item.name], item.type) for item in SHOWN}, **arrays})


def texts(
    manifest: Manifest, run: str, rows: list[dict[str, Any]]
) -> dict[tuple[str, int], tuple[str | None, str | None]]:
    """Text and edited text by (path, row)."""
    return {place: (read["text"], read["edited"]) for place, read in _read(manifest, run, rows, (), False).items()}


def _condition(where: str) -> str:
    """One expression of SQL. Raises C033 for what would end the parentheses around it."""
    from curation.gates.tree import Unparsed, is_bare, select_of

    trees = [select_of(text) for text in (where, f"({where}\n)")]
    nodes = [] if any(isinstance(tree, Unparsed) for tree in trees) else [tree["statements"] for tree in trees]  # type: ignore[index]
    if not nodes or any(len(node) != 1 or not is_bare(node[0]["node"]) for node in nodes):
        hint = "such as language.prob > 0.5 AND kept"
        raise CurationError(Finding("C033", f"--where is not one condition: {where}", hint))
    return where


def _of_stage(name: str, fields: dict[str, list[str]]) -> bool:
    stage, _, column = name.partition(".")
    return column in fields.get(stage, ())


def _score_columns(manifest: Manifest, run: str | None, fields: dict[str, list[str]]) -> list[str]:
    """Of each stage the column that ranks documents."""
    ranked = {row["step"]: row["score"] for row in manifest.where("scorers", run=run).to_pylist() if row["score"]}
    return [
        f"{stage}.{ranked[stage]}" for stage in fields if ranked.get(stage, "pass") in set(fields[stage]) - {"pass"}
    ]


def _read(
    manifest: Manifest, run: str, rows: list[dict[str, Any]], columns: Sequence[str], details: bool
) -> dict[tuple[str, int], dict[str, Any]]:
    from curation.flow.score_index import Shards
    from pipelines.planning.resolve import resolve_recorded

    if not rows:
        return {}
    return read_documents(Shards.recorded(manifest, resolve_recorded(manifest, run)), rows, columns, details)


def read_documents(
    recorded: Shards, rows: Sequence[dict[str, Any]], columns: Sequence[str] = (), details: bool = True
) -> dict[tuple[str, int], dict[str, Any]]:
    """What the source has of some documents, which are given by `path` and `row`, by (path, row): `text`, `edited`, and
    `columns` of the input; with `details` also `parts` (of rows in a format), `edits` (all), and `before` (by stage
    that finds spans, the edits before it)."""
    plan = recorded.plan
    sources = _source_columns(plan, columns)
    wanted: defaultdict[int, list[int]] = defaultdict(list)
    of_path: defaultdict[str, list[Shard]] = defaultdict(list)
    for shard in plan.shards:
        of_path[shard.path].append(shard)
    for row in rows:
        if row["path"] not in of_path:
            message = f"{row['path']} is gone since run {plan.run}"
            raise CurationError(Finding("R002", message, "its text can no longer be shown", row["path"]))
        for shard in of_path[row["path"]]:
            if shard.row_start <= row["row"] < shard.row_end:
                wanted[shard.index].append(row["row"])
    documents: dict[tuple[str, int], dict[str, Any]] = {}
    for shard_work in recorded.of(plan.shards[number] for number in wanted):
        shard = plan.shards[shard_work.shard.index]
        chosen = np.unique(np.array(wanted[shard.index]) - shard.row_start)
        documents.update(_read_shard(shard_work, chosen, sources, details))
    return documents


def _source_columns(plan: Plan, columns: Sequence[str]) -> dict[str, pa.Field]:
    """Fields of the input behind some names, the recipe's or the file's."""
    sources = {}
    for name in columns:
        theirs = plan.columns.mapping.get(name, name)
        schema = next((schema for schema in (plan.writing, plan.reading) if theirs in schema.names), None)
        if schema is None:
            known = dict.fromkeys([*plan.columns.mapping, *plan.writing.names, *plan.reading.names])
            hint = f"of the input: {', '.join(known)}; of stages: {', '.join(f'{s.id}.…' for s in plan.stages)}"
            raise CurationError(Finding("C025", f"there is no column '{name}'", hint))
        sources[name] = schema.field(theirs)
    return sources


def _read_shard(
    shard_work: ShardWork, rows: np.ndarray, sources: dict[str, pa.Field], details: bool
) -> Iterator[tuple[tuple[str, int], dict[str, Any]]]:
    """`rows` are ascending, and count in the shard."""
    from curation.flow.documents import rows_at, wanted_columns

    work, shard = shard_work.work, shard_work.shard
    pairs = [name for name in OF_PAIRS if work.columns.format is not None and name in work.columns.names]
    shown = pairs if details else []
    wanted = wanted_columns(work, ["text", *shown])
    schema = pa.schema([*wanted, *(item for item in sources.values() if item.name not in wanted.names)])
    for documents in rows_at(shard_work, rows, len(work.stages), schema):
        edited = pa.nulls(len(documents.rows), pa.large_string())
        if documents.edits is not None:
            changed = pc.fill_null(pc.greater(pc.list_value_length(documents.edits), 0), False)
            edited = pc.if_else(changed, documents.text, edited)
        columns = {"text": documents.source, "edited": edited}
        columns |= {name: documents.opened.batch.column(item.name) for name, item in sources.items()}
        values = {name: column.to_pylist() for name, column in columns.items()}
        if details:
            parts = {name: documents.field(name).to_pylist() for name in shown}
            values["parts"] = [{name: part[number] for name, part in parts.items()} for number in range(len(edited))]
            values["edits"] = _edits(documents)
            values["before"] = _edits_before(shard_work, documents)
        for number, row in enumerate(shard.located(documents.rows)[1].tolist()):
            yield (shard.path, row), {name: column[number] for name, column in values.items()}


def _edits(documents: Documents) -> list[list[dict[str, Any]]]:
    if documents.edits is None:
        return [[] for _ in documents.rows]
    return [edits or [] for edits in documents.edits.to_pylist()]


def _edits_before(shard_work: ShardWork, documents: Documents) -> list[dict[str, Any]]:
    """Of each document, by stage, the edits of the transforms before each stage that finds spans."""
    from curation.flow.documents import last_transform

    before: list[dict[str, Any]] = [{} for _ in documents.rows]
    for stage in shard_work.work.stages:
        earlier = last_transform(shard_work.work.stages[: stage.position])
        if earlier is None or not _finds_spans(stage):
            continue
        stored = shard_work.stored(earlier.steps[-1], ["edits"]).rows(documents.rows)
        for number, edits in enumerate(pc.struct_field(stored, "edits").to_pylist()):
            before[number][stage.id] = edits or ()
    return before


def _finds_spans(stage: StagePlan) -> bool:
    return any(item.name == "spans" for item in stage.fields)


def _dotted(name: str) -> str:
    return ".".join(map(_name, name.split(".", 1)))


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'
