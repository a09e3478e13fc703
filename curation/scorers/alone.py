"""Scores outside a run: for fits, checks and whoever has a few documents in memory."""

from __future__ import annotations

import pyarrow as pa

from curation.scorers.base import Scorer


def run(scorer: Scorer, documents: pa.RecordBatch) -> pa.RecordBatch:
    """Score documents outside a run, requirements first; `documents` has every column that they read."""
    needed = {name: run(other, documents).to_struct_array() for name, other in scorer.requires().items()}
    scorer.load()
    return scorer.score(pa.RecordBatch.from_pydict({**{n: documents.column(n) for n in scorer.reads}, **needed}))
