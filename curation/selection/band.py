"""`select: band`: the low, middle or high part of a ranking, as "Perplexed by Perplexity" cuts it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from curation.scorers.base import Settings
from curation.selection.base import Ranking, Span, part_of


class BandSettings(Settings):
    by: str
    """Dotted column of an earlier stage, such as perplexity.ppl."""
    band: Literal["low", "middle", "high"]
    """Which part of the scores stays: the lowest, the highest, or those around the median."""
    fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    """Share of the scored documents that stays."""


class Band(Ranking):
    """Exactly floor(fraction · n) of the n scored documents: the lowest, the middle or the highest scores.

    Which band of perplexities makes the best training data depends on the corpus (arXiv 2405.20541: high for the Pile,
    middle for Dolma; middle in arXiv 2309.04564), so try more than one. A band of perplexities shifts domains: the
    report's statistics by source show how. Exact over all shards; of equal scores the earlier document counts as the
    higher one. Documents without a score never stay.
    """

    kind = "band"
    Settings = BandSettings
    reason = "outside_band"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.settings.by,)

    def span(self, rows: int, scored: int) -> Span:
        kept = part_of(self.settings.fraction, scored)
        skip = {"high": 0, "middle": (scored - kept) // 2, "low": scored - kept}[self.settings.band]
        return Span(skip=skip, count=kept)
