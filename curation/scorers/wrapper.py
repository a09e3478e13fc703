"""A scorer around another one: what it is given, or what comes of it, changes; the model and its meaning do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.models.meter import Reading
from curation.scorers.base import Contract, Scorer


class Wrapper(Scorer):
    """Passes on what belongs to `inner` alone. `prepare`, `infer`, `fields` and `identity` are for those who wrap."""

    def __init__(self, inner: Scorer) -> None:
        super().__init__(inner.settings, inner.context)
        self.inner = inner
        self.kind = inner.kind  # type: ignore[misc]
        self.version = inner.version  # type: ignore[misc]
        self.Settings = type(inner).Settings  # type: ignore[misc]
        self.heavy = inner.heavy  # type: ignore[misc]
        self.device = inner.device
        self.operational = inner.operational  # type: ignore[misc]
        self.numbers = inner.numbers  # type: ignore[misc]

    @property
    def incomparable(self) -> tuple[str, ...]:
        return self.inner.incomparable

    @property
    def contract(self) -> Contract:
        return self.inner.contract

    def models(self) -> list[dict[str, Any]]:
        return self.inner.models()

    def lists(self) -> list[Path]:
        return self.inner.lists()

    def readings(self) -> list[tuple[Any, Reading]]:
        return self.inner.readings()

    def load(self) -> None:
        self.inner.load()

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return self.infer(self.prepare(batch))
