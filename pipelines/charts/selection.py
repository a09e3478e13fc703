"""A selection of a run as a map: the vectors of its documents in two dimensions, what was chosen, and baselines."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation.flow.stored import FILE
from curation.report.selection import length_verdict
from curation.selection.report import QUANTILES
from curation.store.scan import quoted, scan
from pipelines.charts.run import DOC, OpenRun
from schemas.charts import Baseline, Coverage, SelectionMap
from schemas.errors import CurationError, Finding

POINTS = 1_500
ROWS = 200_000
"""Documents of the shards that points are drawn from, or one shard: all of their vectors may have to be read."""


class Points(NamedTuple):
    """Documents that came to a selection, n of them."""

    doc: NDArray[np.int64]
    chosen: NDArray[np.bool_]
    length: NDArray[np.int64]
    vectors: NDArray[np.float64]
    """[n, d]."""
    of: str
    """`step.vector`."""
    note: str | None


def selections(run: OpenRun) -> list[SelectionMap]:
    """Of each selection that is resolved."""
    selecting = (row["stage"] for row in run.stages if row["family"] == "select")
    return [selection_map(run, stage) for stage in selecting if stage in run.groups]


def selection_map(run: OpenRun, stage: str) -> SelectionMap:
    """Raises CurationError C032 for a stage that is no selection, or has not chosen yet."""
    row = next((row for row in run.stages if row["stage"] == stage and row["family"] == "select"), None)
    group = run.groups.get(stage)
    if row is None or group is None:
        raise CurationError(
            Finding("C032", f"run {run.run} has no selection '{stage}'", f"stages: {', '.join(run.ids)}")
        )
    report = json.loads(group["report"] or "{}")
    points = _points(run, stage)
    shown: dict[str, Any] = {"x": [], "y": [], "doc": [], "chosen": [], "random": [], "longest": []}
    explained: list[float] = []
    if points is not None:
        places, explained = project(points.vectors)
        by_chance, longest = _baselines(points)
        shown = {
            "x": [round(float(x), 4) for x in places[:, 0]],
            "y": [round(float(y), 4) for y in places[:, 1]],
            "doc": [str(doc) for doc in points.doc.tolist()],
            "chosen": points.chosen.astype(int).tolist(),
            "random": by_chance.astype(int).tolist(),
            "longest": longest.astype(int).tolist(),
        }
    tenths = report.get("length_tenths") or []
    return {
        "kind": "selection",
        "note": None if points is None else points.note,
        "stage": stage,
        "stage_kind": row["kind"],
        "documents": group["entrants"],
        "selected": group["entrants"] - group["dropped"],
        **shown,  # type: ignore[typeddict-item]
        "vectors_of": None if points is None else points.of,
        "explained": explained,
        "baselines": _told_baselines(report),
        "coverage": _coverage(report),
        "lengths": {
            name: dict(zip((f"{share:g}" for share in QUANTILES), values, strict=True))
            for name, values in (report.get("lengths") or {}).items()
            if values
        },
        "length_tenths": [part["selected"] / part["documents"] for part in tenths if part["documents"]],
        "sentence": length_verdict(report).replace("*", "") if report.get("baselines") else None,
        "shift": report.get("shift"),
    }


def project(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[float]]:
    """First two principal components of rows [n, d]: places [n, 2], and the share of variance along each.

    An axis points to where its largest weight is, so that a map is not mirrored the next time.
    """
    centred = vectors - vectors.mean(axis=0)
    _, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * np.sign(axes[np.arange(len(axes[:2])), np.abs(axes[:2]).argmax(axis=1)])[:, None]
    places = np.zeros((len(vectors), 2))
    places[:, : len(axes)] = centred @ axes.T
    total = float((lengths**2).sum())
    return places, [round(float(length**2) / total, 6) if total else 0.0 for length in lengths[:2]]


def _points(run: OpenRun, stage: str) -> Points | None:
    """None where no vector of these documents is stored."""
    step = _vector_step(run, stage)
    if step is None:
        return None
    name, fingerprint = step
    records = run.manifest.where("scores", fingerprint=fingerprint).to_pylist()
    shards, decided = _drawn_shards(run)
    uri = run.manifest.store.uri
    parts = [row for row in records if any(_overlaps(row, shard) for shard in shards)]
    if not parts:
        return None
    of_one = {
        uri(row["data"]): row["file_fingerprint"] for row in parts
    }  # a part of several files says itself of which
    files = ", ".join(f"({quoted(name)}, {quoted(file)})" for name, file in of_one.items())
    several = f'"{FILE}"'
    scanned = scan(of_one, filename=True, union_by_name=True)
    scanned = f"(SELECT NULL::VARCHAR AS {several} WHERE false UNION ALL BY NAME FROM {scanned})"
    size = next((f for f in ("answer_bytes", "bytes") if f in run.columns[0].names), None)
    length = "0" if size is None else f"coalesce(d.input.{size}, 0)"
    listed = ", ".join(quoted(run.name_of(row)) for row in decided)
    table = f"""SELECT {DOC} AS doc, f.file AS file, d.row AS row, {length}::BIGINT AS length,
                       d.dropped_by IS DISTINCT FROM {quoted(stage)} AS chosen
                FROM {run.decisions} WHERE {run.reaches(stage)} AND filename IN ({listed})
                ORDER BY hash({DOC}, 2), doc LIMIT {POINTS}"""
    query = f"""SELECT t.doc, t.length, t.chosen, v.vector::FLOAT[] AS vector FROM ({table}) t JOIN (
                    SELECT coalesce(p.{several}, f.file) AS file, p.row, any_value(p.vector) AS vector
                    FROM {scanned} p
                    JOIN (SELECT col0 AS filename, col1 AS file FROM (VALUES {files})) f USING (filename)
                    SEMI JOIN ({table}) s ON s.file = coalesce(p.{several}, f.file) AND s.row = p.row
                    WHERE p.vector IS NOT NULL GROUP BY ALL) v ON v.file = t.file AND v.row = t.row ORDER BY t.doc"""
    drawn = run.rows(query)
    if len(drawn) < 3:
        return None
    doc, lengths, chosen, vectors = zip(*drawn, strict=True)
    entrants = run.groups[stage]["entrants"]
    note = f"{len(drawn):,} of {entrants:,} documents, drawn by hash"
    note += "" if len(decided) == len(run.decided) else f" from {len(decided):,} of {len(run.decided):,} shards"
    note += "; so are the baselines, as many of these."
    return Points(
        np.array(doc), np.array(chosen, dtype=bool), np.array(lengths), np.array(vectors, dtype=np.float64),
        f"{name}.vector", None if len(drawn) == entrants else note,
    )  # fmt: skip


def _vector_step(run: OpenRun, stage: str) -> tuple[str, str] | None:
    """Name and fingerprint of the step whose vectors a selection went by, else of the nearest before it."""
    try:
        plan = run.recorded.plan
    except (CurationError, OSError):
        return None  # its files are gone or others by now; its recipe cannot be read again
    steps = [step for item in plan.stages[: run.ids.index(stage) + 1] for step in item.steps]
    with_vectors = [step for step in steps if "vector" in step.columns.names]
    return (with_vectors[-1].name, with_vectors[-1].fingerprint) if with_vectors else None


def _drawn_shards(run: OpenRun) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Shards and their decisions, drawn as texts are, of ROWS documents together, or one."""
    drawn: list[dict[str, Any]] = []
    rows = 0
    for record in run.sampled:
        if drawn and rows + record["rows"] > ROWS:
            break
        drawn.append(record)
        rows += record["rows"]
    return [run.shards[record["shard"]] for record in drawn], drawn


def _overlaps(part: dict[str, Any], shard: dict[str, Any]) -> bool:
    first, last = shard["row_start"], shard["row_start"] + shard["rows"]
    same = part["file_fingerprint"] == shard["fingerprint"]
    return bool(same and part["row_start"] < last and part["row_end"] > first)


def _baselines(points: Points) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """As many documents as were chosen, by chance and the longest."""
    count, n = int(points.chosen.sum()), len(points.doc)
    chance = np.random.default_rng(0).permutation(n)
    chosen = np.zeros((2, n), dtype=bool)
    chosen[0, chance[:count]] = True
    chosen[1, np.lexsort((points.doc, -points.length))[:count]] = True
    return chosen[0], chosen[1]


def _told_baselines(report: dict[str, Any]) -> list[Baseline]:
    return [
        {"name": name, "overlap": told["overlap"], "chance": report.get("chance"), "spearman": told["spearman"]}
        for name, told in (report.get("baselines") or {}).items()
    ]


def _coverage(report: dict[str, Any]) -> list[Coverage]:
    covered = report.get("coverage") or {}
    return [
        {"name": name, "mean": covered[name]["mean"], "radius": covered[name]["radius"]}
        for name in ("selected", "random", "longest")
        if name in covered
    ]
