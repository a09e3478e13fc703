"""Builds labelled texts: docstrings of numerical and of network code, and which of the two each is.

Two classes with a true label for every row, as a tutorial of weak supervision needs: a regular expression finds some of
each, and an encoder can find the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation import parquet
from pipelines.corpora.environment import environment_roots, harvest

SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("id", "text", "topic")),
        pa.field("numeric", pa.bool_(), nullable=False),
    ]
)
FOLDERS: dict[str, dict[str, tuple[str, ...]]] = {
    "numbers": {"site-packages": ("scipy/stats", "scipy/optimize", "scipy/linalg")},
    "network": {"site-packages": ("aiohttp", "yarl", "httpx2"), "stdlib": ("asyncio", "http", "urllib", "email")},
}
"""By topic, folders of the engine's own dependencies and of the standard library."""
EACH = 700
"""Texts of a topic, at most."""
SIZE = range(80, 4000)
"""Bytes of a text."""


@dataclass(frozen=True)
class Facts:
    """Texts by topic."""

    texts: dict[str, int]


def build(folder: Path, folders: Mapping[str, Mapping[str, Path]] | None = None) -> Facts:
    """Writes `topics.parquet` into `folder`, in the order of ids. The same environment gives the same bytes.

    `folders` are those of each topic by name, unless they are the environment's. Raises OSError.
    """
    rows: list[dict[str, Any]] = []
    for topic, roots in (folders or _folders()).items():
        texts = (document for harvested in harvest(roots) for document in harvested.documents)
        fit = (document for document in texts if len(document.text.encode()) in SIZE)
        first = {document.text: document for document, _ in zip(fit, range(EACH), strict=False)}
        rows += [
            {"id": document.id, "text": text, "topic": topic, "numeric": topic == "numbers"}
            for text, document in first.items()
        ]
    rows.sort(key=lambda row: row["id"])
    folder.mkdir(parents=True, exist_ok=True)
    parquet.write(pa.Table.from_pylist(rows, schema=SCHEMA), folder / "topics.parquet")
    return Facts({topic: sum(row["topic"] == topic for row in rows) for topic in FOLDERS})


def _folders() -> dict[str, dict[str, Path]]:
    roots = environment_roots()
    return {
        topic: {name: path for root, names in places.items() for name in names if (path := roots[root] / name).is_dir()}
        for topic, places in FOLDERS.items()
    }
