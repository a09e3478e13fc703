"""Who may learn from a row, and who is measured on it: splits and folds of whole near-duplicate clusters.

A cluster's place is drawn by a hash of its rows' keys and the seed, so it depends neither on the order of rows nor on
other clusters. A cluster that gains a row may hash elsewhere, and two clusters may turn out to be one: so splits, once
drawn, are frozen, and `settle` keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.text.hashing import mixed

UNSEEN, QUARANTINED = -1, -2
HASH = "splitmix64-min"
"""How a cluster's place is drawn: the least splitmix64 of a row's key and the seed."""

Clusters = NDArray[np.int64]
Keys = NDArray[np.uint64]


@dataclass(frozen=True)
class Protocol:
    """What the rows are split into, in order, and about how much of them each gets."""

    shares: tuple[tuple[str, float], ...]
    """Such as (("weak", 0.3), ("transfer", 0.4), ("calibration", 0.1), ("test", 0.2)); above 0, sum 1."""
    seed: int = 0

    def __post_init__(self) -> None:
        names = [name for name, _ in self.shares]
        if not names or len(set(names)) < len(names) or not all(share > 0 for _, share in self.shares):
            raise ValueError(f"splits have names of their own and shares above 0, not {self.shares}")
        if abs(sum(share for _, share in self.shares) - 1) > 1e-9:
            raise ValueError(f"the shares of the splits are 1 together, not {sum(share for _, share in self.shares)}")

    def freeze(self) -> dict[str, Any]:
        """As plain data, for JSON; order in lists, since keys may be sorted."""
        return {"hash": HASH, "seed": self.seed, "splits": [[name, share] for name, share in self.shares]}

    @classmethod
    def thaw(cls, facts: Mapping[str, Any]) -> Protocol:
        """What `freeze` gave. Raises ValueError where splits were drawn in another way."""
        if facts["hash"] != HASH:
            raise ValueError(f"splits were drawn by {facts['hash']!r}, and are drawn by {HASH!r} here")
        return cls(tuple((str(name), float(share)) for name, share in facts["splits"]), int(facts["seed"]))

    def split(self, clusters: Clusters, keys: Keys) -> NDArray[np.int8]:
        """Place in `shares` of each row, int8 [n]. `clusters` int64 [n], `keys` uint64 [n], such as hashes of texts."""
        drawn = _drawn(clusters, keys, self.seed)
        ends = list(accumulate(share for _, share in self.shares))[:-1]
        bounds = np.array([int(end * 2.0**53) << 11 for end in ends], dtype=np.uint64)
        return np.searchsorted(bounds, drawn, side="right").astype(np.int8)


@dataclass(frozen=True)
class Settled:
    """Where rows are after clusters changed."""

    split: NDArray[np.int8]
    """Of each row, QUARANTINED where its cluster spans several."""
    straddling: Clusters
    """Those clusters, ascending: to be reported."""


def settle(protocol: Protocol, clusters: Clusters, keys: Keys, frozen: NDArray[np.int8]) -> Settled:
    """Splits of rows of which some have one already, `frozen` int8 [n], UNSEEN for the others.

    A row that has one keeps it; a new one joins those that its cluster is in, and is drawn with its cluster if that is
    new. A cluster that now spans several splits is a leak: all its rows are quarantined, and stay so, and so is what
    joins them.
    """
    straddling = straddles(clusters, frozen)
    names, cluster_index = np.unique(clusters, return_inverse=True)
    inherited = np.full(len(names), UNSEEN, np.int8)
    np.maximum.at(inherited, cluster_index, frozen)
    split = np.where(inherited[cluster_index] == UNSEEN, protocol.split(clusters, keys), inherited[cluster_index])
    split[np.isin(clusters, np.append(straddling, clusters[frozen == QUARANTINED]))] = QUARANTINED
    return Settled(split.astype(np.int8), straddling)


def straddles(clusters: Clusters, split: NDArray[np.int8]) -> Clusters:
    """Clusters with rows in more than one split, ascending; rows without one do not count."""
    names, cluster_index = np.unique(clusters[split >= 0], return_inverse=True)
    least, most = np.full(len(names), 127, np.int8), np.full(len(names), -1, np.int8)
    np.minimum.at(least, cluster_index, split[split >= 0])
    np.maximum.at(most, cluster_index, split[split >= 0])
    return np.asarray(names[least < most])


def folds(clusters: Clusters, keys: Keys, count: int, seed: int = 0) -> NDArray[np.int64]:
    """Fold of each row, 0 … count - 1, int64 [n]: a supervisor that learnt from the others labels it.

    Independent of the splits of the same seed.
    """
    drawn = mixed(_drawn(clusters, keys, seed))
    return np.asarray((drawn >> np.uint64(32)).astype(np.int64) * count >> 32)


def keyed(keys: Keys, seed: int) -> Keys:
    """A number uint64 for each key and seed, as if drawn at random: splitmix64 (Steele et al. 2014)."""
    step = np.uint64(0x9E3779B97F4A7C15 * (seed + 1) % 2**64)
    return np.asarray(mixed(keys.astype(np.uint64) + step))


def _drawn(clusters: Clusters, keys: Keys, seed: int) -> Keys:
    """A number uint64 for each row, one for all rows of a cluster."""
    row_hashes = keyed(keys, seed)
    names, cluster_index = np.unique(clusters, return_inverse=True)
    least = np.full(len(names), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(least, cluster_index, row_hashes)
    # The least of many hashes is small: mixed again, it is uniform whatever the size of the cluster.
    return np.asarray(mixed(least)[cluster_index])
