"""Which members of a cluster of duplicates stay, and for which of those each of the others is dropped.

Members are walked from the best to the worst (`curation.dedup.survivor`). One is dropped only where it is itself near
to one that stays; else it stays too. What is dropped thus always has a twin in the dataset, and no chain of likenesses
ever joins strangers. This is the lexicographically first maximal independent set of the graph of near pairs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.duplicates.grams import contained
from curation.text.compiling import njit

HEADS = 16
"""Of each cluster, the best members that stay: each other one that stays is compared with all of them."""

Nodes = NDArray[np.int64]
Values = NDArray[np.float64]


class Walk:
    """The walk over one graph, which may be taken again when more pairs are known.

    `rank` int64[n], a permutation of 0..n-1: 0 is the best node. `offsets` int64[n + 1] and `grams` uint64, the sorted
    word 3-grams of each node, are read where `contains` > 0: a node is dropped for another only where at least that
    share of its own stands in the other.
    """

    def __init__(
        self, rank: Nodes, contains: float = 0.0, offsets: Nodes | None = None, grams: NDArray[np.uint64] | None = None
    ) -> None:
        self.rank = np.ascontiguousarray(rank, np.int64)
        self.order = np.empty_like(self.rank)
        self.order[self.rank] = np.arange(len(rank))
        self.contains = contains
        self.offsets = np.zeros(len(rank) + 1, np.int64) if offsets is None else offsets
        self.grams = _nothing() if grams is None else grams

    def take(self, worse: Nodes, better: Nodes, similarity: Values, containment: Values) -> tuple[Nodes, Nodes]:
        """Walk the graph of near pairs, from `oriented`; nodes in 0..n-1, each pair once.

        Returns `twin` int64[n], the node for which each is dropped, which is the node itself exactly for those that
        stay; and `edge` int64[n], the pair that says so, or -1. Of the nodes that stay and are near to it, a node is
        dropped for the most similar one, on ties the best. `containment` float64, a value for each pair, is NaN where
        it is not known and filled in where it was asked. The order of the pairs decides nothing.
        """
        start, pairs = _by_worse(self.rank, worse)
        texts = self.offsets, self.grams, self.contains
        return _walk(  # type: ignore[no-any-return]
            start, pairs, better, similarity, containment, self.rank, self.order, *texts
        )

    def more(self, worse: Nodes, better: Nodes, twin: Nodes, label: Nodes, whole: int = 0) -> tuple[Nodes, Nodes]:
        """Pairs of nodes that stay and may be near, though nobody compared them: candidates are not all pairs.

        A node that stays is compared with the twin of each neighbour that was dropped; and where its cluster (`label`
        int64[n], as from `components`) has more than `whole` members, with the HEADS best of those that stay in it. So
        there is at most one for each pair, and HEADS for each node. Oriented, distinct, sorted; those of the given
        pairs are not left out.
        """
        first, second = _twins_of_neighbours(worse, better, twin)
        one, other = _heads(self.order, label, twin, _crowded(label, twin, whole), HEADS)
        first, second = oriented(self.rank, np.concatenate([first, one]), np.concatenate([second, other]))
        keys = np.sort(joined(first, second))
        return split(keys[np.concatenate([np.ones(min(keys.size, 1), np.bool_), keys[1:] != keys[:-1]])])


def oriented(rank: Nodes, a: Nodes, b: Nodes) -> tuple[Nodes, Nodes]:
    """The ends of each pair, the worse first: only that one can be dropped for the other."""
    swap = rank[a] < rank[b]
    return np.where(swap, b, a), np.where(swap, a, b)


def _nothing() -> NDArray[np.uint64]:
    grams = np.zeros(0, np.uint64)
    grams.flags.writeable = False  # as those of texts are: kernels are compiled anew for writable arrays
    return grams


def joined(first: Nodes, second: Nodes) -> Nodes:
    """A pair of nodes below 2^31 as one number."""
    return first << 32 | second


def split(keys: Nodes) -> tuple[Nodes, Nodes]:
    return keys >> 32, keys & 0xFFFFFFFF


def best_of(label: Nodes, rank: Nodes) -> Nodes:
    """The best member of each node's cluster, int64[n]: `label` int64[n] as from `components`, `rank` as in `Walk`."""
    best = np.full(len(label), -1, np.int64)
    order = np.empty(len(rank), np.int64)
    order[rank] = np.arange(len(rank))
    back = order[::-1]
    best[label[back]] = back  # of several values for one place the last is kept, which is the best
    return best[label]


def links(a: Nodes, b: Nodes, similarity: Values, n: int) -> tuple[Nodes, Values]:
    """The most similar verified neighbour of each node: what explains why it is in a cluster at all.

    `a`, `b` int64[m], nodes in 0..n-1; `similarity` float64[m], of each pair; `n` the number of nodes.
    Returns (neighbour int64[n], similarity float64[n]); on ties the smallest neighbour; -1 and NaN where a node has
    none. The order of the pairs does not matter, loops are ignored. Raises ValueError for lengths that differ, a node
    outside 0..n-1 or a similarity that is NaN (it has no place in an order, so the answer would depend on it).
    """
    a = np.ascontiguousarray(a, dtype=np.int64)
    b = np.ascontiguousarray(b, dtype=np.int64)
    similarity = np.ascontiguousarray(similarity, dtype=np.float64)
    if not a.shape == b.shape == similarity.shape or a.ndim != 1:
        raise ValueError(f"pairs need three flat arrays of one length, got {a.shape}, {b.shape}, {similarity.shape}")
    if a.size and (min(a.min(), b.min()) < 0 or max(a.max(), b.max()) >= n):
        raise ValueError(f"a pair names a node outside 0..{n - 1}")
    if np.isnan(similarity).any():
        raise ValueError("a similarity is NaN")
    return _links(a, b, similarity, n)  # type: ignore[no-any-return]


