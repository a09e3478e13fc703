"""Frozen features: the stored embeddings that heads stand on, as any recipe's `scorer: embedding` makes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.scorers.base import Context
from curation.scorers.embedding import Embedding, EmbeddingSettings
from curation.scorers.embedding_head import vectors_of

Pooling = Literal["cls", "lasttoken", "max", "mean"]


@dataclass(frozen=True)
class View:
    """An encoder, how much of a text it reads, and how its states become one vector (None: as the model says)."""

    model: str
    max_tokens: int | None
    pooling: Pooling | None
    base: Path

    @cached_property
    def embedding(self) -> Embedding:
        """The scorer. Raises ModelError where the model cannot be used."""
        settings = EmbeddingSettings(model=self.model, max_tokens=self.max_tokens, pooling=self.pooling)
        return Embedding(settings, Context(self.base))

    @property
    def name(self) -> str:
        return f"{self.model} {self.max_tokens or ''} {self.pooling or ''}".strip()

    def identity(self) -> dict[str, Any]:
        return self.embedding.identity()

    def vectors(self, text: pa.LargeStringArray) -> NDArray[np.float16]:
        """[n, dim]; zero for a blank text."""
        found, there = vectors_of(self.embedding.score(pa.record_batch({"text": text})).to_struct_array())
        whole = np.zeros((len(there), self.embedding.encoder.dim), np.float16)
        whole[there] = found
        return whole
