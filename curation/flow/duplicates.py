"""Resolve a dedup: verify candidate pairs, connect clusters, walk each, and say what is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curation import parquet
from curation.dedup.base import KEEPER, TEXT_ALONE, Dedup
from curation.dedup.survivor import ranks
from curation.duplicates import grams as compared
from curation.duplicates.components import components
from curation.duplicates.grams import FEW, WORDS, Grams
from curation.duplicates.keepers import Walk, best_of, joined, links, oriented
from curation.flow.enter import BY
from curation.flow.entrants import Entrants
from curation.flow.objects import higher
from curation.flow.texts import text_grams
from curation.flow.units import ResolveWork, database
from curation.store.scan import scan
from schemas.manifest import TEMPLATE_MEMBERS, TEMPLATE_SIMILARITY

CHUNK = 200_000
ROUNDS = 3
"""How often a walk is taken at most, each after comparing more of what stayed; mostly there is little more to find."""
NEAR = 0.1
"""Pairs that miss `verify` by so much are told as near."""
MEMBERS = pa.schema(
    [
        pa.field("shard", pa.int32()),
        pa.field("row", pa.int64()),
        pa.field("keeper", pa.bool_()),
        pa.field("cluster_size", pa.int32()),
        pa.field("twin_file", pa.int32()),
        pa.field("twin_row", pa.int64()),
        pa.field("similarity", pa.float64()),
        pa.field("link_file", pa.int32()),
        pa.field("link_row", pa.int64()),
        pa.field("link_similarity", pa.float64()),
        pa.field("file", pa.int32()),
        pa.field("file_row", pa.int64()),
        pa.field("containment", pa.float64()),
        pa.field("loss", pa.float64()),
        pa.field("cluster_file", pa.int32()),
        pa.field("cluster_row", pa.int64()),
        pa.field("cluster_similarity", pa.float64()),
    ]
)
LINKS = pa.schema(
    [
        pa.field("a_file", pa.int32()),
        pa.field("a_row", pa.int64()),
        pa.field("b_file", pa.int32()),
        pa.field("b_row", pa.int64()),
        pa.field("similarity", pa.float64()),
        pa.field("containment", pa.float64()),
        pa.field("dropped", pa.bool_()),
        pa.field("reason", pa.string()),
    ]
)
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
    said: Grams | None = None
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
        if self.said is not None and len(self.said.words):
            said = self.said
            few = np.flatnonzero((said.distinct[worse] <= FEW) & (said.distinct[better] <= FEW) & (verdict == VERIFIED))
            alike = compared.sequences(
                said.distinct, said.word_offsets, said.words, worse[few], better[few], self.chosen.ngram, FEW
            )
            verdict[few[alike < self.chosen.threshold]] = SEQUENCE
        return Pairs(worse, better, similarity, verdict, np.full(len(worse), np.nan))

    def closer(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Similarity of any two nodes of a cluster, as `verified` would have it."""
        return self.estimate(first, second) if self.ngrams is None else self.verified(first, second, first).similarity

    def contained(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        assert self.said is not None
        return compared.containments(self.said.offsets, self.said.grams, first, second)  # type: ignore[no-any-return]


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


def resolve_duplicates(task: ResolveWork, chosen: Dedup, folder: str, mark: str) -> dict[str, Any]:
    """Write the stage's members and links and return what its `groups` record says of them."""
    store = task.work.store
    nodes = Entrants(task)
    a, b = distinct_pairs(task)
    involved = np.unique(np.concatenate([a, b]))
    a, b = np.searchsorted(involved, a), np.searchsorted(involved, b)
    rank = ranks(chosen.settings.survivor, _Facts(nodes, involved), len(involved), higher(task.work.stages, chosen))
    scratch = store.scratch(f"{folder}/.tmp-evidence-{mark}")
    with ExitStack() as opened:
        comparison = Comparison(chosen, opened.enter_context(_evidence(nodes, involved, scratch)))
        similarity = comparison.estimate(a, b)
        near = similarity >= chosen.threshold - (chosen.margin if chosen.truly else NEAR)
        a, b, similarity = a[near], b[near], similarity[near]
        if not chosen.equal:
            ends = slice(None) if chosen.truly else similarity >= chosen.threshold
            _read(task, comparison, nodes, involved, np.unique(np.concatenate([a[ends], b[ends]])), scratch, opened)
        worse, better = oriented(rank, a, b)
        clusters = connect(comparison, comparison.verified(worse, better, similarity), rank)
        table, report = _members(task, comparison, nodes, involved, clusters, scratch, opened)
        del comparison
    told = _links(chosen, clusters, *nodes.place(involved))
    members, linked = f"{folder}/members-{mark}.parquet", f"{folder}/links-{mark}.parquet"
    first = store.add(members, lambda path: parquet.write(table, path, row_group_size=65_536))
    second = store.add(linked, lambda path: parquet.write(told, path, row_group_size=65_536))
    return {
        "members": first.name,
        "links": second.name,
        "dropped": report["dropped"],
        "report": json.dumps(report, sort_keys=True),
        "bytes": first.bytes + second.bytes,
    }


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
    said = comparison.said
    walk = Walk(rank, comparison.chosen.contains, said and said.offsets, said and said.grams)
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
        found = comparison.verified(worse, better, comparison.estimate(worse, better))
        found = found.part(found.verdict == VERIFIED)
        if not len(found.worse):
            break
        pairs = pairs + found
    return twin, edge, pairs


def _read(
    task: ResolveWork,
    comparison: Comparison,
    nodes: Entrants,
    involved: np.ndarray,
    wanted: np.ndarray,
    scratch: Path,
    opened: ExitStack,
) -> None:
    """Give the comparison the texts of some nodes."""
    chosen = comparison.chosen
    columns = chosen.settings.columns
    read = partial(text_grams, task, nodes, involved, wanted, columns)
    comparison.said = opened.enter_context(read(WORDS, scratch.with_name(f"{scratch.name}-said")))
    if chosen.truly:
        own = chosen.ngram == WORDS
        ngrams = scratch.with_name(f"{scratch.name}-ngrams")
        comparison.ngrams = comparison.said if own else opened.enter_context(read(chosen.ngram, ngrams))


def _members(
    task: ResolveWork,
    comparison: Comparison,
    nodes: Entrants,
    involved: np.ndarray,
    clusters: Clusters,
    scratch: Path,
    opened: ExitStack,
) -> tuple[pa.Table, dict[str, Any]]:
    """A row for each node of a cluster, and the report."""
    chosen, pairs, twin, best = comparison.chosen, clusters.pairs, clusters.twin, clusters.best
    n, dropped = len(twin), clusters.dropped
    gone = np.flatnonzero(dropped)
    size = np.bincount(clusters.label, minlength=n)[clusters.label]
    member = np.flatnonzero(size > 1)
    similarity, to_best, containment, loss = np.ones(n), np.ones(n), np.full(n, np.nan), np.full(n, np.nan)
    direct = gone[clusters.edge[gone] >= 0]
    similarity[direct] = pairs.similarity[clusters.edge[direct]]
    chained = gone[clusters.edge[gone] < 0]
    similarity[chained] = comparison.closer(chained, twin[chained])
    to_best[member] = comparison.estimate(member, best[member])
    whole = chosen.settings.columns == TEXT_ALONE
    containment[gone] = 1.0 if chosen.equal else comparison.contained(gone, twin[gone])
    if chosen.equal and whole:
        loss[gone] = 0.0
    elif len(gone):
        said = comparison.said
        if not whole:  # a document is dropped, and it says more than what was compared
            some = np.flatnonzero(np.isin(clusters.label, clusters.label[gone]))
            path = scratch.with_name(f"{scratch.name}-documents")
            said = opened.enter_context(text_grams(task, nodes, involved, some, TEXT_ALONE, WORDS, path))
        assert said is not None
        loss = compared.losses(said.offsets, said.grams, clusters.label, dropped)
    neighbour, nearest = links(pairs.worse, pairs.better, pairs.similarity, n)
    file, row = nodes.place(involved)
    table = pa.table(
        {
            "shard": nodes.shard_of(involved[member]),
            "row": nodes.rows[involved[member]],
            "keeper": ~dropped[member],
            "cluster_size": size[member],
            "twin_file": file[twin[member]],
            "twin_row": row[twin[member]],
            "similarity": similarity[member],
            "link_file": file[neighbour[member]],
            "link_row": row[neighbour[member]],
            "link_similarity": nearest[member],
            "file": file[member],
            "file_row": row[member],
            "containment": _floats(containment[member]),
            "loss": _floats(loss[member]),
            "cluster_file": file[best[member]],
            "cluster_row": row[best[member]],
            "cluster_similarity": to_best[member],
        }
    ).cast(MEMBERS)
    return table, _report(chosen, clusters, size, similarity, to_best, loss)


def _links(chosen: Dedup, clusters: Clusters, file: np.ndarray, row: np.ndarray) -> pa.Table:
    """Near pairs, whether each led to a drop, and why not."""
    dropped, twin = clusters.dropped, clusters.twin
    close = clusters.refused.similarity >= chosen.threshold - NEAR
    pairs = clusters.pairs + clusters.refused.part(close)
    worse, better = pairs.worse, pairs.better
    near = pairs.verdict == VERIFIED
    led = near & (twin[worse] == better)
    why = pairs.verdict.copy()
    why[near] = NEARER
    why[near & dropped[better]] = NEIGHBOUR
    why[near & dropped[better] & dropped[worse]] = BOTH
    why[near & (pairs.containment < chosen.contains)] = APART
    reason = pa.DictionaryArray.from_arrays(pa.array(why, mask=led), pa.array(UNUSED))
    first = np.minimum(worse, better)
    second = np.maximum(worse, better)
    return pa.table(
        {
            "a_file": file[first],
            "a_row": row[first],
            "b_file": file[second],
            "b_row": row[second],
            "similarity": pairs.similarity,
            "containment": _floats(pairs.containment),
            "dropped": led,
            "reason": reason,
        }
    ).cast(LINKS)


def _report(
    chosen: Dedup,
    clusters: Clusters,
    size: np.ndarray,
    similarity: np.ndarray,
    to_best: np.ndarray,
    loss: np.ndarray,
) -> dict[str, Any]:
    """Plain facts for the card."""
    n, dropped = len(size), clusters.dropped
    first = clusters.best == np.arange(n)
    likeness = np.bincount(clusters.label, to_best, minlength=n)[clusters.label]
    others = np.maximum(size - 1, 1)
    mean = (likeness - 1.0) / others  # without the best one, which is like itself
    stays = np.bincount(clusters.label, ~dropped, minlength=n)[clusters.label]
    template = first & (size >= TEMPLATE_MEMBERS) & ((mean < TEMPLATE_SIMILARITY) | (stays > size / 2))
    reasons = np.bincount(clusters.refused.verdict, minlength=len(REASONS))
    reasons[APART] += int((clusters.pairs.containment < chosen.contains).sum())
    return {
        "connect": chosen.settings.connect,
        "verify": chosen.threshold,
        "contains": chosen.contains,
        "clusters": int((first & (size > 1)).sum()),
        "largest_cluster": int(size.max(initial=1)),
        "templates": int(template.sum()),
        "in_templates": int(size[template].sum()),
        "dropped": int(dropped.sum()),
        "chained": int((dropped & (similarity < chosen.threshold)).sum()),
        "loss": float(loss[dropped].sum()),
        "nothing_lost": int((loss[dropped] == 0).sum()),
        "refused": {name: int(count) for name, count in zip(REASONS, reasons, strict=True) if name and count},
    }


def distinct_pairs(task: ResolveWork) -> tuple[np.ndarray, np.ndarray]:
    """All prefixes' pairs, each once, sorted: two documents often meet in several bands."""
    if not task.pairs:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if len(task.pairs) == 1:
        with task.work.store.reading(task.pairs[0]) as source:
            table = parquet.read(source)
        return table.column("a").to_numpy(), table.column("b").to_numpy()
    paths = [task.work.store.checked(name) for name in task.pairs]
    with database(task.work.store, f"groups/{task.group}", task.work.mark()) as connection:
        result = connection.execute(f"SELECT DISTINCT a, b FROM {scan(paths)} ORDER BY a, b").fetchnumpy()
    return np.asarray(result["a"]), np.asarray(result["b"])


def compare(chosen: Dedup, evidence: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Similarity by evidence of nodes pair by pair, float64[p]."""
    similarity = np.zeros(len(first))
    for start in range(0, len(first), CHUNK):
        span = slice(start, start + CHUNK)
        similarity[span] = chosen.similarity(np.asarray(evidence[first[span]]), np.asarray(evidence[second[span]]))
    return similarity


class _Facts:
    """What rules for survivors look at, of some entrants."""

    def __init__(self, nodes: Entrants, some: np.ndarray) -> None:
        self.nodes = nodes
        self.some = some

    def bytes(self) -> np.ndarray:
        return np.asarray(self.nodes.bytes[self.some])

    def values(self, column: str) -> np.ndarray:
        values = self.nodes.column(BY + column).to_numpy()
        return np.asarray(np.asarray(values, np.float64)[self.some])

    def sources(self) -> tuple[list[str], np.ndarray]:
        names = [at.shard.source for at in self.nodes.task.shards]
        return names, self.nodes.shard_at(self.some)


@contextmanager
def _evidence(nodes: Entrants, involved: np.ndarray, scratch: Path) -> Iterator[np.ndarray]:
    try:
        yield nodes.evidence(involved, scratch)
    finally:
        scratch.unlink(missing_ok=True)


def _floats(values: np.ndarray) -> pa.Array:
    return pa.array(values, pa.float64(), mask=np.isnan(values))
