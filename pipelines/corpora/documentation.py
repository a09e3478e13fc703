"""Builds the demo corpus: the documentation in the user's own Python environment, as uneven Parquet shards.

Real text with what real text has: near-duplicates (vendored copies, copied docstrings), licences a hundred times over,
stubs, empty docstrings, tables of parameters. Nothing is downloaded and nothing is imported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from curation import parquet
from pipelines.corpora.environment import Document, environment_roots, harvest

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("package", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
    ]
)
MAX_DOCUMENTS = 16_000
"""Enough for thousands to pass the rules, and parsed in seconds."""
WHOLE_FILES = 0.25
"""Share of the byte limit that licences, READMEs and other whole files may take: docstrings are the bulk."""
GROWTH = 1.4
"""Each shard holds so many times the rows of the one before: shards of real data are never even."""
ROW_GROUPS = 4
"""Row groups of the last, largest shard, so that it can be split."""
SHARD = "docs-{:02d}.parquet"


@dataclass(frozen=True)
class Facts:
    """What the corpus holds, and what was read to make it."""

    documents: int
    bytes: int
    """UTF-8 bytes of text."""
    kinds: dict[str, int]
    """Documents by kind, most first."""
    packages: int
    files_read: int
    files_skipped: int
    """Not valid UTF-8 or not valid Python."""
    rows: dict[str, int]
    """Documents by shard, in the order of names."""


def build(
    folder: Path,
    limit_bytes: int,
    files: int = 9,
    progress: Callable[[int, int], None] | None = None,
    roots: Mapping[str, Path] | None = None,
) -> Facts:
    """Writes at most `limit_bytes` of text into `folder` as `files` shards, and replaces those of an earlier build.

    The same environment and arguments give the same bytes. `progress` is called with documents and bytes so far.
    `roots` are folders by name; the running interpreter's libraries unless given. Raises OSError when it cannot write.
    """
    documents, read, skipped = _collect(roots or environment_roots(), limit_bytes, progress)
    documents.sort(key=lambda document: document.id)
    rows = _write(documents, folder, files)
    return Facts(
        documents=len(documents),
        bytes=sum(len(document.text.encode()) for document in documents),
        kinds=dict(Counter(document.kind for document in documents).most_common()),
        packages=len({document.package for document in documents}),
        files_read=read,
        files_skipped=skipped,
        rows=rows,
    )


def _collect(
    roots: Mapping[str, Path], limit_bytes: int, progress: Callable[[int, int], None] | None
) -> tuple[list[Document], int, int]:
    """Takes what fits. Ends at the first docstring that does not, so that the rest need not be parsed."""
    documents: list[Document] = []
    size = read = skipped = 0
    for harvested in harvest(roots):
        read += harvested.read
        skipped += harvested.skipped
        for document in harvested.documents:
            length = len(document.text.encode())
            whole_file = document.kind != "docstring"
            if size + length > (WHOLE_FILES * limit_bytes if whole_file else limit_bytes):
                if whole_file:
                    continue
                return documents, read, skipped
            documents.append(document)
            size += length
            if len(documents) == MAX_DOCUMENTS:
                return documents, read, skipped
        if progress is not None:
            progress(len(documents), size)
    return documents, read, skipped


def _write(documents: list[Document], folder: Path, files: int) -> dict[str, int]:
    """Neighbours by id go to one shard, as in a crawl: topics and duplicates are spread unevenly."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([document._asdict() for document in documents], schema=SCHEMA)
    files = max(1, min(files, len(documents)))
    weights = [GROWTH**number for number in range(files)]
    rows = {}
    start = 0
    for number in range(files):
        stop = round(len(documents) * sum(weights[: number + 1]) / sum(weights))
        shard = table.slice(start, stop - start)
        name = SHARD.format(number)
        groups = ROW_GROUPS if number == files - 1 else 1
        temporary = folder / f".{name}.tmp"
        parquet.write(shard, temporary, row_group_size=max(1, -(-shard.num_rows // groups)))
        temporary.replace(folder / name)
        rows[name] = shard.num_rows
        start = stop
    for old in folder.glob("docs-[0-9][0-9].parquet"):
        if old.name not in rows:
            old.unlink()
    return rows
