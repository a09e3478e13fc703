"""Folders that this engine has written: what is read must not be what an earlier run wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

HEAD_BYTES = 1 << 16
"""Bytes that are read of a marker at most."""
WORKSPACE = "workspace.json"
PARTS_OF_A_WORKSPACE = frozenset(("cache", "decisions", "groups", "manifest", "scores", "weak_to_strong"))
"""Folders of a workspace that hold neither datasets nor models, which have marks of their own. A folder that is both
input and workspace may hold other things, and those are input."""
_RUN = re.compile(r"\bRun `[0-9a-f]{16}`")
_PARTS = re.compile(r"^ *(?:path: data/train|data_files: (?:part|labels))-\*\.parquet$", re.MULTILINE)
"""In a card's YAML: as it is, and as earlier versions wrote it."""
_LABELS = re.compile(r"^(?:  data_files: labels-|Weak labels of )", re.MULTILINE)
_CARDS = (
    (re.compile(r"\blearned by `curate train-scorer`"), "a trained scorer"),
    (re.compile(r"\blearned from weak labels by `curate weak-to-strong`"), "a student"),
    (re.compile(r"\bby `curate export --to [a-z-]+`"), "an export"),
    (re.compile(r"^Made of `[^`]+` in `[^`]+`, sha256 `[0-9a-f]{64}`\.$", re.MULTILINE), "a pulled model"),
)
_KEYS: dict[str, tuple[str, frozenset[str]]] = {
    WORKSPACE: ("a workspace", frozenset(("format_version",))),
    "export.json": ("an export", frozenset(("to", "run", "rows", "files"))),
    "scorer.json": ("a trained scorer", frozenset(("kind", "task"))),
    "card.json": ("a fitted head", frozenset(("kind", "sha256"))),
}
"""JSON files that mark a folder, and keys that they have then."""
_CARD = "README.md"
DATA = "data"
"""Folder of a dataset's files, beside its card."""
_WEIGHTS = (".safetensors", ".gguf", ".onnx")
MARKERS = (*_KEYS, _CARD)


def kind_of(names: Iterable[str], read: Callable[[str], bytes]) -> str | None:
    """What a folder with these files is, if it is ours, in words with an article; `read` gives a file's first bytes.

    A model's folder counts whoever made it: its files are JSON as data is.
    """
    present = set(names)
    for name in MARKERS:
        if name in present:
            found = _card(read(name)) if name == _CARD else _marked(name, read(name))
            if found is not None:
                return found
    if "config.json" in present and any(name.endswith(_WEIGHTS) for name in present):
        return "a model"
    return None


def _marked(name: str, content: bytes) -> str | None:
    kind, keys = _KEYS[name]
    try:
        facts: Any = json.loads(content)
    except (ValueError, RecursionError):
        if len(content) < HEAD_BYTES:
            return None
        return kind if all(f'"{key}"'.encode() in content for key in keys) else None  # cut off in the middle
    return kind if isinstance(facts, dict) and keys <= facts.keys() else None


def _card(content: bytes) -> str | None:
    text = content.decode("utf-8", "replace")
    if _PARTS.search(text) and _RUN.search(text):
        return "weak labels" if _LABELS.search(text) else "a dataset"
    return next((kind for pattern, kind in _CARDS if pattern.search(text)), None)
