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
    """The record `key` of a unit, of one row: as `once_all`."""

    def make_rows() -> tuple[list[dict[str, Any]], list[str]]:
        record, files = make()
        return [record], files

    return once_all(work, kind, key, make_rows, stands)[0]


def once_all(
    work: Work,
    kind: str,
    key: str,
    make: Callable[[], tuple[list[dict[str, Any]], list[str]]],
    stands: Callable[[], bool] = lambda: True,
) -> list[dict[str, Any]]:
    """The rows of the record `key` of a unit: an earlier one's if it `stands`, else of what `make` makes now.

    `make` writes the unit's files and returns the rows, without who made them and when, and the files' names. Where
    somebody was first, their record counts, and our files go.
    """
    manifest = work.manifest
    earlier = _rows(manifest, kind, key)
    if earlier is not None and stands():
        return earlier
    rows, files = make()
    failpoints.hit("after-data")
    rows = [row | {"attempt": work.attempt, "created_at": now()} for row in rows]
    if manifest.commit(kind, key, rows):
        return rows
    for name in files:
        work.store.remove(name)
    earlier = _rows(manifest, kind, key)
    assert earlier is not None
    return earlier


def _rows(manifest: Manifest, kind: str, key: str) -> list[dict[str, Any]] | None:
    table = manifest.get(kind, key)
    return None if table is None else table.to_pylist()
