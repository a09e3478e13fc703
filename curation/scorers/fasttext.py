"""A fastText classifier: one by address, or one trained from seed documents against the pool."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation.models.config import HINT, header, read_json, understood
from curation.models.fasttext import FastText as Model
from curation.models.fasttext import check
from curation.models.locate import LocatedModel, ModelError, locate
from curation.scorers import base
from curation.scorers.attribution import Attribution, ranked
from curation.scorers.embedding_head import FACTS
from curation.scorers.fitted import Fitted, Scores, Tensors
from curation.scorers.model import is_blank
from curation.text.arrow import buffers
from curation.text.fasttext.dictionary import HS, LABEL, SOFTMAX
from curation.text.fasttext.pieces import pieces
from curation.training.bag import expected
from curation.training.fasttext import Options, opened, train
from schemas.documents import EMPTY, OK, TEXT

HQ = "hq"
"""The label of documents worth keeping in DCLM's models, arXiv 2406.11794."""
SEEDS, POOL = "seeds", "pool"
"""Labels of a classifier trained here."""
_CELLS = 1 << 22
"""Probabilities in memory at once."""


class FastTextSettings(base.Settings):
    """Which model, or what to train one from; exactly one of `model` and `seeds`."""

    model: str | None = None
    """Address of a supervised fastText model (.bin or .ftz), or of one that `curate train-scorer` saved."""
    label: str | None = None
    """Whose probability `prob` is, with or without "__label__"; default `hq`. Of a trained model, always the seeds'."""
    top: int = Field(default=1, ge=1)
    """From 2 on there are the columns `labels` and `probs`, with this many at most."""
    seeds: str | None = None
    """Documents of the wanted kind: .jsonl or .parquet with a column `text`, or .txt, one a line."""
    background: str | None = None
    """Documents of the other kind, in the same formats. Without it, a sample of the pool stands in."""
    sample: int = Field(default=1000, ge=2)
    """Pool rows to train against when there is no background."""
    lr: float = Field(default=0.5, gt=0)
    """Learning rate at the start."""
    epochs: int = Field(default=25, ge=1)
    """Visits to each document. fastText's own 0.1 and 5 suit DCLM's 400,000 documents; hundreds of them want more."""
    dim: int = Field(default=100, ge=1)
    """Of the vectors of words and n-grams."""
    word_ngrams: int = Field(default=2, ge=1, le=10)
    """Words of the longest n-grams of words."""
    min_count: int = Field(default=1, ge=1)
    """How often a word must occur to be known."""
    min_chars: int = Field(default=0, ge=0, le=20)
    """The shortest n-grams of characters; 0 for none."""
    max_chars: int = Field(default=0, ge=0, le=20)
    """The longest n-grams of characters; 0 for none, as in DCLM."""
    buckets: int = Field(default=1 << 18, ge=1, le=1 << 24)
    """Places for n-grams; fastText has 2,000,000."""
    seed: int = Field(default=0, ge=0)
    """Of the first vectors and the order of documents."""

    @model_validator(mode="after")
    def _one_origin(self) -> FastTextSettings:
        if (self.model is None) == (self.seeds is None):
            raise ValueError("give either model, to use one, or seeds, to train one")
        if self.model is None and self.label is not None:
            raise ValueError("label belongs to model; of a trained one, prob is the seeds'")
        if self.model is not None and self.background is not None:
            raise ValueError("background belongs to seeds")
        if self.min_chars > self.max_chars or (self.max_chars > 0) != (self.min_chars > 0):
            raise ValueError("min_chars and max_chars are both 0, or min_chars is 1 to max_chars")
        return self


