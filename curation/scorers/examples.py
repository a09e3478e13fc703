"""Files of example texts: seeds, targets, backgrounds; and how well scores tell them from the rest."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from curation.sources import rows
from curation.sources.files import format_of
from curation.sources.jsonl import STRICT
from curation.sources.rows import UnusableError
from curation.sources.texts import valid_text
from schemas.documents import TEXT

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


problem = UnusableError


def read_texts(path: Path) -> list[str]:
    """Texts of a seeds file, in order. Raises UnusableError when it cannot be read as one, or has no text."""
    texts = _texts_of(path)
    if not any(text.strip() for text in texts):
        raise problem(f"{path}: no example in it", "write some, or name another file")
    return texts


def _texts_of(path: Path) -> list[str]:
    if not path.exists():
        raise problem(f"{path}: no such file", "relative paths count from the recipe's folder")
    rows.check(path)
    if rows.is_text(path):
        return rows.text(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if format_of(path.name) is None:
        what = "write .jsonl, .csv or .parquet with a column text, or .txt, a text a line"
        raise problem(f"{path}: not a format for seeds", what)
    columns = rows.names(path)
    if columns is not None and "text" not in columns:
        raise problem(f"{path}: no column text", f"it has {', '.join(columns)}")
    texts: list[str] = []
    declared = format_of(path.name) == "parquet"
    for batch in rows.batches(path, pa.schema([pa.field("text", TEXT, metadata=STRICT)])):
        column, broken = valid_text(batch.columns.column("text"))
        faults = batch.faults | dict.fromkeys(np.flatnonzero(broken).tolist(), "not UTF-8")
        for row, text in enumerate(column.to_pylist()):
            if row in faults or (text is None and not declared):
                why = faults.get(row, "no text")
                raise problem(f"{batch.places[row]}: {why}", 'each row has a string "text"')
            if text or not declared:
                texts.append(text)
    return texts
