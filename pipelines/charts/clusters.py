"""What a dedup of a run found: sizes of clusters, what the largest have in common, what went and what stayed."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, cast

from curation.report.duplicates import REASONS as REFUSED
from curation.store.scan import quoted, scan
from pipelines.charts.diff import common, word_diff
from pipelines.charts.documents import load
from pipelines.charts.run import OpenRun
from schemas.charts import Cluster, Clusters, ClusterSize, Document, NearPair, Piece, Reason, SourceLoss, WordDiff
from schemas.errors import CurationError, Finding
from schemas.manifest import TEMPLATE_MEMBERS, TEMPLATE_SIMILARITY

LARGEST, MEMBERS, STAYED, SOURCES = 6, 4, 6, 20
CHARACTERS = 4_000
"""Of a member's text, of which as much is compared."""
SHOWN = 800


def all_clusters(run: OpenRun) -> list[Clusters]:
    """Of each dedup that is resolved."""
    return [
        clusters(run, row["stage"]) for row in run.stages if row["family"] == "dedup" and row["stage"] in run.groups
    ]


def clusters(run: OpenRun, stage: str) -> Clusters:
    """Raises CurationError C032 for a stage that is no dedup, or has not decided yet."""
    row = next((row for row in run.stages if row["stage"] == stage and row["family"] == "dedup"), None)
    group = run.groups.get(stage)
    if row is None or group is None:
        of = ", ".join(name for name in run.groups if run.stages[run.ids.index(name)]["family"] == "dedup") or "none"
        raise CurationError(Finding("C032", f"run {run.run} has no clusters of '{stage}'", f"those that have: {of}"))
    report = json.loads(group["report"] or "{}")
    largest = _largest(run, stage)
    pairs = _stayed(run, stage, group)
    drawn = {doc for _, _, _, _, members in largest for doc in members} | {doc for a, b, *_ in pairs for doc in (a, b)}
    read = load(run, sorted(drawn), CHARACTERS)
    lost = [entry for record in run.decided for entry in record["lost"] or () if entry["stage"] == stage]
    duplicates = sum(entry["rows"] for entry in lost)
    sources, sizes = _sources(run, stage), _sizes(run, stage)
    return {
        "kind": "clusters",
        "note": None,
        "stage": stage,
        "stage_kind": row["kind"],
        "documents": run.reached()[run.ids.index(stage)],
        "clusters": report.get("clusters", sum(size["clusters"] for size in _sizes(run, stage))),
        "dropped": sum(
            e["rows"] for r in run.decided for e in r["tally"] if e["stage"] == stage and e["outcome"] == "dropped"
        ),
        "connect": report.get("connect"),
        "verify": report.get("verify"),
        "loss": sum(entry["loss"] for entry in lost) / duplicates if duplicates else None,
        "nothing_lost": sum(entry["nothing_lost"] for entry in lost) if lost else None,
        "sizes": sizes,
        "largest": [_cluster(read, *entry) for entry in largest],
        "sources": sources[:SOURCES],
        "more_sources": max(0, len(sources) - SOURCES),
        "stayed": [_pair(read, *pair) for pair in pairs if pair[0] in read and pair[1] in read],
        "refused": [
            Reason(rule=f"they {REFUSED.get(name, name)}", documents=count)
            for name, count in sorted((report.get("refused") or {}).items(), key=lambda item: (-item[1], item[0]))
        ],
    }


def cluster(run: OpenRun, stage: str, doc: int, most: int = 50) -> Cluster:
    """The cluster of the document `doc` at a dedup, with at most so many members.

    Raises CurationError C032 for none."""
    entries = _clusters(run, stage, f"HAVING bool_or(doc = {int(doc)}) OR cluster = {int(doc)}", 1, most)
    if not entries:
        raise CurationError(Finding("C032", f"document {doc} is in no cluster of '{stage}'", "see the largest first"))
    return _cluster(load(run, entries[0][4], CHARACTERS), *entries[0])


Entry = tuple[int, int, int, bool, list[int]]
"""The best member's doc_id, members, dropped, whether it is a template, and some members."""


def _members(run: OpenRun, stage: str) -> str | None:
    """SQL: a row for each member of a cluster of two and more."""
    group = run.groups.get(stage)
    if group is None or not group["members"]:
        return None
    numbers = ", ".join(f"({file}, {number}::BIGINT)" for file, number in run.file_numbers.items())
    best = "coalesce((c.file_no << 32) | m.cluster_row, (t.file_no << 32) | m.twin_row, (f.file_no << 32) | m.file_row)"
    table = f"(SELECT col0 AS file, col1 AS file_no FROM (VALUES {numbers}))"
    members = scan([run.manifest.store.uri(group["members"])])
    return f"""(SELECT {best} AS cluster, (f.file_no << 32) | m.file_row AS doc, m.keeper AS keeper,
                       m.cluster_size AS size, m.cluster_similarity AS likeness
                FROM {members} m JOIN {table} f ON f.file = m.file
                LEFT JOIN {table} c ON c.file = m.cluster_file LEFT JOIN {table} t ON t.file = m.twin_file
                WHERE m.cluster_size > 1)"""


