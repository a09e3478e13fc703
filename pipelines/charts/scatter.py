"""Two measurements of a run's documents against each other, in a grid."""

from __future__ import annotations

import math

from curation.statistics.metrics import spearman
from pipelines.charts.bounds import read_together, thresholds
from pipelines.charts.edges import Edges, edges_of
from pipelines.charts.histogram import RANKED, summarize
from pipelines.charts.run import Measurement, OpenRun
from schemas.charts import Axis, Scatter

BINS = 32
PAIRS = 6
"""Pairs that a report shows: gates of many conditions read more."""


def scatters(run: OpenRun) -> list[Scatter]:
    """Of the pairs that one gate reads."""
    return [scatter(run, x, y) for x, y in read_together(run)[:PAIRS]]


def scatter(run: OpenRun, x: str, y: str) -> Scatter:
    """Two measurements by name. Raises CurationError C025 for one that is not there."""
    one, other = run.measurement(x), run.measurement(y)
    across, upwards = _axis(run, one), _axis(run, other)
    stage = max(one.stage, other.stage, key=run.ids.index)
    values = run.measured(stage, x=one, y=other)
    query = f"""SELECT {across[0].bin_sql("d.x")} AS i, {upwards[0].bin_sql("d.y")} AS j,
                       count(*), count(*) FILTER (d.outcome = 'kept') FROM {values} GROUP BY i, j ORDER BY i, j"""
    cells, outside, total = [], 0, 0
    for i, j, before, after in run.rows(query):
        total += before
        if (
            i is None
            or j is None
            or not (0 <= i < len(across[1]["edges"]) - 1 and 0 <= j < len(upwards[1]["edges"]) - 1)
        ):
            outside += before
        else:
            cells.append((i, j, before, after))
    return {
        "kind": "scatter",
        "note": None,
        "x": across[1],
        "y": upwards[1],
        "cells": cells,
        "documents": total,
        "outside": outside,
        "spearman": _spearman(run, values),
    }


def _axis(run: OpenRun, measurement: Measurement) -> tuple[Edges, Axis]:
    of = [item for item in thresholds(run) if item.name == measurement.name]
    summary = summarize(run, measurement, of)
    limits = [item.value for item in of]
    edges = edges_of(summary.spread, measurement.whole, measurement.boolean, limits, BINS)
    return edges, {"name": measurement.name, "scale": edges.scale, "edges": edges.edges, "bounds": summary.bounds}


def _spearman(run: OpenRun, values: str) -> float | None:
    """Rank correlation, of documents that have both numbers; of many, of those of about RANKED by hash."""
    every = -(-run.documents // RANKED)
    query = f"""SELECT d.x, d.y FROM {values}
                WHERE isfinite(d.x) AND isfinite(d.y) AND hash(d.row, d.file_no) % {every} = 0"""
    columns = run.numpy(query)
    value = spearman(columns["x"], columns["y"]) if len(columns["x"]) > 1 else math.nan
    return round(value, 6) if math.isfinite(value) else None
