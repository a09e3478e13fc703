"""The unit that fits a stage: its scorer learns from a hash-chosen sample of raw rows; what it learns is pinned."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.flow.documents import edited_anew
from curation.flow.faults import unforeseen
from curation.flow.isolate import complete
from curation.flow.objects import build, scorer_object, stage_object
from curation.flow.sample import Sample, SampledRows
from curation.flow.stored import as_struct
from curation.flow.units import Work
from curation.gates import Gate
from curation.manifest.parts import later
from curation.models.locate import ModelError
from curation.plan import StagePlan, StageSpec
from curation.plugins import contained
from curation.scorers import alone
from curation.scorers.base import HEAD, Artifact, Scorer
from curation.store import Store
from curation.store.seal import CHANGED, GONE
from schemas.documents import INPUT, OK
from schemas.errors import CurationError, Finding, advice

CARD = "card.json"
"""Beside a head: what is known of how it was fitted."""


@dataclass(frozen=True)
class FitWork:
    """Fit one stage, and pin what it learns. Of two that fit at once, the first to commit counts for both."""

    work: Work
    stage: StagePlan
    """One of the work's own."""
    key: str
    generation: int
    sampled: SampledRows
    skip_unreadable: bool
    """Whether the recipe goes on without an input that cannot be read."""
    unfitted: tuple[str, ...] = ()
    """Stages that do not score yet, so that no gate of theirs is known."""
    gpus: float = 0.0
    """What it reserves on a cluster: its models run in the unit itself."""

    @property
    def title(self) -> str:
        return f"fitting stage '{self.stage.id}'"

    def perform(self) -> str:
        """Folder of what was learned. Raises CurationError C012 or C013 where the stage cannot be fitted."""
        scorer = unfitted_scorer(self.stage)
        try:
            with contained():
                artifact = scorer.fit(self._pool(scorer.fits_on_survivors))
        except (CurationError, OSError):
            raise
        except Exception as failure:
            raise CurationError(_unfit(self.stage.id, failure)) from failure
        manifest = self.work.manifest
        name, sha256 = _save(manifest.store, artifact, scorer)
        manifest.commit(
            "fits",
            f"{self.key}-{self.generation:04d}",
            [
                {
                    "fit": self.key,
                    "generation": self.generation,
                    "stage": self.stage.id,
                    "kind": scorer.kind,
                    "artifact": name,
                    "sha256": sha256,
                    "card": json.dumps(artifact.card, sort_keys=True),
                    "created_at": later(manifest.read("fits")),
                }
            ],
        )
        return name

    def _pool(self, survivors: bool) -> pa.RecordBatch:
        """The sampled documents as the stage will see them: edited, and for `survivors` past the gates before it.

        Gates that read dataset-wide stages, which are not run here, let everything through.
        """
        before = self.work.stages[1 : self.stage.position]  # the first is the input's
        steps = [step for stage in ((*before, self.stage) if survivors else (self.stage,)) for step in stage.steps]
        steps += [step for stage in before if stage.family == "transform" for step in stage.steps]
        names = sorted({"text", *(name for step in steps for name in step.reads)})
        numbers = {name for step in steps for name in step.numbers}
        sample = Sample(self.work, self.sampled, names, self.skip_unreadable)
        pool = pa.RecordBatch.from_pydict({name: sample.column(name, name in numbers) for name in names})
        if survivors:
            pool = pool.filter(pc.not_equal(pc.utf8_trim_whitespace(pool.column("text")), ""))
        size = pc.binary_length(pool.column("text"))
        facts = {"bytes": size, "replaced": pa.repeat(0, len(size)), "status": pa.repeat(OK, len(size))}
        structs = {INPUT: pa.record_batch(facts).to_struct_array()}
        for stage in before:
            if stage.family == "transform":
                pool = edited_anew(stage_object(stage), pool)  # type: ignore[arg-type]
                pool, structs = _filtered(pc.greater(pc.binary_length(pool.column("text")), 0), pool, structs)
            elif survivors and stage.family == "scorer" and stage.id not in self.unfitted:
                step = stage.steps[-1]
                structs[stage.id] = as_struct(complete(alone.run(scorer_object(step), pool), step), step.columns)
            if survivors and stage.keep is not None:
                gate = Gate.parse(stage.keep)
                if len(gate.stages_of(structs)) == len({name.casefold() for name in gate.stages}):
                    pool, structs = _filtered(pa.array(gate.evaluate(structs).passed), pool, structs)
        return pool


def unfitted_scorer(stage: StagePlan) -> Scorer:
    """A fitted stage's scorer as it is before it learns. Raises R017 where its files are not those of the plan."""
    if stage.spec.artifact is None:
        stage_object(stage)
    scorer = build(_untaught(stage.spec))
    assert isinstance(scorer, Scorer)
    return scorer


def _untaught(spec: StageSpec) -> StageSpec:
    return replace(spec, artifact=None, content="")


def _unfit(stage: str, failure: Exception) -> Finding:
    """What a fit failed of, whose messages are its own where it refuses, and may be a document's text where not."""
    message, hint = advice(failure)
    if isinstance(failure, ModelError):
        return Finding("C013", f"stage '{stage}': {message}", hint)
    if isinstance(failure, ValueError) and not isinstance(failure, pa.ArrowException | UnicodeError):
        return Finding("C012", f"stage '{stage}' cannot be fitted: {message}", hint)
    report = unforeseen(failure, f"stage '{stage}' cannot be fitted", ())
    return Finding(report.code, report.message, report.hint)


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


def head_differs(store: Store, folder: str, sha256: str | None = None) -> str | None:
    """What is wrong with a fitted head: its folder's name ends in the beginning of its SHA-256."""
    try:
        actual = hashlib.sha256(store.read(f"{folder}/{HEAD}")).hexdigest()
    except FileNotFoundError:
        return GONE
    return None if actual == (sha256 or actual) and actual.startswith(folder.rpartition("-")[2]) else CHANGED