def _sizes(run: OpenRun, stage: str) -> list[ClusterSize]:
    """By powers of two: 2, 3 to 4, 5 to 8, …"""
    members = _members(run, stage)
    if members is None:
        return []
    counted = Counter[int]()
    documents = Counter[int]()
    for size, count in run.rows(f"SELECT size, count(*) FROM {members} GROUP BY ALL"):
        power = (size - 1).bit_length()
        counted[power] += count // size
        documents[power] += count
    return [
        {"least": 2 ** (power - 1) + 1, "most": 2**power, "clusters": counted[power], "documents": documents[power]}
        for power in sorted(counted)
    ]


def _largest(run: OpenRun, stage: str) -> list[Entry]:
    return _clusters(run, stage, "", LARGEST, MEMBERS)


def _clusters(run: OpenRun, stage: str, having: str, count: int, most: int) -> list[Entry]:
    members = _members(run, stage)
    if members is None:
        return []
    query = f"""SELECT cluster, count(*) AS members, count(*) FILTER (NOT keeper),
                       coalesce(count(*) >= {TEMPLATE_MEMBERS} AND (avg(keeper::INTEGER) > 0.5
                           OR avg(likeness) FILTER (doc != cluster) < {TEMPLATE_SIMILARITY}), false),
                       min_by(doc, {{a: doc != cluster, b: keeper, c: hash(doc, 1)}}, {int(most)})
                FROM {members} GROUP BY cluster {having} ORDER BY members DESC, cluster LIMIT {int(count)}"""
    return [cast(Entry, row) for row in run.rows(query)]


def _cluster(read: dict[int, Document], best: int, size: int, dropped: int, template: bool, docs: list[int]) -> Cluster:
    members = [read[doc] for doc in docs if doc in read]
    kept = next((member for member in members if member["outcome"] != "dropped"), members[0] if members else None)
    gone = next((member for member in members if member["outcome"] == "dropped" and member is not kept), None)
    texts = [_text(member) for member in members if member["characters"]]
    return {
        "cluster": str(best),
        "size": size,
        "dropped": dropped,
        "template": template,
        "common": common(texts),
        "members": [_short(member) for member in members],
        "diff": _diff(gone, kept),
    }


def _stayed(run: OpenRun, stage: str, group: dict[str, Any]) -> list[tuple[int, int, float, float | None, str | None]]:
    """Near pairs of which neither was dropped for the other, the most similar first."""
    if not group["links"]:
        return []
    numbers = ", ".join(f"({file}, {number}::BIGINT)" for file, number in run.file_numbers.items())
    table = f"(SELECT col0 AS file, col1 AS file_no FROM (VALUES {numbers}))"
    query = f"""SELECT (a.file_no << 32) | p.a_row AS a, (b.file_no << 32) | p.b_row AS b, p.similarity,
                       p.containment, p.reason
                FROM {scan([run.manifest.store.uri(group["links"])])} p
                JOIN {table} a ON a.file = p.a_file JOIN {table} b ON b.file = p.b_file
                WHERE NOT p.dropped AND p.reason IN ({", ".join(map(quoted, REFUSED))})
                ORDER BY p.similarity DESC, a, b LIMIT {STAYED}"""
    return [cast(Any, row) for row in run.rows(query)]


def _pair(
    read: dict[int, Document], a: int, b: int, similarity: float, containment: float | None, reason: str | None
) -> NearPair:
    return {
        "a": _short(read[a]),
        "b": _short(read[b]),
        "similarity": similarity,
        "containment": containment,
        "reason": None if reason is None else f"they {REFUSED.get(reason, reason)}",
        "diff": _diff(read[a], read[b]),
    }


def _sources(run: OpenRun, stage: str) -> list[SourceLoss]:
    """By share that was lost, then by name."""
    query = f"""SELECT f.source, count(*), count(*) FILTER (d.dropped_by = {quoted(stage)} AND d.outcome = 'dropped')
                FROM {run.decisions} WHERE {run.reaches(stage)} GROUP BY ALL ORDER BY ALL"""
    losses = [SourceLoss(source=str(run.sources[n]), documents=came, dropped=went) for n, came, went in run.rows(query)]
    return sorted(losses, key=lambda loss: (-loss["dropped"] / max(1, loss["documents"]), loss["source"]))


def _diff(gone: Document | None, kept: Document | None) -> WordDiff | None:
    if gone is None or kept is None or not gone["characters"] or not kept["characters"]:
        return None
    return word_diff((gone["doc"], _text(gone)), (kept["doc"], _text(kept)))


def _text(document: Document) -> str:
    """As the output has it: with its edits."""
    edited = (
        p["text"] if p["mark"] is None or p["mark"]["put"] is None else p["mark"]["put"] for p in document["pieces"]
    )
    return "".join(edited)


def _short(document: Document) -> Document:
    """With the beginning of its text only: the rest was read to be compared."""
    pieces: list[Piece] = []
    left = SHOWN
    for piece in document["pieces"]:
        if left <= 0:
            break
        pieces.append({"text": piece["text"][:left], "mark": piece["mark"], "skipped": piece["skipped"]})
        left -= len(piece["text"])
    shown = sum(len(piece["text"]) for piece in pieces)
    skipped = document["characters"] - shown - sum(piece["skipped"] for piece in pieces)
    if skipped > 0:
        pieces.append({"text": "", "mark": None, "skipped": skipped})
    return cast(Document, {**document, "pieces": pieces, "shown": shown})
