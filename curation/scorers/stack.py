"""One judgement out of other scorers' columns and length, that `curate train-scorer --method stack` learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.models.config import HINT, header, read_json, understood
from curation.models.locate import LocatedModel, ModelError, locate
from curation.scorers import alone, base, members
from curation.scorers.attribution import Attribution
from curation.scorers.base import HEAD
from curation.scorers.embedding_head import FACTS
from curation.scorers.members import Member
from curation.scorers.model import is_blank
from curation.training.held_out import words_of
from curation.training.stack import Columns, judged
from schemas.documents import EMPTY, OK

TEXT_ITSELF = "text"
"""The member that a column of length is of."""
_TENSORS = {"reading", "low", "high", "unit", "centre", "spread", "weight", "bias"}


class StackSettings(base.Settings):
    """Which stack."""

    model: str
    """Address of what `curate train-scorer --method stack` saved, such as path:models/quality."""


class Stack(base.Scorer):
    """What columns of several scorers say together: a linear model, which names its members.

    Members are scored as stages of the same settings are, and once where such a stage is there. Fields: for two labels
    `prob` float32 in [0, 1] and `logit` float32, for numbers `score` float64. A value that a member does not have
    counts as the mean of the training examples; a blank text has status `empty`.
    """

    kind = "stack"
    Settings = StackSettings

    def __init__(self, settings: StackSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        located = self._located()
        facts = read_json(located, FACTS)
        if facts.get("kind") != self.kind:
            raise ModelError(f"{settings.model} is a {facts.get('kind')}", hint="name it as its own scorer's model")
        if not set(header(located, HEAD)) >= _TENSORS:
            raise ModelError(f"{settings.model}: {HEAD} is not what train-scorer writes", hint=HINT)
        # Members that were learned with the stack lie beside it.
        inside = base.Context(located.folder, cache=context.cache, asked=context.asked)
        with understood(located):
            self._binary = {"binary": True, "regression": False}[facts["task"]]
            self._columns = [(str(group), str(member), str(field)) for group, member, field in facts["columns"]]
            self._members = {
                str(name): members.make(Member.model_validate({**member, "field": "any"}), inside)
                for name, member in facts["members"].items()
            }
            for _, name, field in self._columns:
                if name != TEXT_ITSELF and field not in {item.name for item in self._members[name].fields}:
                    raise ValueError(f"{name} has no column {field}")
        self._tensors: dict[str, np.ndarray] | None = None

    @property
    def fields(self) -> list[pa.Field]:
        if self._binary:
            return [pa.field("prob", pa.float32()), pa.field("logit", pa.float32())]
        return [pa.field("score", pa.float64())]

    @property
    def contract(self) -> base.Contract:
        return base.Contract("prob", 1, "prob") if self._binary else base.Contract("score", 1, "ordinal")

    def requires(self) -> dict[str, base.Scorer]:
        return dict(self._members)

    def identity(self) -> dict[str, Any]:
        located = self._located()
        return {"model": {name: located.files[name].sha256 for name in (FACTS, HEAD)}}

    def models(self) -> list[dict[str, Any]]:
        """The stack; the members list their own."""
        return self._located().describe(HEAD)

    def load(self) -> None:
        """Open the weights. Raises ModelError where they do not fit the columns."""
        if self._tensors is not None:
            return
        from safetensors.numpy import load_file

        located = self._located()
        located.verify()
        tensors = load_file(located.file(HEAD))
        if any(len(tensors[name]) != len(self._columns) for name in _TENSORS - {"bias"}):
            raise ModelError(f"{self.settings.model}: {HEAD} is of another number of columns", hint=HINT)
        self._tensors = tensors

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        scaled, weight, bias = self._scaled(batch)
        empty = is_blank(batch.column("text"))
        logits = judged(scaled, weight, bias, "regression")
        if self._binary:
            prob = judged(scaled, weight, bias, "binary")
            columns = {
                "prob": pa.array(prob.astype(np.float32), mask=empty),
                "logit": pa.array(logits.astype(np.float32), mask=empty),
            }
        else:
            columns = {"score": pa.array(logits, mask=empty)}
        if empty.any():
            columns["status"] = pc.if_else(pa.array(empty), EMPTY, OK)
        return pa.record_batch(columns)

    def attribution(self, document: pa.RecordBatch) -> Attribution | None:
        """What each column adds, the weightiest first; exact, they and the bias sum up to the logit or number."""
        scored = {name: alone.run(member, document).to_struct_array() for name, member in self._members.items()}
        scaled, weight, bias = self._scaled(pa.RecordBatch.from_pydict({"text": document.column("text"), **scored}))
        shares = (scaled[0] * weight).tolist()
        names = [f"{group}: {member}.{field}" for group, member, field in self._columns]
        pieces = sorted(zip(names, shares, strict=True), key=lambda item: (-abs(item[1]), item[0]))
        return Attribution("logit" if self._binary else "score", [*pieces, ("(bias)", bias)])

    def _scaled(self, batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray, float]:
        """Columns about 0, float64 [n, columns], their weights, and the bias."""
        self.load()
        assert self._tensors is not None
        raw = raw_values([(name, field) for _, name, field in self._columns], batch)
        columns = Columns(*(self._tensors[name] for name in Columns.__dataclass_fields__))
        return columns(raw), self._tensors["weight"], float(self._tensors["bias"][0])

    def _located(self) -> LocatedModel:
        return locate(self.settings.model, self.context.recipe_dir)


def raw_values(fields: list[tuple[str, str]], batch: pa.RecordBatch) -> np.ndarray:
    """Values of members' columns, float64 [n, columns], NaN where there is none; of the text, its words."""
    words = words_of(batch.column("text"))
    values = [words if name == TEXT_ITSELF else members.values(batch.column(name), field) for name, field in fields]
    return np.stack(values, axis=1) if values else np.zeros((batch.num_rows, 0))
