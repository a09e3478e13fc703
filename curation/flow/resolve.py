"""Decide a dataset-wide stage, once."""

from __future__ import annotations

import time
from typing import Any

from curation import failpoints
from curation.dedup.base import Dedup
from curation.flow.commit import once
from curation.flow.objects import stage_object
from curation.flow.select import choose, rank
from curation.flow.units import ResolveWork
from curation.selection.base import Choosing, Ranking


def resolve_group(task: ResolveWork) -> dict[str, Any]:
    """Commit the stage's `groups` record and return it."""
    failpoints.hit("in-group")
    return once(task.work, "groups", task.group, lambda: _resolved(task))


def _resolved(task: ResolveWork) -> tuple[dict[str, Any], list[str]]:
    began = time.monotonic()
    chosen = stage_object(task.stage)
    record: dict[str, Any] = {
        "group": task.group,
        "kind": task.stage.kind,
        "entrants": sum(item["rows"] for item in task.entrants),
    }
    folder, mark = f"groups/{task.group}", task.work.mark()
    if isinstance(chosen, Dedup):
        from curation.flow.duplicates import resolve_duplicates  # compiled code, so only where there is a dedup

        record |= resolve_duplicates(task, chosen, folder, mark)
    elif isinstance(chosen, Ranking):
        record |= rank(task, chosen, record["entrants"])
    else:
        assert isinstance(chosen, Choosing)
        record |= choose(task, chosen, folder, mark)
    record |= {"seconds": time.monotonic() - began}
    return record, [record[name] for name in ("members", "links", "choice") if name in record]
