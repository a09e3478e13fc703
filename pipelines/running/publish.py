"""From decisions to a dataset: which shards share a file, and the files at the dataset's name, all at once."""

from __future__ import annotations

from functools import partial
from typing import Any

from curation import failpoints
from curation.flow.units import database
from curation.manifest.parts import Manifest, later
from curation.plan import Plan
from curation.report.card import dataset_card
from curation.sources import AnyShard
from curation.store.dataset import file_name
from curation.store.scan import scan
from pipelines.running.latest import point_latest


def output_files(decided: list[tuple[AnyShard, dict[str, Any]]], file_bytes: int) -> list[list[tuple[AnyShard, str]]]:
    """Shards and their decisions by output file: neighbours share one up to `file_bytes` of kept text."""
    files: list[list[tuple[AnyShard, str]]] = []
    size = 0
    for shard, record in decided:
        if not record["kept"]:
            continue
        if not files or size + record["kept_bytes"] > file_bytes:
            files.append([])
            size = 0
        files[-1].append((shard, record["data"]))
        size += record["kept_bytes"]
    return files or [[]]  # a dataset without documents is one empty file with the right columns


def publish(plan: Plan, manifest: Manifest, written: list[dict[str, Any]], attempt: str) -> tuple[Any, int]:
    """Put the finished files, the card and nothing else at the dataset's name, all at once.

    Returns its path or URL, and how many documents carry an id that an earlier one has."""
    name = f"datasets/{plan.name}/{plan.run}"
    failpoints.hit("before-publish")
    duplicates = _duplicate_ids(plan, manifest, attempt)
    files = {file_name(record["part"], len(written)): record["data"] for record in written}
    card = partial(dataset_card, plan, manifest, written, duplicates)
    manifest.store.publish(name, files, card, attempt)
    manifest.commit(
        "datasets",
        plan.run,
        [
            {
                "run": plan.run,
                "name": plan.name,
                "path": name,
                "files": len(written),
                "rows": sum(record["rows"] for record in written),
                "bytes": sum(record["bytes"] for record in written),
                "duplicate_ids": duplicates,
                "skipped_shards": sum(shard.error is not None for shard in plan.shards),
                "created_at": later(manifest.read("datasets")),
            }
        ],
    )
    for record in written:
        manifest.store.remove(record["data"])
    point_latest(manifest.store, plan.name, plan.run)
    return manifest.store.location(name), duplicates


def _duplicate_ids(plan: Plan, manifest: Manifest, attempt: str) -> int:
    """How many documents carry an id that an earlier one has; 0 where no id is mapped."""
    if "id" not in plan.columns.mapping:
        return 0
    names = manifest.where("decisions", run=plan.run).column("data").unique().to_pylist()
    paths = [manifest.store.checked(name) for name in names]
    if not paths:
        return 0
    with database(manifest.store, "groups", attempt) as connection:
        row = connection.execute(f"SELECT count(id) - count(DISTINCT id) FROM {scan(paths)}").fetchone()
    return int(row[0]) if row else 0
