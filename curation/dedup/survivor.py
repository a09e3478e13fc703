"""Which member of a cluster of duplicates is the best: one rule, or several, each for the ties of the one before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator

from curation.scorers.base import Settings


class ByScore(Settings):
    """The one with the best value of a column of an earlier stage; documents without a value come last."""

    by: str
    """`stage.column`, a number."""
    order: Literal["higher", "lower"] | None = None
    """Which value is the best. Left out, the scorer says so; a column of which none does needs it."""


class BySource(Settings):
    """The one from the source that is named first; documents of sources that are not named come last."""

    source: list[str]


def _understood(given: Any) -> Any:
    """One error in plain words, where a union has one for each thing that was not meant."""
    if given == [] and isinstance(given, list):
        raise ValueError("the list is empty")
    for rule in given if isinstance(given, list) else [given]:
        keys = set(rule) if isinstance(rule, dict) else set()
        known = {"by", "order"} if "by" in keys else {"source"}
        if rule not in PLAIN and not (keys & {"by", "source"} and keys <= known):
            raise ValueError(f"expected {WANTED}, got {json.dumps(rule, default=str)}")
        if keys and not isinstance(rule.get("by", ""), str):
            raise ValueError(f"by: expected a column such as quality.score, got {json.dumps(rule['by'], default=str)}")
        if rule not in PLAIN and rule.get("order") not in ("higher", "lower", None):
            raise ValueError(f"order: expected higher or lower, got {json.dumps(rule['order'], default=str)}")
        names = rule.get("source", ["."]) if keys else ["."]
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise ValueError(f"source: expected a list of names, the best first, got {json.dumps(names, default=str)}")
        if len(set(names)) < len(names):
            raise ValueError("source: a name stands there twice")
    return given


PLAIN = ("longest", "first")
WANTED = "longest, first, {by: stage.column}, {source: [a, b]} or a list of these"
Rule = Literal["longest", "first"] | ByScore | BySource
"""`longest`: the one with most bytes; `first`: the earliest in input order."""
Survivor = Annotated[Rule | list[Rule], BeforeValidator(_understood)]


def rules(survivor: Survivor) -> Sequence[Rule]:
    """As a list, whether one or several were given."""
    return survivor if isinstance(survivor, list) else [survivor]


def columns_of(survivor: Survivor) -> tuple[str, ...]:
    """Dotted columns that the rules go by, each once."""
    return tuple(dict.fromkeys(rule.by for rule in rules(survivor) if isinstance(rule, ByScore)))


class Documents(Protocol):
    """What rules may look at, of n documents in input order."""

    def bytes(self) -> NDArray[np.int64]:
        """Of text."""

    def values(self, column: str) -> NDArray[np.float64]:
        """Of a column that a rule goes by, NaN where there is none."""

    def sources(self) -> tuple[Sequence[str], NDArray[np.int64]]:
        """Names of sources, and the number of each document's among them."""


def ranks(survivor: Survivor, documents: Documents, n: int, higher: dict[str, bool]) -> NDArray[np.int64]:
    """Each document's place from the best, int64[n], a permutation: what the rules leave open, input order decides.

    `higher` says of each column that a rule goes by without an `order` of its own whether a higher value is better.
    """
    keys: list[NDArray[np.generic]] = [np.arange(n)]  # lexsort takes the last key first
    for rule in reversed(rules(survivor)):
        if rule == "longest":
            keys.append(-documents.bytes())
        elif rule == "first":
            keys.append(np.arange(n))
        elif isinstance(rule, ByScore):
            up = higher[rule.by] if rule.order is None else rule.order == "higher"
            values = documents.values(rule.by)
            keys.append(-values if up else values)  # NaN sorts last either way
        elif isinstance(rule, BySource):
            place = {name: number for number, name in enumerate(rule.source)}
            names, which = documents.sources()
            keys.append(np.array([place.get(name, len(place)) for name in names], np.int64)[which])
    order = np.lexsort(keys)
    rank = np.empty(n, np.int64)
    rank[order] = np.arange(n)
    return rank
