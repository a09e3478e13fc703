"""A recipe's stages as the steps that a run performs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from curation.flow.objects import build, content_of
from curation.formats.columns import Columns
from curation.manifest.parts import Manifest
from curation.models.locate import ModelError
from curation.models.offered import models_folder
from curation.plan import BULKY, StagePlan, StageSpec, Step, fingerprint
from curation.plugins import contained
from curation.registry import blames
from curation.scorers import input as input_step
from curation.scorers.base import Scorer, Transform
from curation.sources.streams import MAX_DOCUMENT_BYTES
from curation.store import Store
from pipelines.planning.columns import at_line
from pipelines.planning.fingerprints import actor_of, fit_key, learns_from, step_fingerprint
from pipelines.planning.fits import Unfitted, latest_fit
from pipelines.recipe.load import Loaded
from pipelines.recipe.objects import PLUGIN_HINT, raised, turns_of
from schemas.documents import INPUT
from schemas.errors import CurationError, Finding


def stage_plans(loaded: Loaded, manifest: Manifest, available: Columns) -> tuple[list[StagePlan], list[Unfitted]]:
    shown = input_step.SHOWN_OF_ANSWERS if available.has_answers else input_step.SHOWN
    has = [available.identity("output")] if available.has_answers else []
    spec = StageSpec(INPUT, INPUT, INPUT)
    first = Step(
        name=INPUT,
        spec=spec,
        path=(),
        fingerprint=fingerprint(
            [INPUT, input_step.VERSION, {k: available.identity(k) for k in ("text", "id")}, *has, *_limit(loaded)]
        ),
        fields=(input_step.ID, *shown),
        reads=(),
    )
    stages = [StagePlan(0, spec, input_step.VERSION, None, first.fingerprint, (first,), shown)]
    unfitted: list[Unfitted] = []
    upstream: list[str] = []
    findings: list[Finding] = []
    for position, (declared, chosen, gate) in enumerate(
        zip(loaded.recipe.stages, loaded.stages, loaded.gates, strict=True)
    ):
        unusable = _unusable(loaded, position, chosen)
        if unusable is not None:
            findings.append(unusable)
            continue
        settings = chosen.settings.model_dump(mode="json")
        spec = StageSpec(
            stage=declared.id,
            family=declared.family,
            kind=declared.kind,
            settings=json.dumps(settings, sort_keys=True),
            recipe_dir=str(loaded.base),
            cache=_answers_folder(manifest.store),
            turns=turns_of(available, declared.turns),
        )
        if isinstance(chosen, Scorer) and chosen.fitted:
            key = fit_key(
                loaded.recipe.name,
                declared.id,
                chosen,
                available,
                [*upstream, *learns_from(loaded, position, available)],
            )
            artifact = latest_fit(manifest, key)
            if artifact is None:
                unfitted.append(Unfitted(position, declared.id, key, chosen.sample_rows))
            else:
                spec = replace(spec, artifact=artifact)
                chosen = build(spec)
        spec = replace(spec, content=content_of(chosen))
        steps: list[Step] = []
        if isinstance(chosen, Scorer):
            own = _steps(declared.id, chosen, (), spec, available, upstream, steps)
            identity = own.fingerprint
            if isinstance(chosen, Transform):
                upstream = [*upstream, identity]
        else:
            for name, required in chosen.requires().items():
                _steps(f"{declared.id}/{name}", required, (name,), spec, available, upstream, steps)
            more = [chosen.identity()] if chosen.identity() else []
            made = [step.fingerprint for step in steps]
            identity = fingerprint([declared.family, declared.kind, chosen.version, settings, made, *more])
        asked = declared.resources
        stages.append(
            StagePlan(
                position=position + 1,
                spec=spec,
                version=chosen.version,
                keep=gate.sql if gate else None,
                fingerprint=identity,
                steps=tuple(replace(step, resources=asked) if step.heavy else step for step in steps),
                fields=tuple(field for field in chosen.fields if field.name not in BULKY),
                columns=() if isinstance(chosen, Scorer) else tuple(chosen.columns),
                resources=asked,
            )
        )
    if findings:
        raise CurationError(*findings)
    return stages, unfitted


def _limit(loaded: Loaded) -> list[int]:
    """The largest document that is read, where it is not the usual one."""
    given = loaded.recipe.input.max_document_bytes
    return [] if given == MAX_DOCUMENT_BYTES else [given]


def _unusable(loaded: Loaded, position: int, chosen: Any) -> Finding | None:
    """What is wrong with a stage's model; None where it can be used. Models are looked for when they are asked for."""
    try:
        with contained():
            waiting = [chosen]
            while waiting:
                asked = waiting.pop()
                if isinstance(asked, Scorer):
                    asked.identity()
                waiting += asked.requires().values()
    except ModelError as error:
        line = loaded.line("stages", position, "model") or loaded.line("stages", position)
        message = f"stage '{loaded.recipe.stages[position].id}': {' '.join(str(error).split())}"
        return at_line(loaded, line, Finding("C013", message, error.hint or None))
    except Exception as error:
        if isinstance(error, CurationError) or not blames(error):
            raise
        message = f"stage '{loaded.recipe.stages[position].id}': {raised(error)}"
        return at_line(loaded, loaded.line("stages", position), Finding("C054", message, PLUGIN_HINT))
    return None


def _steps(
    name: str,
    scorer: Scorer,
    path: tuple[str, ...],
    spec: StageSpec,
    available: Columns,
    upstream: list[str],
    steps: list[Step],
    only: tuple[str, str] | None = None,
) -> Step:
    """The scorer's step behind those that it requires."""
    requires: dict[str, str] = {}
    for column, required in scorer.requires().items():
        where, flag = scorer.only_where().get(column, (None, ""))
        needed = only if where is None else (requires[where], flag)
        own = (f"{name}/{column}", required, (*path, column))
        requires[column] = _steps(*own, spec, available, upstream, steps, needed).fingerprint
    step = Step(
        name=name,
        spec=spec,
        path=path,
        fingerprint=step_fingerprint(scorer, available, upstream, requires),
        fields=tuple(scorer.fields),
        requires=requires,
        only=only,
        reads=scorer.reads,
        numbers=scorer.numbers,
        heavy=scorer.heavy,
        actor=actor_of(scorer) if scorer.heavy else "",
        device=scorer.device,
        edits=isinstance(scorer, Transform),
    )
    steps.append(step)
    return step


def _answers_folder(store: Store) -> str:
    """Where answers of services are kept: in the workspace, or for one on an object store with this user's caches."""
    if not store.far:
        return store.uri("cache")
    return str(models_folder().parent / "answers" / fingerprint([store.uri("")])[:16])
