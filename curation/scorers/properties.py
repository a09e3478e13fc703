"""Several properties of a document from one stored vector: the heads that `curate train-scorer --labels` learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curation.models.config import HINT, header, read_json, understood
from curation.models.locate import LocatedModel, ModelError, locate
from curation.scorers import base
from curation.scorers.attribution import Attribution
from curation.scorers.base import HEAD
from curation.scorers.embedding_head import FACTS, saved_embedding, status_of, vectors_of
from curation.training.linear import head_scores
from curation.training.logistic import times
from schemas.documents import OK

MOST = 256
"""Properties of one model."""


class PropertiesSettings(base.Settings):
    """Which heads."""

    head: str
    """Address of what `curate train-scorer --labels` saved, such as path:models/properties. It names its encoder."""
    model: str | None = None
    """Where the encoder lies now."""
    pack: int | None = Field(default=None, ge=1)
    """Tokens of one pass of the encoder."""


class Properties(base.Scorer):
    """A field for each label, read from the document's one embedding by a linear head of its own.

    Of two labels a probability, float32; of grades the expected grade and of numbers a number, float64. Also `tokens`
    int32 and `truncated` bool, of the embedding. Documents without an embedding have its status. A further property
    costs a product of one vector: gates, ranks and thresholds go by any of them, `keep: properties.toxic < 0.2`.
    """

    kind = "properties"
    Settings = PropertiesSettings

    def __init__(self, settings: PropertiesSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        located = self._located()
        facts = read_json(located, FACTS)
        if facts.get("kind") != self.kind:
            raise ModelError(f"{settings.head} is a {facts.get('kind')}", hint="name it as its own scorer's model")
        shapes = header(located, HEAD)
        with understood(located):
            self.tasks = {str(item["name"]): str(item["task"]) for item in facts["properties"]}
            if not 0 < len(self.tasks) <= MOST or not set(self.tasks.values()) <= {"binary", "ordinal", "regression"}:
                raise ValueError(f"{FACTS} is not what train-scorer writes")
        if any(f"{name}.{part}" not in shapes for name in self.tasks for part in ("weight", "bias", "values")):
            raise ModelError(f"{settings.head}: {HEAD} does not hold the heads that {FACTS} names", hint=HINT)
        self._embedding = saved_embedding(facts, located, settings.head, settings.model, settings.pack, context)
        self._tensors: dict[str, np.ndarray] | None = None

    @property
    def fields(self) -> list[pa.Field]:
        shown = [
            pa.field(name, pa.float32() if task == "binary" else pa.float64()) for name, task in self.tasks.items()
        ]
        return [*shown, pa.field("tokens", pa.int32()), pa.field("truncated", pa.bool_())]

    @property
    def contract(self) -> base.Contract:
        return base.Contract(tokens="tokens", truncated="truncated")

    def requires(self) -> dict[str, base.Scorer]:
        return {"embedding": self._embedding}

    def identity(self) -> dict[str, Any]:
        located = self._located()
        files = {name: located.files[name].sha256 for name in (FACTS, HEAD)}
        return {"encoder": self._embedding.identity(), "head": files}

    def models(self) -> list[dict[str, Any]]:
        """The heads; the encoder is the required embedding's to list."""
        return self._located().describe(HEAD)

    def load(self) -> None:
        """Open the heads. Raises ModelError where they are of another encoder's width."""
        if self._tensors is None:
            from safetensors.numpy import load_file

            located = self._located()
            located.verify()
            tensors = load_file(located.file(HEAD))
            width = self._embedding.encoder.dim
            if any(tensors[f"{name}.weight"].shape != (width,) for name in self.tasks):
                raise ModelError(f"{self.settings.head}: its heads do not read vectors of {width} numbers", hint=HINT)
            self._tensors = {name: value.astype(np.float64) for name, value in tensors.items()}

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self.load()
        assert self._tensors is not None
        embedding = batch.column("embedding")
        vectors, has_vector = vectors_of(embedding)
        columns: dict[str, pa.Array] = {}
        for name, task in self.tasks.items():
            weight, bias, values = (self._tensors[f"{name}.{part}"] for part in ("weight", "bias", "values"))
            scores = np.zeros(batch.num_rows)
            scores[has_vector] = head_scores(times(vectors, weight), bias, values, task)  # type: ignore[arg-type]
            kind = np.float32 if task == "binary" else np.float64
            columns[name] = pa.array(scores.astype(kind), mask=~has_vector)
        columns["tokens"] = pc.struct_field(embedding, "tokens")
        columns["truncated"] = pc.struct_field(embedding, "truncated")
        if not has_vector.all():
            columns["status"] = pc.if_else(pa.array(has_vector), OK, status_of(embedding))
        return pa.record_batch(columns)

    def attribution(self, document: pa.RecordBatch) -> Attribution | None:
        """None: there is no one score to explain."""
        return None

    def _located(self) -> LocatedModel:
        return locate(self.settings.head, self.context.recipe_dir)
