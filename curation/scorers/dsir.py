"""DSIR: how much more probable a document's n-grams are in a target than in the pool."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from curation.scorers import base
from curation.scorers.attribution import Attribution, ranked
from curation.scorers.fitted import Fitted, Scores, Tensors
from curation.text.analysis import analyse
from curation.text.hashed_ngrams import Buckets, hashed_ngrams, sums
from curation.text.wordpunct import wordpunct
from schemas.documents import EMPTY, OK, TEXT

FLOOR = 1e-8
"""Added to each probability before its logarithm, as in the paper's code."""


class DsirSettings(base.Settings):
    """What is wanted, and how n-grams are counted. The values are those of the paper's code."""

    target: str
    """Documents of the wanted kind: .jsonl or .parquet with a column `text`, or .txt, one a line."""
    background: str | None = None
    """Documents of the pool's kind, in the same formats. Without it, a sample of the pool itself."""
    sample: int = Field(default=10_000, ge=2)
    """Pool rows to count when there is no background."""
    ngram: int = Field(default=2, ge=1, le=10)
    """Most tokens in an n-gram; all shorter ones count too."""
    buckets: int = Field(default=10_000, ge=1, le=1 << 24)
    """Places for hashed n-grams; the paper has 10,000."""
    smoothing: float = Field(default=0.0, ge=0)
    """Added to the target's count of each bucket. With 0, an n-gram in a bucket that the target never reaches costs
    some 9 nats; a target of few documents, which leaves many buckets empty by chance, wants 1."""


class Dsir(Fitted):
    """Log importance weight of a document under hashed n-gram models of target and pool (Xie et al. 2023, 2302.03169).

    With p and q the shares of n-grams that fall into each bucket, in target and pool, and c(b) the document's counts:
    log w = sum over b of c(b) [log(p(b) + 1e-8) - log(q(b) + 1e-8)].

    Fields, in nats, higher is closer to the target: `log_weight` float64; `per_token` float64, log w / tokens; and
    `tokens` int32, of `curation.text.wordpunct`. White space alone has status `empty`.

    `log_weight` is a sum: it grows with length, and long documents get both ends of it. To sample as the paper does,
    add Gumbel(0, 1) noise to it and keep the highest, among documents of one length (the paper's code drops those below
    100 tokens); over documents of all lengths the noise is nothing beside hundreds of nats. To rank, use `per_token`.
    """

    kind = "dsir"
    Settings = DsirSettings

    def __init__(self, settings: DsirSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        self._ratio: NDArray[np.float64] | None = None

    @property
    def fields(self) -> list[pa.Field]:
        return [
            pa.field("log_weight", pa.float64()),
            pa.field("per_token", pa.float64()),
            pa.field("tokens", pa.int32()),
        ]

    @property
    def contract(self) -> base.Contract:
        return base.Contract("per_token", 1, "logprob", tokens="tokens")

    def options(self) -> dict[str, Any]:
        return {name: getattr(self.settings, name) for name in ("ngram", "buckets", "smoothing")}

    def load(self) -> None:
        if self._ratio is None:
            self._ratio = self._log_ratio(self.tensors())

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self.load()
        buckets = self._buckets_of(batch.column("text"))
        weights = sums(buckets.documents, buckets.buckets, self._ratio)
        empty = buckets.tokens == 0
        columns = {
            "log_weight": pa.array(weights, mask=empty),
            "per_token": pa.array(weights / np.maximum(buckets.tokens, 1), mask=empty),
            "tokens": pa.array(buckets.tokens.astype(np.int32), mask=empty),
        }
        if empty.any():
            columns["status"] = pc.if_else(pa.array(empty), EMPTY, OK)
        return pa.record_batch(columns)

    def attribution(self, document: pa.RecordBatch) -> Attribution:
        return Attribution("log_weight", self.attribute(document.column("text")[0].as_py()))

    def attribute(self, text: str) -> list[tuple[str, float]]:
        """N-grams of a text and what each adds to `log_weight`, the weightiest first; exact, they sum up to it."""
        self.load()
        assert self._ratio is not None
        texts = pa.array([text], TEXT)
        buckets, tokens = self._buckets_of(texts), analyse(texts).find(wordpunct)
        data = text.encode()
        names = [
            data[start:end].decode().lower()
            for start, end in zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True)
        ]
        pieces = [
            " ".join(names[i : i + n]) for n in range(1, self.settings.ngram + 1) for i in range(len(names) - n + 1)
        ]
        return ranked(pieces, self._ratio[buckets.buckets])

    def learn(self, wanted: list[str], others: list[str]) -> Tensors:
        """How often each bucket was met in target and pool: int64 [buckets] each."""
        return {name: self._count(texts) for name, texts in (("target", wanted), ("pool", others))}

    def judge(self, tensors: Tensors) -> Scores:
        ratio = self._log_ratio(tensors)

        def per_token(text: pa.Array) -> NDArray[np.float64]:
            found = self._buckets_of(text)
            return np.asarray(sums(found.documents, found.buckets, ratio) / np.maximum(found.tokens, 1))

        return per_token

    def _count(self, texts: list[str]) -> NDArray[np.int64]:
        return np.bincount(self._buckets_of(pa.array(texts, TEXT)).buckets, minlength=self.settings.buckets)

    def _buckets_of(self, text: pa.Array) -> Buckets:
        return hashed_ngrams(text, self.settings.ngram, self.settings.buckets)

    def _log_ratio(self, tensors: Tensors) -> NDArray[np.float64]:
        """log p - log q of each bucket, float64 [buckets]; read-only, for kernels."""
        target = tensors["target"] + self.settings.smoothing
        ratio = np.log(target / target.sum() + FLOOR) - np.log(tensors["pool"] / tensors["pool"].sum() + FLOOR)
        ratio.flags.writeable = False
        return np.asarray(ratio)
