"""Token ids of texts, made once a block by each tokenizer, whichever models read them: without special tokens.

The Rust `tokenizers` library on tokenizer.json; no Python tokenizer code. What a model adds (special tokens, a limit)
is added by `curation.models.sequences`, so models of one vocabulary share the ids of a block, as rules share its words.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.models.config import HINT, check_tokenizer, read_json
from curation.models.locate import LocatedModel, ModelError
from curation.text.analysis import analyse

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER = "tokenizer.json"
BYTE_CAP = 1 << 23
"""Bytes that are tokenised of one document where its beginning cannot be cut off: a longer one is refused."""
HEAD_CHARACTERS = 8
"""Characters a token of a long text's head that is tokenised first: English has 4 to 5, so the head nearly always does.
"""
AT_ONCE = (256, 1 << 21)
"""Documents and characters that are tokenised at once: the library's objects take a hundred bytes a token."""
ALL = 1 << 40
"""A limit that no document reaches."""
REFUSED = -1


class Ids(NamedTuple):
    """Tokens of n documents, one behind the other, without special tokens."""

    documents: NDArray[np.int64]
    """[n + 1]: document i has ids[documents[i] : documents[i + 1]]."""
    ids: NDArray[np.int32]

    def counts(self) -> NDArray[np.int64]:
        """Tokens of each document [n]; of one that was asked for with a limit perhaps not all, but more than that."""
        return np.diff(self.documents)

    def refused(self) -> NDArray[np.bool_]:
        """Documents [n] above `BYTE_CAP` that were not tokenised: each has one id, `REFUSED`."""
        mask = np.zeros(len(self.documents) - 1, dtype=bool)
        some = np.flatnonzero(np.diff(self.documents) == 1)
        mask[some] = self.ids[self.documents[some]] == REFUSED
        return mask

    def take(self, rows: NDArray[np.int64]) -> Ids:
        """The tokens of some documents."""
        counts = self.counts()[rows]
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        places = np.arange(bounds[-1]) + np.repeat(self.documents[:-1][rows] - bounds[:-1], counts)
        return Ids(bounds, self.ids[places])

    def array(self) -> pa.LargeListArray:
        """As an Arrow column: lists of uint16 where every id fits, else of int32."""
        small = not len(self.ids) or (int(self.ids.min()) >= 0 and int(self.ids.max()) < 1 << 16)
        return pa.LargeListArray.from_arrays(self.documents, self.ids.astype(np.uint16) if small else self.ids)

    @classmethod
    def of(cls, column: pa.LargeListArray) -> Ids:
        """What `array` made."""
        offsets = column.offsets.to_numpy()
        values = column.values.to_numpy()[offsets[0] : offsets[-1]]
        return cls(offsets - offsets[0], values.astype(np.int32))

    @classmethod
    def joined(cls, arrays: Sequence[NDArray[Any]]) -> Ids:
        """One array of ids for each document."""
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(ids) for ids in arrays], dtype=np.int64)])
        return cls(bounds, np.concatenate([np.zeros(0, np.int32), *arrays]).astype(np.int32))


