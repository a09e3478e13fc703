"""`select: target-match`: the documents that are most like examples of what the model shall learn to do."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from curation.scorers.base import Context
from curation.scorers.examples import distinct, hash_texts, read_texts
from curation.selection.base import Choice, Choosing, Pool, VectorSettings, spread
from curation.selection.explain import unselected
from curation.selection.round_robin import round_robin
from curation.selection.vectors import Vectors, exact
from schemas.documents import TEXT


class TargetMatchSettings(VectorSettings):
    targets: str
    """File of examples: .jsonl or .parquet with a column text, or .txt with one a line; blank and repeated ones
    once."""
    first: Annotated[int, Field(ge=1)] | None = None
    """At most so many examples, from the file's start."""


class TargetMatch(Choosing):
    """Each example in turn takes the most similar document that is left, until the budget is spent (RDS+, Ivison et al.
    2025, arXiv 2503.01807): none is served worse than another by more than one document.

    Any sentence-transformers model makes the vectors (the paper pools a language model's hidden states with weights
    that grow with the position). Documents' vectors are stored as of any `embedding` stage, so other targets cost no
    scoring. `value` is the largest cosine to any example. Of equal cosines the earlier document is taken.
    """

    kind = "target-match"
    version = 1
    Settings = TargetMatchSettings

    def __init__(self, settings: TargetMatchSettings, context: Context) -> None:
        super().__init__(settings, context)
        _ = self.texts  # a file that cannot be used is found before anything starts

    @property
    def fields(self) -> list[pa.Field]:
        return [*super().fields, pa.field("target", pa.int32())]

    @cached_property
    def texts(self) -> list[str]:
        """The examples. Raises ValueError where there are none."""
        path = self.context.resolve(self.settings.targets)
        targets = distinct(read_texts(path))[: self.settings.first]
        if not targets:
            raise ValueError(f"{path}: no example in it")
        return targets

    def identity(self) -> dict[str, Any]:
        return {"targets": hash_texts(self.texts)}

    def vectors(self) -> Vectors:
        """The examples' vectors, float32 [m, d]."""
        scorer = self.embedding()
        scorer.load()
        columns = {name: pa.array(self.texts if place == 0 else [""] * len(self.texts), TEXT)
                   for place, name in enumerate(scorer.reads)}  # fmt: skip
        scored = scorer.score(pa.RecordBatch.from_pydict(columns))
        column = scored.column("vector")
        values = np.asarray(column.values).reshape(len(column), -1)
        return exact(values[np.asarray(column.is_valid())])

    def choose(self, pool: Pool) -> Choice:
        assert pool.vectors is not None
        rows = np.flatnonzero(pool.usable())
        budget = pool.budget(self.settings)
        targets = self.vectors()
        picks = round_robin(pool.vectors[rows], targets, budget.of(rows))
        value = spread(rows, picks.best, pool.rows, np.nan)
        facts: dict[str, Any] = {"targets": len(targets)}
        if len(picks.rows):
            served = np.bincount(picks.target, minlength=len(targets))
            facts |= {"fewest_a_target": int(served.min()), "most_a_target": int(served.max())}
            facts["worst_match"] = float(value[rows[picks.rows]].min())
        choice = unselected(pool, rows, rows[picks.rows], value, budget, facts)
        choice.extra["target"] = spread(rows[picks.rows], picks.target, pool.rows, -1)
        return choice
