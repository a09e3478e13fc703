"""What a profile of quality rules is: measurements of a text, and thresholds on them checked in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.reasons import Grounds, bounded

Thresholds = Mapping[str, float | None]
"""Bounds by rule name; None switches a rule off."""


@dataclass(frozen=True)
class Rule:
    """Reject when a measurement lies beyond its bound; on the bound, the document stays unless `on_bound`."""

    column: str
    bound: str
    """Either "min" or "max"."""
    default: float | None
    """The bound unless a recipe gives another; None is a rule that is off until a recipe gives one."""
    reason: str
    """What a rejected document is told; the reference implementation's word where there is one."""
    paper: str
    """Where it comes from: arXiv number, author and year, or name and version of the tool that defines it."""
    on_bound: bool = False
    """Whether a measurement that lies on the bound is rejected too."""

    @property
    def name(self) -> str:
        """How a recipe calls the threshold: "min_words"."""
        return f"{self.bound}_{self.column}"

    @property
    def sign(self) -> str:
        """What holds between the measurement and the bound of a rejected document."""
        return ("<" if self.bound == "min" else ">") + ("=" if self.on_bound else "")

    def rejects(self, values: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
        """Which documents it rejects; NaN, a measurement that does not exist, is never rejected."""
        beyond = values < threshold if self.bound == "min" else values > threshold
        return beyond | (values == threshold) if self.on_bound else beyond


@dataclass(frozen=True)
class Profile:
    """A named, versioned set of rules, in the order in which they give reasons."""

    name: str
    version: int
    """Raised whenever the same text would be measured or judged otherwise."""
    rules: tuple[Rule, ...]
    measurements: tuple[pa.Field, ...]
    """The columns measured, numbers all, as the rules and SQL read them."""
    measurer: Callable[[pa.LargeStringArray], dict[str, NDArray[np.generic]]]
    """One value of each measurement for each text, NaN where there is none."""
    nothing: str
    """Reason for a text with nothing in it to measure, whichever rules are on."""
    substance: str
    """The measurement that is 0 for such a text."""

    @property
    def fields(self) -> list[pa.Field]:
        """Columns of `measure`: `pass`, `reason` (null when it passes), and the measurements."""
        return [pa.field("pass", pa.bool_()), pa.field("reason", pa.string()), *self.measurements]

    @property
    def defaults(self) -> dict[str, float | None]:
        """The thresholds of the source, by rule name."""
        return {rule.name: rule.default for rule in self.rules}

    def thresholds(self, overrides: Thresholds) -> dict[str, float | None]:
        """Every rule's threshold, defaults where not overridden. Raises ValueError for a name that is no rule's."""
        for name in overrides:
            if name not in self.defaults:
                raise ValueError(did_you_mean(f"threshold of {self.name}", name, self.defaults))
        return {**self.defaults, **overrides}

    def measure(self, text: pa.LargeStringArray, thresholds: Thresholds) -> pa.RecordBatch:
        """Measurements and verdict of each text: columns `fields`, a row for each, in order."""
        return self.judge(self.measurer(text), thresholds)

    def judge(self, values: Mapping[str, NDArray[np.generic]], thresholds: Thresholds) -> pa.RecordBatch:
        """Verdicts on measurements: `values` as `measurer` gives them. The first rule that rejects is the reason."""
        thresholds = self.thresholds(thresholds)
        reasons = [self.nothing, *(rule.reason for rule in self.rules)]
        first = np.full(len(values[self.substance]), -1, np.int32)
        first[values[self.substance] == 0] = 0
        for number, rule in enumerate(self.rules, start=1):
            threshold = thresholds[rule.name]
            if threshold is not None:
                first[(first < 0) & rule.rejects(values[rule.column].astype(np.float64), threshold)] = number
        reason = pa.array(reasons, pa.string()).take(pa.array(first, mask=first < 0))
        columns = [pa.array(values[field.name], field.type, from_pandas=True) for field in self.measurements]
        return pa.RecordBatch.from_arrays([pa.array(first < 0), reason, *columns], schema=pa.schema(self.fields))

    def grounds(self, rejected: pa.StructArray, thresholds: Thresholds) -> Grounds:
        """Of rejected documents by their columns `fields` [n]: rule, value and bound. A text with nothing to measure
        has these only where a rule rejects its nothing."""
        reason = np.array(pc.struct_field(rejected, "reason").to_pylist(), dtype=object)
        filled = Grounds(np.full(len(reason), None, object), np.full(len(reason), np.nan), np.full(len(reason), np.nan))
        for rule in self.rules:
            bound = thresholds[rule.name]
            if bound is None:
                continue
            values = pc.struct_field(rejected, rule.column).cast(pa.float64())
            numbers = values.to_numpy(zero_copy_only=False)
            told = (reason == rule.reason) | ((reason == self.nothing) & (rule.column == self.substance))
            rows = np.flatnonzero(np.isnan(filled.value) & told & rule.rejects(numbers, bound))
            filled.reason[rows] = bounded(rule.column, numbers[rows], rule.sign, float(bound))
            filled.value[rows] = numbers[rows]
            filled.bound[rows] = bound
        return filled


PROFILES = {
    "gopher-quality@datatrove": "curation.rules.gopher_quality:DATATROVE",
    "gopher-quality@dolma": "curation.rules.gopher_quality_dolma:DOLMA",
    "gopher-quality@dclm": "curation.rules.gopher_quality_dclm:DCLM",
    "gopher-repetition@datatrove": "curation.rules.gopher_repetition:DATATROVE",
    "gopher-repetition@dolma": "curation.rules.gopher_repetition_dolma:DOLMA",
    "gopher-repetition@dclm": "curation.rules.gopher_repetition_dclm:DCLM",
    "c4@dolma": "curation.rules.c4_dolma:DOLMA",
    "fineweb-code": "curation.rules.fineweb:CODE",
    "fineweb-paper": "curation.rules.fineweb:PAPER",
    "nemo-curator": "curation.rules.nemo_curator:NEMO_CURATOR",
    "readability": "curation.rules.readability:READABILITY",
}
"""Where each profile of whole-document rules is, by its name in a recipe. Kernels are imported when they are wanted."""


def resolve(name: str) -> Profile:
    """The profile of that name. Raises ValueError that lists the known ones."""
    if name not in PROFILES:
        raise ValueError(did_you_mean("profile", name, PROFILES))
    module, attribute = PROFILES[name].split(":")
    found: Profile = getattr(import_module(module), attribute)
    return found


def did_you_mean(what: str, name: str, names: Iterable[str]) -> str:
    """Message for a name that is not among the known ones, with the closest of them."""
    names = list(names)
    close = get_close_matches(name, names, n=1)
    meant = f"; did you mean {close[0]!r}?" if close else "."
    return f"unknown {what} {name!r}{meant} Known: {', '.join(names)}"
