"""Any Hugging Face sequence classifier, regressor or reward model as a scorer."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from curation.models.classifier import Classifier
from curation.models.locate import ModelError, locate
from curation.models.tokens import Ids
from curation.scorers import base
from curation.scorers.model import ModelScorer, ModelSettings, is_blank, placed, readable
from schemas.documents import EMPTY, ERROR, NONFINITE, OK, TEXT

NOT_MESSAGES = "not a list of messages"
REFUSED = "the chat template refuses these messages"


class ClassifierSettings(ModelSettings):
    """Which sequence classification checkpoint reads which columns, and how its numbers are shown."""

    columns: list[str] = Field(default=["text"], min_length=1, max_length=2)
    """Mapped input columns that are read: one text, or two that the tokenizer joins to a pair."""
    chat: bool = False
    """Read a conversation through the tokenizer's chat template: of one column, the JSON list of its messages with
    `role` and `content`; of two, what the user says and what the assistant answers."""
    target: str | None = None
    """The label whose probability is `score`. A single-label model of two labels has its second one by default."""
    int_range: list[int] | None = Field(default=None, min_length=2, max_length=2)
    """For one regression output: lowest and highest value of `int_score`; [0, 5] for FineWeb-Edu's classifier."""
    max_tokens: int | None = None
    """Tokens read from the start; default: the model's own limit."""
    dtype: Literal["bf16", "fp32"] | None = None
    """Default: what this machine does best. bf16 moves scores by about a hundredth."""

    @model_validator(mode="after")
    def _check(self) -> ClassifierSettings:
        if len(set(self.columns)) < len(self.columns):
            raise ValueError("the two columns of a pair are the same")
        if self.int_range is not None and self.int_range[0] >= self.int_range[1]:
            raise ValueError("int_range goes from a lower to a higher number")
        return self


