"""Fitting scorers that must learn first: on a hash-chosen sample of raw rows, pinned in the workspace."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.manifest.parts import Manifest, now
from curation.scorers.base import Artifact, Scorer, Transform
from curation.sources import Shard, read_batches
from curation.sources.texts import valid_text
from curation.store import Store
from pipelines.recipe import Loaded
from pipelines.resolve import Resolved, Unfitted, hash_rows
from schemas.documents import TEXT
from schemas.errors import CurationError, Finding

MOST_GROUPS = 64
"""Row groups that a sample is drawn from: a few rows from each of a thousand would read the whole corpus."""


def fit(loaded: Loaded, resolved: Resolved, todo: Unfitted, store: Store, refit: bool = False) -> None:
    """Fit one stage and pin what it learned. Of two that fit at once, the first to commit counts for both."""
    manifest = Manifest(store)
    # before the work, and 0 where `resolved` found no fit: whoever commits meanwhile takes this very generation
    generation = manifest.where("fits", fit=todo.key).num_rows if refit else 0
    scorer = loaded.stages[todo.position]
    sampled = sample_rows(list(resolved.plan.shards), todo.sample_rows)
    texts = read_texts(sampled, resolved.plan.reading, resolved.plan.input.columns["text"])
    for earlier in loaded.stages[: todo.position]:
        if isinstance(earlier, Transform):
            texts = _edited(earlier, texts)
    try:
        artifact = scorer.fit(pa.record_batch({"text": texts}))
    except ValueError as failure:
        raise CurationError(
            Finding("C012", f"stage '{todo.stage}' cannot be fitted: {failure}", getattr(failure, "hint", None))
        ) from failure
    name, sha256 = _save(store, artifact, scorer)
    manifest.commit(
        "fits",
        f"{todo.key}-{generation:04d}",
        [
            {
                "fit": todo.key,
                "generation": generation,
                "stage": todo.stage,
                "kind": scorer.kind,
                "artifact": name,
                "sha256": sha256,
                "card": json.dumps(artifact.card, sort_keys=True),
                "created_at": now(),
            }
        ],
    )


def sample_rows(shards: list[Shard], count: int) -> dict[int, tuple[Shard, np.ndarray]]:
    """`count` rows by hash, out of the MOST_GROUPS row groups of lowest hash: shard index to rows in the shard."""
    if not count:
        return {}
    groups = []
    for shard in shards:
        start = 0
        for rows in () if shard.error else shard.group_rows:
            groups.append((int(hash_rows(shard, np.array([start]))[0]), shard.index, start, rows))
            start += rows
    by_index = {shard.index: shard for shard in shards}
    found: list[tuple[int, int, int]] = []
    for _, index, start, rows in sorted(groups)[:MOST_GROUPS]:
        at = start + np.arange(rows)
        # a second hash: the group's own decided that it is read
        found += [
            (int(key), index, int(row)) for key, row in zip(hash_rows(by_index[index], at + (1 << 40)), at, strict=True)
        ]
    chosen: dict[int, list[int]] = {}
    for _, index, row in sorted(found)[:count]:
        chosen.setdefault(index, []).append(row)
    return {index: (by_index[index], np.sort(np.array(rows))) for index, rows in sorted(chosen.items())}


def read_texts(sampled: dict[int, tuple[Shard, np.ndarray]], reading: pa.Schema, column: str) -> pa.Array:
    """Texts (`schemas.documents.TEXT`) of sampled rows in input order, those that have none left out."""
    pieces = [pa.array([], TEXT)]
    for shard, rows in sampled.values():
        wanted = np.zeros(shard.rows, dtype=bool)
        wanted[rows] = True
        schema = pa.schema([reading.field(column)])
        for batch in read_batches(shard, schema, partial(_any, wanted)):
            here = np.flatnonzero(wanted[batch.start : batch.start + batch.columns.num_rows])
            text, _ = valid_text(batch.columns.column(0).take(pa.array(here)))
            pieces.append(text.drop_null())
    return pa.concat_arrays(pieces)


def _any(wanted: np.ndarray, start: int, rows: int) -> bool:
    return bool(wanted[start : start + rows].any())


def _edited(transform: Scorer, texts: pa.Array) -> pa.Array:
    from curation.text.edits import apply_edits

    transform.load()
    after = apply_edits(texts, transform.score(pa.record_batch({"text": texts})).column("edits"))
    return after.filter(pc.greater(pc.binary_length(after), 0))


def _save(store: Store, artifact: Artifact, scorer: Scorer) -> tuple[str, str]:
    """Content-addressed: models/<sha256 prefix>/head.safetensors and card.json."""
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(value) for name, value in sorted(artifact.tensors.items())}
    data = save(tensors)
    sha256 = hashlib.sha256(data).hexdigest()
    name = f"models/{scorer.kind}-{sha256[:16]}"
    card: dict[str, Any] = {"kind": scorer.kind, "sha256": sha256, **artifact.card}

    def write(path: Path, content: bytes) -> None:
        path.write_bytes(content)

    if not store.path(f"{name}/head.safetensors").exists():
        store.write(f"{name}/card.json", lambda path: write(path, json.dumps(card, indent=2, sort_keys=True).encode()))
        store.write(f"{name}/head.safetensors", lambda path: write(path, data))
    return name, sha256
