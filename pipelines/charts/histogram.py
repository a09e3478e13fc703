"""One measurement of a run's documents in bins, with the thresholds that gates put on it."""

from __future__ import annotations

import math
from typing import Any

from pipelines.charts.bounds import Threshold, thresholds
from pipelines.charts.edges import Edges, Spread, edges_of
from pipelines.charts.run import Measurement, OpenRun
from schemas.charts import Bound, Histogram, HistogramBars

SOURCES = 6
"""Sources with bars of their own."""
RANKED = 1_000_000
"""Documents of which quantiles are told exactly; of more, those of about so many by hash."""
QUANTILES = (0.001, 0.05, 0.25, 0.5, 0.75, 0.95, 0.999)


def histogram(run: OpenRun, name: str, source: str | None = None) -> Histogram:
    """`name`, a measurement, of all documents that reached its stage, or of one `source`.

    Raises CurationError C025 for a measurement that is not there.
    """
    measurement = run.measurement(name)
    of = [item for item in thresholds(run) if item.name == measurement.name]
    summary = summarize(run, measurement, of, source)
    bins = edges_of(summary.spread, measurement.whole, measurement.boolean, [item.value for item in of])
    total, by_source, outside = _bars(run, measurement, bins, source)
    shown = list(by_source)[:SOURCES] if len(by_source) > 1 else []
    notes = [] if summary.sampled is None else [f"Quantiles are those of {summary.sampled:,} documents, by hash."]
    return {
        "kind": "histogram",
        "note": " ".join(notes) or None,
        "name": measurement.name,
        "stage": measurement.stage,
        "stage_kind": measurement.kind,
        "field": measurement.field,
        "type": "boolean" if measurement.boolean else "whole" if measurement.whole else "number",
        "scale": bins.scale,
        "edges": bins.edges,
        "bars": total,
        "by_source": [by_source[number] for number in shown],
        "more_sources": len(by_source) - len(shown) if shown else 0,
        "bounds": summary.bounds,
        "documents": summary.documents,
        "below": outside[0],
        "above": outside[1],
        "nulls": summary.nulls,
        "nans": summary.nans,
        "minimum": None if summary.spread is None else summary.spread.least,
        "maximum": None if summary.spread is None else summary.spread.most,
        "quantiles": summary.quantiles,
    }


class Summary:
    """A measurement in numbers."""

    def __init__(self, row: tuple[Any, ...], of: list[Threshold], sampled: int | None) -> None:
        self.documents, self.nulls, self.nans, least, most, quantiles, *counts = row
        self.sampled = sampled
        self.quantiles: dict[str, float] = {}
        self.spread: Spread | None = None
        if least is not None:
            ranked = dict(zip(QUANTILES, quantiles or [least] * len(QUANTILES), strict=True))
            self.spread = Spread(least, most, ranked[0.001], ranked[0.999], ranked[0.05], ranked[0.95])
            self.quantiles = {f"{share:g}": ranked[share] for share in QUANTILES[1:-1]}
        self.bounds: list[Bound] = [
            {
                "stage": item.stage,
                "value": item.value,
                "operator": item.operator,  # type: ignore[typeddict-item]
                "expression": item.expression,
                "passing": passing,
                "failing": failing,
            }
            for item, passing, failing in zip(of, counts[::2], counts[1::2], strict=True)
            if math.isfinite(item.value)
        ]


def summarize(run: OpenRun, measurement: Measurement, of: list[Threshold], source: str | None = None) -> Summary:
    value = "d.value"
    finite = f"FILTER (isfinite({value}))"
    every = -(-run.documents // RANKED)
    ranked = finite if every == 1 else f"FILTER (isfinite({value}) AND hash(d.row, d.file_no) % {every} = 0)"
    columns = [
        "count(*)",
        f"count(*) - count({value})",
        f"count(*) FILTER (isnan({value}))",
        f"min({value}) {finite}",
        f"max({value}) {finite}",
        f"quantile_disc({value}, {list(QUANTILES)}) {ranked}",
    ]
    for item in of:
        asked = f"{run.reaches(item.stage)} AND NOT isnan({value})"
        columns += [f"count(*) FILTER ({asked} AND {item.sql(value)})"]
        columns += [f"count(*) FILTER ({asked} AND NOT {item.sql(value)})"]
    of_stage = run.measured(measurement.stage, value=measurement)
    [row] = run.rows(f"SELECT {', '.join(columns)} FROM {of_stage}{_of_source(run, source)}")
    return Summary(row, of, None if every == 1 else run.documents // every)


def _bars(
    run: OpenRun, measurement: Measurement, bins: Edges, source: str | None
) -> tuple[HistogramBars, dict[int, HistogramBars], tuple[int, int]]:
    """Bars of all documents, of each source by its number, and how many documents lie below and above."""
    count = len(bins.edges) - 1
    total: HistogramBars = {"source": None, "before": [0] * count, "after": [0] * count}
    by_source: dict[int, HistogramBars] = {}
    outside = [0, 0]
    query = f"""SELECT d.source, {bins.bin_sql("d.value")} AS bin, count(*), count(*) FILTER (d.outcome = 'kept')
                FROM {run.measured(measurement.stage, value=measurement)}{_of_source(run, source)}
                GROUP BY ALL ORDER BY ALL"""
    for number, bin_, before, after in run.rows(query):
        name = run.sources[number]
        bars_of_source = by_source.setdefault(number, {"source": name, "before": [0] * count, "after": [0] * count})
        if bin_ is None:
            continue
        if not 0 <= bin_ < count:
            outside[int(bin_ >= count)] += before
            continue
        for bars in (total, bars_of_source):
            bars["before"][bin_] += before
            bars["after"][bin_] += after
    return total, by_source, (outside[0], outside[1])


def _of_source(run: OpenRun, source: str | None) -> str:
    if source is None:
        return ""
    return f" WHERE d.source = {run.sources.index(source) if source in run.sources else -1}"
