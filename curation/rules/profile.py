"""What a profile of quality rules is: measurements of a text, and thresholds on them checked in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Thresholds = Mapping[str, float | None]
"""Bounds by rule name; None switches a rule off."""


@dataclass(frozen=True)
class Rule:
    """Reject when a measurement lies beyond its bound; on the bound, the document stays."""

    column: str
    bound: str
    """Either "min" or "max"."""
    default: float
    reason: str
    """What a rejected document is told; the reference implementation's word where there is one."""
    paper: str
    """arXiv number."""

    @property
    def name(self) -> str:
        """How a recipe calls the threshold: "min_words"."""
        return f"{self.bound}_{self.column}"

    def rejects(self, values: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
        """Which documents it rejects; NaN, a measurement that does not exist, is never rejected."""
        return values < threshold if self.bound == "min" else values > threshold


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
        """The thresholds of the paper and its reference implementation, by rule name."""
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


def profiles() -> dict[str, Profile]:
    """Every profile of whole-document rules, by its name in a recipe."""
    from curation.rules.gopher_quality import DATATROVE  # its kernels take a moment to import

    return {profile.name: profile for profile in (DATATROVE,)}


def resolve(name: str) -> Profile:
    """The profile of that name. Raises ValueError that lists the known ones."""
    known = profiles()
    if name not in known:
        raise ValueError(did_you_mean("profile", name, known))
    return known[name]


def did_you_mean(what: str, name: str, known: Iterable[str]) -> str:
    """Message for a name that is not among the known ones, with the closest of them."""
    known = list(known)
    close = get_close_matches(name, known, n=1)
    meant = f"; did you mean {close[0]!r}?" if close else "."
    return f"unknown {what} {name!r}{meant} Known: {', '.join(known)}"
