"""What scorers share that learn from example documents of the wanted kind, against a sample of the pool."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.models.locate import sha256
from curation.scorers import base
from curation.scorers.base import HEAD
from curation.scorers.embedding_head import FOLDS
from curation.scorers.examples import distinct, hash_texts, problem, read_texts, recall
from curation.statistics import metrics
from schemas.documents import TEXT

Tensors = dict[str, NDArray[Any]]
Scores = Callable[[pa.Array], NDArray[np.float64]]
"""From texts to how much each is of the wanted kind; higher is more."""


class Fitted(base.Scorer):
    """A scorer with the settings `background` and `sample`, and one, named by `examples`, for the examples' file.

    A subclass says how to `learn` from texts and to `judge` by what was learned; the artifact's hash is its identity.
    """

    examples = "target"
    folds = FOLDS
    """Of the cross-validation in the card; it costs `folds` - 1 further fits."""

    def __init__(self, settings: base.Settings, context: base.Context) -> None:
        super().__init__(settings, context)
        self.sample_rows = 0 if self.settings.background else self.settings.sample

    @abstractmethod
    def learn(self, wanted: list[str], others: list[str]) -> Tensors:
        """What is saved of a fit: arrays by name."""

    @abstractmethod
    def judge(self, tensors: Tensors) -> Scores:
        """The scores by what `learn` returned, for the figures in the card."""

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """The settings that a fit depends on, beside files and sample."""

    def identity(self) -> dict[str, Any]:
        """Once fitted, the hash of what was learned."""
        return {} if self.context.artifact is None else {"head": sha256(self.context.artifact / HEAD)}

    def models(self) -> list[dict[str, Any]]:
        return self.fitted_models()

    def tensors(self) -> Tensors:
        """What the fit saved. Raises RuntimeError when there was none."""
        if self.context.artifact is None:
            raise RuntimeError(f"{self.kind} has nothing to load: it has to be fitted first")
        from safetensors.numpy import load_file

        return dict(load_file(self.context.artifact / HEAD))

    def fit_identity(self) -> dict[str, Any]:
        background = self.settings.background
        return {
            self.examples: hash_texts(self._read(getattr(self.settings, self.examples))),
            "background": hash_texts(self._read(background)) if background else None,
            "sample": self.sample_rows,
            **self.options(),
        }

    def fit(self, pool: pa.RecordBatch) -> base.Artifact:
        """Learn from the examples against the background, or against `pool`, which is empty when there is one.

        Repeated texts count once, blank ones not at all, and a negative with an example's very text is left out. The
        card holds the counts and, from `folds`-fold cross-validation without chance, the mean AUC over folds and the
        recall of held-out examples at each keep rate of the negatives. Raises ValueError: fewer than 2 of either.
        """
        name = getattr(self.settings, self.examples)
        wanted = distinct(self._read(name))
        background = self.settings.background
        source = background or "the pool's sample"
        rows = self._read(background) if background else pool.column("text").to_pylist()
        known = set(wanted)
        others = [text for text in distinct(rows) if text not in known]
        if len(wanted) < 2:
            raise problem(f"{name}: {len(wanted)} distinct documents, and at least 2 are needed", "50 or more do well")
        if len(others) < 2:
            raise problem(
                f"{source}: {len(others)} distinct documents beside the {self.examples}, and at least 2 are needed",
                "give a larger input, or a background file",
            )
        card = {
            f"n_{self.examples}": len(wanted),
            "n_negatives": len(others),
            "negatives": "background" if background else "pool sample",
            **self.options(),
            **self._held_out(wanted, others),
        }
        return base.Artifact(self.learn(wanted, others), card)

    def _held_out(self, wanted: list[str], others: list[str]) -> dict[str, Any]:
        folds = min(self.folds, len(wanted), len(others))
        y = np.arange(len(wanted) + len(others)) < len(wanted)
        fold = np.concatenate([np.arange(len(wanted)) % folds, np.arange(len(others)) % folds])
        texts = pa.array([*wanted, *others], TEXT)
        scores = np.empty(len(y))
        for k in range(folds):
            seen = [texts.filter(pa.array(side & (fold != k))).to_pylist() for side in (y, ~y)]
            scores[fold == k] = self.judge(self.learn(*seen))(texts.filter(pa.array(fold == k)))
        return {
            "folds": folds,
            "auc": float(np.mean([metrics.auc(scores[fold == k], y[fold == k]) for k in range(folds)])),
            "recall_at_keep_rate": recall(scores, y, fold),
        }

    def _read(self, name: str) -> list[str]:
        return read_texts(self.context.resolve(name))
