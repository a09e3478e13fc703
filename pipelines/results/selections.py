"""What the selections of a run chose, and beside what."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from curation.escape import inline
from schemas.errors import CurationError, Finding

if TYPE_CHECKING:
    from curation.manifest.parts import Manifest


def reports(manifest: Manifest, run: str | None, stage: str | None) -> list[dict[str, Any]]:
    """The report of each selection that the run has resolved, in order.

    It is that of `curation.selection.report`, with `stage` and `kind`, and of each example `path`, `row`, `doc_id` and
    `text`.

    Raises C032 where the run has no such selection.
    """
    from curation.manifest.runs import choose_run

    chosen = choose_run(manifest, run)
    stages = manifest.where("stages", run=chosen).sort_by("position").to_pylist()
    selections = [row for row in stages if row["family"] == "select"]
    if stage is not None:
        selections = [row for row in selections if row["stage"] == stage]
    if not selections:
        what = f"no selection '{stage}'" if stage is not None else "no selection"
        known = ", ".join(row["stage"] for row in stages if row["family"] == "select")
        hint = f"selections: {known}" if known else "add a stage `select:` to the recipe"
        raise CurationError(Finding("C032", f"run {chosen} has {what}", hint))
    groups = {row["group"]: row for row in manifest.read("groups").to_pylist()}
    used = {row["stage"]: row["group"] for row in manifest.where("barriers", run=chosen).to_pylist()}
    stage_reports = []
    for row in selections:
        group = groups.get(used.get(row["stage"], ""))
        if group is not None and group["report"]:
            stage_reports.append({"stage": row["stage"], "kind": row["kind"], **json.loads(group["report"])})
    _with_texts(manifest, str(chosen), stage_reports)
    return stage_reports


def _with_texts(manifest: Manifest, run: str, stage_reports: list[dict[str, Any]]) -> None:
    from pipelines.results.show import texts

    shards = manifest.where("shards", run=run).to_pylist()
    places = {row["file"]: (row["path"], row["file_no"]) for row in shards}
    examples = [example for report in stage_reports for name in ("picked", "near_misses") for example in report[name]]
    examples += [example["nearest_rejected"] for example in examples if "nearest_rejected" in example]
    for example in examples:
        path, number = places[example.pop("file")]
        example["path"], example["doc_id"] = path, number << 32 | example["row"]
    read = texts(manifest, run, examples)
    for example in examples:
        text, edited = read[(example["path"], example["row"])]
        example["text"] = text if edited is None else edited


def lines(report: dict[str, Any], width: int = 160) -> list[str]:
    """In Markdown: the figures, then the examples, each text cut to `width` characters."""
    from curation.report.selection import selection_lines

    def example(entry: dict[str, Any], lead: str) -> str:
        value = "" if entry["value"] is None else f"  {entry['value']:.4g}"
        similarity = f"  similarity {entry['similarity']:.3f}" if "similarity" in entry else ""
        text = " ".join((entry["text"] or "").split())
        where = inline(f"{entry['path']}#{entry['row']}")
        return f"{lead}{where}{value}{similarity}  {inline(text[:width])}{'…' * (len(text) > width)}"

    shown = [f"## {report['stage']}", "", *selection_lines(report["kind"], report)]
    for name, title in (("picked", "Picked first"), ("near_misses", "Nearly picked")):
        shown += ["", f"{title}:" if report[name] else f"{title}: none"]
        for entry in report[name]:
            shown.append(example(entry, "- "))
            if "nearest_rejected" in entry:
                shown.append(example(entry["nearest_rejected"], "    nearest rejected: "))
    return shown
