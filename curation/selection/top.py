"""`select: top`: the best documents by one score, a fraction, a count or a token budget of them."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, Field, model_validator

from curation.scorers.base import Context, Scorer, Settings
from curation.selection.base import Ranking, Span, part_of


class PrefixSettings(Settings):
    fraction: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    """Of all documents that reach the stage, rounded down."""
    count: Annotated[int, Field(ge=0)] | None = None
    """Documents."""
    tokens: Annotated[int, Field(ge=0)] | None = None
    """In the order of the ranking, up to the first document that does not fit."""
    tokenizer: str | None = None
    """Model address whose tokenizer counts, for `tokens`."""

    @model_validator(mode="after")
    def _one_budget(self) -> PrefixSettings:
        if sum(value is not None for value in (self.fraction, self.count, self.tokens)) != 1:
            raise ValueError("give exactly one of fraction, count, tokens")
        if (self.tokens is None) != (self.tokenizer is None):
            raise ValueError("tokens and tokenizer go together")
        return self


class Prefix(Ranking):
    """Exactly floor(fraction * N), or `count`, of the N documents that reach the stage; or the longest ranked prefix
    within `tokens`. Ties go to the earlier document; documents without a score are never chosen.
    """

    Settings: ClassVar[type[BaseModel]] = PrefixSettings

    def requires(self) -> dict[str, Scorer]:
        if self.settings.tokens is None:
            return {}
        from curation.scorers.token_count import TokenCount

        return {"tokens": TokenCount(TokenCount.Settings(tokenizer=self.settings.tokenizer), self.context)}

    def span(self, rows: int, scored: int) -> Span:
        if self.settings.fraction is not None:
            return Span(count=part_of(self.settings.fraction, rows))
        return Span(count=self.settings.count, tokens=self.settings.tokens)


class TopSettings(PrefixSettings):
    by: str
    """Dotted column of an earlier stage."""
    lowest: bool = False
    """Whether the lowest values are the best ones, as of a loss."""


class Top(Prefix):
    """The best documents by one score: exactly floor(fraction * N), or `count`, of the N that reach the stage; or the
    longest ranked prefix within `tokens`. Ties go to the earlier document; documents without a score are never chosen.
    """

    kind = "top"
    Settings = TopSettings

    def __init__(self, settings: TopSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.sign = -1 if settings.lowest else 1

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.settings.by,)
