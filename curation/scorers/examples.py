"""Files of example texts: seeds, targets, backgrounds; and how well scores tell them from the rest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from curation import parquet
from schemas.documents import TEXT
from schemas.errors import Refusal

KEEP_RATES = (0.01, 0.05, 0.1, 0.2, 0.5)


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


problem = Refusal


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
            return _texts_of_parquet(path)
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


def _texts_of_parquet(path: Path) -> list[str]:
    try:
        schema = parquet.schema_of(path)
        if "text" not in schema.names:
            raise problem(f"{path}: no column text", f"it has {', '.join(schema.names)}")
        return [text for text in parquet.read(path, columns=["text"]).column("text").cast(TEXT).to_pylist() if text]
    except pa.ArrowException as error:
        raise problem(f"{path}: not readable Parquet: {error}", "write it again") from error
