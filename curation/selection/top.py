"""`select: top`: the best documents by one score, a fraction, a count or a token budget of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field, model_validator

from curation.scorers.base import Context, Scorer, Settings
from curation.selection.base import Selection, Span


class TopSettings(Settings):
    by: str
    """Dotted column of an earlier stage."""
    lowest: bool = False
    """Whether the lowest values are the best ones, as of a loss."""
    fraction: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    count: Annotated[int, Field(ge=0)] | None = None
    tokens: Annotated[int, Field(ge=0)] | None = None
    tokenizer: str | None = None
    """Model address whose tokenizer counts, for `tokens`."""

    @model_validator(mode="after")
    def _one_budget(self) -> TopSettings:
        if sum(value is not None for value in (self.fraction, self.count, self.tokens)) != 1:
            raise ValueError("give exactly one of fraction, count, tokens")
        if (self.tokens is None) != (self.tokenizer is None):
            raise ValueError("tokens and tokenizer go together")
        return self


class Top(Selection):
    """Exactly floor(fraction * N), or `count`, of the N documents that reach the stage; or the longest ranked prefix
    within `tokens`. Ties go to the earlier document; documents without a score are never chosen.
    """

    kind = "top"
    Settings = TopSettings

    def __init__(self, settings: TopSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.sign = -1 if settings.lowest else 1

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.settings.by,)

    def requires(self) -> dict[str, Scorer]:
        if self.settings.tokens is None:
            return {}
        from curation.scorers.token_count import TokenCount

        return {"tokens": TokenCount(TokenCount.Settings(tokenizer=self.settings.tokenizer), self.context)}

    def span(self, rows: int, scored: int) -> Span:
        if self.settings.fraction is not None:
            return Span(count=part_of(self.settings.fraction, rows))
        return Span(count=self.settings.count, tokens=self.settings.tokens)


def part_of(fraction: float, rows: int) -> int:
    """floor(fraction * rows), the fraction as it is written: 0.29 * 100 is 28.999… in binary, and 29 in decimal."""
    return int(Decimal(repr(fraction)) * rows)
