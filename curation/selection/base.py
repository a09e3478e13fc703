"""What a selection is: a choice among all documents that reach the stage, exact and over all shards at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator

from curation.scorers.base import Context, Scorer, Settings
from curation.sources.shards import scramble

if TYPE_CHECKING:
    from curation.selection.vectors import Vectors

SELECTED = pa.field("selected", pa.bool_())
COPIES = "copies"
"""The column of a stage that says how often each document is written."""
NO_SCORE = "no_score"
NO_VECTOR = "no_vector"
NOT_SELECTED = "not_selected"
QUOTA = "quota_full"
"""Reasons of documents that a choice leaves out."""

Rows = NDArray[np.int64]


class Selection(ABC):
    """Chooses among all documents that reach the stage; drops the others."""

    kind: ClassVar[str]
    version: ClassVar[int] = 2
    Settings: ClassVar[type[BaseModel]] = Settings

    def __init__(self, settings: BaseModel, context: Context) -> None:
        self.settings: Any = settings
        self.context = context

    @property
    @abstractmethod
    def fields(self) -> list[pa.Field]:
        """The stage's columns."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Dotted columns of earlier stages that it reads, numbers all."""
        return ()

    def requires(self) -> dict[str, Scorer]:
        """Scorers whose columns it reads: `tokens` with the column `tokens`, `vectors` with `vector`, `tags` with
        `tags`."""
        return {}

    def identity(self) -> dict[str, Any]:
        """Whatever beside settings and documents decides the choice, such as a target file's hash."""
        return {}


# --- a ranking and a cut: nothing but two places to remember, whatever the number of documents -----------------------


@dataclass(frozen=True)
class Span:
    """Which ranks stay, counted from the best: those from `skip` on, `count` of them or as many as fit `tokens`."""

    skip: int = 0
    count: int | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class RankPosition:
    """A document's place in the ranking: its score, and for ties where it stands in the input."""

    score: float
    file: int
    row: int
    """(file index, row in the file): of equal scores the earlier document ranks higher."""


@dataclass(frozen=True)
class Cut:
    """The first and the last document that stay, and how many there are from one to the other. None selects nothing."""

    first: RankPosition | None
    last: RankPosition | None
    rows: int = 0

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Cut:
        """From plain JSON."""
        first, last = (RankPosition(**facts[name]) if facts[name] else None for name in ("first", "last"))
        return cls(first, last, facts["rows"])


@dataclass(frozen=True)
class Facts:
    """What a ranking may rank n documents of one shard by."""

    columns: Mapping[str, NDArray[np.float64]]
    """The selection's `columns`, NaN where there is no value."""
    length: Rows
    """[n]: bytes of the answer where rows hold one, else of the text."""
    key: NDArray[np.uint64]
    """[n]: a hash of the file's content and the row's place in it."""


class Ranking(Selection):
    """All documents in one order, of which one stretch stays."""

    reason: ClassVar[str] = "below_cut"
    sign: int = 1
    """-1 where the lowest value ranks first."""

    @property
    def fields(self) -> list[pa.Field]:
        return [SELECTED]

    def values(self, facts: Facts) -> NDArray[np.float64]:
        """What ranks each document, NaN for one that never stays."""
        return facts.columns[self.columns[0]]

    @abstractmethod
    def span(self, rows: int, scored: int) -> Span:
        """What stays of `rows` documents, of which `scored` have a score. Documents without one never stay."""


def part_of(fraction: float, rows: int) -> int:
    """floor(fraction * rows), the fraction as it is written: 0.29 * 100 is 28.999… in binary, and 29 in decimal."""
    return int(Decimal(repr(fraction)) * rows)


# --- a choice of which every document's part is remembered -----------------------------------------------------------


class BudgetSettings(Settings):
    """How much is chosen, and at most how much of each source."""

    count: Annotated[int, Field(ge=0)] | None = None
    """Documents."""
    fraction: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    """Of all documents that reach the stage."""
    tokens: Annotated[int, Field(ge=0)] | None = None
    """In the order of choosing, up to the first document that does not fit."""
    tokenizer: str | None = None
    """Model address whose tokenizer counts, for `tokens`."""
    quotas: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """By source, at most how many documents; sources that are not named have no limit."""

    @model_validator(mode="after")
    def _one_budget(self) -> BudgetSettings:
        if sum(value is not None for value in (self.count, self.fraction, self.tokens)) != 1:
            raise ValueError("give exactly one of count, fraction, tokens")
        if (self.tokens is None) != (self.tokenizer is None):
            raise ValueError("tokens and tokenizer go together")
        return self


class VectorSettings(BudgetSettings):
    """A budget, and the encoder that says how alike documents are."""

    model: str
    """Address of a sentence-transformers model. A stage `scorer: embedding` with the same settings shares the
    vectors."""
    embed: list[str] = Field(default=["text"], min_length=1)
    """Input columns that are read together: [instruction], or [text] for question and answer."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Tokens read from the start; default: the model's own limit."""


@dataclass(frozen=True)
class Budget:
    """What choosing costs. Rows are chosen while they fit; the first that does not fit ends it."""

    cost: Rows
    """[n]: 1, or tokens."""
    limit: int
    group: Rows
    """[n]: which quota each row counts against."""
    most: Rows
    """By group, rows that may be chosen; -1 for any number."""

    @classmethod
    def rows(cls, n: int, limit: int) -> Budget:
        """So many of n rows."""
        nothing = np.zeros(n, dtype=np.int64)
        return cls(nothing + 1, limit, nothing, np.array([-1], dtype=np.int64))

    def of(self, rows: Rows) -> Budget:
        """The same for some of the rows."""
        return Budget(self.cost[rows], self.limit, self.group[rows], self.most)


