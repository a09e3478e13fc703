"""Several labels of the same texts learned at once, each a head on one vector: `curate train-scorer --labels`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from safetensors.numpy import save

from curation.scorers.base import HEAD
from curation.scorers.embedding_head import FACTS
from curation.store import new_folder
from curation.training.examples import task_of
from curation.training.scorer import Trained, train
from pipelines.train import CARD, ENCODER, Embedder, embedding_of, encoder_facts, labelled
from pipelines.train_card import Source, properties_card
from schemas.errors import CurationError, Finding, advice

NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")
TAKEN = ("tokens", "truncated", "status")


def train_properties(
    source: Source,
    labels: Sequence[str],
    into: Path,
    *,
    model: str = ENCODER,
    max_tokens: int | None = None,
    test_share: float = 0.2,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Learn a head for each label, every text embedded once, into the new folder `into`, and return it.

    All at once or not at all; raises as `pipelines.train.train_scorer`.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise CurationError(Finding("C037", f"{into} holds something already", "name a new folder with --into"))
    for name in labels:
        if not NAME.fullmatch(name) or name in TAKEN or labels.count(name) > 1:
            raise CurationError(
                Finding("C038", f"'{name}' cannot be the name of a property", "a word of letters, digits and _, once")
            )
    if source.data is None or source.test is not None:
        raise CurationError(Finding("C038", "several labels are learned from one file, a part of it held out"))
    embedding = embedding_of(model, max_tokens)
    vectors: dict[str, np.ndarray] = {}

    def embed(text: pa.LargeStringArray) -> np.ndarray:
        pages = text.to_pylist()
        new = list(dict.fromkeys(page for page in pages if page not in vectors))
        if new:
            embedder = Embedder(embedding, len(new), say)
            vectors.update(zip(new, embedder(pa.array(new, pa.large_string())), strict=True))
        return np.stack([vectors[page] for page in pages])

    parts: dict[str, Trained] = {}
    files: list[tuple[str, int, str]] = []
    for name in labels:
        say(f"learning {name}")
        examples, files = labelled(replace(source, label=name), source.data, say)
        try:
            parts[name] = train(
                examples, task=task_of(examples.target), embed=embed, test_share=test_share, seed=seed, say=say
            )
        except ValueError as failure:
            message, hint = advice(failure)
            raise CurationError(Finding("C038", f"{name}: {message}", hint)) from failure
    facts: dict[str, Any] = {
        "format": 1,
        "kind": "properties",
        "properties": [{"name": name, **part.settings} for name, part in parts.items()],
        **encoder_facts(embedding),
    }
    tensors = {
        f"{name}.{key}": np.ascontiguousarray(v) for name, part in parts.items() for key, v in part.tensors.items()
    }
    with new_folder(into) as folder:
        (folder / HEAD).write_bytes(save(dict(sorted(tensors.items()))))
        (folder / FACTS).write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        (folder / CARD).write_text(properties_card(into, parts, facts, files), encoding="utf-8")
    return into
