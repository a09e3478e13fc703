"""From a stage's specification to its object, once a process: the only place that builds one."""

from __future__ import annotations

import socket
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from curation import progress
from curation.dedup.base import Dedup
from curation.models.locate import sha256
from curation.plan import StagePlan, StageSpec, Step, fingerprint
from curation.plugins import contained
from curation.registry import find
from curation.scorers.base import Context, Scorer
from curation.scorers.construct import construct
from curation.selection.base import Selection
from curation.store import local_copy
from schemas.documents import INPUT
from schemas.errors import CurationError, Finding
from schemas.manifest import LIST


def stage_object(stage: StagePlan) -> Dedup | Selection | Scorer:
    """The stage's own object, from its recipe keys. Raises R017 where the files behind it are no longer those that
    were planned, C044 where this process does not have its code."""
    return _verified(stage.spec)  # type: ignore[no-any-return]


def scorer_object(step: Step) -> Scorer:
    """A step's scorer, loaded; once a process. Raises as `stage_object`."""
    return _loaded(step.spec, step.path)


def tokenising_object(step: Step) -> Scorer:
    """A step's scorer as `prepare` needs it, its models not opened; once a process. Raises as `stage_object`."""
    return _prepared(step.spec, step.path)


def verify_object(step: Step) -> None:
    """Raise R017 where the files behind a step's scorer are not those that were planned: before anything is stored
    under its fingerprint."""
    if step.family != INPUT:
        _verify(step.spec, _verified(step.spec))


MACHINES = ("attention", "device", "dtype", "shapes")
"""Of an identity: what another machine may choose otherwise. The class of hardware says it, and is compared itself."""


def content_of(built: Any) -> str:
    """Hash of a stage object's version and of the content of all files behind it, its requirements' too."""
    return fingerprint(_content(built))


def _content(built: Any) -> list[Any]:
    required = sorted(built.requires().items())
    return [
        built.kind,
        built.version,
        _portable(built.identity()),
        [[name, _content(other)] for name, other in required],
    ]


def _portable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _portable(item) for key, item in value.items() if key not in MACHINES}
    return [_portable(item) for item in value] if isinstance(value, list | tuple) else value


def contract(step: Step) -> dict[str, Any]:
    """What a step's columns mean and what made them, as a row of the manifest's `scorers`."""
    scorer = tokenising_object(step)
    with contained():
        models, identity, meaning = scorer.models(), scorer.identity(), asdict(scorer.contract)
    tokenizer = next((row["sha256"] for row in models if row["file"].endswith("tokenizer.json")), None)
    weights = next((row for row in models if not row["file"].endswith("tokenizer.json")), None)
    return {
        "step": step.name,
        "kind": scorer.kind,
        "version": scorer.version,
        "fingerprint": step.fingerprint,
        **meaning,
        "model": weights["address"] if weights else None,
        "model_revision": weights["revision"] if weights else None,
        "weights": weights["sha256"] if weights else None,
        "tokenizer": tokenizer,
        "dtype": identity.get("dtype"),
        "device": step.device if step.heavy else None,
    }


def higher(stages: tuple[StagePlan, ...], chosen: Dedup) -> dict[str, bool]:
    """Of each column that a dedup's survivors go by, whether its scorer says that a higher value is better.

    What scorers do not say was asked of the recipe (`pipelines.recipe.survivor`)."""
    higher_is_better = {}
    for name in chosen.columns:
        stage = next(stage for stage in stages if stage.id == name.partition(".")[0])
        higher_is_better[name] = (
            stage.family != "scorer" or tokenising_object(stage.steps[-1]).contract.orientation >= 0
        )
    return higher_is_better


def describe(step: Step) -> list[dict[str, Any]]:
    """Models and lists behind a step, without opening them: address, revision, file, sha256, bytes, licence."""
    scorer = tokenising_object(step)
    with contained():
        models, paths = scorer.models(), scorer.lists()
    lists = [
        {
            "address": f"{LIST}{path}",
            "revision": None,
            "file": path.name,
            "sha256": sha256(path),
            "bytes": path.stat().st_size,
            "licence": None,
        }
        for path in paths
    ]
    return [*models, *lists]


@lru_cache(maxsize=64)
def _loaded(spec: StageSpec, path: tuple[str, ...]) -> Scorer:
    scorer = _prepared(spec, path)
    with progress.loading():
        scorer.load()
    _verify(spec, _verified(spec))
    return scorer


@lru_cache(maxsize=64)
def _prepared(spec: StageSpec, path: tuple[str, ...]) -> Scorer:
    scorer = _verified(spec)
    for name in path:
        scorer = scorer.requires()[name]
    return scorer  # type: ignore[no-any-return]


@lru_cache(maxsize=64)
def _verified(spec: StageSpec) -> Any:
    built = build(spec)
    _verify(spec, built)
    return built


def build(spec: StageSpec) -> Any:
    """A new object, its files not compared with those that were planned. Raises C044 without its code."""
    try:
        cls = find(spec.family, spec.kind)
    except (KeyError, ImportError) as failure:
        what = f"there is no {spec.family} '{spec.kind}'" if isinstance(failure, KeyError) else str(failure)
        raise CurationError(
            Finding(
                "C044",
                f"stage '{spec.stage}': on {socket.gethostname()} {what}",
                "give all machines the same packages, or bring the code along: curate submit --code",
            )
        ) from failure
    context = Context(
        Path(spec.recipe_dir),
        local_copy(spec.artifact) if spec.artifact else None,
        Path(spec.cache) if spec.cache else None,
        spec.turns,
    )
    with contained():
        return construct(cls, cls.Settings.model_validate_json(spec.settings), context)


def _verify(spec: StageSpec, built: Any) -> None:
    with contained():
        same = not spec.content or content_of(built) == spec.content
    if not same:
        raise CurationError(
            Finding(
                "R017",
                f"stage '{spec.stage}': its code, or a model, list or example file of it, is not what was planned",
                "run again: the plan is made anew from what is there now",
            )
        )
