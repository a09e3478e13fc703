"""What a selection did, in Markdown: for the dataset card and for the terminal."""

from __future__ import annotations

import json
from typing import Any

from curation.escape import code, inline, markdown
from curation.manifest.parts import Manifest
from curation.plan import Plan, StagePlan
from curation.report.tables import table

MOST = "**Mostly "
"""How a sentence begins that should be read before the choice is believed."""


def selections(plan: Plan, manifest: Manifest) -> list[tuple[StagePlan, dict[str, Any]]]:
    """A run's selections, each with its report."""
    used = {row["stage"]: row["group"] for row in manifest.where("barriers", run=plan.run).to_pylist()}
    groups = {row["group"]: row["report"] for row in manifest.read("groups").to_pylist()}
    reported = [(stage, groups.get(used.get(stage.id, ""))) for stage in plan.stages if stage.family == "select"]
    return [(stage, json.loads(report)) for stage, report in reported if report]


def choices_by_length(plan: Plan, manifest: Manifest) -> list[str]:
    """Selections that mostly follow length and were not asked to, a sentence each: for the end of a run."""
    if not any(stage.family == "select" for stage in plan.stages):
        return []
    told = [(stage, length_verdict(report)) for stage, report in selections(plan, manifest) if stage.kind != "longest"]
    return [f"{stage.id}: {text.replace('*', '')}" for stage, text in told if text.startswith(MOST)]


def selection_lines(kind: str, report: dict[str, Any]) -> list[str]:
    """The report of `curation.selection.report` (plain JSON), without its examples."""
    lines = [f"{code(kind)} selected {report['selected']:,} of {report['documents']:,} documents."]
    if report["entrants"] != report["documents"]:
        lines[0] = (
            f"{code(kind)}: of {report['entrants']:,} documents, {report['documents']:,} by hash are looked at here,"
        )
        lines[0] += f" {report['selected']:,} of them selected."
    lines += [
        f"{markdown(name)}: {inline(_fact(value))}"
        for name, value in report["facts"].items()
        if not isinstance(value, list)
    ]
    lines += ["", BY_LENGTH if kind == "longest" else length_verdict(report)]
    rows = [
        [name, _share(found["overlap"]), _share(report["chance"]), _number(found["spearman"])]
        for name, found in report["baselines"].items()
    ]
    lines += ["", *table(["beside", "documents in common", "by chance", "Spearman"], rows)]
    names = ["all", "selected", "random", "longest"]
    lengths = [[name, *(_number(value, 0) for value in report["lengths"][name] or [None] * 5)] for name in names]
    lines += ["", *table(["bytes", "5 %", "25 %", "median", "75 %", "95 %"], lengths)]
    tenths = [
        [f"{part['from']:,}–{part['to']:,}", f"{part['selected']:,} of {part['documents']:,}", _number(part["mean"], 4)]
        for part in report["length_tenths"]
    ]
    lines += ["", *table(["bytes, by tenths", "selected", "mean value"], tenths)]
    if len(report["sources"]) > 1:
        sources = [
            [
                part["source"],
                _share(part["documents"] / report["documents"]),
                _share(part["selected"] / report["selected"] if report["selected"] else None),
            ]
            for part in report["sources"]
        ]
        lines += ["", *table(["source", "of all", "of the selected"], sources)]
        lines += ["", f"Shift between sources: {_number(report['shift'], 4)} bits (Jensen–Shannon; 0 is none, 1 all)."]
    if "coverage" in report:
        covered = report["coverage"]
        rows = [[name, *(_number(covered[name][key]) for key in ("radius", "mean"))] for name in names[1:]]
        lines += ["", *table(["chosen by", "largest distance to a chosen one", "mean distance"], rows)]
    for fact in report["facts"].get("mixture", []):
        if fact["tokens"] < fact["quota"] and fact["quota"] - fact["tokens"] > fact["quota"] // 100:
            lines += [
                "",
                f"{markdown(fact['name'])}: {fact['tokens']:,} of {fact['quota']:,} tokens;"
                f" {fact['there']:,} are there.",
            ]
    if "mixture" in report["facts"]:
        mixture = [
            [fact["name"], *(f"{fact[key]:,}" for key in ("quota", "tokens", "there", "documents", "copies"))]
            for fact in report["facts"]["mixture"]
        ]
        lines += ["", *table(["name", "quota", "tokens", "there", "documents", "copies"], mixture)]
    return lines


BY_LENGTH = "By length, as it was asked to."
MOSTLY, PARTLY = (0.5, 0.7), (0.2, 0.4)
"""Of the picks, the share beyond chance that the longest documents are, and the rank correlation with length, from
either of which a selection follows length."""


def length_verdict(report: dict[str, Any]) -> str:
    """One sentence: does the selection mostly follow length?"""
    beside = report["baselines"]["longest"]
    overlap, correlation, chance = beside["overlap"], beside["spearman"], report["chance"]
    if overlap is None or not report["selected"] or report["selected"] == report["documents"]:
        return "Length: nothing to say where all or none are selected."
    beyond = (overlap - chance) / (1 - chance)
    related = 0.0 if correlation is None else correlation
    facts = f"{overlap:.0%} of the picks are among the longest (by chance {chance:.0%})"
    facts += "" if correlation is None else f", rank correlation of score and length {correlation:.2f}"

    def follows(least: tuple[float, float]) -> bool:
        return bool(beyond >= least[0] or abs(related) >= least[1])

    shorter = related < 0 and beyond < PARTLY[0]
    which = "the shorter ones" if shorter else "length"
    if follows(MOSTLY):
        return f"{MOST}{which}**: {facts}. Compare it with `select: longest` before you believe the score."
    if follows(PARTLY):
        return f"Partly {which}: {facts}."
    return f"Not by length: {facts}."


def _fact(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
