"""From which score on documents are kept: for the highest F1, or for a precision or recall that is wished for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.training.examples import Floats
from schemas.errors import Refusal

SHARES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
"""Of examples kept, at which a curve is shown."""


@dataclass(frozen=True)
class Wish:
    """What keeping is to reach; with neither, the highest F1."""

    precision: float | None = None
    recall: float | None = None

    def __post_init__(self) -> None:
        if self.precision is not None and self.recall is not None:
            raise Refusal("a cut has a precision or a recall, not both", "leave one out")
        for value in (self.precision, self.recall):
            if value is not None and not 0 < value <= 1:
                raise Refusal(f"a precision or recall of {value:g}", "above 0, up to 1")

    def __str__(self) -> str:
        if self.precision is not None:
            return f"the lowest score whose precision is {self.precision:g}"
        return "the score with the highest F1" if self.recall is None else f"the highest with recall {self.recall:g}"


def cut_for(scores: Floats, good: NDArray[np.bool_], wish: Wish) -> float:
    """The score from which keeping examples does as wished, of scores [n] by models that did not see them, NaN for
    none: rounded down to four digits, so that what is printed keeps what was counted.

    Raises ValueError where no score reaches the precision.
    """
    order, right = _ranked(scores, good)
    ordered = scores[order]
    last = np.append(np.diff(ordered) != 0, True)  # of equal scores all are kept, or none
    kept = np.arange(1, len(order) + 1)
    total = max(int(good[order].sum()), 1)
    if wish.precision is not None:
        enough = np.flatnonzero(last & (right >= wish.precision * kept))
        if not len(enough):
            most = float((right / kept)[last].max())
            raise Refusal(
                f"no score has precision {wish.precision:g} on examples that it did not see: {most:.3f} is the most",
                "ask for less, or give more examples",
            )
        number = int(enough[-1])
    elif wish.recall is not None:
        number = int(np.flatnonzero(last & (right >= wish.recall * total))[0])
    else:
        number = int(np.argmax(np.where(last, 2 * right / (kept + total), -1.0)))
    value = float(ordered[number])
    step = 10.0 ** (np.floor(np.log10(abs(value))) - 3) if value else 1.0
    return float(f"{np.floor(value / step) * step:.6g}")


def curve(scores: Floats, good: NDArray[np.bool_]) -> list[dict[str, float]]:
    """What keeping the best of SHARES comes to: score from which it is, share kept, precision and recall."""
    order, right = _ranked(scores, good)
    rows = []
    for share in SHARES:
        least = float(scores[order][max(1, round(share * len(order))) - 1])
        number = int((scores[order] >= least).sum())
        hits, total = int(right[number - 1]), max(int(good[order].sum()), 1)
        point = {"from": least, "share_kept": number / len(order), "precision": hits / number, "recall": hits / total}
        rows.append(point)
    return rows


def _ranked(scores: Floats, good: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows that have a score, the best first, and how many of the first k are good."""
    scored = np.flatnonzero(~np.isnan(scores))
    order = scored[np.argsort(-scores[scored], kind="stable")]
    return order, np.cumsum(good[order])
