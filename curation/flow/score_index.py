"""What is stored about the shards of a plan, looked up shard by shard: there may be a million of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.flow.stored import Parts
from curation.flow.units import ShardWork, Work
from curation.manifest.parts import Manifest
from curation.plan import Plan
from curation.sources import AnyShard, Shard
from curation.sources.bundles import rebundled

FILE_SHIFT = 33
"""Rows of all files on one line: a file's row is below 2^32, and the end of its last at most that."""

AT_ONCE = 512
"""Shards that are looked up together."""


class ScoreIndex:
    """By shard and step fingerprint: score parts that may hold rows of it, in the order of their commits' names."""

    def __init__(self, manifest: Manifest, plan: Plan) -> None:
        table = manifest.read("scores")
        steps = pa.array(sorted({step.fingerprint for step in plan.steps()}), pa.string())
        files = list(dict.fromkeys(shard.fingerprint for shard in plan.shards))
        file = pc.index_in(table.column("file_fingerprint"), pa.array(files, pa.string()))
        table = table.append_column("file", file).select(["file", "fingerprint", "row_start", "row_end", "data"])
        table = table.filter(pc.and_(pc.is_in(table.column("fingerprint"), steps), file.is_valid()))
        base = table.column("file").to_numpy().astype(np.int64) << FILE_SHIFT
        start, end = (base + table.column(name).to_numpy() for name in ("row_start", "row_end"))
        self.shards = plan.shards
        self.files = {fingerprint: number for number, fingerprint in enumerate(files)}
        self.order = np.argsort(start, kind="stable")
        self.start, self.end = start[self.order], end[self.order]
        self.reach = np.maximum.accumulate(self.end)
        self.names = [
            table.column(name).cast(pa.large_string()).combine_chunks() for name in ("fingerprint", "data")
        ]  # large, since the names of millions of parts are more than 2 GB

    def __getitem__(self, index: int) -> dict[str, list[str]]:
        """Of the plan's shard `index`."""
        return self.of([self.shards[index]])[0]

    def of(self, shards: list[Shard]) -> list[dict[str, list[str]]]:
        """Of each of some shards: of many at once much sooner than one after another."""
        base = np.array([self.files[shard.fingerprint] for shard in shards], dtype=np.int64) << FILE_SHIFT
        begin = base + np.array([shard.row_start for shard in shards])
        first = np.searchsorted(self.reach, begin, side="right")
        last = np.searchsorted(self.start, base + np.array([shard.row_end for shard in shards]))
        parts = [
            np.sort(self.order[low:high][self.end[low:high] > row])
            for low, high, row in zip(first, last, begin, strict=True)
        ]
        every = pa.array(np.concatenate(parts))
        pairs = zip(*(column.take(every).to_pylist() for column in self.names), strict=True)
        by_shard = []
        for chunk in parts:
            names: defaultdict[str, list[str]] = defaultdict(list)
            for fingerprint, data in islice(pairs, len(chunk)):
                names[fingerprint].append(data)
            by_shard.append(dict(names))
        return by_shard


def recorded_bundles(manifest: Manifest, plan: Plan) -> Iterator[AnyShard]:
    """A plan's good shards in bundles: as its run recorded them, and before that as the plan has them.

    Where that record is lost, the run's others tell: they are of the plan's bundles, or each of one shard, as runs were
    made before there were bundles.
    """
    recorded = manifest.get("shards", plan.run)
    if recorded is None:
        return iter(plan.bundles if _in_bundles(manifest, plan) else plan.good_shards)
    columns = zip(*(recorded.column(name).to_pylist() for name in ("shard", "bundle")), strict=True)
    return rebundled(plan.good_shards, {shard: first for shard, first in columns if first is not None})


def _in_bundles(manifest: Manifest, plan: Plan) -> bool:
    """Whether all that is recorded of a run under the names of its shards is of the plan's bundles."""
    kinds = [kind for kind in ("entrants", "decisions") if any(key.startswith(plan.run) for key in manifest.keys(kind))]
    bundle_of = {bundle.index: bundle for bundle in plan.bundles} if kinds else {}
    if "entrants" in kinds:
        for row in manifest.where("entrants", run=plan.run).select(["shard", "key"]).to_pylist():
            if row["shard"] not in bundle_of or bundle_of[row["shard"]].key != row["key"]:
                return False
    if "decisions" in kinds:
        decided: defaultdict[str, list[int]] = defaultdict(list)
        for row in manifest.where("decisions", run=plan.run).select(["data", "shard"]).to_pylist():
            decided[row["data"]].append(row["shard"])
        for shards in decided.values():
            bundle = bundle_of.get(min(shards))
            if bundle is None or [member.index for member in bundle.members] != sorted(shards):
                return False
    return True


@dataclass(frozen=True)
class Shards:
    """Some of a plan's shards, from which units are made one at a time, as they are wanted."""

    work: Work
    plan: Plan
    stored: ScoreIndex
    shards: list[AnyShard]
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def recorded(cls, manifest: Manifest, plan: Plan, groups: dict[str, dict[str, Any]] | None = None) -> Shards:
        """All good ones of a plan, for those who only look."""
        work = Work.of(plan, manifest.store)
        shards = list(recorded_bundles(manifest, plan))
        return cls(work, plan, ScoreIndex(manifest, plan), shards, groups or {})

    def of(self, shards: Iterable[AnyShard]) -> Iterator[ShardWork]:
        """Each of some shards with what is stored about it."""
        rest = iter(shards)
        while chunk := list(islice(rest, AT_ONCE)):
            by_member = iter(self.stored.of([member for shard in chunk for member in shard.members]))
            for shard in chunk:
                scores: dict[str, Parts] = {}
                for number, stored in enumerate(islice(by_member, len(shard.members))):
                    for fingerprint, names in stored.items():
                        parts = scores.setdefault(fingerprint, {})
                        for name in dict.fromkeys(names):  # two copies of a file find the same parts
                            parts[name] = (*parts.get(name, ()), number)
                yield ShardWork(self.work, shard, scores, self.groups, self.plan.sampled(shard))

    def __len__(self) -> int:
        return len(self.shards)

    def __iter__(self) -> Iterator[ShardWork]:
        return self.of(self.shards)

    def __getitem__(self, number: int) -> ShardWork:
        return next(self.of([self.shards[number]]))
