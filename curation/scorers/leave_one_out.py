"""What moved a document's score: which pieces of its text, and by how much."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.documents import TEXT

if TYPE_CHECKING:
    from curation.scorers.base import Scorer

MOST = 64
"""Pieces of a text that are left out one at a time; neighbouring sentences of a longer one go together."""
_SENTENCE = re.compile(r"[^.!?\n]*(?:[.!?]+[\"')\]]*\s*|\n+|$)")


@dataclass(frozen=True)
class Attribution:
    """Pieces of a document with a weight each."""

    what: str
    """What the weights add up to, such as `dsir.log_weight` without the stage: a field, or a formula of fields."""
    pieces: list[tuple[str, float]]
    exact: bool = True
    """Whether the weights add up to it. If not, each is how much the score falls when that piece alone is gone."""
    in_order: bool = False
    """Whether the pieces are the text in its order, rather than the weightiest first."""

    @property
    def total(self) -> float:
        return float(sum(weight for _, weight in self.pieces))


def leave_one_out(scorer: Scorer, document: pa.RecordBatch) -> Attribution | None:
    """How much the score falls without each sentence of `text`; None where there is no score or one sentence only."""
    from curation.scorers.members import run

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


def ranked(pieces: list[str], weights: NDArray[np.float64]) -> list[tuple[str, float]]:
    """Pieces of a text and what each added to its score, all occurrences together, the weightiest first."""
    total: dict[str, float] = {}
    for piece, weight in zip(pieces, weights.tolist(), strict=True):
        total[piece] = total.get(piece, 0.0) + weight
    return sorted(total.items(), key=lambda item: (-abs(item[1]), item[0]))
