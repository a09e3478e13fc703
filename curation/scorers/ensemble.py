"""Several scorers as one score, by the ranks of what they say: the best of them, their mean, or learned weights."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator
from scipy.stats import spearmanr

from curation.models.locate import sha256
from curation.scorers import alone, base, members
from curation.scorers.base import HEAD
from curation.scorers.members import Member
from curation.statistics import ensemble
from schemas.documents import OK

FOLDS = 5


class EnsembleSettings(base.Settings):
    """Which scorers, and how their ranks become one number."""

    members: list[Member] = Field(min_length=2)
    """Scorers, each with the column that counts."""
    method: Literal["max", "mean", "learned"] = "max"
    """The highest rank bucket (Nemotron-CC), the mean rank, or ranks weighted to foretell `target`."""
    buckets: int = Field(default=ensemble.BUCKETS, ge=2, le=1000)
    """Of `max`: how many equal shares of the documents there are."""
    target: str | None = None
    """Of `learned`: a mapped input column of numbers, higher is better, that at least some sampled documents have."""
    sample: int = Field(default=5000, ge=100)
    """Pool rows, of those that reach the stage, that fix the quantiles (and the weights)."""

    @model_validator(mode="after")
    def _check(self) -> EnsembleSettings:
        if (self.method == "learned") != (self.target is not None):
            raise ValueError("`target` and `method: learned` belong together")
        return self


class Ensemble(base.Scorer):
    """One score out of several of different scales. Higher is better (orientation +1).

    Fields: `score` float64 and `ranks` float32 [members], each member's rank in (0, 1) among the sampled documents,
    1 the best, in the order of the settings. `score` is by `method`: `max`, the highest of the members' rank buckets, 0
    to buckets - 1 (Nemotron-CC, arXiv 2412.02595, with 20); `mean`, the mean of the ranks; `learned`, their weighted
    sum, an estimate of the target's rank.

    Ranks come from quantile tables fitted on a hash-chosen sample and frozen, so that a score depends on the document
    alone: a bucket holds its share of all documents up to the sample's error (of 5 % and 5,000 rows, ±0.6 points), and
    equal scores share a bucket. A document that some member has no score for has that member's status.

    The card has the agreement of every pair, the share of documents in the top bucket beside that of independent and of
    identical members, and for learned weights the held-out rank correlation beside each member's own.
    """

    kind = "ensemble"
    Settings = EnsembleSettings
    reads: tuple[str, ...] = ()
    fits_on_survivors = True

    def __init__(self, settings: EnsembleSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        self.sample_rows = settings.sample
        self._scorers = [members.build(member, context) for member in settings.members]
        self._signs = [members.sign(*pair) for pair in zip(settings.members, self._scorers, strict=True)]
        if settings.target is not None:
            self.reads = self.numbers = (settings.target,)
        self._tensors: dict[str, np.ndarray] | None = None

    @property
    def fields(self) -> list[pa.Field]:
        return [pa.field("score", pa.float64()), pa.field("ranks", pa.list_(pa.float32(), len(self._scorers)))]

    @property
    def contract(self) -> base.Contract:
        return base.Contract("score", 1, "rank")

    def requires(self) -> dict[str, base.Scorer]:
        return {f"member{place}": scorer for place, scorer in enumerate(self._scorers)}

    def identity(self) -> dict[str, Any]:
        return {"ranks": None if self.context.artifact is None else sha256(self.context.artifact / HEAD)}

    def models(self) -> list[dict[str, Any]]:
        """The quantile tables; the members list their own models."""
        return self.fitted_models()

    def load(self) -> None:
        """Open the tables. Raises RuntimeError when none were fitted."""
        if self._tensors is None:
            if self.context.artifact is None:
                raise RuntimeError("ensemble has no quantile tables: it has to be fitted first")
            from safetensors.numpy import load_file

            self._tensors = load_file(self.context.artifact / HEAD)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self.load()
        assert self._tensors is not None
        scores = self._scores([batch.column(name) for name in self.requires()])
        ranks = self._each(ensemble.rank, self._tensors["ranks"], scores)
        if self.settings.method == "max":
            total = self._each(ensemble.bucket, self._tensors["buckets"], scores).max(axis=1)
        elif self.settings.method == "mean":
            total = ranks.mean(axis=1)
        else:
            total = (ranks * self._tensors["weights"]).sum(axis=1) + self._tensors["bias"][0]
        missing = np.isnan(scores)
        lacking = missing.any(axis=1)
        flat = pa.array(np.where(lacking[:, None], 0, ranks).astype(np.float32).ravel())
        columns = {
            "score": pa.array(total, mask=lacking),
            "ranks": pa.FixedSizeListArray.from_arrays(flat, len(self._scorers), mask=pa.array(lacking)),
        }
        if lacking.any():
            columns["status"] = pa.repeat(pa.scalar(OK), len(lacking))
            for place, name in reversed(list(enumerate(self.requires()))):  # the first that lacks has the last word
                own = members.without_value(batch.column(name))
                columns["status"] = pc.if_else(pa.array(missing[:, place]), own, columns["status"])
        return pa.record_batch(columns)

    def fit_identity(self) -> dict[str, Any]:
        pairs = zip(self.settings.members, self._scorers, strict=True)
        return {
            "members": [members.describe(member, scorer) for member, scorer in pairs],
            **self.settings.model_dump(exclude={"members"}),
        }

    def fit(self, pool: pa.RecordBatch) -> base.Artifact:
        """Fix each member's quantiles on the pool's sample, and learn weights where asked to.

        Raises ValueError: a member without a single score, or fewer than 10 documents with every score and a target.
        """
        scores = self._scores([alone.run(scorer, pool).to_struct_array() for scorer in self._scorers])
        names = self._names()
        tables = {}
        for name, steps in (("buckets", self.settings.buckets), ("ranks", ensemble.RESOLUTION)):
            try:
                tables[name] = np.stack([ensemble.quantile_table(column, steps) for column in scores.T])
            except ValueError as error:
                nothing = names[int(np.isnan(scores).all(axis=0).argmax())]
                raise ValueError(f"{nothing} has no score on any of {len(scores)} sampled documents") from error
        whole = ~np.isnan(scores).any(axis=1)
        best = self._each(ensemble.bucket, tables["buckets"], scores[whole]).max(axis=1, initial=-1)
        share = 1 / self.settings.buckets
        pairs = ensemble.agreement(dict(zip(names, scores.T, strict=True)))
        card: dict[str, Any] = {
            "method": self.settings.method,
            "members": names,
            "rows": len(scores),
            "rows_with_every_score": int(whole.sum()),
            "agreement": ensemble.describe(pairs),
            "top_bucket": {
                "share": float((best == self.settings.buckets - 1).mean()) if whole.any() else None,
                "if_independent": ensemble.top_share(len(names), share),
                "if_identical": share,
            },
        }
        if self.settings.target is not None:
            target = pool.column(self.settings.target).to_numpy(zero_copy_only=False)
            use = whole & np.isfinite(target)
            if use.sum() < 2 * FOLDS:
                raise ValueError(f"{int(use.sum())} sampled documents have every score and a '{self.settings.target}'")
            ranks = self._each(ensemble.rank, tables["ranks"], scores[use])
            weights, bias = ensemble.learn_weights(ranks, target[use])
            tables.update(weights=weights, bias=np.array([bias]))
            card["weights"] = dict(zip(names, weights.tolist(), strict=True))
            card["spearman_with_target"] = _held_out(names, ranks, target[use])
        return base.Artifact(tables, card)

    def _scores(self, structs: list[pa.StructArray]) -> np.ndarray:
        """Members' scores turned so that higher is better, float64 [n, members]."""
        parts = zip(self._signs, structs, self.settings.members, strict=True)
        return np.stack([turn * members.values(struct, member.field) for turn, struct, member in parts], axis=1)

    def _each(self, function: Any, tables: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return np.stack([function(table, column) for table, column in zip(tables, scores.T, strict=True)], axis=1)

    def _names(self) -> list[str]:
        """Of each member scorer.column, numbered where two are alike."""
        plain = [f"{member.scorer}.{member.field}" for member in self.settings.members]
        return [f"{name}#{place}" if plain.count(name) > 1 else name for place, name in enumerate(plain)]


def _held_out(names: list[str], ranks: np.ndarray, target: np.ndarray) -> dict[str, float | None]:
    """Rank correlation with the target: of weights on documents that they were not learned from, and of each member."""
    fold = np.arange(len(target)) % FOLDS
    foretold = np.empty(len(target))
    for k in range(FOLDS):
        weights, bias = ensemble.learn_weights(ranks[fold != k], target[fold != k])
        foretold[fold == k] = (ranks[fold == k] * weights).sum(axis=1) + bias
    columns = {"held_out": foretold, **dict(zip(names, ranks.T, strict=True))}
    return {
        name: None if np.ptp(values) == 0 or np.ptp(target) == 0 else float(spearmanr(values, target).statistic)
        for name, values in columns.items()
    }
