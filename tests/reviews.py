"""Written reviews of two or three kinds, whose words tell the kind with some noise: for tests of weak labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

WORDS = {
    "negative": ["awful", "boring", "tedious", "weak", "lazy", "dull"],
    "positive": ["lovely", "moving", "funny", "bright", "warm", "clever"],
    "mixed": ["uneven", "so-so", "middling", "patchy", "curious", "odd"],
}
PLAIN = ["film", "scene", "plot", "actor", "music", "camera", "story", "script", "light", "voice", "ending", "cast"]


def reviews(rows: int, *, classes: int = 2, seed: int = 0, noise: float = 0.15) -> pa.Table:
    """Columns `text`, `label` (a class's name), `stars` 1 to 5, and `p_positive`, all of them noisy but the label."""
    random = np.random.default_rng(seed)
    names = list(WORDS)[:classes]
    y = random.integers(0, classes, rows)
    said = np.where(random.random((rows, 3)) < noise, random.integers(0, classes, (rows, 3)), y[:, None])
    texts = []
    for number, kinds in enumerate(said):
        words = [random.choice(WORDS[names[kind]]) for kind in kinds] + list(random.choice(PLAIN, 7))
        texts.append(f"no {number}: " + " ".join(random.permutation(words)))
    stars = np.clip(np.round(1 + 4 * (y == 1) + random.normal(0, 1.2, rows)), 1, 5).astype(int)
    p = np.clip(0.25 + 0.5 * (y == 1) + random.normal(0, 0.25, rows), 0.01, 0.99)
    return pa.table({"text": texts, "label": [names[k] for k in y], "stars": stars, "p_positive": p})


def specification(path: Path, **changes: Any) -> dict[str, Any]:
    """A specification over a file of reviews, without students; `changes` replace top-level keys."""
    return {
        "name": "reviews",
        "input": {"path": str(path), "columns": {"text": "text", "gold": "label", "stars": "stars", "p": "p_positive"}},
        "task": {"classes": ["negative", "positive"], "gold": "gold"},
        "splits": {"weak": 0.2, "transfer": 0.3, "calibration": 0.15, "certification": 0.15, "test": 0.2},
        "combine": {"by": "mean", "folds": 2},
        "seeds": 2,
        "supervisors": [FUNCTIONS, {"supervisor": "fasttext", "epochs": 5, "dim": 10}],
        **changes,
    }


FUNCTIONS = {
    "supervisor": "functions",
    "id": "rules",
    "functions": [
        {"name": "good", "class": "positive", "regex": r"\b(lovely|moving|funny)\b"},
        {"name": "bad", "class": "negative", "regex": r"\b(awful|boring|tedious)\b"},
        {"name": "stars", "sql": "CASE WHEN stars >= 4 THEN 'positive' WHEN stars <= 2 THEN 'negative' END"},
    ],
}


def write(path: Path, table: pa.Table) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path
