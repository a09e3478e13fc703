"""Decide a dataset-wide stage, once."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from curation import failpoints
from curation.flow.commit import once
from curation.flow.dataset_wide import family_of
from curation.flow.units import ResolveWork
from curation.text import seconds_compiling


def resolve_group(task: ResolveWork) -> dict[str, Any]:
    """Commit the stage's `groups` record and return it."""
    failpoints.hit("in-group")
    return once(task.work, "groups", task.group, partial(_resolved, task))


def _resolved(task: ResolveWork) -> tuple[dict[str, Any], list[str]]:
    began, compiled = time.monotonic(), seconds_compiling()
    record = {
        "group": task.group,
        "kind": task.stage.kind,
        "entrants": sum(item["rows"] for item in task.entrants),
        **family_of(task.stage).resolve(task, task.work.mark()),
    }
    record["seconds"] = max(0.0, time.monotonic() - began - (seconds_compiling() - compiled))
    return record, [record[name] for name in ("members", "links", "choice") if name in record]
