"""Prometheus' view of a run on a real cluster of one node: what the endpoint says is what the manifest says."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from cluster import one_node
from ports import free_port
from prometheus_client.parser import text_string_to_metric_families

from curation.failpoints import VARIABLE
from pipelines.workspace import Workspace
from workers.metrics import EXPORTED  # before Ray, which reads RAY_AUTH_MODE once

OURS = ("step", "kind", "what", "code", "run")
"""Labels of ours; Ray adds its own."""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """A cluster whose first unit of scoring dies: its address, and that of its metrics."""
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # Ray reads a token once a process, so it stays
    hits = tmp_path / "hits"
    hits.mkdir()
    monkeypatch.setenv(VARIABLE, json.dumps({"point": "in-score", "hit": 1, "target": "self", "dir": str(hits)}))
    port = free_port()
    # idle workers stay: on a busy machine one might go before its last report
    system = {"metrics_report_interval_ms": 500, "idle_worker_killing_time_threshold_ms": 600_000}
    with one_node(num_cpus=2, metrics_export_port=port, _system_config=system) as started:
        monkeypatch.delenv(VARIABLE)
        yield started.address, f"http://127.0.0.1:{port}/metrics"


def scrape(url: str) -> dict[str, Counter[str]]:
    """Values by name and by the label that is ours."""
    found: dict[str, Counter[str]] = {}
    with urlopen(url, timeout=10) as answer:
        for family in text_string_to_metric_families(answer.read().decode()):
            for sample in family.samples:
                if sample.name in EXPORTED:
                    [label] = [sample.labels[key] for key in OURS if key in sample.labels]
                    found.setdefault(sample.name, Counter())[label] += sample.value
    return found


def test_the_endpoint_says_what_the_manifest_says(
    cluster: tuple[str, str], recipe: Callable[..., dict[str, Any]], undisturbed: Any, held: Any, tmp_path: Path
) -> None:
    address, url = cluster
    workspace = Workspace(tmp_path / "ws")
    result = workspace.run(recipe(), executor="ray", address=address, workers=2)
    assert result.outcome == "done", [f"{f.code} {f.message} {f.trace}" for _, f in result.failures]
    run, reference = undisturbed
    written = held(workspace.store.root)
    assert written.everything(run) == reference.everything(run)

    seen, deadline = scrape(url), time.monotonic() + 240
    while seen.get("ray_curation_documents_total") != written.rows() and time.monotonic() < deadline:
        time.sleep(0.5)
        seen = scrape(url)
    assert seen["ray_curation_documents_total"] == written.rows()
    meters = workspace.manifest.read("meters").to_pylist()
    assert seen["ray_curation_tokens_total"] == {meter["step"]: meter["tokens"] for meter in meters}
    commits = seen["ray_curation_commits_total"]
    assert {"scores", "sketches", "entrants", "groups", "decisions", "written"} <= set(commits)
    assert commits == {kind: len(workspace.manifest.keys(kind)) for kind in commits}
    assert seen["ray_curation_retries_total"] == {"unit": 1}
    assert seen["ray_curation_queue"] == {run: 0}
    assert seen["ray_curation_unit_seconds_count"]["decide"] == commits["decisions"]
    assert set(seen["ray_curation_busy_seconds_total"]) == set(seen["ray_curation_unit_seconds_count"])
    assert not {"ray_curation_failures_total", "ray_curation_lost_races_total"} & set(seen)
