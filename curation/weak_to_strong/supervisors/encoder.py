"""A small encoder, tuned as a whole on gold."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.weak_to_strong import tuning
from curation.weak_to_strong.supervisors.base import Inputs, Learning, absent
from schemas.weak_to_strong import Encoder


class EncoderSupervisor(Learning):
    """A sequence classifier of all the encoder's weights (`curation.weak_to_strong.tuning`)."""

    kind = "encoder"
    heavy = True

    def __init__(self, name: str, settings: Encoder, classes: tuple[str, ...], base: Path) -> None:
        super().__init__(name, settings, classes, base)
        self.start = tuning.Start(settings.model, settings.max_tokens, base)

    def identity(self) -> Any:
        return self.start.identity()

    def fit_predict(self, train: Inputs, y: NDArray[np.int8], to_predict: Inputs) -> NDArray[np.floating[Any]]:
        absent(y, self.classes)
        target = np.eye(len(self.classes), dtype=np.float32)[y]
        options = tuning.Options(self.settings.epochs, self.settings.lr, self.settings.batch)
        with tempfile.TemporaryDirectory(prefix="curation-") as folder:
            tuning.tune(self.start, train, target, self.classes, options, Path(folder) / "model")
            return tuning.probabilities(Path(folder) / "model", to_predict)
