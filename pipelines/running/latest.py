"""`datasets/NAME/latest`, which leads to the dataset that was last published, or asked for again when it was there."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from curation.manifest.parts import Manifest
from curation.manifest.runs import LATEST
from curation.store import Store


def point_latest(store: Store, name: str, run: str) -> None:
    """Make the link of a dataset's name lead to one of its runs. In a workspace that may only be read it stays."""
    link = f"datasets/{name}/{LATEST}"
    with suppress(OSError):  # it is a convenience: what it leads to is published and recorded
        if store.pointed(link) != run:
            store.point(link, run)


def mend_latest(store: Store, names: Iterable[str]) -> None:
    """After datasets of these names went: links lead to the newest that is left, and none to nothing."""
    manifest = Manifest(store)
    for name in sorted(set(names)):
        link = f"datasets/{name}/{LATEST}"
        led = store.pointed(link)
        if led is None or store.exists(f"datasets/{name}/{led}"):
            continue
        rows = manifest.where("datasets", name=name).sort_by([("created_at", "descending")]).to_pylist()
        left = next((row["run"] for row in rows if store.exists(row["path"])), None)
        if left is None:
            store.remove(link)
        else:
            point_latest(store, name, left)
