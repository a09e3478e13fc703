"""What moved a document's score: which pieces of its text, and by how much."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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


def ranked(pieces: list[str], weights: NDArray[np.float64]) -> list[tuple[str, float]]:
    """Pieces of a text and what each added to its score, all occurrences together, the weightiest first."""
    total: dict[str, float] = {}
    for piece, weight in zip(pieces, weights.tolist(), strict=True):
        total[piece] = total.get(piece, 0.0) + weight
    return sorted(total.items(), key=lambda item: (-abs(item[1]), item[0]))
