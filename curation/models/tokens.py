"""Tokenizers of located models: the Rust `tokenizers` library on tokenizer.json, no Python tokenizer code."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from curation.models.locate import LocatedModel

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER = "tokenizer.json"


def load_tokenizer(model: LocatedModel) -> Tokenizer:
    """The model's tokenizer, with the truncation and padding that its file may declare switched off.

    Raises ModelError when the model has no tokenizer.json.
    """
    # One thread: a worker owns the cores that it was given, and a Rust thread pool would not survive a fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model.file(TOKENIZER)))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def tokenizer_sha256(model: LocatedModel) -> str:
    """Hash of tokenizer.json. Raises ModelError when the model has none."""
    model.file(TOKENIZER)
    return model.files[TOKENIZER].sha256


def count(tokenizer: Tokenizer, texts: Sequence[str]) -> np.ndarray:
    """Tokens of each text, without special tokens and without truncation: int32 [len(texts)]."""
    encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    # A loop over rows, since the library returns one object a document and no lengths.
    return np.fromiter(map(len, encodings), dtype=np.int32, count=len(texts))
