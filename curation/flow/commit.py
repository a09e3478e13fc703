"""A unit of work that commits once, or never: look for its record, make its files, record them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from curation import failpoints
from curation.flow.units import Work
from curation.manifest.parts import Manifest, now


def once(
    work: Work,
    kind: str,
    key: str,
    make: Callable[[], tuple[dict[str, Any], list[str]]],
    stands: Callable[[], bool] = lambda: True,
) -> dict[str, Any]:
    """The record `key` of a unit: an earlier one if it `stands`, else that of what `make` makes now.

    `make` writes the unit's files and returns its record, without who made it and when, and the files' names. Where
    somebody was first, their record counts, and our files go.
    """
    manifest = work.manifest
    earlier = _record(manifest, kind, key)
    if earlier is not None and stands():
        return earlier
    record, files = make()
    failpoints.hit("after-data")
    record |= {"attempt": work.attempt, "created_at": now()}
    if manifest.commit(kind, key, [record]):
        return record
    for name in files:
        work.store.remove(name)
    earlier = _record(manifest, kind, key)
    assert earlier is not None
    return earlier


def _record(manifest: Manifest, kind: str, key: str) -> dict[str, Any] | None:
    table = manifest.get(kind, key)
    return None if table is None else table.to_pylist()[0]
