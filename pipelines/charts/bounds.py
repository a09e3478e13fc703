"""The thresholds that gates put on measurements: read from the gates themselves, and from profiles of rules."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import NamedTuple

from curation.gates import Gate
from curation.rules import resolve
from pipelines.charts.run import OpenRun

PASSES = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
"""What holds of a document that a rule does not reject."""


class Threshold(NamedTuple):
    """A comparison of a measurement with a number that a document has to pass."""

    name: str
    """`stage.field`, as the run has it."""
    stage: str
    """Whose gate it is."""
    operator: str
    value: float
    expression: str

    def sql(self, column: str) -> str:
        """Condition that a document passes; NULL where there is no value."""
        return f"({column} {self.operator} {self.value!r}::DOUBLE)"


def thresholds(run: OpenRun) -> list[Threshold]:
    """Of all gates, in order, and where rankings were cut; what stands in an OR or in a function is no threshold."""
    every = [threshold for stage, gate in run.gates.items() for threshold in _of_gate(run, stage, gate)]
    every += _of_rankings(run)
    return [threshold for threshold in every if math.isfinite(threshold.value)]


def read_together(run: OpenRun) -> list[tuple[str, str]]:
    """Pairs of measurements with a threshold each, in one gate, in the order in which gates name them."""
    numbers = {item.name for item in run.measurements() if not item.boolean}
    pairs = []
    for stage, gate in run.gates.items():
        own = {conjunct.column.casefold() for conjunct in gate.conjuncts if conjunct.column is not None}
        names = [t.name for t in _of_gate(run, stage, gate) if t.name.casefold() in own and t.name in numbers]
        names = list(dict.fromkeys(names))
        pairs += [(one, other) for number, one in enumerate(names) for other in names[number + 1 :]]
    return list(dict.fromkeys(pairs))


def _of_gate(run: OpenRun, stage: str, gate: Gate) -> Iterator[Threshold]:
    names = {item.name.casefold(): item.name for item in run.measurements()}
    for conjunct in gate.conjuncts:
        name = names.get((conjunct.column or "").casefold())
        if name is not None and conjunct.threshold is not None:
            if conjunct.op == "between" and conjunct.upper is not None:
                yield Threshold(name, stage, ">=", conjunct.threshold, gate.sql)
                yield Threshold(name, stage, "<=", conjunct.upper, gate.sql)
            elif conjunct.op is not None and conjunct.op != "between":
                yield Threshold(name, stage, conjunct.op, conjunct.threshold, gate.sql)
        elif conjunct.bare:
            yield from _of_profile(run, stage, gate, conjunct.columns[0])


def _of_profile(run: OpenRun, stage: str, gate: Gate, verdict: str) -> Iterator[Threshold]:
    """Of a gate that asks for the verdict of rules, the rules' own."""
    owner, _, column = verdict.partition(".")
    row = next((row for row in run.stages if row["stage"].casefold() == owner.casefold()), None)
    if row is None or row["kind"] != "rules" or column.casefold() != "pass":
        return
    settings = json.loads(row["settings"])
    try:
        profile = resolve(settings["profile"])
        values = profile.thresholds(settings.get("thresholds") or {})
    except (ValueError, KeyError):
        return  # of another version, which knew more
    fields = {item.name for item in run.measurements()}
    for rule in profile.rules:
        value, name = values[rule.name], f"{row['stage']}.{rule.column}"
        if value is not None and name in fields:
            yield Threshold(name, stage, PASSES[rule.sign], float(value), gate.sql)


def _of_rankings(run: OpenRun) -> Iterator[Threshold]:
    """Where selections cut the order of a measurement, as their drops say."""
    names = {item.name.casefold(): item.name for item in run.measurements()}
    for stage, by, value, over in run.cuts:
        if by.casefold() in names:
            told = f"select: {run.kinds[stage]} by {by}"
            yield Threshold(names[by.casefold()], stage, "<=" if over else ">=", value, told)
