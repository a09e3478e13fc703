"""What students have in common: they learn soft labels, say what they think of other rows, and leave a scorer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.weak_to_strong.features import View
from curation.weak_to_strong.supervisors.base import Inputs

Soft = NDArray[np.float32]


@dataclass(frozen=True)
class TrainingSet:
    """Rows to learn from, rows to choose by, and rows to answer."""

    inputs: Inputs
    target: Soft
    """[n, k]; rows sum to 1."""
    validation: Inputs
    validation_target: Soft
    to_predict: Inputs
    keys: NDArray[np.uint64]
    """Hash of each row that is learned from, which orders them."""
    seed: int


@dataclass(frozen=True)
class Fitted:
    """What a fitted student answers, and how it was fitted."""

    p: NDArray[np.float64]
    """Of the rows to answer, [m, k], as the scorer will find them."""
    facts: dict[str, Any]
    """Plain JSON: what was chosen."""


class Student(ABC):
    """One student. Cheap to construct."""

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    heavy: ClassVar[bool] = False
    scorer: ClassVar[tuple[str, str]]
    """Kind of scorer that runs what it leaves, and the key that names the folder."""
    view: View | None = None

    def __init__(self, name: str, settings: Any, classes: tuple[str, ...], base: Path) -> None:
        self.name = name
        self.settings = settings
        self.classes = classes
        self.base = base

    @property
    def title(self) -> str:
        """What it is called in reports and messages."""
        return f"student '{self.name}'"

    @abstractmethod
    def identity(self) -> Any:
        """What decides what it learns beside settings, rows and labels: hashes of models."""

    @abstractmethod
    def fit(self, training: TrainingSet, into: Path) -> Fitted:
        """Learn, and write the scorer's files into the new folder `into`. Only the set decides what they are."""

    def loss(self) -> Any:
        """The loss of (logits, targets, progress in 0 … 1) that the settings name."""
        from curation.weak_to_strong import losses

        if self.settings.loss == "log-confidence":
            ramp = losses.RAMPS[self.settings.ramp]
            return lambda logits, weak, progress: losses.log_confidence(logits, weak, ramp(progress))
        return partial(
            _plain, {"product": losses.product_confidence}.get(self.settings.loss, losses.soft_cross_entropy)
        )


def _plain(loss: Any, logits: Any, weak: Any, progress: float) -> Any:
    return loss(logits, weak)