class SequenceClassifier(ModelScorer):
    """What a sequence classification model says of each document.

    Fields by the model's problem type, then `tokens` int32 (read by the model, special tokens included) and `truncated`
    bool (the document was longer):

    - regression, one output: `score` float32, the raw output; with `int_range` [a, b] also `int_score` int32, as
      FineWeb-Edu's model card defines it, round(clip(score, a, b)), where halves go to the even number: a raw 2.5 gives
      2, and other toolkits call it 3. So put gates on `score`: `edu.score >= 2.5`.
    - regression, more outputs: `scores` float32 [labels], raw.
    - single label: `label` string and `prob` float32 of the likeliest (null where two are), `probs` float32 [labels]
      (softmax).
    - multi label: the same with probabilities each for itself (sigmoid), and `labels`, those from 0.5 on.

    Classifiers have `score` too, the probability of `target`, where one is set or the model has two single labels.
    Lists are in the order of the model's labels. More is better (orientation +1) as far as `target` is wanted.

    Documents with a blank column are `empty`; outputs that are not finite, `nonfinite`. Status `error`: messages that
    are none or that the template refuses.
    """

    kind = "classifier"
    version = 3
    Settings = ClassifierSettings

    def __init__(self, settings: ClassifierSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        self.reads = tuple(settings.columns)
        self._opened: Classifier | None = None

    @property
    def classifier(self) -> Classifier:
        """The model, its weights perhaps unopened. Raises ModelError when it cannot be used as the settings say."""
        if self._opened is None:
            located = locate(self.settings.model, self.context.recipe_dir)
            chosen = self.settings
            found = Classifier(located, max_tokens=chosen.max_tokens, dtype=chosen.dtype, pack=chosen.pack)
            self._check(found)
            self._opened = found
        return self._opened

    @property
    def fields(self) -> list[pa.Field]:
        model = self.classifier
        wide = pa.list_(pa.float32(), len(model.labels))
        if model.problem == "regression":
            if len(model.labels) > 1:
                shown = [pa.field("scores", wide)]
            else:
                shown = [pa.field("score", pa.float32())]
                shown += [pa.field("int_score", pa.int32())] if self.settings.int_range else []
        else:
            shown = [pa.field("score", pa.float32())] if self._target is not None else []
            shown += [pa.field("label", pa.string()), pa.field("prob", pa.float32()), pa.field("probs", wide)]
            shown += [pa.field("labels", pa.list_(pa.string()))] if model.problem == "multi" else []
        return [*shown, pa.field("tokens", pa.int32()), pa.field("truncated", pa.bool_())]

    @property
    def contract(self) -> base.Contract:
        read = base.Contract(tokens="tokens", truncated="truncated")
        if not any(field.name == "score" for field in self.fields):
            return read
        scale: base.Scale = "ordinal" if self.classifier.problem == "regression" else "prob"
        return replace(read, score="score", orientation=1, scale=scale)

    @property
    def readers(self) -> tuple[Classifier]:
        return (self.classifier,)

    def prepare(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = [batch.column(name) for name in self.settings.columns]
        message = np.full(batch.num_rows, None, dtype=object)
        read = [self._rendered(columns, message)] if self.settings.chat else columns
        ids = self.classifier.ids(read)
        status = np.full(batch.num_rows, OK, dtype=object)
        for text, token_ids in zip(read, ids, strict=True):
            here = readable(text, token_ids)
            status = np.where(here == OK, status, here)
        status[[row for row, said in enumerate(message) if said]] = ERROR
        for column in columns:
            status[is_blank(column)] = EMPTY
        prepared = {f"ids{place}": token_ids.array() for place, token_ids in enumerate(ids)}
        return pa.record_batch(
            {**prepared, "status": pa.array(status, pa.string()), "message": pa.array(message, pa.string())}
        )

    def infer(self, prepared: pa.RecordBatch) -> pa.RecordBatch:
        total = prepared.num_rows
        status = np.array(prepared.column("status").to_pylist(), dtype=object)
        rows = np.flatnonzero(status == OK)
        ids = [Ids.of(column).take(rows) for name, column in _named(prepared) if name.startswith("ids")]
        classified = self.classifier.classify_ids(ids, rendered=self.settings.chat)
        finite = np.asarray(np.isfinite(classified.logits).all(axis=1))
        status[rows[~finite]] = NONFINITE
        missing = status != OK
        columns = self._shown(
            placed(np.where(finite[:, None], classified.logits, 0).astype(float), rows, total), missing
        )
        columns["tokens"] = pa.array(placed(classified.tokens, rows, total), mask=missing)
        columns["truncated"] = pa.array(placed(classified.truncated, rows, total), mask=missing)
        if missing.any():
            columns["status"] = pa.array(status, pa.string())
            columns["message"] = prepared.column("message")
        return pa.record_batch(columns)

    def _rendered(self, columns: list[pa.Array], message: np.ndarray) -> pa.Array:
        """Conversations as the template writes them; "" and a message where there is none."""
        rendered = []
        parts = zip(*(column.to_pylist() for column in columns), strict=True)
        for row, part in enumerate(parts):  # the template takes one at a time
            try:
                rendered.append(self.classifier.render(_messages(part)) if all(part) else "")
            except ValueError as error:
                message[row] = NOT_MESSAGES if isinstance(error, _MessagesError) else REFUSED
                rendered.append("")
        return pa.array(rendered, TEXT)

    def _shown(self, logits: np.ndarray, missing: np.ndarray) -> dict[str, pa.Array]:
        """Columns from logits float64 [n, labels], null where `missing`; logits of missing rows are zeros."""
        model = self.classifier
        if model.problem == "regression":
            if len(model.labels) > 1:
                return {"scores": _wide(logits, missing)}
            raw = logits[:, 0].astype(np.float32)
            shown = {"score": pa.array(raw, mask=missing)}
            if self.settings.int_range:
                rounded = np.rint(np.clip(raw, *self.settings.int_range)).astype(np.int32)
                shown["int_score"] = pa.array(rounded, mask=missing)
            return shown
        probs = _sigmoid(logits) if model.problem == "multi" else _softmax(logits)
        names = pa.array(model.labels, pa.string())
        most = probs.max(axis=1)
        undecided = missing | ((probs == most[:, None]).sum(axis=1) > 1)
        shown = {}
        if self._target is not None:
            shown["score"] = pa.array(probs[:, self._target].astype(np.float32), mask=missing)
        shown["label"] = names.take(pa.array(probs.argmax(axis=1), mask=undecided))
        shown["prob"] = pa.array(most.astype(np.float32), mask=missing)
        shown["probs"] = _wide(probs, missing)
        if model.problem == "multi":
            given = (probs >= 0.5) & ~missing[:, None]
            bounds = pa.array(np.append(0, np.cumsum(given.sum(axis=1))), pa.int32())
            labels = names.take(pa.array(np.nonzero(given)[1]))
            shown["labels"] = pa.ListArray.from_arrays(bounds, labels, mask=pa.array(missing))
        return shown

    @property
    def _target(self) -> int | None:
        model = self.classifier
        if self.settings.target is not None:
            return model.labels.index(self.settings.target)
        return 1 if model.problem == "single" and len(model.labels) == 2 else None

    def _check(self, model: Classifier) -> None:
        address, labels = self.settings.model, ", ".join(model.labels)
        if self.settings.target is not None and model.problem == "regression":
            raise ModelError(f"{address} is a regressor and has no label to target", hint="leave out `target`")
        if self.settings.target is not None and self.settings.target not in model.labels:
            raise ModelError(f"{address} has no label '{self.settings.target}'", hint=f"its labels: {labels}")
        if self.settings.int_range and (model.problem != "regression" or len(model.labels) > 1):
            raise ModelError(f"int_range needs a regressor of one output, and {address} has {labels}", hint="leave it")
        if self.settings.chat and model.template is None:
            raise ModelError(f"{address} has no chat template", hint="leave out `chat`")


class _MessagesError(ValueError):
    pass


def _named(batch: pa.RecordBatch) -> list[tuple[str, pa.Array]]:
    return list(zip(batch.schema.names, batch.columns, strict=True))


def _messages(parts: tuple[str, ...]) -> list[dict[str, str]]:
    """The conversation in one column of JSON, or in two columns."""
    if len(parts) == 2:
        return [{"role": "user", "content": parts[0]}, {"role": "assistant", "content": parts[1]}]
    try:
        messages = json.loads(parts[0])
    except (ValueError, RecursionError) as error:
        raise _MessagesError from error
    if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)):
        raise _MessagesError
    return [{"role": item["role"], "content": item["content"]} for item in messages]


def _is_message(item: object) -> bool:
    if not isinstance(item, dict) or not isinstance(item.get("role"), str) or not isinstance(item.get("content"), str):
        return False
    # JSON can spell half of a surrogate pair, which is no text.
    return not any("\ud800" <= letter <= "\udfff" for letter in item["role"] + item["content"])


def _wide(values: np.ndarray, missing: np.ndarray) -> pa.Array:
    flat = pa.array(values.astype(np.float32).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1], mask=pa.array(missing))


def _softmax(logits: np.ndarray) -> np.ndarray:
    power = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(power / power.sum(axis=1, keepdims=True))


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(logits))
    return np.asarray(np.where(logits >= 0, 1.0, small) / (1.0 + small))
