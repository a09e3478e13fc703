"""What each dedup of a run dropped and what is lost by it, in Markdown for the card; and what nobody should miss."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from curation.escape import inline
from curation.manifest.parts import Manifest
from curation.plan import Plan, StagePlan
from curation.report.tables import table
from schemas.manifest import TEMPLATE_MEMBERS

SOURCE, CLUSTER = 0.5, 0.01
"""A source that loses more than this of its documents, or a cluster that holds more of all, is told."""
LEAST = TEMPLATE_MEMBERS
"""Sources and clusters of fewer documents are not: there any pair would be told."""
REASONS = {
    "below_verify": "are less alike than `verify`, by up to a tenth",
    "other_sequence": "hold the same few words in another order",
    "too_little_contained": "have too little of the one standing in the other",
}


@dataclass(frozen=True)
class Duplicates:
    """What one dedup of a run came to."""

    stage: StagePlan
    entrants: int
    report: dict[str, Any]
    dropped: int
    """Those of its duplicates that it drops: a gate may keep some."""
    loss: float
    nothing_lost: int
    sources: dict[str, tuple[int, int]]
    """By source, documents that reached the stage and those that it dropped."""


def duplicates(plan: Plan, manifest: Manifest) -> list[Duplicates]:
    """Of each dedup, in the order of the stages, but for results of earlier versions, which have no report."""
    used = {row["stage"]: row["group"] for row in manifest.where("barriers", run=plan.run).to_pylist()}
    groups = {row["group"]: row for row in manifest.read("groups").to_pylist()}
    stages = []
    for stage in plan.stages:
        group = groups.get(used.get(stage.id, "")) if stage.family == "dedup" else None
        if group is not None and group["report"]:
            report = json.loads(group["report"])
            by_source = _by_source(plan, manifest, stage)
            stages.append(Duplicates(stage, group["entrants"], report, *_lost(plan, manifest, stage), by_source))
    return stages


def _lost(plan: Plan, manifest: Manifest, stage: StagePlan) -> tuple[int, float, int]:
    """Documents that a dedup drops, what is lost of them, and how many lose nothing."""
    records = manifest.where("decisions", run=plan.run).column("lost").to_pylist()
    mine = [row for record in records for row in record or () if row["stage"] == stage.id]
    return tuple(sum(row[name] for row in mine) for name in ("rows", "loss", "nothing_lost"))


def _by_source(plan: Plan, manifest: Manifest, stage: StagePlan) -> dict[str, tuple[int, int]]:
    position = {other.id: other.position for other in plan.stages}
    source = {shard.index: shard.source for shard in plan.shards}
    came: Counter[str] = Counter()
    went: Counter[str] = Counter()
    for row in manifest.where("decisions", run=plan.run).to_pylist():
        name = source[row["shard"]]
        came[name] += row["rows"]
        for entry in row["tally"]:
            ended = position.get(entry["stage"], len(position) + 1)
            came[name] -= entry["rows"] if ended < stage.position else 0
            went[name] += entry["rows"] if ended == stage.position and entry["outcome"] == "dropped" else 0
    return {name: (came[name], went[name]) for name in came}


def duplicate_lines(summary: Duplicates) -> list[str]:
    """Markdown of one stage."""
    report = summary.report
    how = "if it is near to one that stays" if report["connect"] == "keeper" else "with its cluster, but for the best"
    left = report["dropped"] - summary.dropped
    kept = f", of which the gate keeps {left:,}" if summary.stage.keep and left else ""
    lines = [
        f"`connect: {report['connect']}`: a document goes {how}. {report['clusters']:,} clusters, the largest of"
        f" {report['largest_cluster']:,} documents; {report['dropped']:,} duplicates{kept}."
    ]
    if report["connect"] != "keeper":
        lines += [
            "",
            f"{report['chained']:,} of them through a chain of others: they are less like the document that stays than"
            f" `verify: {report['verify']:g}` asks. `connect: keeper` would not drop those.",
        ]
    if summary.dropped:
        lines += [
            "",
            f"Of the word 3-grams of what goes, {summary.loss / summary.dropped:.2%} on average stand in no document of"
            f" the cluster that stays: together as much as {summary.loss:,.1f} documents."
            f" {summary.nothing_lost:,} of {summary.dropped:,} lose nothing.",
        ]
    if report["templates"]:
        lines += [
            "",
            f"{_many(report['templates'], 'cluster')} of {report['in_templates']:,} documents look like pages of one"
            " template: many members, of which most stay or are little like the best one.",
        ]
    if report["refused"]:
        pairs = [[REASONS[name], f"{count:,}"] for name, count in sorted(report["refused"].items())]
        lines += ["", *table(["near pairs that led to no drop, since they", "pairs"], pairs)]
    if len(summary.sources) > 1:
        rows = [
            [name, f"{came:,}", f"{went:,}", f"{went / came:.1%}" if came else ""]
            for name, (came, went) in summary.sources.items()
        ]
        lines += ["", *table(["source", "documents", "dropped", "share"], rows)]
    for text in _striking(summary):
        lines += ["", f"**Look at this**: {inline(text)}."]
    return lines


def striking(plan: Plan, manifest: Manifest) -> list[str]:
    """What should be looked at before the dataset is used, a sentence each."""
    return [text for found in duplicates(plan, manifest) for text in _striking(found)]


def _striking(summary: Duplicates) -> Iterator[str]:
    name = summary.stage.id
    for source, (came, went) in summary.sources.items():
        if came >= LEAST and went > SOURCE * came:
            yield f"{name} drops {went:,} of the {came:,} documents that come from {source}"
    size = summary.report["largest_cluster"]
    if size >= LEAST and size > CLUSTER * summary.entrants:
        share = f"{size / summary.entrants:.1%} of all that reach it"
        yield f"one cluster of {name} holds {size:,} documents, {share}: copies, or pages of one template"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' if count != 1 else ''}"
