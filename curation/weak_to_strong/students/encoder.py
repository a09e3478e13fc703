"""A small encoder, tuned as a whole on weak labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curation.weak_to_strong import tuning
from curation.weak_to_strong.students.base import Fitted, Student, TrainingSet
from schemas.weak_to_strong import EncoderStudent as Settings


class EncoderStudent(Student):
    """Leaves a checkpoint for `scorer: classifier` (`curation.weak_to_strong.tuning`)."""

    kind = "encoder"
    heavy = True
    scorer = ("classifier", "model")

    def __init__(self, name: str, settings: Settings, classes: tuple[str, ...], base: Path) -> None:
        super().__init__(name, settings, classes, base)
        self.start = tuning.Start(settings.model, settings.max_tokens, base)

    def identity(self) -> Any:
        return self.start.identity()

    def fit(self, training: TrainingSet, into: Path) -> Fitted:
        chosen = self.settings
        held = (training.validation, training.validation_target) if len(training.validation) else None
        options = tuning.Options(chosen.epochs, chosen.lr, chosen.batch, training.seed)
        facts = tuning.tune(
            self.start,
            training.inputs,
            training.target,
            self.classes,
            options,
            into,
            loss=self.loss(),
            validation=held,
        )
        return Fitted(tuning.probabilities(into, training.to_predict), facts)
