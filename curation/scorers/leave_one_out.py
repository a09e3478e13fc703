"""Pieces that moved a score, for scorers that cannot say them: how much it falls without each sentence."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa

from curation.scorers.alone import run
from curation.scorers.attribution import Attribution
from curation.scorers.base import Scorer
from schemas.documents import TEXT

MOST = 64
"""Pieces of a text that are left out one at a time; neighbouring sentences of a longer one go together."""
_SENTENCE = re.compile(r"[^.!?\n]*(?:[.!?]+[\"')\]]*\s*|\n+|$)")


def attribution_of(scorer: Scorer, document: pa.RecordBatch) -> Attribution | None:
    """What the scorer says itself, else what leaving out one sentence after another shows; None for nothing.

    `document` has one row, with all columns that the scorer and its requirements read."""
    try:
        return scorer.attribution(document)
    except NotImplementedError:
        return leave_one_out(scorer, document)


def leave_one_out(scorer: Scorer, document: pa.RecordBatch) -> Attribution | None:
    """How much the score falls without each sentence of `text`; None where there is no score or one sentence only."""
    field = scorer.contract.score
    if field is None or "text" not in scorer.all_reads():
        return None
    text = document.column("text")[0].as_py()
    sentences = [part for part in _SENTENCE.findall(text) if part]
    if len(sentences) < 2:
        return None
    step = -(-len(sentences) // MOST)
    parts = ["".join(sentences[i : i + step]) for i in range(0, len(sentences), step)]
    texts = [text, *("".join(parts[:place] + parts[place + 1 :]) for place in range(len(parts)))]
    columns = {
        name: pa.array(texts, TEXT) if name == "text" else pa.concat_arrays([document.column(name)] * len(texts))
        for name in document.schema.names
    }
    scores = run(scorer, pa.RecordBatch.from_pydict(columns)).column(field).cast(pa.float64())
    values = scores.to_numpy(zero_copy_only=False)
    if np.isnan(values[0]):
        return None
    falls = np.where(np.isnan(values[1:]), 0.0, values[0] - values[1:])
    return Attribution(field, list(zip(parts, falls.tolist(), strict=True)), exact=False, in_order=True)
