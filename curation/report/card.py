"""The dataset card: what is in the dataset, what was dropped and why, what it was made from. No clock, no machine."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from curation.escape import code, fenced, markdown
from curation.manifest.parts import Manifest
from curation.plan import Plan
from curation.report.duplicates import duplicate_lines, duplicates
from curation.report.loading import front_matter, loading_lines
from curation.report.selection import selection_lines, selections
from curation.report.tables import table
from curation.sources import Shard
from schemas.manifest import LIST

REPORT = "report.html"
"""Name of the page beside the card."""
REASONS = 12
"""Most frequent reasons that the card lists."""


def dataset_card(plan: Plan, manifest: Manifest, written: list[dict[str, Any]], duplicate_ids: int) -> str:
    """Markdown, the same for the same run on any machine and however often it was interrupted."""
    decisions = manifest.where("decisions", run=plan.run).sort_by("shard").to_pylist()
    total = sum(row["rows"] for row in decisions)
    kept = sum(row["kept"] for row in decisions)
    tally = [entry for row in decisions for entry in row["tally"]]
    files = "file" if len(written) == 1 else "files"
    lines = [
        *front_matter(),
        "",
        f"# {markdown(plan.name)}",
        "",
        f"{kept:,} of {total:,} documents, in {len(written)} Parquet {files}. Run `{plan.run}`.",
        *(["", f"[What it looks like]({REPORT}): a page to open in a browser."] if plan.output.report else []),
        "",
        "## Load it",
        "",
        *fenced("\n".join(["# in the folder around this one", *loading_lines(plan.run).values()]), "python"),
        "",
        "## Funnel",
        "",
        *table(["stage", "kind", "in", "kept", "dropped", "errored", "gate"], _funnel(plan, tally, total)),
        "",
        "## Why documents were dropped",
        "",
        *table(["stage", "reason", "documents"], _reasons(tally)),
        "",
        "## Made from",
        "",
        *table(["file", "documents", "fingerprint (XXH3-128)"], _inputs(plan)),
    ]
    skipped = [shard for shard in plan.shards if shard.error]
    if skipped:
        lines += [
            "",
            "## Left out",
            "",
            "These shards could not be processed; the recipe says `on_bad_shard: skip`.",
            "",
        ]
        lines += [f"- {markdown(_left_out(shard))}" for shard in skipped]
    models = _models(plan, manifest)
    if models:
        lines += ["", "## Models", "", *table(["model", "file", "sha256", "licence"], models)]
    lists = _lists(plan, manifest)
    if lists:
        lines += ["", "## Lists", "", *table(["stage", "file", "sha256"], lists)]
    for found in duplicates(plan, manifest):
        lines += ["", f"## Duplicates: {found.stage.id}", "", *duplicate_lines(found)]
    for selection, report in selections(plan, manifest):
        lines += ["", f"## Selection: {markdown(selection.id)}", "", *selection_lines(selection.kind, report)]
    fits = _fits(plan, manifest)
    for stage, card in fits:
        lines += ["", f"## Fitted: {markdown(stage)}", "", *fenced(json.dumps(card, indent=2, sort_keys=True), "json")]
    lines += ["", "## Limits", ""]
    lines += [f"- {duplicate_ids:,} documents carry an id that an earlier document has."] if duplicate_ids else []
    lines += [
        "- Scores are estimates by small models and rules; the gates above are choices, not facts about quality.",
        "- Licences and personal data of the sources were not examined.",
    ]
    if plan.source:
        lines += ["", "## Recipe", "", *fenced(plan.source.strip(), "yaml")]
    return "\n".join(lines) + "\n"


def _left_out(shard: Shard) -> str:
    rows = f", rows {shard.row_start} to {shard.row_end}" if shard.rows else ""
    return f"{shard.path}{rows}: {(shard.error or '').removeprefix(shard.path).strip()}"


def _funnel(plan: Plan, tally: list[dict[str, Any]], total: int) -> list[list[str]]:
    ended: Counter[tuple[str, str]] = Counter()
    for entry in tally:
        if entry["stage"] is not None:
            ended[(entry["stage"], entry["outcome"])] += entry["rows"]
    rows, left = [], total
    for stage in plan.stages:
        dropped, errored = ended[(stage.id, "dropped")], ended[(stage.id, "errored")]
        out = left - dropped - errored
        gate = code(stage.keep) if stage.keep else ""
        rows.append([stage.id, stage.kind, f"{left:,}", f"{out:,}", f"{dropped:,}", f"{errored:,}", gate])
        left = out
    return rows


def _reasons(tally: list[dict[str, Any]]) -> list[list[str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for entry in tally:
        if entry["outcome"] == "dropped":
            counts[(entry["stage"], entry["reason"])] += entry["rows"]
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [[stage, code(reason), f"{rows:,}"] for (stage, reason), rows in ordered[:REASONS]]


def _inputs(plan: Plan) -> list[list[str]]:
    files: dict[str, list[Any]] = {}
    for shard in plan.shards:
        entry = files.setdefault(shard.path, [0, shard.fingerprint])
        entry[0] += plan.rows_of(shard)
    return [[path, f"{rows:,}", fingerprint] for path, (rows, fingerprint) in files.items()]


def _models(plan: Plan, manifest: Manifest) -> list[list[str]]:
    steps = {step.fingerprint for step in plan.steps()}
    models = {
        (row["address"], row["file"], row["sha256"], row["licence"] or "unknown")
        for row in manifest.read("models").to_pylist()
        if row["fingerprint"] in steps and not row["address"].startswith(LIST)
    }
    return [[_relative(address), *rest] for address, *rest in sorted(models)]


def _lists(plan: Plan, manifest: Manifest) -> list[list[str]]:
    names = {step.fingerprint: step.name for step in plan.steps()}
    lists = {
        (names[row["fingerprint"]], row["file"], row["sha256"])
        for row in manifest.read("models").to_pylist()
        if row["fingerprint"] in names and row["address"].startswith(LIST)
    }
    return [list(row) for row in sorted(lists)]


def _relative(address: str) -> str:
    """A fitted head's address names its folder in the workspace, wherever that lies."""
    return f"models/{Path(address).parent.name}" if address.startswith("path:") and "/models/" in address else address


def _fits(plan: Plan, manifest: Manifest) -> list[tuple[str, Any]]:
    artifacts = {stage.spec.artifact: stage.id for stage in plan.stages if stage.spec.artifact}
    cards = {}
    for row in manifest.read("fits").to_pylist():
        path = manifest.store.uri(row["artifact"])
        if path in artifacts:
            cards[artifacts[path]] = json.loads(row["card"])
    return sorted(cards.items())
