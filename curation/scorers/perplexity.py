"""Perplexity under a small causal language model."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from curation.models.causal import WINDOW, Causal, DocumentLosses
from curation.models.locate import locate
from curation.models.tokens import Ids
from curation.scorers import base
from curation.scorers.attribution import Attribution
from curation.scorers.model import ModelScorer, ModelSettings, placed, readable
from schemas.documents import NO_TARGET, NONFINITE, OK


class PerplexitySettings(ModelSettings):
    """Which causal language model reads the text, how much of it, and how."""

    max_tokens: int | None = Field(default=None, ge=1)
    """Tokens scored from the start of each document; default: as many as fill one window."""
    window: int = Field(default=WINDOW, ge=2)
    """Tokens that the model sees at once, the start token among them."""
    stride: int | None = Field(default=None, ge=1)
    """Tokens that each further window scores, those before them in it being context; default: half the window."""
    start: str | None = None
    """The token before each text; default <|endoftext|>, or the tokenizer's own where there is none. "" for none: the
    first token is then not scored."""


class Perplexity(ModelScorer):
    """How well a small language model foretells each document's first `max_tokens` tokens.

    Fields: `loss` float64 (mean of -log p over the scored tokens, in nats), `ppl` float64 (exp(loss)), `bits_per_byte`
    float64 (tokens / bytes · loss / ln 2, to compare models with different tokenizers), `tokens` int32 (scored) and
    `truncated` bool (the document was longer, its rest unread). A text longer than the window is read in overlapping
    windows, each token scored once. Blank texts have status `empty`, texts of which no token is scored
    `no_target_tokens`.

    Low is not good. Repetition and boilerplate are foretold best of all (one sentence twenty times: 1.3, a cookie
    banner: 18, an encyclopedia paragraph: 8, its words shuffled: 787, all under SmolLM2-135M), and so is no language
    that the model does not know. Cut a band, after language identification and rules against repetition: "Perplexed by
    Perplexity" (arXiv 2405.20541) keeps half of a corpus, and which half depends on the corpus:

        - select: band
          by: perplexity.ppl
          band: middle        # or low, or high
    """

    kind = "perplexity"
    version = 2
    Settings = PerplexitySettings

    def __init__(self, settings: PerplexitySettings, context: base.Context) -> None:
        super().__init__(settings, context)
        self._opened: Causal | None = None
        if settings.stride is not None and settings.stride >= settings.window:
            raise ValueError(f"stride {settings.stride} must be below the window, {settings.window}")

    @property
    def causal(self) -> Causal:
        """The model, its weights not necessarily loaded. Raises ModelError when the model cannot be used."""
        if self._opened is None:
            chosen = self.settings
            located = locate(chosen.model, self.context.recipe_dir)
            self._opened = Causal(located, window=chosen.window, start=chosen.start, pack=chosen.pack)
        return self._opened

    @property
    def readers(self) -> tuple[Causal]:
        return (self.causal,)

    @property
    def fields(self) -> list[pa.Field]:
        return [
            pa.field("loss", pa.float64()),
            pa.field("ppl", pa.float64()),
            pa.field("bits_per_byte", pa.float64()),
            pa.field("tokens", pa.int32()),
            pa.field("truncated", pa.bool_()),
        ]

    @property
    def contract(self) -> base.Contract:
        return base.Contract("loss", -1, "logprob", tokens="tokens", truncated="truncated")

    def attribution(self, document: pa.RecordBatch) -> Attribution | None:
        """Each token's share of `loss`: its own loss over the number of tokens."""
        strip = self.causal.losses_by_token(document.column("text"), self.settings.max_tokens, self.settings.stride)
        if not strip:
            return None
        return Attribution("loss", [(token, loss / len(strip)) for token, loss in strip], in_order=True)

    def prepare(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return tokenised(self.causal, batch.column("text"), self.settings.max_tokens)

    def infer(self, prepared: pa.RecordBatch) -> pa.RecordBatch:
        measured = losses(self.causal, prepared, self.settings.max_tokens, self.settings.stride)
        status = statuses(prepared, measured)
        missing = status != OK
        with np.errstate(over="ignore"):
            ppl = np.exp(measured.loss)
        bits = np.divide(
            measured.tokens * measured.loss, measured.bytes * np.log(2), out=np.zeros(len(ppl)), where=~missing
        )
        columns = {
            "loss": pa.array(measured.loss, mask=missing),
            "ppl": pa.array(ppl, mask=missing),
            "bits_per_byte": pa.array(bits, mask=missing),
            "tokens": pa.array(measured.tokens, mask=missing),
            "truncated": pa.array(measured.truncated, mask=missing),
        }
        if missing.any():
            columns["status"] = pa.array(status, pa.string())
        return pa.record_batch(columns)


def tokenised(causal: Causal, text: pa.Array, max_tokens: int | None) -> pa.RecordBatch:
    """What `losses` reads: columns `ids`, `bytes` int64 and `status`."""
    ids = causal.ids(text, max_tokens)
    size = pc.binary_length(text).cast(pa.int64())
    return pa.record_batch({"ids": ids.array(), "bytes": size, "status": pa.array(readable(text, ids), pa.string())})


def losses(causal: Causal, prepared: pa.RecordBatch, max_tokens: int | None, stride: int | None) -> DocumentLosses:
    """Losses of the documents whose status is ok, at their places among all of them; NaN and zeros elsewhere."""
    rows = np.flatnonzero(np.asarray(pc.equal(prepared.column("status"), OK)))
    ids = Ids.of(prepared.column("ids")).take(rows)
    found = causal.document_losses(ids, prepared.column("bytes").to_numpy()[rows], max_tokens, stride)
    spread = [placed(values, rows, prepared.num_rows) for values in found]
    spread[0][np.setdiff1d(np.arange(prepared.num_rows), rows)] = np.nan
    return DocumentLosses(*spread)


def statuses(prepared: pa.RecordBatch, measured: DocumentLosses) -> NDArray[np.object_]:
    """Status of each document once its losses are known."""
    status = np.array(prepared.column("status").to_pylist(), dtype=object)
    read = status == OK
    status[read & ~np.isfinite(measured.loss)] = NONFINITE
    status[read & (measured.tokens == 0)] = NO_TARGET
    return status
