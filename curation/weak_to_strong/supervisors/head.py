"""A linear head on a frozen encoder, learned from gold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.training import multinomial
from curation.weak_to_strong.features import View
from curation.weak_to_strong.supervisors.base import Inputs, Learning, absent
from schemas.weak_to_strong import Head


class HeadSupervisor(Learning):
    """Logistic regression on stored embeddings; multinomial for more than two classes."""

    kind = "head"

    def __init__(self, name: str, settings: Head, classes: tuple[str, ...], base: Path) -> None:
        super().__init__(name, settings, classes, base)
        self.view = View(settings.model, settings.max_tokens, None, base)

    def identity(self) -> Any:
        assert self.view is not None
        return self.view.identity()

    def fit_predict(self, train: Inputs, y: NDArray[np.int8], to_predict: Inputs) -> NDArray[np.floating[Any]]:
        absent(y, self.classes)
        assert isinstance(train, np.ndarray)
        assert isinstance(to_predict, np.ndarray)
        return multinomial.fit(train, np.eye(len(self.classes))[y], self.settings.l2).probabilities(to_predict)
