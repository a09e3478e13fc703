"""Contrast of two language models: how much better one of the target predicts a document than one of the pool."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation.models.causal import WINDOW, Causal, excess_loss
from curation.models.locate import ModelError, locate
from curation.models.tokens import tokenizer_sha256
from curation.scorers import base
from curation.scorers.attribution import Attribution, ranked
from curation.scorers.fitted import Fitted, Scores, Tensors
from curation.scorers.model import ModelScorer
from curation.scorers.perplexity import losses, statuses, tokenised
from curation.scorers.wrapper import Wrapper
from curation.text import ngram_model
from curation.text.analysis import analyse
from curation.text.ngram_model import Fit, Model
from curation.text.wordpunct import wordpunct
from schemas.documents import EMPTY, OK, TEXT

TARGET, POOL = "target", "pool"
NGRAM_KEYS = ("target", "background", "sample", "order")
LM_KEYS = ("prior", "conditional", "max_tokens", "window", "stride", "start", "pack")


class ContrastSettings(base.Settings):
    """What is wanted, and which models are compared."""

    form: Literal["ngram", "lm"] = "ngram"
    """`ngram`: word n-gram models with Kneser-Ney smoothing, fitted here on `target`. `lm`: two causal language models,
    one of them the other trained further on the target."""
    target: str | None = None
    """Of `ngram`: documents of the wanted kind: .jsonl or .parquet with a column `text`, or .txt, one a line."""
    background: str | None = None
    """Of `ngram`: documents of the pool's kind, in the same formats. Without it, a sample of the pool itself."""
    sample: int = Field(default=1000, ge=2)
    """Of `ngram`: pool rows to fit on when there is no background. Moore and Lewis take about as much text as the
    target has."""
    order: int = Field(default=3, ge=1, le=8)
    """Of `ngram`: tokens in the longest n-gram."""
    prior: str | None = None
    """Of `lm`: address of the model that stands for the pool, in safetensors."""
    conditional: str | None = None
    """Of `lm`: address of the same model trained further on the target; its tokenizer must be the same."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Of `lm`: tokens scored from the start of each document; default: as many as fill one window."""
    window: int = Field(default=WINDOW, ge=2)
    """Of `lm`: tokens that the models see at once, the start token among them."""
    stride: int | None = Field(default=None, ge=1)
    """Of `lm`: tokens that each further window scores; default: half the window."""
    start: str | None = None
    """Of `lm`: the token before each text, as for `perplexity`."""
    pack: int | None = Field(default=None, ge=1)
    """Of `lm`: tokens of one pass."""

    @model_validator(mode="after")
    def _check(self) -> ContrastSettings:
        needed = ("target",) if self.form == "ngram" else ("prior", "conditional")
        lacking = [name for name in needed if getattr(self, name) is None]
        strange = [name for name in (LM_KEYS if self.form == "ngram" else NGRAM_KEYS) if name in self.model_fields_set]
        strange = [name for name in strange if getattr(self, name) != type(self).model_fields[name].default]
        if lacking:
            raise ValueError(f"form {self.form} needs {' and '.join(lacking)}")
        if strange:
            raise ValueError(f"{strange[0]} is not for form {self.form}")
        if self.stride is not None and self.stride >= self.window:
            raise ValueError(f"stride {self.stride} must be below the window, {self.window}")
        return self


class _Difference(base.Scorer):
    """What both forms have in common."""

    kind = "contrast"
    version = 2
    Settings = ContrastSettings

    @property
    def fields(self) -> list[pa.Field]:
        names = ("difference", "target_loss", "pool_loss")
        return [*(pa.field(name, pa.float64()) for name in names), pa.field("tokens", pa.int32())]

    @property
    def contract(self) -> base.Contract:
        truncated = "truncated" if self.settings.form == "lm" else None
        return base.Contract("difference", 1, "logprob", tokens="tokens", truncated=truncated)


class _ByNgrams(_Difference, Fitted):
    """The scorer `contrast` with `form: ngram`."""

    def __init__(self, settings: ContrastSettings, context: base.Context) -> None:
        Fitted.__init__(self, settings, context)
        self._models: tuple[Model, Model] | None = None

    def options(self) -> dict[str, Any]:
        return {"form": self.settings.form, "order": self.settings.order}

    def load(self) -> None:
        if self._models is None:
            self._models = _opened(self.tensors())

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self.load()
        assert self._models is not None
        seen = ngram_model.tokens(batch.column("text"))
        target, pool = (ngram_model.means(seen.documents, ngram_model.losses(seen, model)) for model in self._models)
        count = np.diff(seen.documents)
        empty = count == 0
        columns = {
            "difference": pa.array(pool - target, mask=empty),
            "target_loss": pa.array(target, mask=empty),
            "pool_loss": pa.array(pool, mask=empty),
            "tokens": pa.array(count.astype(np.int32), mask=empty),
        }
        if empty.any():
            columns["status"] = pc.if_else(pa.array(empty), EMPTY, OK)
        return pa.record_batch(columns)

    def attribution(self, document: pa.RecordBatch) -> Attribution:
        return Attribution("difference", self.attribute(document.column("text")[0].as_py()))

    def attribute(self, text: str) -> list[tuple[str, float]]:
        """Tokens of a text, each behind those that its probability hangs on, and what each adds to `difference`.

        The weightiest first; exact, they sum up to it.
        """
        self.load()
        assert self._models is not None
        texts = pa.array([text], TEXT)
        seen, words = ngram_model.tokens(texts), analyse(texts).find(wordpunct)
        target, pool = (ngram_model.losses(seen, model) for model in self._models)
        data = text.encode()
        names = [
            data[start:end].decode().lower()
            for start, end in zip(words.starts.tolist(), words.ends.tolist(), strict=True)
        ]
        pieces = [" ".join(names[max(i + 1 - self.settings.order, 0) : i + 1]) for i in range(len(names))]
        return ranked(pieces, (pool - target) / max(len(names), 1))

    def learn(self, wanted: list[str], others: list[str]) -> Tensors:
        sides = {TARGET: ngram_model.tokens(pa.array(wanted, TEXT)), POOL: ngram_model.tokens(pa.array(others, TEXT))}
        vocabulary = 1 + len(np.unique(np.concatenate([seen.hashes for seen in sides.values()])))
        return {
            f"{side}.{name}": values
            for side, seen in sides.items()
            for name, values in ngram_model.fit(seen, self.settings.order, vocabulary)._asdict().items()
        }

    def judge(self, tensors: Tensors) -> Scores:
        target, pool = _opened(tensors)

        def difference(text: pa.Array) -> NDArray[np.float64]:
            seen = ngram_model.tokens(text)
            gain = ngram_model.losses(seen, pool) - ngram_model.losses(seen, target)
            return np.asarray(ngram_model.means(seen.documents, gain))

        return difference


