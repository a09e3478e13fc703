"""From a path or URL to the storage behind it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from curation.store.base import Store
from curation.store.local import LocalStore
from curation.store.objects import ObjectStore
from curation.store.remote import is_url, scratch


def open_store(root: str | Path) -> Store:
    """Nothing is made or asked there yet. Raises CurationError C030 where no workspace can be."""
    return ObjectStore(root) if is_url(root) else LocalStore(root)


@lru_cache(maxsize=64)
def local_copy(folder: str) -> Path:
    """A folder of few, small files (a fitted head) on the local disk; from a store it is fetched once a process."""
    if not is_url(folder):
        return Path(folder)
    parent, _, name = folder.rpartition("/")
    store = open_store(folder)
    copy = scratch(parent) / name
    copy.mkdir(parents=True, exist_ok=True)
    for file in store.names(""):
        (copy / file).write_bytes(store.read(file))
    return copy