@njit(cache=True, nogil=True)
def _by_worse(rank, worse):  # type: ignore[no-untyped-def]
    """Pairs sorted by the rank of their worse end: where each rank begins, int64[n + 1], and the pairs."""
    start = np.zeros(rank.size + 1, np.int64)
    for node in worse:
        start[rank[node] + 1] += 1
    for i in range(rank.size):
        start[i + 1] += start[i]
    cursor = start.copy()
    pairs = np.empty(worse.size, np.int64)
    for i in range(worse.size):
        place = rank[worse[i]]
        pairs[cursor[place]] = i
        cursor[place] += 1
    return start, pairs


@njit(cache=True, nogil=True)
def _walk(  # type: ignore[no-untyped-def]
    start, pairs, better, similarity, containment, rank, order, offsets, grams, contains
):
    twin = np.arange(rank.size)
    edge = np.full(rank.size, -1, np.int64)
    for place in range(rank.size):
        node = order[place]
        partners = pairs[start[place] : start[place + 1]]
        best = -1
        if contains <= 0.0:
            for i in partners:
                other = better[i]
                if twin[other] == other and (best < 0 or _nearer(i, best, better, similarity, rank)):
                    best = i
        elif partners.size:
            # The most similar first, since it is the likeliest to hold what this one says: mostly one comparison.
            for i in _nearest_first(partners, better, similarity, rank, twin):
                if np.isnan(containment[i]):
                    containment[i] = contained(offsets, grams, node, better[i])
                if containment[i] >= contains:
                    best = i
                    break
        if best >= 0:
            twin[node] = better[best]
            edge[node] = best
    return twin, edge


@njit(cache=True, nogil=True)
def _nearer(one, other, better, similarity, rank):  # type: ignore[no-untyped-def]
    if similarity[one] != similarity[other]:
        return similarity[one] > similarity[other]
    return rank[better[one]] < rank[better[other]]


@njit(cache=True, nogil=True)
def _nearest_first(partners, better, similarity, rank, twin):  # type: ignore[no-untyped-def]
    """Those pairs whose better end stays, by similarity, then by rank."""
    staying = np.empty(partners.size, np.int64)
    count = 0
    for i in partners:
        if twin[better[i]] == better[i]:
            staying[count] = i
            count += 1
    staying = staying[:count]
    if count > 1:
        staying = staying[np.argsort(rank[better[staying]])]
        staying = staying[np.argsort(-similarity[staying], kind="mergesort")]
    return staying


@njit(cache=True, nogil=True)
def _twins_of_neighbours(worse, better, twin):  # type: ignore[no-untyped-def]
    first = np.empty(worse.size, np.int64)
    second = np.empty(worse.size, np.int64)
    count = 0
    for i in range(worse.size):
        for one, other in ((worse[i], better[i]), (better[i], worse[i])):
            if twin[one] == one and twin[other] != other and twin[other] != one:
                first[count] = one
                second[count] = twin[other]
                count += 1
                break
    return first[:count], second[:count]


def _crowded(label: Nodes, twin: Nodes, whole: int) -> Nodes:
    """A number for each cluster of more than `whole` nodes of which more than one stays, at its label; -1 elsewhere."""
    staying = np.bincount(label[twin == np.arange(len(twin))], minlength=len(label))
    number = np.full(len(label), -1, np.int64)
    crowded = np.flatnonzero((staying > 1) & (np.bincount(label, minlength=len(label)) > whole))
    number[crowded] = np.arange(len(crowded))
    return number


@njit(cache=True, nogil=True)
def _heads(order, label, twin, number, most):  # type: ignore[no-untyped-def]
    heads = np.empty((number.max() + 1 if number.size else 0, most), np.int64)
    if not heads.shape[0]:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    held = np.zeros(heads.shape[0], np.int64)
    pairs = 0
    for _ in range(2):  # once to count, once to write
        first = np.empty(pairs, np.int64)
        second = np.empty(pairs, np.int64)
        writing = pairs > 0
        pairs = 0
        held[:] = 0
        for node in order:
            cluster = number[label[node]]
            if cluster < 0 or twin[node] != node:
                continue
            for i in range(held[cluster]):
                if writing:
                    first[pairs] = node
                    second[pairs] = heads[cluster, i]
                pairs += 1
            if held[cluster] < most:
                heads[cluster, held[cluster]] = node
                held[cluster] += 1
        if pairs == 0:
            break
    return first, second


@njit(cache=True, nogil=True)
def _links(a, b, similarity, n):  # type: ignore[no-untyped-def]
    twin = np.full(n, -1, np.int64)
    best = np.full(n, np.nan, np.float64)
    for i in range(a.size):
        if a[i] != b[i]:
            _offer(twin, best, a[i], b[i], similarity[i])
            _offer(twin, best, b[i], a[i], similarity[i])
    return twin, best


@njit(cache=True, nogil=True)
def _offer(twin, best, node, other, similarity):  # type: ignore[no-untyped-def]
    if twin[node] < 0 or similarity > best[node] or (similarity == best[node] and other < twin[node]):
        twin[node] = other
        best[node] = similarity
