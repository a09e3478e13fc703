"""Sentence embeddings: stored once, read by heads, near-duplicate search and selection."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from curation.models.encoder import Encoder
from curation.models.locate import locate
from curation.models.tokens import Ids
from curation.scorers import base
from curation.scorers.columns import joined
from curation.scorers.model import ModelScorer, ModelSettings, placed, readable
from schemas.documents import OK


class EmbeddingSettings(ModelSettings):
    """Which sentence-transformers model reads the text, and how much of it."""

    max_tokens: int | None = None
    """Tokens read from the start of each document; default: the model's own limit (256 for all-MiniLM-L6-v2)."""
    columns: list[str] = Field(default=["text"], min_length=1)
    """Input columns that are read as one text, a line each, such as [instruction] or [instruction, output]."""
    prompt: str | None = None
    """What stands before each text: the name of one of the model's prompts, or the words themselves."""
    pooling: Literal["cls", "lasttoken", "max", "mean"] | None = None
    """How a text's states become one vector; default: as the model says, or the mean."""


class Embedding(ModelScorer):
    """The encoder's vector of each document.

    Fields: `vector` float16 [dim] (the fp32 result rounded; unit length where the model normalises, and then a dot
    product is the cosine, to about 1e-3), `tokens` int32 (read by the model, special tokens included) and `truncated`
    bool (the document was longer, its rest unread). Blank texts have status `empty`.
    """

    kind = "embedding"
    version = 2
    Settings = EmbeddingSettings
    operational = ("columns", "pooling")  # `reads` is in the fingerprint, and the pooling in the identity

    def __init__(self, settings: EmbeddingSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        self.reads = tuple(settings.columns)
        self._opened: Encoder | None = None

    @property
    def encoder(self) -> Encoder:
        """The encoder, its weights not necessarily loaded. Raises ModelError when the model cannot be used."""
        if self._opened is None:
            chosen = self.settings
            located = locate(chosen.model, self.context.recipe_dir)
            self._opened = Encoder(
                located, max_tokens=chosen.max_tokens, prompt=chosen.prompt, pooling=chosen.pooling, pack=chosen.pack
            )
        return self._opened

    @property
    def readers(self) -> tuple[Encoder]:
        return (self.encoder,)

    @property
    def fields(self) -> list[pa.Field]:
        return [
            pa.field("vector", pa.list_(pa.float16(), self.encoder.dim)),
            pa.field("tokens", pa.int32()),
            pa.field("truncated", pa.bool_()),
        ]

    @property
    def contract(self) -> base.Contract:
        return base.Contract(tokens="tokens", truncated="truncated")

    def prepare(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        text = joined(batch, self.settings.columns)
        ids = self.encoder.ids(text)
        return pa.record_batch({"ids": ids.array(), "status": pa.array(readable(text, ids), pa.string())})

    def infer(self, prepared: pa.RecordBatch) -> pa.RecordBatch:
        total = prepared.num_rows
        status = np.array(prepared.column("status").to_pylist(), dtype=object)
        rows = np.flatnonzero(status == OK)
        vectors, tokens, truncated = self.encoder.encode_ids(Ids.of(prepared.column("ids")).take(rows))
        missing = status != OK
        flat = pa.array(placed(vectors.astype(np.float16), rows, total).ravel())
        columns: dict[str, pa.Array] = {
            "vector": pa.FixedSizeListArray.from_arrays(flat, self.encoder.dim, mask=pa.array(missing)),
            "tokens": pa.array(placed(tokens, rows, total), mask=missing),
            "truncated": pa.array(placed(truncated, rows, total), mask=missing),
        }
        if missing.any():
            columns["status"] = prepared.column("status")
        return pa.record_batch(columns)
