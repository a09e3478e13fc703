"""`select: mix`: so many tokens of each source or label, repeating where there are too few."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from curation.scorers.base import Scorer, Settings
from curation.selection.base import COPIES, NO_SCORE, QUOTA, SELECTED, Choice, Choosing, Pool, Rows

NO_QUOTA = "no_quota"

Share = Annotated[float, Field(gt=0.0)]


class MixSettings(Settings):
    tokenizer: str
    """Model address whose tokenizer counts."""
    count_of: list[str] = Field(default=["text"], min_length=1)
    """Input columns whose tokens count, such as [output] for a loss on answers only."""
    quotas: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """Tokens by source, or by label. What is not named is dropped."""
    weights: dict[str, Share] = Field(default_factory=dict)
    """The same as parts of `tokens`, which need not add up to 1."""
    tokens: Annotated[int, Field(ge=0)] | None = None
    """In all, for `weights`."""
    label: str | None = None
    """Mapped input column that says what a document is; default: its source."""
    by: str | None = None
    """Dotted column of an earlier stage: where there are too many the best stay; default: chance."""
    lowest: bool = False
    """Whether the lowest values of `by` are the best ones."""
    max_repeats: Annotated[int, Field(ge=1)] = 1
    """How often a document may be written where there are too few; 4 loses little against new text (Muennighoff et al.
    2023, arXiv 2305.16264)."""
    seed: int = 0
    """Of chance, where `by` does not decide."""

    @model_validator(mode="after")
    def _one_form(self) -> MixSettings:
        if bool(self.quotas) == bool(self.weights):
            raise ValueError("give quotas, or weights with tokens")
        if bool(self.weights) != (self.tokens is not None):
            raise ValueError("weights and tokens go together")
        return self

    def wanted(self) -> dict[str, int]:
        """Tokens by name."""
        if self.quotas:
            return dict(self.quotas)
        total = sum(self.weights.values())
        return {name: int((self.tokens or 0) * weight / total) for name, weight in self.weights.items()}


class Mix(Choosing):
    """Documents of each source, or label, up to its tokens.

    Too many: the longest prefix that fits, in an order by chance or by a score. Too few: all of them as often as they
    fit whole, then a prefix once more, each at most `max_repeats` times; what is missing then is in the report.
    Documents are never cut. `value` is the place in the order, from 1 for the first to 0 for the last; `copies` how
    often a document is written, one after the other.
    """

    kind = "mix"
    barred = (*Choosing.barred, NO_QUOTA)
    version = 1
    Settings = MixSettings

    @property
    def columns(self) -> tuple[str, ...]:
        return () if self.settings.by is None else (self.settings.by,)

    @property
    def fields(self) -> list[pa.Field]:
        return [SELECTED, pa.field("rank", pa.int64()), pa.field("value", pa.float64()), pa.field(COPIES, pa.int32())]

    def requires(self) -> dict[str, Scorer]:
        from curation.scorers.token_count import TokenCount
        from curation.selection.tag_coverage import Tags, TagsSettings

        chosen = self.settings
        counted = TokenCount.Settings(tokenizer=chosen.tokenizer, columns=chosen.count_of)
        scorers: dict[str, Scorer] = {"tokens": TokenCount(counted, self.context)}
        if chosen.label is not None:
            scorers["tags"] = Tags(TagsSettings(column=chosen.label, separator=""), self.context)
        return scorers

    def choose(self, pool: Pool) -> Choice:
        chosen = self.settings
        assert pool.tokens is not None
        order = pool.chance(chosen.seed).astype(np.float64)
        if chosen.by is not None:
            order = pool.columns[chosen.by] if chosen.lowest else -pool.columns[chosen.by]
        able = pool.usable() & ~np.isnan(order)
        group, names = _groups(pool, chosen.label is not None)
        wanted = chosen.wanted()
        copies = np.zeros(pool.rows, dtype=np.int64)
        value = np.full(pool.rows, np.nan)
        reason = np.full(pool.rows, NO_SCORE, dtype=object)
        reason[able] = QUOTA
        reason[able & ~np.isin(group, [index for index, name in enumerate(names) if name in wanted])] = NO_QUOTA
        mixture = []
        for name, quota in wanted.items():
            index = names.index(name) if name in names else -1
            rows = np.flatnonzero(able & (group == index))
            rows = rows[np.lexsort((rows, order[rows]))]
            copies[rows] = repeated(pool.tokens[rows], quota, chosen.max_repeats)
            value[rows] = 1.0 - (np.arange(len(rows)) + 0.5) / max(len(rows), 1)
            written = int((copies[rows] * pool.tokens[rows]).sum())
            there = int(pool.tokens[rows].sum())
            fact: dict[str, Any] = {"name": name, "quota": quota, "tokens": written, "there": there}
            mixture.append({**fact, "documents": int((copies[rows] > 0).sum()), "copies": int(copies[rows].sum())})
        picked = np.flatnonzero(copies)
        picked = picked[np.lexsort((picked, -value[picked]))]
        return Choice(picked, value, reason, copies=copies, extra={COPIES: copies}, facts={"mixture": mixture})


def repeated(tokens: Rows, quota: int, most: int) -> Rows:
    """How often each document, in order, is written for `quota` tokens, at most `most` times: int64 [n]."""
    total = int(tokens.sum())
    if not total:
        return np.zeros(len(tokens), dtype=np.int64)
    whole = min(quota // total, most)
    copies = np.full(len(tokens), whole, dtype=np.int64)
    if whole < most:
        copies[np.cumsum(tokens) <= quota - whole * total] += 1
    return copies


def _groups(pool: Pool, labelled: bool) -> tuple[Rows, list[str]]:
    """Which of the names each row counts as: its source, or its label; -1 for a row without one."""
    if not labelled:
        return pool.source, pool.sources
    assert pool.tags is not None
    tagged = np.asarray(pool.tags.value_lengths().fill_null(0)) > 0
    names = pool.tags.flatten().dictionary_encode()
    group = np.full(pool.rows, -1, dtype=np.int64)
    group[tagged] = np.asarray(names.indices)
    return group, names.dictionary.to_pylist()
