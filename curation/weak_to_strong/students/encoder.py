"""A small encoder, tuned as a whole on weak labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curation.weak_to_strong import tuning
from curation.weak_to_strong.students.base import Learned, Lesson, Student
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

    def learn(self, lesson: Lesson, into: Path) -> Learned:
        chosen = self.settings
        held = (lesson.validation, lesson.validation_target) if len(lesson.validation) else None
        options = tuning.Options(chosen.epochs, chosen.lr, chosen.batch, lesson.seed)
        facts = tuning.tune(
            self.start,
            lesson.known,
            lesson.target,
            self.classes,
            options,
            into,
            loss=self.loss(),
            validation=held,
        )
        return Learned(tuning.probabilities(into, lesson.asked), facts)
