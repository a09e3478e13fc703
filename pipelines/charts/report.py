"""All pieces of one run together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from curation.manifest.parts import Manifest
from curation.manifest.runs import labelled_runs
from pipelines.charts.bounds import thresholds
from pipelines.charts.clusters import clusters
from pipelines.charts.documents import documents
from pipelines.charts.funnel import funnel
from pipelines.charts.histogram import histogram
from pipelines.charts.origin import origin
from pipelines.charts.reliability import used
from pipelines.charts.run import OpenRun
from pipelines.charts.scatter import scatters
from pipelines.charts.selection import selection_map
from pipelines.charts.shift import shift
from pipelines.charts.texts import valid
from schemas.charts import Documents, Histogram, Missing, Report, Shift
from schemas.errors import CurationError

HISTOGRAMS = 40
"""Measurements that are drawn: those that gates read, then what stages rank by, then the others in order."""
T = TypeVar("T")


def report_data(manifest: Manifest, run: str | None = None, attributions: bool = True) -> Report:
    """The report of a run, the latest by default; of one under way, of what is decided.

    With `attributions`, models that are small and here are run on some documents, to say what moved their scores. A
    piece that cannot be made, since a file behind it is gone or damaged, is among `missing`, and the others are there.
    Raises CurationError C032 for a run that is not there or has decided nothing yet.
    """
    with OpenRun(manifest, run) as opened:
        return report_of(opened, attributions)


def report_of(run: OpenRun, attributions: bool = True) -> Report:
    missing: list[Missing] = []

    def attempt(piece: str, make: Callable[[], T]) -> T | None:
        try:
            return make()
        except CurationError as failure:
            finding = failure.findings[0]
            missing.append({"piece": piece, "code": finding.code, "message": valid(finding.message)})
            return None

    def of_family(family: str, make: Callable[[OpenRun, str], T]) -> list[T]:
        names = [row["stage"] for row in run.stages if row["family"] == family and row["stage"] in run.groups]
        pieces = [attempt(name, partial(make, run, name)) for name in names]
        return [piece for piece in pieces if piece is not None]

    record = run.manifest.where("runs", run=run.run).to_pylist()[0]
    totals = {name: sum(row[name] for row in run.decided) for name in ("rows", "kept", "dropped", "errored")}
    where_from = origin(run)
    no_documents: Documents = {"kind": "documents", "note": None, "groups": []}
    no_shift: Shift = {"kind": "shift", "note": None, "panels": []}
    return {
        "kind": "report",
        "note": None if len(run.decided) == len(run.shards) else "The run is not finished: this is what is decided.",
        "format": 1,
        "run": run.run,
        "name": valid(record["name"]),
        "labels": sorted(label for label, labelled in labelled_runs(run.manifest).items() if labelled == run.run),
        "state": _state(run),
        "created": where_from["created"],
        "documents": totals["rows"],
        "kept": totals["kept"],
        "dropped": totals["dropped"],
        "errored": totals["errored"],
        "striking": attempt("striking", lambda: _striking(run)) or [],
        "funnel": funnel(run),
        "histograms": attempt("histograms", lambda: histograms(run)) or [],
        "scatters": attempt("scatters", lambda: scatters(run)) or [],
        "documents_shown": attempt("documents", lambda: documents(run, attributions=attributions)) or no_documents,
        "clusters": of_family("dedup", clusters),
        "selections": of_family("select", selection_map),
        "shift": attempt("shift", lambda: shift(run)) or no_shift,
        "reliability": attempt("reliability", lambda: used(run)) or [],
        "origin": where_from,
        "missing": missing,
    }


def histograms(run: OpenRun) -> list[Histogram]:
    """Of the measurements that a report draws; those that never vary are left out, unless a gate reads them."""
    bounded = list(dict.fromkeys(item.name for item in thresholds(run)))
    others = [item.name for item in run.measurements() if not item.boolean and item.stage != "input"]
    names = dict.fromkeys([*bounded, *run.ranked_by, *others])
    numbers = {item.name for item in run.measurements()}
    drawn: list[Histogram] = []
    for name in names:
        if len(drawn) == HISTOGRAMS:
            break
        if name in numbers:
            piece = histogram(run, name)
            if name in bounded or piece["minimum"] != piece["maximum"]:
                drawn.append(piece)
    return drawn


def _state(run: OpenRun) -> Any:
    from pipelines.running.attempts import running

    if run.manifest.has("datasets", run.run):
        return "done"
    if run.run in set(running(run.manifest).values()):
        return "running"
    ends = run.manifest.where("ends", run=run.run).sort_by("ended_at").column("outcome").to_pylist()
    return {"failed": "failed", "interrupted": "stopped"}.get(ends[-1] if ends else "", "unfinished")


def _striking(run: OpenRun) -> list[str]:
    from curation.report.duplicates import striking
    from curation.report.selection import choices_by_length

    plan = run.recorded.plan
    return [valid(text) for text in (*striking(plan, run.manifest), *choices_by_length(plan, run.manifest))]
