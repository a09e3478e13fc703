"""Sweeping what no commit names, and saying what takes how much space."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from curation.manifest.parts import Manifest, part_name
from curation.store import TEMPORARY, Store
from pipelines.running.attempts import GRACE_SECONDS, HEARTBEATS, running
from pipelines.running.latest import mend_latest
from schemas.manifest import PARTS

COMPACTED = "manifest/compacted"
NAMED = {
    "scores": ("data",),
    "entrants": ("data", "buckets"),
    "pairs": ("data",),
    "groups": ("members", "links", "choice"),
    "decisions": ("data",),
    "written": ("data",),
}


@dataclass
class Usage:
    """Bytes by folder, and what was swept (or would be)."""

    bytes: Counter[str] = field(default_factory=Counter)
    files: Counter[str] = field(default_factory=Counter)
    swept_files: int = 0
    swept_bytes: int = 0
    forgotten: list[str] = field(default_factory=list)
    """Runs whose dataset somebody removed: forgotten, so that they can be run again."""
    damaged: list[str] = field(default_factory=list)
    """Records that cannot be read, set aside: what they recorded is done again by the next run."""


def sweep(store: Store, dry_run: bool = False) -> Usage:
    """Remove temporary files, files of attempts that lost, and candidate lists of groups that are resolved.

    Nothing of an attempt that is running goes: one on this machine by its process, one elsewhere by its heartbeat.
    """
    usage = Usage()
    manifest = Manifest(store)
    began = time.time()
    alive = set(running(manifest))  # before `named`: what an attempt that ends meanwhile has committed is then in there
    named = _named(store, manifest)
    for kind, key in manifest.damaged:
        usage.damaged.append(store.uri(part_name(kind, key)))
        if not dry_run:
            manifest.set_aside(kind, key)
    lost: set[str] = set()
    for row in manifest.read("datasets").to_pylist():
        if not store.exists(row["path"]):
            usage.forgotten.append(row["run"])
            if not dry_run:
                _forget(manifest, store, row["run"])
                lost.add(row["name"])
    mend_latest(store, lost)
    for name, entry in list(store.walk()):
        top = name.split("/", 1)[0]
        if _is_leftover(name, named) and not _is_fresh(name, began - entry.mtime, alive):
            usage.swept_files += 1
            usage.swept_bytes += entry.size
            if not dry_run:
                store.remove(name)
        else:
            usage.bytes[top] += entry.size
            usage.files[top] += 1
    if not dry_run and not alive:  # one that is running may have made a folder to write into
        store.tidy()
    return usage


def _named(store: Store, manifest: Manifest) -> set[str]:
    named = set()
    resolved = set(manifest.read("groups").column("group").to_pylist())
    published = set(manifest.read("datasets").column("run").to_pylist())
    for kind, columns in NAMED.items():
        for row in manifest.read(kind).to_pylist():
            # entrants and pairs served their group, staged files their dataset: their records stay, their data may go
            if (kind == "pairs" and row["group"] in resolved) or (kind == "written" and row["run"] in published):
                continue
            if kind == "entrants" and row["run"] in published:
                continue
            named |= {row[column] for column in columns if row[column]}
    for row in manifest.read("weak_units").to_pylist():
        named |= {row["data"], *row["files"]}
    named |= set(manifest.read("weak_splits").column("data").to_pylist())
    for kind in PARTS:  # a reader may still be at the one before the newest
        named |= {f"{COMPACTED}/{kind}/{name}" for name in store.names(f"{COMPACTED}/{kind}")[-2:]}
    return named


def _is_leftover(name: str, named: set[str]) -> bool:
    parts = name.split("/")
    if parts[0] == HEARTBEATS or any(part.startswith(TEMPORARY) for part in parts):
        return True
    if parts[0] in ("scores", "decisions", "groups", "weak_to_strong") or name.startswith(f"{COMPACTED}/"):
        return name not in named
    return parts[0] == "datasets" and parts[1:] != [] and parts[1].startswith(".staging-") and name not in named


def _is_fresh(name: str, age: float, alive: set[str]) -> bool:
    if any(attempt in name for attempt in alive):
        return True
    if name.startswith(f"{HEARTBEATS}/") and TEMPORARY not in name:
        return age < GRACE_SECONDS  # it says that its attempt died, for as long as one without would count as running
    # a temporary commit record carries no attempt, and an attempt may have begun since: both are spared for a minute
    return age < 60


def _forget(manifest: Manifest, store: Store, run: str) -> None:
    for kind in ("written", "datasets"):
        for key in manifest.keys(kind):
            if key == run or key.startswith(f"{run}-"):
                store.remove(f"manifest/parts/{kind}/{key}.parquet")
