"""Fitting scorers that must learn first: on a hash-chosen sample of raw rows, pinned in the workspace."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.flow.documents import edited_anew
from curation.flow.faults import unforeseen
from curation.flow.isolate import complete
from curation.flow.objects import scorer_object
from curation.flow.stored import as_struct
from curation.manifest.parts import Manifest, later
from curation.models.locate import ModelError
from curation.plugins import contained
from curation.scorers import alone
from curation.scorers.base import HEAD, Artifact, Scorer, Transform
from curation.store import Store
from pipelines.planning.fits import Unfitted, head_differs
from pipelines.planning.resolve import Resolved
from pipelines.planning.sample import Sample
from pipelines.recipe.load import Loaded
from schemas.documents import INPUT, OK
from schemas.errors import CurationError, Finding, advice

CARD = "card.json"
"""Beside a head: what is known of how it was fitted."""


def fit(loaded: Loaded, resolved: Resolved, todo: Unfitted, store: Store, refit: bool = False) -> None:
    """Fit one stage and pin what it learned. Of two that fit at once, the first to commit counts for both."""
    manifest = Manifest(store)
    # before the work, and 0 where `resolved` found no fit: whoever commits meanwhile takes this very generation
    earlier = manifest.where("fits", fit=todo.key).to_pylist()
    damaged = all(head_differs(store, row["artifact"], row["sha256"]) for row in earlier)
    generation = len(earlier) if refit or damaged else 0
    scorer = loaded.stages[todo.position]
    try:
        with contained():
            artifact = scorer.fit(_pool(loaded, resolved, todo, scorer.fits_on_survivors))
    except (CurationError, OSError):
        raise
    except Exception as failure:
        raise CurationError(_unfit(todo.stage, failure)) from failure
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
                "created_at": later(manifest.read("fits")),
            }
        ],
    )


def _unfit(stage: str, failure: Exception) -> Finding:
    """What a fit failed of, whose messages are its own where it refuses, and may be a document's text where not."""
    message, hint = advice(failure)
    if isinstance(failure, ModelError):
        return Finding("C013", f"stage '{stage}': {message}", hint)
    if isinstance(failure, ValueError) and not isinstance(failure, pa.ArrowException | UnicodeError):
        return Finding("C012", f"stage '{stage}' cannot be fitted: {message}", hint)
    found = unforeseen(failure, f"stage '{stage}' cannot be fitted", ())
    return Finding(found.code, found.message, found.hint)


def _pool(loaded: Loaded, resolved: Resolved, todo: Unfitted, survivors: bool) -> pa.RecordBatch:
    """The sampled documents as the stage will see them: edited, and for `survivors` past the gates before the stage.

    Gates that read dataset-wide stages, which are not run here, let everything through.
    """
    plan = resolved.plan
    stages = plan.stages[1 : todo.position + 2]  # the first is the input's
    steps = [step for stage in (stages if survivors else stages[-1:]) for step in stage.steps]
    steps += [step for stage in stages[:-1] if stage.family == "transform" for step in stage.steps]
    names = sorted({"text", *(name for step in steps for name in step.reads)})
    numbers = {name for step in steps for name in step.numbers}
    sample = Sample(plan, todo.sample_rows, names)
    pool = pa.RecordBatch.from_pydict({name: sample.column(name, name in numbers) for name in names})
    if survivors:
        pool = pool.filter(pc.not_equal(pc.utf8_trim_whitespace(pool.column("text")), ""))
    size = pc.binary_length(pool.column("text"))
    structs = {
        INPUT: pa.record_batch(
            {"bytes": size, "replaced": pa.repeat(0, len(size)), "status": pa.repeat(OK, len(size))}
        ).to_struct_array()
    }
    waiting = {item.stage for item in resolved.unfitted}
    for stage, built, gate in zip(stages[:-1], loaded.stages, loaded.gates, strict=False):
        if isinstance(built, Transform):
            pool = edited_anew(built, pool)
            pool, structs = _filtered(pc.greater(pc.binary_length(pool.column("text")), 0), pool, structs)
        elif survivors and isinstance(built, Scorer) and stage.id not in waiting:
            step = stage.steps[-1]
            structs[stage.id] = as_struct(complete(alone.run(scorer_object(step), pool), step), step.columns)
        if survivors and gate is not None and len(gate.stages_of(structs)) == len({s.casefold() for s in gate.stages}):
            pool, structs = _filtered(pa.array(gate.evaluate(structs).passed), pool, structs)
    return pool


def _filtered(
    mask: pa.Array, pool: pa.RecordBatch, structs: dict[str, pa.StructArray]
) -> tuple[pa.RecordBatch, dict[str, pa.StructArray]]:
    return pool.filter(mask), {name: struct.filter(mask) for name, struct in structs.items()}


def _save(store: Store, artifact: Artifact, scorer: Scorer) -> tuple[str, str]:
    """Content-addressed: models/<kind>-<sha256 prefix>/head.safetensors and card.json."""
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(value) for name, value in sorted(artifact.tensors.items())}
    data = save(tensors)
    sha256 = hashlib.sha256(data).hexdigest()
    name = f"models/{scorer.kind}-{sha256[:16]}"
    if head_differs(store, name, sha256):
        store.write(f"{name}/{CARD}", partial(Path.write_bytes, data=card_of(scorer.kind, sha256, artifact.card)))
        store.write(f"{name}/{HEAD}", partial(Path.write_bytes, data=data))
    return name, sha256


def card_of(kind: str, sha256: str, facts: Mapping[str, Any]) -> bytes:
    """The content of a head's card."""
    return json.dumps({"kind": kind, "sha256": sha256, **facts}, indent=2, sort_keys=True).encode()
