"""What a selection is: a ranking of all documents that reach the stage, and one stretch of it that stays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import BaseModel

from curation.scorers.base import Context, Scorer, Settings

FIELDS = [pa.field("selected", pa.bool_())]


@dataclass(frozen=True)
class Span:
    """Which ranks stay, counted from the best: those from `skip` on, `count` of them or as many as fit `tokens`."""

    skip: int = 0
    count: int | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class Place:
    """A document's place in the ranking: its score, and for ties where it stands in the input."""

    score: float
    file: int
    row: int
    """(file index, row in the file): of equal scores the earlier document ranks higher."""


@dataclass(frozen=True)
class Cut:
    """The first and the last document that stay, and how many there are from one to the other. None selects nothing."""

    first: Place | None
    last: Place | None
    rows: int = 0

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Cut:
        """From plain JSON."""
        first, last = (Place(**facts[name]) if facts[name] else None for name in ("first", "last"))
        return cls(first, last, facts["rows"])


class Selection(ABC):
    """Chooses among all documents that reach the stage, exactly and over all shards at once."""

    kind: ClassVar[str]
    version: ClassVar[int] = 2
    Settings: ClassVar[type[BaseModel]] = Settings
    reason: ClassVar[str] = "below_cut"
    sign: int = 1
    """-1 where the lowest value ranks first."""

    def __init__(self, settings: BaseModel, context: Context) -> None:
        self.settings: Any = settings
        self.context = context

    @property
    def fields(self) -> list[pa.Field]:
        return FIELDS

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The dotted column that ranks."""

    def requires(self) -> dict[str, Scorer]:
        """`tokens`: a scorer with the column `tokens`, where the budget counts them."""
        return {}

    @abstractmethod
    def span(self, rows: int, scored: int) -> Span:
        """What stays of `rows` documents, of which `scored` have a score. Documents without one never stay."""
