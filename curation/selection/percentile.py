"""`select: percentile`: documents whose score lies between two percentiles of all scores."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from curation.scorers.base import Settings
from curation.selection.base import Ranking, Span, part_of


class PercentileSettings(Settings):
    by: str
    """Dotted column of an earlier stage."""
    low: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Share of the scored documents that lie below what stays: 0.9 keeps the best tenth."""
    high: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    """Share of them at which it ends: 0.1 keeps the lowest tenth."""

    @model_validator(mode="after")
    def _ascending(self) -> PercentileSettings:
        if self.low >= self.high:
            raise ValueError(f"low is {self.low} and high {self.high}: nothing would stay")
        return self


class Percentile(Ranking):
    """Of n scored documents in ascending order, those from floor(low · n) up to floor(high · n).

    The cut that fits scores whose scale means little, such as a fastText classifier's: the published cut of DCLM's is
    at 0.018, which is the 90th percentile of its own pool and of no other. Exact over all shards; of equal scores the
    earlier document counts as the higher one. Documents without a score never stay.
    """

    kind = "percentile"
    Settings = PercentileSettings
    reason = "outside_percentiles"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.settings.by,)

    def span(self, rows: int, scored: int) -> Span:
        low, high = (part_of(share, scored) for share in (self.settings.low, self.settings.high))
        return Span(skip=scored - high, count=high - low)
