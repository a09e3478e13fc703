"""A linear model of character and word n-grams that `curate train-scorer` learned from labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.models.config import HINT, header, read_json, understood
from curation.models.locate import LocatedModel, ModelError, locate
from curation.scorers import base
from curation.scorers.attribution import Attribution, ranked
from curation.scorers.base import HEAD
from curation.scorers.embedding_head import FACTS
from curation.text import ngram_vectors
from curation.text.ngram_vectors import OF_WORDS, Grams
from curation.training.linear import head_scores
from curation.training.logistic import sigmoid
from schemas.documents import EMPTY, OK, TEXT

_TENSORS = ("bias", "idf", "keys", "values", "weight")


class NgramSettings(base.Settings):
    """Which model."""

    model: str
    """Address of what `curate train-scorer --method ngram` saved, such as path:models/quality."""


class Ngram(base.Scorer):
    """What a linear model of a text's n-grams of characters and words says of it.

    The label that `curate train-scorer` learned to foretell. For two labels `prob` float32 in [0, 1] and `logit`
    float32, of w·x + b on the text's two vectors x (`curation.text.ngram_vectors`); for grades and numbers `score`
    float64, an expected grade or a number. The whole text is read. A text without any n-gram that the model knows, a
    blank one among them, has status `empty`.

    It sees spelling and words, so it learns topics as readily as quality: the card's figures are of texts like those
    that it was learned from.
    """

    kind = "ngram"
    Settings = NgramSettings

    def __init__(self, settings: NgramSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        self._model: ngram_vectors.Model | None = None
        self._read: dict[str, Any] | None = None

    @property
    def _facts(self) -> dict[str, Any]:
        """What the model's scorer.json says. Raises ModelError where it is none."""
        if self._read is not None:
            return self._read
        located = locate(self.settings.model, self.context.recipe_dir)
        facts = read_json(located, FACTS)
        if facts.get("kind") != self.kind:
            raise ModelError(
                f"{self.settings.model} is a {facts.get('kind')}", hint="name it as its own scorer's model"
            )
        with understood(located):
            ngram_vectors.check(Grams(**facts["ngrams"]))
            if facts["task"] not in ("binary", "ordinal", "regression") or not isinstance(facts["sublinear"], bool):
                raise ValueError(f"{FACTS} is not what train-scorer writes")
        if not set(_TENSORS) <= set(header(located, HEAD)):
            raise ModelError(f"{self.settings.model}: {HEAD} is not what train-scorer writes", hint=HINT)
        self._read = facts
        return facts

    @property
    def _binary(self) -> bool:
        return bool(self._facts["task"] == "binary")

    @property
    def fields(self) -> list[pa.Field]:
        if self._binary:
            return [pa.field("prob", pa.float32()), pa.field("logit", pa.float32())]
        return [pa.field("score", pa.float64())]

    @property
    def contract(self) -> base.Contract:
        return base.Contract("prob", 1, "prob") if self._binary else base.Contract("score", 1, "ordinal")

    def identity(self) -> dict[str, Any]:
        self._facts  # noqa: B018 - raises where it is not a model
        located = self._located()
        return {"model": {name: located.files[name].sha256 for name in (FACTS, HEAD)}}

    def models(self) -> list[dict[str, Any]]:
        return self._located().describe(HEAD)

    def load(self) -> None:
        """Open the model. Raises ModelError where its arrays do not fit together."""
        if self._model is not None:
            return
        from safetensors.numpy import load_file

        located = self._located()
        located.verify()
        self._grams, self._sublinear = Grams(**self._facts["ngrams"]), bool(self._facts["sublinear"])
        with understood(located):
            tensors = load_file(located.file(HEAD))
            self._bias, self._values = tensors["bias"].astype(np.float64), tensors["values"].astype(np.float64)
            model = ngram_vectors.model(tensors["keys"], tensors["idf"], tensors["weight"])
        ngram_vectors.products(pa.array(["A few words."], TEXT), self._grams, model, self._sublinear)  # compiles
        self._model = model

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self.load()
        assert self._model is not None
        product = ngram_vectors.products(batch.column("text"), self._grams, self._model, self._sublinear)
        empty = np.isnan(product)
        product[empty] = 0.0
        if self._binary:
            logits = product + self._bias[0]
            columns = {
                "prob": pa.array(sigmoid(logits).astype(np.float32), mask=empty),
                "logit": pa.array(logits.astype(np.float32), mask=empty),
            }
        else:
            columns = {
                "score": pa.array(head_scores(product, self._bias, self._values, self._facts["task"]), mask=empty)
            }
        if empty.any():
            columns["status"] = pc.if_else(pa.array(empty), EMPTY, OK)
        return pa.record_batch(columns)

    def attribution(self, document: pa.RecordBatch) -> Attribution | None:
        """N-grams of the text and what each adds to w·x, the weightiest first; exact, they and the bias sum up to the
        logit or number. In those of characters, "·" is where the word begins or ends. What the model does not know is
        not there. Of grades, which are no sum, each sentence is left out in turn."""
        self.load()
        assert self._model is not None
        if self._facts["task"] == "ordinal":
            return super().attribution(document)
        keys, names = ngram_vectors.named(document.column("text")[0].as_py(), self._grams)
        shares = ngram_vectors.shares(keys, self._model, self._sublinear)
        counting = ~np.isnan(shares)
        if not counting.any():
            return None
        shown = [
            name if key & OF_WORDS else name.replace(" ", "·")
            for key, name, counts in zip(keys, names, counting, strict=True)
            if counts
        ]
        pieces = ranked(shown, shares[counting])
        return Attribution("logit" if self._binary else "score", [*pieces, ("(bias)", float(self._bias[0]))])

    def _located(self) -> LocatedModel:
        return locate(self.settings.model, self.context.recipe_dir)
