"""Resolve a dedup: read what pairs are compared by, and write down its clusters and what is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import parquet
from curation.dedup.base import TEXT_ALONE, Dedup
from curation.dedup.survivor import ranks
from curation.duplicates import grams as compared
from curation.duplicates.grams import WORDS
from curation.duplicates.keepers import links, oriented
from curation.flow.clusters import (
    APART,
    BOTH,
    NEAR,
    NEARER,
    NEIGHBOUR,
    REASONS,
    UNUSED,
    VERIFIED,
    Clusters,
    Comparison,
    connect,
)
from curation.flow.entrants import BY, Entrants
from curation.flow.pair import distinct_pairs
from curation.flow.stored import binary_matrix
from curation.flow.texts import text_grams
from curation.flow.units import ResolveWork
from schemas.manifest import TEMPLATE_MEMBERS, TEMPLATE_SIMILARITY

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


def resolve_duplicates(task: ResolveWork, chosen: Dedup, higher: dict[str, bool], mark: str) -> dict[str, Any]:
    """Write the stage's members and links and return what its `groups` record says of them.

    `higher` says of the columns that survivors go by whether a higher value is better.
    """
    store, folder = task.work.store, f"groups/{task.group}"
    nodes = Entrants(task)
    a, b = distinct_pairs(task)
    involved = np.unique(np.concatenate([a, b]))
    a, b = np.searchsorted(involved, a), np.searchsorted(involved, b)
    rank = ranks(chosen.settings.survivor, _Facts(nodes, involved), len(involved), higher)
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
    link_table = _links(chosen, clusters, *nodes.location(involved))
    members_name, links_name = f"{folder}/members-{mark}.parquet", f"{folder}/links-{mark}.parquet"
    first = store.add(members_name, lambda path: parquet.write(table, path, row_group_size=65_536))
    second = store.add(links_name, lambda path: parquet.write(link_table, path, row_group_size=65_536))
    return {
        "members": first.name,
        "links": second.name,
        "dropped": report["dropped"],
        "report": json.dumps(report, sort_keys=True),
        "bytes": first.bytes + second.bytes,
    }


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
    comparison.word_grams = opened.enter_context(read(WORDS, scratch.with_name(f"{scratch.name}-said")))
    if chosen.truly:
        shared = chosen.ngram == WORDS
        ngrams = scratch.with_name(f"{scratch.name}-ngrams")
        comparison.ngrams = comparison.word_grams if shared else opened.enter_context(read(chosen.ngram, ngrams))


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
        word_grams = comparison.word_grams
        if not whole:  # a document is dropped, and it says more than what was compared
            members = np.flatnonzero(np.isin(clusters.label, clusters.label[gone]))
            path = scratch.with_name(f"{scratch.name}-documents")
            word_grams = opened.enter_context(text_grams(task, nodes, involved, members, TEXT_ALONE, WORDS, path))
        assert word_grams is not None
        loss = compared.losses(word_grams.offsets, word_grams.grams, clusters.label, dropped)
    neighbour, nearest = links(pairs.worse, pairs.better, pairs.similarity, n)
    file, row = nodes.location(involved)
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


class _Facts:
    """What rules for survivors look at, of some entrants."""

    def __init__(self, nodes: Entrants, chosen: np.ndarray) -> None:
        self.nodes = nodes
        self.chosen = chosen

    def bytes(self) -> np.ndarray:
        return np.asarray(np.asarray(self.nodes.column("bytes"))[self.chosen])

    def values(self, column: str) -> np.ndarray:
        values = self.nodes.column(BY + column).to_numpy()
        return np.asarray(np.asarray(values, np.float64)[self.chosen])

    def sources(self) -> tuple[list[str], np.ndarray]:
        names = [item.shard.source for item in self.nodes.task.shards]
        return names, self.nodes.shard_at(self.chosen)


@contextmanager
def _evidence(nodes: Entrants, wanted: np.ndarray, scratch: Path) -> Iterator[np.ndarray]:
    """Evidence uint8 [n, width] of ascending nodes, in a file mapped into memory: the kernel pages it."""
    step = nodes.task.stage.steps[0]
    width = step.columns.field("evidence").type.byte_width
    if not len(wanted):
        yield np.zeros((0, width), dtype=np.uint8)
        return
    scratch.parent.mkdir(parents=True, exist_ok=True)
    try:
        matrix = np.lib.format.open_memmap(scratch, mode="w+", dtype=np.uint8, shape=(len(wanted), width))
        shard = nodes.shard_at(wanted)
        for number, begin in zip(*np.unique(shard, return_index=True), strict=True):
            of_shard = np.arange(begin, np.searchsorted(shard, number, side="right"))
            taken = nodes.task.shards[number].stored(step, ["evidence"]).rows(nodes.rows[wanted[of_shard]])
            matrix[of_shard] = binary_matrix(pc.struct_field(taken, "evidence"))
        yield matrix
    finally:
        scratch.unlink(missing_ok=True)


def _floats(values: np.ndarray) -> pa.Array:
    return pa.array(values, pa.float64(), mask=np.isnan(values))
