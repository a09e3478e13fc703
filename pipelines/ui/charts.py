"""What a page draws of a run: each piece of `pipelines.charts` at an address, and two runs beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.ui.open_runs import OpenRuns
from pipelines.workspace import Workspace
from schemas.errors import CurationError, Finding

PIECES = (
    "report",
    "funnel",
    "histogram",
    "scatter",
    "clusters",
    "cluster",
    "selection",
    "shift",
    "origin",
    "reliability",
)
SECONDS = 180.0
"""That a whole report may take."""
EXAMPLES = 5
"""Of each group of documents that changed sides."""


def piece(runs: OpenRuns, workspace: Workspace, names: Mapping[str, str], asked: Mapping[str, str]) -> Any:
    """The piece `names["piece"]` of the run `names["run"]`. Raises C004 for a query that lacks what the piece needs,
    C025 and C032 for what is not there."""
    kind = names["piece"]
    if kind == "reliability":
        return _of_weak_run(workspace, names["run"])
    with runs.lend(workspace, names["run"]) as run:
        match kind:
            case "report":
                from pipelines.charts.report import report_of

                return report_of(run)
            case "funnel":
                from pipelines.charts.funnel import funnel

                return funnel(run)
            case "histogram":
                from pipelines.charts.histogram import histogram

                return histogram(run, _given(asked, "field"), asked.get("source") or None)
            case "scatter":
                from pipelines.charts.scatter import scatter

                return scatter(run, _given(asked, "x"), _given(asked, "y"))
            case "clusters":
                from pipelines.charts.clusters import clusters

                return clusters(run, _given(asked, "stage"))
            case "cluster":
                from pipelines.charts.clusters import cluster

                return cluster(run, _given(asked, "stage"), document_number(_given(asked, "cluster")))
            case "selection":
                from pipelines.charts.selection import selection_map

                return selection_map(run, _given(asked, "stage"))
            case "shift":
                from pipelines.charts.shift import shift

                return shift(run)
            case "origin":
                from pipelines.charts.origin import origin

                return origin(run)
    raise CurationError(Finding("C032", f"there is no piece '{kind}'", ", ".join(PIECES)))


def compare(workspace: Workspace, names: Mapping[str, str], asked: Mapping[str, str]) -> dict[str, Any]:
    """What `curate diff` knows of runs `a` and `b`, the examples of `moved` also as doc_ids of `b`."""
    from pipelines.results.diff import diff

    told = diff(workspace.manifest, _given(asked, "a"), asked.get("b") or None, EXAMPLES)
    shards = workspace.manifest.where("shards", run=told.b.run).to_pylist()
    number_of_path = {shard["path"]: shard["file_no"] for shard in shards}
    answer = told.as_dict()
    for row in answer["moved"]:
        places = (example.rpartition("#") for example in row["examples"])
        row["docs"] = [str(number_of_path[path] << 32 | int(number)) for path, _, number in places]
    return answer


def document_number(text: str) -> int:
    """A doc_id. Raises C032 for what is none."""
    if not text.isascii() or not text.isdecimal() or len(text) > 19 or int(text) >= 2**63:
        raise CurationError(Finding("C032", f"no document '{text[:40]}'", "documents go by doc_id here"))
    return int(text)


def _of_weak_run(workspace: Workspace, name: str) -> Any:
    from pipelines.charts.reliability import reliability

    return reliability(workspace.manifest, name)


def _given(asked: Mapping[str, str], name: str) -> str:
    value = asked.get(name, "")
    if not value:
        raise CurationError(Finding("C004", f"the address lacks ?{name}="))
    return value
