"""A linear head on a frozen encoder's embeddings, learned from weak labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.models.devices import threads
from curation.paths import expanded
from curation.scorers.base import HEAD
from curation.scorers.embedding_head import FACTS
from curation.training import multinomial
from curation.training.linear import PENALTIES
from curation.training.multinomial import Heads
from curation.weak_to_strong.crossfit import keyed
from curation.weak_to_strong.features import Pooling, View
from curation.weak_to_strong.students.base import Fitted, Student, TrainingSet
from curation.weak_to_strong.supervisors.base import Inputs
from schemas.weak_to_strong import HeadStudent as Settings

EPOCHS, BATCH, RATE = 20, 32, 0.01
"""Of descent, where the loss has no convex problem to solve: Adam, its rate falling to 0 as a cosine."""


class HeadStudent(Student):
    """Leaves a head for `scorer: embedding-head`.

    Soft cross-entropy is solved exactly (`curation.training.multinomial`). The other losses move their target as the
    student grows sure: they are descended, in an order that is a hash, and the epoch that does best is kept. Both the
    penalty and the epoch are chosen by the log loss on the weak labels of the validation rows.
    """

    kind = "head"
    scorer = ("embedding-head", "head")
    pooling: Pooling | None = None

    def __init__(self, name: str, settings: Settings, classes: tuple[str, ...], base: Path) -> None:
        super().__init__(name, settings, classes, base)
        self.pooling = getattr(settings, "pooling", None)
        self.view = View(settings.model, settings.max_tokens, self.pooling, base)

    def identity(self) -> Any:
        assert self.view is not None
        return self.view.identity()

    def fit(self, training: TrainingSet, into: Path) -> Fitted:
        penalties = PENALTIES if self.settings.l2 is None else (self.settings.l2,)
        if not len(training.validation):
            penalties = (self.settings.l2 or 1.0,)
        fit = _solved if self.settings.loss == "cross-entropy" else self._descended
        candidates = []
        for l2 in penalties:
            heads = fit(training, l2)
            candidates.append((_log_loss(heads, training), l2, heads))
        value, l2, heads = min(candidates, key=lambda one: one[:2])
        self._write(heads, into)
        facts = {"l2": l2, "validation_log_loss": None if np.isinf(value) else value}
        return Fitted(heads.probabilities(_vectors(training.to_predict)), facts)

    def _descended(self, training: TrainingSet, l2: float) -> Heads:
        import torch

        loss = self.loss()
        X, target = torch.from_numpy(_vectors(training.inputs).astype(np.float32)), torch.from_numpy(training.target)
        n, k = target.shape
        steps = EPOCHS * -(-n // BATCH)
        with threads(1):
            weight = torch.zeros(k, X.shape[1], requires_grad=True)
            bias = torch.zeros(k, requires_grad=True)
            optimizer = torch.optim.Adam([weight, bias], lr=RATE)
            best: tuple[float, Heads] | None = None
            step = 0
            for epoch in range(EPOCHS):
                order = torch.from_numpy(np.argsort(keyed(training.keys, training.seed * 1009 + epoch), kind="stable"))
                for batch in order.split(BATCH):
                    for group in optimizer.param_groups:
                        group["lr"] = RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
                    value = loss(X[batch] @ weight.T + bias, target[batch], step / steps)
                    value = value + l2 / (2 * n) * weight.square().sum()
                    optimizer.zero_grad()
                    value.backward()
                    optimizer.step()
                    step += 1
                heads = Heads(weight.detach().double().numpy().copy(), bias.detach().double().numpy().copy())
                found = _log_loss(heads, training)
                if best is None or found <= best[0]:
                    best = (found, heads)
        assert best is not None
        return best[1]

    def _write(self, heads: Heads, into: Path) -> None:
        from safetensors.numpy import save_file

        assert self.view is not None
        identity = self.view.identity()
        two = len(self.classes) == 2
        tensors = {
            "weight": heads.weight[1] - heads.weight[0] if two else heads.weight,
            "bias": heads.bias[1:] - heads.bias[:1] if two else heads.bias,
            "values": np.zeros(0),
        }
        facts = {
            "format": 1,
            "kind": self.scorer[0],
            "task": "binary" if two else "multiclass",
            "classes": list(self.classes),
            "label": self.classes[1] if two else "class",
            "cut": 0.5,
            "model": self._address(),
            "max_tokens": self.settings.max_tokens,
            "prompt": None,
            "pooling": self.pooling,
            "encoder": {name: identity[name] for name in ("weights", "tokenizer", "pooling", "dtype")},
        }
        into.mkdir(parents=True)
        save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, into / HEAD)
        (into / FACTS).write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    def _address(self) -> str:
        """The encoder, from wherever the head will lie."""
        scheme, _, rest = self.settings.model.partition(":")
        if scheme != "path":
            return str(self.settings.model)
        return f"path:{(self.base / expanded(rest)).resolve()}"


def _solved(training: TrainingSet, l2: float) -> Heads:
    return multinomial.fit(_vectors(training.inputs), training.target.astype(np.float64), l2)


def _log_loss(heads: Heads, training: TrainingSet) -> float:
    """Mean cross-entropy on the validation rows' labels; infinite where there are none."""
    if not len(training.validation):
        return float("inf")
    p = np.maximum(heads.probabilities(_vectors(training.validation)), np.finfo(np.float64).tiny)
    return float(-(training.validation_target * np.log(p)).sum(axis=1).mean())


def _vectors(inputs: Inputs) -> NDArray[Any]:
    assert isinstance(inputs, np.ndarray)
    return inputs
