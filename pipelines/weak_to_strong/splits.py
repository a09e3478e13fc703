"""Who may learn from a row, and who is measured on it: one split of all rows for each seed, frozen once it is drawn."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.duplicates.groups import clusters as near_duplicates
from curation.manifest.parts import now
from curation.plan import fingerprint
from curation.weak_to_strong.crossfit import QUARANTINED, UNSEEN, Protocol, folds, keyed, settle
from curation.weak_to_strong.label_model import ABSTAIN
from pipelines.running.events import Notice
from pipelines.weak_to_strong.data import Data
from pipelines.weak_to_strong.phases import Run
from pipelines.weak_to_strong.plan import VERSION
from pipelines.weak_to_strong.units import Unit, UnitOutput, hashed
from schemas.weak_to_strong import SPLITS

BLANK = -3
"""In a split: a row without text, which is set aside."""
VALIDATION = 10
"""One part in so many of the `transfer` split, by clusters, is not learned from: students choose their epoch and their
penalty by its weak labels."""
Mask = NDArray[np.bool_]
RowNumbers = NDArray[np.int64]


@dataclass(frozen=True)
class Splits:
    """What each row is for, by seed."""

    data: Data
    clusters: NDArray[np.int64]
    """Cluster of near-duplicates of each row: none is in two splits."""
    by_seed: tuple[NDArray[np.int8], ...]
    """Of each row its index in `SPLITS`, or QUARANTINED, or BLANK."""

    def identity(self, seed: int) -> str:
        return fingerprint([hashed(self.by_seed[seed]), hashed(self.data.keys)])

    def rows(self, split: str, seed: int) -> Mask:
        return np.asarray(self.by_seed[seed] == SPLITS.index(split))

    def with_gold(self, split: str, seed: int) -> Mask:
        """Rows of a split whose class is known."""
        return np.asarray(self.rows(split, seed) & (self.data.gold != ABSTAIN))

    def validation(self, seed: int) -> Mask:
        """Rows of the transfer split that nothing learns from, whole clusters of them."""
        rows = np.flatnonzero(self.rows("transfer", seed))
        mask = np.zeros(len(self.data), bool)
        mask[rows[folds(self.clusters[rows], self.data.keys[rows], VALIDATION, seed) == 0]] = True
        return mask

    def evaluation(self, seed: int) -> RowNumbers:
        """Rows that students answer: the test rows with gold, or without any the weak validation rows."""
        tested = np.flatnonzero(self.with_gold("test", seed))
        return tested if len(tested) else np.flatnonzero(self.validation(seed))

    def sample(self, rows: Mask, seed: int, most: int | None) -> RowNumbers:
        """Row numbers, ascending, of at most so many rows, chosen by hash."""
        chosen = np.flatnonzero(rows)
        if most is None or len(chosen) <= most:
            return chosen
        drawn = keyed(self.data.keys[chosen], 7919 + seed)
        return np.sort(chosen[np.lexsort((chosen, drawn))[:most]])


def draw_splits(run: Run) -> Splits:
    """Splits of all seeds, as this or an earlier run over some of the rows drew them."""
    data, units = run.data, run.units
    key = fingerprint(["clusters", VERSION, hashed(data.keys)])
    clustering = Unit(
        "clusters", "", key, lambda: UnitOutput(units.put_tensors({"clusters": near_duplicates(data.rows.text)})), units
    )
    [record] = run.phases.perform("near-duplicates", [clustering])
    assert record is not None
    clusters = units.tensors(record)["clusters"]
    return Splits(data, clusters, tuple(_split(run, clusters, seed) for seed in run.seeds))


def _split(run: Run, clusters: NDArray[np.int64], seed: int) -> NDArray[np.int8]:
    loaded, units = run.loaded, run.units
    shares = Protocol(tuple(loaded.spec.splits.shares.items()), seed)
    named = [loaded.spec.name, loaded.spec.task.text, sorted(loaded.mapping.items()), shares.freeze()]
    protocol = fingerprint(named)[:16]
    while True:
        records = units.manifest.where("weak_splits", protocol=protocol).sort_by("generation").to_pylist()
        drawn = next((row for row in records if row["run"] == units.run), None)
        if drawn is not None:
            return np.asarray(units.tensors(drawn)["split"])
        split, counts = _drawn(run, clusters, shares, records[-1] if records else None)
        stored = units.put_tensors({"keys": run.data.keys, "split": split})
        generation = 1 + max((row["generation"] for row in records), default=-1)
        row = {
            "protocol": protocol,
            "generation": generation,
            "run": units.run,
            "seed": seed,
            "drawn": json.dumps(shares.freeze()),
            "data": stored.name,
            "content": stored.content,
            "rows": len(split),
            "created_at": now(),
            **counts,
        }
        units.manifest.commit("weak_splits", f"{protocol}-{generation:06d}", [row])


def _drawn(
    run: Run, clusters: NDArray[np.int64], shares: Protocol, before: dict[str, Any] | None
) -> tuple[NDArray[np.int8], dict[str, int]]:
    """A split that keeps an earlier one (`curation.weak_to_strong.crossfit.settle`), and what had to be set aside."""
    data = run.data
    frozen = np.full(len(data), UNSEEN, np.int8)
    if before is not None:
        past = run.units.tensors(before)
        order = np.argsort(past["keys"], kind="stable")
        nearest = np.minimum(np.searchsorted(past["keys"][order], data.keys), len(order) - 1)
        same = past["keys"][order][nearest] == data.keys
        frozen = np.where(same, past["split"][order][nearest], UNSEEN).astype(np.int8)
        frozen[frozen == BLANK] = UNSEEN
    settled = settle(shares, clusters, data.keys, frozen)
    split = settled.split.copy()
    _, cluster = np.unique(clusters, return_inverse=True)
    with_gold = np.bincount(cluster, data.gold != ABSTAIN) > 0
    settled_before = np.bincount(cluster, frozen != UNSEEN) > 0
    split[~with_gold[cluster] & ~settled_before[cluster]] = SPLITS.index("transfer")
    split[data.blank] = BLANK
    quarantined = int((split == QUARANTINED).sum())
    if len(settled.straddling):
        spanning = f"{len(settled.straddling):,} clusters of near-duplicates came to span splits"
        run.phases.report(Notice(f"warning: {spanning}; {quarantined:,} rows are quarantined"))
    return split, {"quarantined": quarantined, "straddling": len(settled.straddling)}
