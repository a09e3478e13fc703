"""Decide a dataset-wide stage, once."""

from __future__ import annotations

import time
from typing import Any

from curation import failpoints
from curation.dedup.base import Dedup
from curation.flow.objects import stage_object
from curation.flow.select import choose, rank
from curation.flow.units import ResolveWork
from curation.manifest.parts import now
from curation.selection.base import Choosing, Ranking


def resolve_group(task: ResolveWork) -> dict[str, Any]:
    """Commit the stage's `groups` record and return it."""
    failpoints.hit("in-group")
    began = time.monotonic()
    work = task.work
    earlier = work.earlier("groups", task.group)
    if earlier is not None:
        return earlier
    chosen = stage_object(task.stage)
    record: dict[str, Any] = {
        "group": task.group,
        "attempt": work.attempt,
        "kind": task.stage.kind,
        "entrants": sum(item["rows"] for item in task.entrants),
    }
    folder, mark = f"groups/{task.group}", work.mark()
    if isinstance(chosen, Dedup):
        from curation.flow.duplicates import resolve_duplicates  # compiled code, so only where there is a dedup

        record |= resolve_duplicates(task, chosen, folder, mark)
    elif isinstance(chosen, Ranking):
        record |= rank(task, chosen, record["entrants"])
    else:
        assert isinstance(chosen, Choosing)
        record |= choose(task, chosen, folder, mark)
    failpoints.hit("after-data")
    record |= {"seconds": time.monotonic() - began, "created_at": now()}
    files = [record[name] for name in ("members", "links", "choice") if name in record]
    return work.settle("groups", task.group, record, files)
