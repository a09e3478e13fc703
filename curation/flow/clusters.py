"""Clusters of duplicates: verify candidate pairs, connect them, and walk each cluster for who stays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.dedup.base import KEEPER, Dedup
from curation.duplicates import grams as compared
from curation.duplicates.components import components
from curation.duplicates.grams import FEW, Grams
from curation.duplicates.keepers import Walk, best_of, joined

CHUNK = 200_000
ROUNDS = 3
"""How often a walk is taken at most, each after comparing more of what stayed; mostly there is little more to find."""
NEAR = 0.1
"""Pairs that miss `verify` by so much are told as near."""
VERIFIED, BELOW, SEQUENCE, APART = range(4)
"""What comparing a pair came to: near; not near enough; of few words in another order; too little contained."""
REASONS = ("", "below_verify", "other_sequence", "too_little_contained")
NEARER, NEIGHBOUR, BOTH = range(4, 7)
UNUSED = (*REASONS, "nearer_twin", "neighbour_dropped", "both_dropped")
"""Why a near pair led to no drop either: the one went for another, or the other went itself, or both did."""


@dataclass
class Pairs:
    """Compared pairs of nodes, the worse end first, all of one length."""

    worse: np.ndarray
    better: np.ndarray
    similarity: np.ndarray
    verdict: np.ndarray
    containment: np.ndarray
    """Of the worse one in the better one, NaN where nobody asked."""

    def part(self, chosen: np.ndarray) -> Pairs:
        return Pairs(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def __add__(self, other: Pairs) -> Pairs:
        names = self.__dataclass_fields__
        return Pairs(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in names))


@dataclass
class Comparison:
    """What is known of n nodes to compare them by."""

    chosen: Dedup
    evidence: np.ndarray
    word_grams: Grams | None = None
    """Word 3-grams of each node, empty for one whose text was not read; None where none is asked for."""
    ngrams: Grams | None = None
    """The stage's own n-grams, where similarity is their Jaccard."""

    def estimate(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return compare(self.chosen, self.evidence, first, second)

    def verified(self, worse: np.ndarray, better: np.ndarray, similarity: np.ndarray) -> Pairs:
        """Pairs with their estimated similarity, and what looking closer comes to."""
        if self.ngrams is not None:
            similarity = compared.jaccards(self.ngrams.offsets, self.ngrams.grams, worse, better)
        verdict = np.where(similarity >= self.chosen.threshold, VERIFIED, BELOW).astype(np.int8)
        if self.word_grams is not None and len(self.word_grams.words):
            grams = self.word_grams
            few = np.flatnonzero(
                (grams.distinct[worse] <= FEW) & (grams.distinct[better] <= FEW) & (verdict == VERIFIED)
            )
            alike = compared.sequences(
                grams.distinct, grams.word_offsets, grams.words, worse[few], better[few], self.chosen.ngram, FEW
            )
            verdict[few[alike < self.chosen.threshold]] = SEQUENCE
        return Pairs(worse, better, similarity, verdict, np.full(len(worse), np.nan))

    def closer(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Similarity of any two nodes of a cluster, as `verified` would have it."""
        return self.estimate(first, second) if self.ngrams is None else self.verified(first, second, first).similarity

    def contained(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        assert self.word_grams is not None
        return compared.containments(self.word_grams.offsets, self.word_grams.grams, first, second)  # type: ignore[no-any-return]


@dataclass
class Clusters:
    """What became of n nodes."""

    label: np.ndarray
    best: np.ndarray
    """The best node of each one's cluster."""
    twin: np.ndarray
    """The node for which each is dropped, itself for one that stays."""
    edge: np.ndarray
    """The pair that says so, -1 for none."""
    pairs: Pairs
    refused: Pairs
    """Compared, and not near enough."""

    @property
    def dropped(self) -> np.ndarray:
        return np.asarray(self.twin != np.arange(len(self.twin)))


def connect(comparison: Comparison, pairs: Pairs, rank: np.ndarray) -> Clusters:
    """Connect what is near and name who stays, by the stage's `connect`. `rank` int64[n]: 0 is the best node."""
    chosen, n = comparison.chosen, len(rank)
    refused, pairs = pairs.part(pairs.verdict != VERIFIED), pairs.part(pairs.verdict == VERIFIED)
    if chosen.settings.connect == KEEPER:
        label = components(pairs.worse, pairs.better, n)
        twin, edge, pairs = _walk(comparison, pairs, rank, label)
        return Clusters(label, best_of(label, rank), twin, edge, pairs, refused)
    if chosen.contains > 0:
        pairs.containment = comparison.contained(pairs.worse, pairs.better)
        apart = pairs.containment < chosen.contains
        pairs.verdict[apart] = APART
        refused, pairs = refused + pairs.part(apart), pairs.part(~apart)
    label = components(pairs.worse, pairs.better, n)
    best = best_of(label, rank)
    return Clusters(label, best, best, np.full(n, -1, np.int64), pairs, refused)


def _walk(
    comparison: Comparison, pairs: Pairs, rank: np.ndarray, label: np.ndarray
) -> tuple[np.ndarray, np.ndarray, Pairs]:
    """Twin and edge of each node, and the pairs with those that were found on the way."""
    word_grams = comparison.word_grams
    walk = Walk(rank, comparison.chosen.contains, word_grams and word_grams.offsets, word_grams and word_grams.grams)
    tried = np.zeros(0, np.int64)
    for turn in range(ROUNDS):
        twin, edge = walk.take(pairs.worse, pairs.better, pairs.similarity, pairs.containment)
        if turn == ROUNDS - 1:
            break
        # In a cluster that has no more members than a bucket may, all that share a bucket were compared.
        worse, better = walk.more(pairs.worse, pairs.better, twin, label, comparison.chosen.members + 1)
        stay = twin == np.arange(len(twin))
        both = stay[pairs.worse] & stay[pairs.better]  # compared before, and too little contained
        keys = joined(worse, better)
        fresh = ~np.isin(keys, np.concatenate([tried, joined(pairs.worse[both], pairs.better[both])]))
        tried = np.concatenate([tried, keys[fresh]])
        worse, better = worse[fresh], better[fresh]
        further = comparison.verified(worse, better, comparison.estimate(worse, better))
        further = further.part(further.verdict == VERIFIED)
        if not len(further.worse):
            break
        pairs = pairs + further
    return twin, edge, pairs


def compare(chosen: Dedup, evidence: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Similarity by evidence of nodes pair by pair, float64[p]."""
    similarity = np.zeros(len(first))
    for start in range(0, len(first), CHUNK):
        span = slice(start, start + CHUNK)
        similarity[span] = chosen.similarity(np.asarray(evidence[first[span]]), np.asarray(evidence[second[span]]))
    return similarity
