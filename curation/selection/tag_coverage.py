"""`select: tag-coverage`: documents with many tags first, as long as they bring tags that are not yet covered."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from curation.scorers.base import Context, Scorer, Settings
from curation.selection.base import BudgetSettings, Choice, Choosing, Pool, Rows, within
from curation.selection.explain import unselected
from schemas.documents import EMPTY, OK


class TagCoverageSettings(BudgetSettings):
    tags: str = Field(min_length=1)
    """Mapped input column with each document's tags: a list, or a text in which `separator` divides them."""
    separator: str = ","
    """What divides tags that are one text."""


class TagCoverage(Choosing):
    """Complexity-first diverse sampling of InsTag (Lu et al. 2023, arXiv 2308.07074).

    In rounds: documents by number of tags, most first, each taken iff it has a tag that is new in this round; when none
    is left that has, the next round begins with nothing covered. So every tag is covered once before any document is
    taken for tags that are covered. `value` is the number of tags. Ties go to the earlier document.
    """

    kind = "tag-coverage"
    version = 1
    Settings = TagCoverageSettings

    @property
    def fields(self) -> list[pa.Field]:
        return [*super().fields, pa.field("round", pa.int32())]

    def requires(self) -> dict[str, Scorer]:
        chosen = self.settings
        tags = Tags(TagsSettings(column=chosen.tags, separator=chosen.separator), self.context)
        return {**super().requires(), "tags": tags}

    def choose(self, pool: Pool) -> Choice:
        assert pool.tags is not None
        tags = pool.tags
        names = tags.flatten().dictionary_encode()
        label = np.asarray(names.indices).astype(np.int64)
        bounds = np.append(0, np.cumsum(np.asarray(tags.value_lengths().fill_null(0)))).astype(np.int64)
        count = np.diff(bounds)
        rows = np.flatnonzero(pool.usable() & (count > 0))
        order = rows[np.argsort(-count[rows], kind="stable")]
        budget = pool.budget(self.settings)
        order, number = rounds(order, bounds, label, len(names.dictionary))
        picked = within(order, budget)
        value = np.where(count > 0, count, np.nan).astype(np.float64)
        covered = np.unique(np.concatenate([label[bounds[row] : bounds[row + 1]] for row in picked] or [label[:0]]))
        facts = {"tags": len(names.dictionary), "covered": len(covered), "rounds": int(number.max(initial=-1)) + 1}
        choice = unselected(pool, rows, picked, value, budget, facts)
        turn = np.full(pool.rows, -1, dtype=np.int64)
        turn[order] = number
        choice.extra["round"] = turn
        return choice


def rounds(order: Rows, bounds: Rows, label: Rows, tags: int) -> tuple[Rows, Rows]:
    """All rows of `order` in the order in which rounds take them, and each one's round.

    Row i has the tags `label[bounds[i]:bounds[i + 1]]`, of `tags` in all, at least one.
    """
    covered = np.full(tags, -1, dtype=np.int64)
    """The last round in which each tag was covered."""
    left = order
    taken: list[int] = []
    number: list[int] = []
    current = 0
    while len(left):
        rest = []
        for row in left:
            own = label[bounds[row] : bounds[row + 1]]
            if (covered[own] < current).any():
                covered[own] = current
                taken.append(int(row))
                number.append(current)
            else:
                rest.append(row)
        left = np.array(rest, dtype=np.int64)
        current += 1
    return np.array(taken, dtype=np.int64), np.array(number, dtype=np.int64)


class TagsSettings(Settings):
    column: str
    separator: str


class Tags(Scorer):
    """A document's tags, from a list or a text: each once, without white space around, in order."""

    kind = "tags"

    def __init__(self, settings: TagsSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.reads = (settings.column,)

    @property
    def fields(self) -> list[pa.Field]:
        return [pa.field("tags", pa.list_(pa.string()))]

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        found = [self._split(text) for text in batch.column(0).to_pylist()]
        columns: dict[str, Any] = {"tags": pa.array([tags or None for tags in found], self.fields[0].type)}
        columns["status"] = pa.array([OK if tags else EMPTY for tags in found], pa.string())
        return pa.record_batch(columns)

    def _split(self, text: str) -> list[str]:
        values: Any = None
        if text.lstrip().startswith("["):
            try:
                values = json.loads(text)
            except ValueError:
                values = None
        if not isinstance(values, list):
            values = text.split(self.settings.separator) if self.settings.separator else [text]
        return list(dict.fromkeys(name for value in values if value is not None and (name := str(value).strip())))
