"""What a selection is: a ranking of all documents that reach the stage, and one cut through it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import BaseModel

from curation.scorers.base import Context, Scorer, Settings

FIELDS = [pa.field("selected", pa.bool_())]


@dataclass(frozen=True)
class Cut:
    """The last document that stays: everything ranked at or before it is selected. None selects nothing."""

    score: float | None
    file: int = -1
    row: int = -1
    """Ties on the score go to the earlier document in input order: (file index, row)."""
    rows: int = 0
    """Documents selected."""


class Selection(ABC):
    """Chooses among all documents that reach the stage, exactly and over all shards at once."""

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    Settings: ClassVar[type[BaseModel]] = Settings
    reason: ClassVar[str] = "below_cut"

    def __init__(self, settings: BaseModel, context: Context) -> None:
        self.settings: Any = settings
        self.context = context

    @property
    def fields(self) -> list[pa.Field]:
        return FIELDS

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The dotted column that ranks; higher is better."""

    def requires(self) -> dict[str, Scorer]:
        """`tokens`: a scorer with the column `tokens`, where the budget counts them."""
        return {}

    @abstractmethod
    def budget(self, rows: int) -> tuple[int | None, int | None]:
        """(documents, tokens) that may stay out of `rows`; None for no limit."""
