"""Every query of the dashboard asks for figures that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from workers.metrics import EXPORTED

DASHBOARD: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parents[2] / "docker" / "grafana" / "curation.json").read_text()
)


def queries() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]


def test_every_query_names_a_metric_that_workers_define() -> None:
    for query in queries():
        named = set(re.findall(r"\bray_curation_\w+", query))
        assert named, query
        assert named <= EXPORTED, query


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {name for query in queries() for name in re.findall(r"\bray_curation_\w+", query)}
    of_histograms = {name for name in EXPORTED if name.endswith(("_sum", "_count"))}
    assert shown == EXPORTED - of_histograms  # their buckets are shown; Ray's sums of them are guesses


def test_panels_have_titles_units_and_places_of_their_own() -> None:
    places = set()
    for panel in DASHBOARD["panels"]:
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "prometheus"}
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & places
        places |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