class FastText(Fitted):
    """How probable a label of a fastText model is; with `seeds`, how much a document looks like them.

    Fields: `prob` float32 in [0, 1], the probability of `label:`, higher is more of it (1e-5 too high, as fastText's
    are; 0 where hierarchical softmax leaves a label below 1e-5 out), and `label` string, the most probable one; with
    `top` above 1 also `labels` and `probs`, lists, best first. The whole text is read, as one line, unless a token
    "</s>" ends it. Blank texts, and those that share no word or n-gram with the model, have status `empty`.

    A model of grades or numbers that `curate train-scorer` saved has one field in their place, `score` float64: the
    mean of its levels' values, weighted by their probabilities.

    Cut it by the share to keep (a `select: top`), not at 0.5: the best tenth of DCLM's pool began at 0.018. Of a model
    trained here, `prob` is no P(document is of the seeds' kind): the negatives are unlabelled pool rows, and both
    kinds are visited equally often. It sees words, so it learns topics and length as readily as quality.
    """

    kind = "fasttext"
    version = 2
    Settings = FastTextSettings

    examples = SEEDS
    folds = 3

    def __init__(self, settings: FastTextSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        self.fitted = settings.seeds is not None
        self.sample_rows = self.sample_rows if self.fitted else 0
        self._model: Model | None = None

    @property
    def fields(self) -> list[pa.Field]:
        if self._graded:
            return [pa.field("score", pa.float64())]
        fields = [pa.field("prob", pa.float32()), pa.field("label", pa.string())]
        if self.settings.top > 1:
            fields += [pa.field("labels", pa.list_(pa.string())), pa.field("probs", pa.list_(pa.float32()))]
        return fields

    @property
    def contract(self) -> base.Contract:
        return base.Contract("score", 1, "ordinal") if self._graded else base.Contract("prob", 1, "prob")

    def identity(self) -> dict[str, Any]:
        if self.fitted:
            return super().identity()
        located = self._locate()
        facts = {"facts": located.files[FACTS].sha256} if FACTS in located.files else {}
        name = _weights(located)
        with understood(located):
            if not name.endswith(".safetensors"):
                check(located.file(name))
            elif not {"names", "ends", "kept", "rows", "output", "grams", "values"} <= set(header(located, name)):
                raise ModelError(f"{self.settings.model}: {name} is not what train-scorer writes", hint=HINT)
        return {"weights": located.files[name].sha256, **facts}

    def models(self) -> list[dict[str, Any]]:
        if self.fitted:
            return super().models()
        located = self._locate()
        return located.describe(_weights(located))

    def load(self) -> None:
        """Open the model. Raises ModelError where it has no such label, RuntimeError where it is yet to be trained."""
        if self._model is None:
            model = self._open()
            self._wanted = 0 if self._graded else _label(model, self._label)
            model.predict(pa.array(["A few words."], TEXT), len(model.labels))  # compiles
            self._model = model

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self.load()
        assert self._model is not None
        text = batch.column("text")
        if self._graded:
            return self._grades(text)
        top = min(self.settings.top, len(self._model.labels))
        labels, probs, prob = _predict(self._model, text, top, self._wanted)
        blank = pc.or_(pc.utf8_is_space(text), pc.equal(pc.binary_length(text), 0)).to_numpy(zero_copy_only=False)
        empty = blank | (labels[:, 0] < 0)
        labels[empty] = -1
        names = pa.array(self._model.labels, pa.string())
        columns = {
            "prob": pa.array(prob, mask=empty),
            "label": names.take(pa.array(labels[:, 0], mask=empty)),
        }
        if self.settings.top > 1:
            ranked = labels >= 0
            bounds = pa.array(np.append(0, np.cumsum(ranked.sum(axis=1))), pa.int32())
            columns["labels"] = pa.ListArray.from_arrays(
                bounds, names.take(pa.array(labels[ranked])), mask=pa.array(empty)
            )
            columns["probs"] = pa.ListArray.from_arrays(bounds, pa.array(probs[ranked]), mask=pa.array(empty))
        if empty.any():
            columns["status"] = pc.if_else(pa.array(empty), EMPTY, OK)
        return pa.record_batch(columns)

    def attribution(self, document: pa.RecordBatch) -> Attribution | None:
        self.load()
        assert self._model is not None
        if self._graded or self._model._network.loss == HS:
            return super().attribution(document)
        text = document.column("text")[0].as_py()
        return Attribution(f"log odds of {self._model.labels[self._wanted]}", self.attribute(text))

    def attribute(self, text: str) -> list[tuple[str, float]]:
        """Words and word n-grams of a text, and what each adds to the label's logit, the weightiest first.

        Exact: the weights sum up to the logit, for a softmax less the mean of the other labels' logits, so for two
        labels to log(p / (1 - p)). Pieces without a vector are not there; the end of the line is "</s>"; what a known
        word owes to its characters is in its own weight. Raises ValueError for hierarchical softmax, which is not
        linear.
        """
        self.load()
        assert self._model is not None
        network = self._model._network
        if network.loss == HS:
            raise ValueError(f"{self.settings.model}: hierarchical softmax has no weights that add up")
        output = network.output.astype(np.float64)
        direction = output[self._wanted]
        if network.loss == SOFTMAX and len(output) > 1:
            direction = direction - np.delete(output, self._wanted, axis=0).mean(axis=0)
        piece_rows = pieces(*buffers(pa.array([text], TEXT)), network, apart=False)
        words = len(network.words.sizes)
        averaged = np.where(
            piece_rows.rows < words, network.words.sizes[np.minimum(piece_rows.rows, words - 1)], 1
        ).sum()
        weights = network.rows[piece_rows.rows].astype(np.float64) @ direction / max(averaged, 1)
        data = text.encode()
        spans = zip(piece_rows.starts.tolist(), piece_rows.ends.tolist(), strict=True)
        return ranked([_named(data, start, end) for start, end in spans], weights)

    def _grades(self, text: pa.LargeStringArray) -> pa.RecordBatch:
        assert self._model is not None
        found = self._model.predict(text, len(self._model.labels))
        score = expected(found.labels, found.probs, self._values)
        score[is_blank(text)] = np.nan
        missing = np.isnan(score)
        columns = {"score": pa.array(score, mask=missing)}
        if missing.any():
            columns["status"] = pc.if_else(pa.array(missing), EMPTY, OK)
        return pa.record_batch(columns)

    @property
    def _facts(self) -> dict[str, Any]:
        """Of a model that `curate train-scorer` saved, what its scorer.json says."""
        if self.settings.model is None:
            return {}
        located = self._locate()
        return read_json(located, FACTS) if FACTS in located.files else {}

    @property
    def _graded(self) -> bool:
        return bool(self._facts.get("task", "binary") != "binary")

    @property
    def _label(self) -> str | None:
        """Whose probability is wanted."""
        if self._graded:
            return None
        if self.settings.seeds:
            return SEEDS
        return self.settings.label or ("1" if self._facts else None)

    def _open(self) -> Model:
        if self.fitted:
            return opened(self.tensors())
        located = self._locate()
        located.verify()
        path = located.file(_weights(located))
        if path.suffix != ".safetensors":
            return Model(path)
        from safetensors.numpy import load_file

        tensors = dict(load_file(path))
        self._values = tensors.pop("values")
        return opened(tensors)

    def _locate(self) -> LocatedModel:
        return locate(self.settings.model, self.context.recipe_dir)

    def options(self) -> dict[str, Any]:
        chosen = self.settings
        return {name: getattr(chosen, name) for name in Options.__dataclass_fields__ if name != "balanced"}

    def learn(self, wanted: list[str], others: list[str]) -> Tensors:
        labels = np.repeat(np.array([0, 1], np.int32), [len(wanted), len(others)])
        return train(pa.array([*wanted, *others], TEXT), labels, [SEEDS, POOL], Options(**self.options()))

    def judge(self, tensors: Tensors) -> Scores:
        model = opened(tensors)
        return lambda text: _predict(model, text, 1, 0)[2].astype(np.float64)


def _predict(
    model: Model, text: pa.Array, top: int, wanted: int
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """The best labels and their probabilities, [n, top], and the probability of one label, [n]."""
    every = len(model.labels)
    labels, probs = np.empty((len(text), top), np.int32), np.empty((len(text), top), np.float32)
    prob = np.empty(len(text), np.float32)
    rows = max(1, _CELLS // every)
    for start in range(0, len(text), rows):
        part = slice(start, start + rows)
        found = model.predict(text.slice(start, rows), every)
        labels[part], probs[part] = found.labels[:, :top], found.probs[:, :top]
        prob[part] = np.where(found.labels == wanted, found.probs, 0).max(axis=1)
    return labels, probs, prob


def _label(model: Model, name: str | None) -> int:
    chosen = (name or HQ).removeprefix(LABEL)
    if chosen not in model.labels:
        some = ", ".join(model.labels[:10]) + (" …" if len(model.labels) > 10 else "")
        raise ModelError(f"the model has no label {chosen!r}", hint=f"name one by label: it has {some}")
    return model.labels.index(chosen)


def _weights(located: LocatedModel) -> str:
    return located.weights(".ftz", ".bin", ".safetensors")[0]


def _named(data: bytes, start: int, end: int) -> str:
    words = data[start:end].decode(errors="replace").split()
    return " ".join([*words, "</s>"] if end > len(data) else words)