class _ByModels(_Difference, ModelScorer):
    """The scorer `contrast` with `form: lm`."""

    def __init__(self, settings: ContrastSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        self._pair: tuple[Causal, Causal] | None = None

    @property
    def readers(self) -> tuple[Causal, Causal]:
        """Prior and conditional model, weights not necessarily loaded. Raises ModelError when one cannot be used, or
        their tokenizers differ: losses of different tokens have no difference."""
        if self._pair is None:
            chosen = self.settings
            prior, conditional = (
                Causal(
                    locate(address, self.context.recipe_dir),
                    window=chosen.window,
                    start=chosen.start,
                    pack=chosen.pack,
                )
                for address in (chosen.prior, chosen.conditional)
            )
            for what, one, other in (
                ("tokenizers", tokenizer_sha256(prior.model), tokenizer_sha256(conditional.model)),
                ("start tokens", prior.start, conditional.start),
            ):
                if one != other:
                    raise ModelError(
                        f"{chosen.prior} and {chosen.conditional} have different {what}",
                        hint="contrast a model with itself, trained further",
                    )
            self._pair = prior, conditional
        return self._pair

    @property
    def fields(self) -> list[pa.Field]:
        return [*super().fields, pa.field("truncated", pa.bool_())]

    def identity(self) -> dict[str, Any]:
        prior, conditional = self.readers
        return {"prior": prior.identity(), "conditional": conditional.identity()}

    def prepare(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return tokenised(self.readers[0], batch.column("text"), self.settings.max_tokens)

    def infer(self, prepared: pa.RecordBatch) -> pa.RecordBatch:
        prior, conditional = (
            losses(causal, prepared, self.settings.max_tokens, self.settings.stride) for causal in self.readers
        )
        difference = excess_loss(prior.loss, conditional.loss)
        status = statuses(prepared, prior._replace(loss=difference))
        missing = status != OK
        columns = {
            "difference": pa.array(difference, mask=missing),
            "target_loss": pa.array(conditional.loss, mask=missing),
            "pool_loss": pa.array(prior.loss, mask=missing),
            "tokens": pa.array(prior.tokens, mask=missing),
            "truncated": pa.array(prior.truncated, mask=missing),
        }
        if missing.any():
            columns["status"] = pa.array(status, pa.string())
        return pa.record_batch(columns)

    def attribution(self, document: pa.RecordBatch) -> Attribution | None:
        """Of each token, how much better the conditional model foretells it; they add up to `difference`."""
        prior, conditional = (
            causal.losses_by_token(document.column("text"), self.settings.max_tokens, self.settings.stride)
            for causal in self.readers
        )
        if not prior:
            return None
        pairs = zip(prior, conditional, strict=True)
        pieces = [(token, (one - other) / len(prior)) for (token, one), (_, other) in pairs]
        return Attribution("difference", pieces, in_order=True)


class Contrast(Wrapper):
    """Cross-entropy difference of two models (Moore and Lewis 2010, aclanthology.org/P10-2041; CoLoR-Filter, arXiv
    2406.10670), with its sign turned so that higher is closer to the target.

    Fields, in nats a token: `difference` float64, `pool_loss` - `target_loss`; `target_loss` and `pool_loss` float64,
    mean -log P of the document's tokens under the two models; `tokens` int32 (scored). What is hard for any model
    cancels, as it does not in a perplexity; equal models give exactly 0.

    - `ngram`: tokens of `curation.text.wordpunct`, interpolated Kneser-Ney (`curation.text.ngram_model`), in place of
      the authors' 4-grams, whose vocabulary was that of the target; here both models have one vocabulary, so that a
      token new to both counts nearly nothing. White space alone has status `empty`.
    - `lm`: tokens of the models; also `truncated` bool (the end was not read). CoLoR-Filter keeps the highest 1 / 7 to
      1 / 64. Statuses as for `perplexity`.
    """

    kind = _Difference.kind
    version = _Difference.version
    Settings = ContrastSettings

    def __init__(self, settings: ContrastSettings, context: base.Context) -> None:
        super().__init__((_ByModels if settings.form == "lm" else _ByNgrams)(settings, context))

    def attribution(self, document: pa.RecordBatch) -> Attribution | None:
        return self.inner.attribution(document)


def _opened(tensors: Tensors) -> tuple[Model, Model]:
    target, pool = (Fit(*(tensors[f"{side}.{name}"] for name in Fit._fields)) for side in (TARGET, POOL))
    return ngram_model.opened(target), ngram_model.opened(pool)