@dataclass
class Pool:
    """All documents that reach a choosing stage, n of them, in input order."""

    columns: dict[str, NDArray[np.float64]]
    """The selection's `columns`, NaN where there is no value."""
    length: Rows
    """[n]: bytes of the answer where rows hold one, else of the text."""
    key: NDArray[np.uint64]
    """[n]: a hash of the file's content and the row's place in it: chance that is the same everywhere."""
    source: Rows
    """[n]: which of `sources`."""
    sources: list[str]
    tokens: Rows | None = None
    """[n], where the budget counts them; -1 where there is no count."""
    vectors: Vectors | None = None
    """float32 [n, d] of `curation.selection.vectors.exact`; zeros where there is none."""
    tags: pa.ListArray | None = None
    """[n] lists of texts."""

    @property
    def rows(self) -> int:
        return len(self.length)

    def usable(self) -> NDArray[np.bool_]:
        """[n]: which rows have a vector and a count of tokens, as far as they are needed."""
        good = np.ones(self.rows, dtype=bool)
        if self.vectors is not None:
            good &= self.vectors.any(axis=1)
        if self.tokens is not None:
            good &= self.tokens >= 0
        return good

    def chance(self, seed: int) -> NDArray[np.uint64]:
        """[n]: random numbers that a seed and each document's place decide."""
        return scramble(self.key, seed)

    def budget(self, settings: BudgetSettings) -> Budget:
        """The recipe's budget, over all rows."""
        if settings.tokens is not None:
            assert self.tokens is not None
            cost, limit = np.maximum(self.tokens, 0), settings.tokens
        else:
            cost = np.ones(self.rows, dtype=np.int64)
            limit = settings.count if settings.count is not None else part_of(settings.fraction or 0.0, self.rows)
        most = np.array([settings.quotas.get(name, -1) for name in self.sources] or [-1], dtype=np.int64)
        return Budget(cost, limit, self.source, most)


@dataclass
class Choice:
    """What was chosen of a pool of n documents."""

    picked: Rows
    """Rows in the order of choosing."""
    value: NDArray[np.float64]
    """[n]: what the choice went by: a score; for greedy choices the gain, of those left out what they would add now."""
    reason: NDArray[np.object_] | None = None
    """[n]: why a document was left out; None for NOT_SELECTED throughout."""
    twin: Rows | None = None
    """[n]: the chosen row that stands for it, -1 for none; None where nothing is known."""
    similarity: NDArray[np.float64] | None = None
    """[n]: of row and twin."""
    copies: Rows | None = None
    """[n]: how often each is written; None for once each that was picked."""
    near: Rows | None = None
    """Rows that were nearly picked, nearest first; None for those of highest value."""
    extra: dict[str, Any] = field(default_factory=dict)
    """More columns of the stage, [n] each, by the names in `fields`."""
    facts: dict[str, Any] = field(default_factory=dict)
    """For the report: objective, guarantee, limits that were found."""


class Choosing(Selection):
    """Looks at all documents together, in one place: tens of bytes of memory each, and their vectors."""

    barred: ClassVar[tuple[str, ...]] = (NO_SCORE, NO_VECTOR)
    """Reasons of documents that no budget would have chosen: they are never told as nearly picked."""

    @property
    def fields(self) -> list[pa.Field]:
        similar = [pa.field("similarity", pa.float64())] if "vectors" in self.requires() else []
        return [SELECTED, pa.field("rank", pa.int64()), pa.field("value", pa.float64()), *similar]

    def requires(self) -> dict[str, Scorer]:
        scorers: dict[str, Scorer] = {}
        if isinstance(self.settings, BudgetSettings) and self.settings.tokenizer is not None:
            from curation.scorers.token_count import TokenCount

            scorers["tokens"] = TokenCount(TokenCount.Settings(tokenizer=self.settings.tokenizer), self.context)
        if isinstance(self.settings, VectorSettings):
            scorers["vectors"] = self.embedding()
        return scorers

    def embedding(self) -> Scorer:
        """The scorer of the vectors."""
        from curation.scorers.embedding import Embedding

        chosen = self.settings
        settings = Embedding.Settings(model=chosen.model, max_tokens=chosen.max_tokens, columns=chosen.embed)
        return Embedding(settings, self.context)

    @abstractmethod
    def choose(self, pool: Pool) -> Choice:
        """Choose. A pure function of the pool: no clock, no threads' order, no machine in it."""


def spread(rows: Rows, values: NDArray[Any], n: int, missing: Any) -> NDArray[Any]:
    """[n]: values of some rows at their places, `missing` elsewhere."""
    found = np.full(n, missing, dtype=np.asarray(values).dtype if missing is not np.nan else np.float64)
    found[rows] = values
    return found


def within(order: Rows, budget: Budget) -> Rows:
    """The rows of an order that are chosen: those whose group has room, up to the first that does not fit."""
    room = budget.most.copy()
    group = budget.group[order]
    if (room >= 0).any():
        # The place of each row among those of its group, in order.
        by_group = np.argsort(group, kind="stable")
        starts = np.searchsorted(group[by_group], np.arange(len(room)))
        place = np.empty(len(order), dtype=np.int64)
        place[by_group] = np.arange(len(order)) - starts[group[by_group]]
        order = order[(room[group] < 0) | (place < room[group])]
    return order[np.cumsum(budget.cost[order]) <= budget.limit]
