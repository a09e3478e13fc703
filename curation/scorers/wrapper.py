"""A scorer around another one: what it is given, or what comes of it, changes; the model and its meaning do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.models.meter import Reading
from curation.scorers.base import Artifact, Contract, Scorer


class Wrapper(Scorer):
    """Passes all but explanations on to `inner`; those who wrap say what they change."""

    def __init__(self, inner: Scorer) -> None:
        super().__init__(inner.settings, inner.context)
        self.inner = inner
        self.kind, self.version = inner.kind, inner.version
        self.reads, self.numbers = inner.reads, inner.numbers
        self.default_keep, self.operational, self.heavy = inner.default_keep, inner.operational, inner.heavy
        self.fitted, self.sample_rows = inner.fitted, inner.sample_rows
        self.fits_on_survivors = inner.fits_on_survivors

    @property
    def fields(self) -> list[pa.Field]:
        return self.inner.fields

    @property
    def incomparable(self) -> tuple[str, ...]:
        return self.inner.incomparable

    @property
    def contract(self) -> Contract:
        return self.inner.contract

    @property
    def device(self) -> str:
        return self.inner.device

    def identity(self) -> dict[str, Any]:
        return self.inner.identity()

    def models(self) -> list[dict[str, Any]]:
        return self.inner.models()

    def lists(self) -> list[Path]:
        return self.inner.lists()

    def check(self) -> None:
        self.inner.check()

    def requires(self) -> dict[str, Scorer]:
        return self.inner.requires()

    def only_where(self) -> dict[str, tuple[str, str]]:
        return self.inner.only_where()

    def readings(self) -> list[tuple[Any, Reading]]:
        return self.inner.readings()

    def load(self) -> None:
        self.inner.load()

    def prepare(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return self.inner.prepare(batch)

    def infer(self, prepared: pa.RecordBatch) -> pa.RecordBatch:
        return self.inner.infer(prepared)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return self.infer(self.prepare(batch))

    def fit_identity(self) -> dict[str, Any]:
        return self.inner.fit_identity()

    def fit(self, pool: pa.RecordBatch) -> Artifact:
        return self.inner.fit(pool)