class Tokens:
    """A model's tokenizer. Cheap to construct; the library is imported when a text is tokenised.

    With `literal`, special tokens that a text spells out are read as ordinary text. Raises ModelError when the model
    has no tokenizer.json.
    """

    def __init__(self, model: LocatedModel, *, literal: bool = False) -> None:
        self.model = model
        self.literal = literal
        self.file = read_json(model, TOKENIZER)
        check_tokenizer(model, self.file)
        deciding = {part: self.file.get(part) for part in ("added_tokens", "normalizer", "pre_tokenizer", "model")}
        text = json.dumps([deciding, literal], sort_keys=True)
        self.key = hashlib.sha256(text.encode()).hexdigest()
        """Names the ids: models whose files differ only in what they add to them have one key."""
        self._opened: Tokenizer | None = None

    @property
    def library(self) -> Tokenizer:
        """The library's object, opened when first asked for."""
        if self._opened is None:
            opened = load_tokenizer(self.model)
            opened.encode_special_tokens = self.literal
            self._opened = opened
        return self._opened

    def ids(self, text: pa.LargeStringArray, limit: int = ALL) -> Ids:
        """Tokens of each text: all of them, or at least the first `limit` + 1 of a text that has more.

        Found once for a block: by a stage that asked before, of the same array or of one that it was taken from.
        """
        analysis = analyse(text)
        same_key = [finder for finder in analysis.finders() if isinstance(finder, _Finder) and finder.key == self.key]
        for finder in same_key:
            if finder.limit >= limit:
                return analysis.find(finder)
        begun = max(same_key, key=lambda finder: finder.limit, default=None)
        earlier = None if begun is None else (begun.limit, analysis.find(begun))
        return analysis.find(_Finder(self.key, limit, self, earlier))

    def encode(self, texts: Sequence[str], limit: int) -> list[NDArray[np.int32]]:
        """Tokens of each text by itself, int32: what `ids` finds."""
        heads = [text if len(text) <= _reach(limit) else text[: self._cut(text, limit)] for text in texts]
        encoded = self._encode(heads)
        # Loops over documents: strings go into the library one by one, and objects come out.
        short = [
            row
            for row, (head, text) in enumerate(zip(heads, texts, strict=True))
            if len(head) < len(text) and len(encoded[row]) <= limit
        ]
        for row, ids in zip(short, self._encode([texts[row] for row in short]), strict=True):
            encoded[row] = ids
        return [ids[: limit + 1] for ids in encoded]

    def _encode(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        encoded: list[NDArray[np.int32]] = []
        for begin, end in _portions([len(text) for text in texts]):
            part = texts[begin:end]
            sizes = [len(text) if len(text) * 4 <= BYTE_CAP else len(text.encode()) for text in part]
            read = [text if size <= BYTE_CAP else "" for text, size in zip(part, sizes, strict=True)]
            encodings = self.library.encode_batch_fast(read, add_special_tokens=False)
            encoded += [
                np.array(encoding.ids if size <= BYTE_CAP else [REFUSED], np.int32)
                for encoding, size in zip(encodings, sizes, strict=True)
            ]
        return encoded

    def _cut(self, text: str, limit: int) -> int:
        """Where a long text may be cut so that the tokens before are those of the whole text; its end for nowhere."""
        if self._splits_at_spaces:
            return max(text.rfind(" ", 0, _reach(limit)), 0) or len(text)
        return _safe_cut(text, _reach(limit)) if self._is_byte_level else len(text)

    @property
    def _spaceless(self) -> bool:
        return all(" " not in token["content"] for token in self.file.get("added_tokens", []))

    @property
    def _splits_at_spaces(self) -> bool:
        """Whether no token depends on what stands beyond a space: so for BERT's, which treats words singly."""
        kinds = [(self.file.get(part) or {}).get("type") for part in ("normalizer", "pre_tokenizer", "model")]
        # Older files do not write the model's type; only WordPiece has this key.
        wordpiece = kinds[2] == "WordPiece" or "max_input_chars_per_word" in self.file["model"]
        return kinds[:2] == ["BertNormalizer", "BertPreTokenizer"] and wordpiece and self._spaceless

    @property
    def _is_byte_level(self) -> bool:
        """Whether words are split by GPT-2's expression and nothing else: then tokens before ` x`, a space between two
        characters that are none, do not depend on what follows."""
        splitter = self.file.get("pre_tokenizer") or {}
        plain = splitter.get("type") == "ByteLevel" and splitter.get("use_regex", True)
        return plain and self._spaceless and self.file.get("normalizer") is None


def load_tokenizer(model: LocatedModel) -> Tokenizer:
    """The model's tokenizer, with the truncation and padding that its file may declare switched off.

    Raises ModelError when the model has no tokenizer.json, or one that is none.
    """
    # One thread: a worker owns the cores that it was given, and a Rust thread pool would not survive a fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(model.file(TOKENIZER)))
    except Exception as failure:  # the library raises this very class
        message = " ".join(str(failure).split())[:200]
        raise ModelError(f"{model.address}: tokenizer.json does not load: {message}", hint=HINT) from failure
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def tokenizer_sha256(model: LocatedModel) -> str:
    """Hash of tokenizer.json. Raises ModelError when the model has none."""
    model.file(TOKENIZER)
    return model.files[TOKENIZER].sha256


@dataclass(frozen=True)
class _Finder:
    """What `Analysis.find` is given: equal for the same ids, whoever asks."""

    key: str
    limit: int
    tokens: Tokens = field(compare=False)
    earlier: tuple[int, Ids] | None = field(compare=False, default=None)
    """What was found with a lower limit: only documents that it cut short are tokenised again."""

    def __call__(self, text: pa.LargeStringArray) -> Ids:
        if self.earlier is None:
            return Ids.joined(self.tokens.encode(text.to_pylist(), self.limit))
        limit, had = self.earlier
        cut = np.flatnonzero(had.counts() > limit)
        again = self.tokens.encode(text.take(pa.array(cut)).to_pylist(), self.limit)
        bounds = had.documents.tolist()
        arrays = [had.ids[a:b] for a, b in pairwise(bounds)]
        for row, ids in zip(cut.tolist(), again, strict=True):
            arrays[row] = ids
        return Ids.joined(arrays)


def _reach(limit: int) -> int:
    return HEAD_CHARACTERS * (limit + 1)


def _portions(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Bounds of neighbouring documents that are tokenised at once."""
    portions, begin, total = [], 0, 0
    for row, size in enumerate(sizes):
        if row > begin and (row - begin == AT_ONCE[0] or total + size > AT_ONCE[1]):
            portions.append((begin, row))
            begin, total = row, 0
        total += size
    return [*portions, (begin, len(sizes))] if len(sizes) else portions


def _safe_cut(text: str, reach: int) -> int:
    """Where to cut a text that is longer than `reach` characters: before its last single space in reach, or nowhere."""
    if len(text) <= reach:
        return len(text)
    cut = text.rfind(" ", 1, reach)
    while cut > 0 and (text[cut - 1].isspace() or text[cut + 1].isspace()):
        cut = text.rfind(" ", 1, cut)
    return cut if cut > 0 else len(text)
