"""A recipe's stages as the steps that a run performs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from curation.flow.units import content_of
from curation.formats.columns import Columns
from curation.manifest.parts import Manifest
from curation.models.locate import ModelError
from curation.models.pull import models_folder
from curation.plan import BULKY, StagePlan, Step, fingerprint
from curation.plugins import contained
from curation.registry import blames
from curation.scorers import input as input_step
from curation.scorers.base import Context, Scorer, Transform
from curation.selection.base import Selection
from curation.sources.streams import MAX_DOCUMENT_BYTES
from curation.store import Store, local_copy
from pipelines.planning.columns import at_line
from pipelines.planning.fingerprints import actor_of, fit_key, is_fitted, learns_from, step_fingerprint
from pipelines.planning.fits import Unfitted, latest_fit
from pipelines.recipe.load import PLUGIN_HINT, Loaded, raised, turns_of
from schemas.documents import INPUT
from schemas.errors import CurationError, Finding


def stage_plans(loaded: Loaded, manifest: Manifest, available: Columns) -> tuple[list[StagePlan], list[Unfitted]]:
    shown = input_step.SHOWN_OF_ANSWERS if available.has_answers else input_step.SHOWN
    has = [available.identity("output")] if available.has_answers else []
    first = Step(
        name=INPUT,
        family=INPUT,
        kind=INPUT,
        settings={},
        path=(),
        fingerprint=fingerprint(
            [INPUT, input_step.VERSION, {k: available.identity(k) for k in ("text", "id")}, *has, *_limit(loaded)]
        ),
        fields=(input_step.ID, *shown),
        reads=(),
    )
    stages = [StagePlan(0, INPUT, INPUT, INPUT, input_step.VERSION, {}, None, first.fingerprint, (first,), shown)]
    unfitted: list[Unfitted] = []
    upstream: list[str] = []
    base = str(loaded.base)
    findings: list[Finding] = []
    for position, (declared, chosen, gate) in enumerate(
        zip(loaded.recipe.stages, loaded.stages, loaded.gates, strict=True)
    ):
        unusable = _unusable(loaded, position, chosen)
        if unusable is not None:
            findings.append(unusable)
            continue
        settings = chosen.settings.model_dump(mode="json")
        artifact = None
        shape = turns_of(available, declared.turns)
        if isinstance(chosen, Scorer) and is_fitted(chosen):
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
                chosen = type(chosen)(chosen.settings, Context(loaded.base, local_copy(artifact), turns=shape))
        content = content_of(chosen)
        answers = _answers_folder(manifest.store)
        common = (declared.family, declared.kind, settings, base, artifact, answers, shape, content)
        steps: list[Step] = []
        if isinstance(chosen, Scorer):
            own = _steps(declared.id, chosen, (), common, available, upstream, steps)
            identity = own.fingerprint
            if isinstance(chosen, Transform):
                upstream = [*upstream, identity]
        else:
            for name, required in chosen.requires().items():
                _steps(f"{declared.id}/{name}", required, (name,), common, available, upstream, steps)
            more = [chosen.identity()] if isinstance(chosen, Selection) and chosen.identity() else []
            made = [step.fingerprint for step in steps]
            identity = fingerprint([declared.family, declared.kind, chosen.version, settings, made, *more])
        asked = declared.resources
        stages.append(
            StagePlan(
                position=position + 1,
                id=declared.id,
                family=declared.family,
                kind=declared.kind,
                version=chosen.version,
                settings=settings,
                keep=gate.sql if gate else None,
                fingerprint=identity,
                steps=tuple(replace(step, resources=asked) if step.heavy else step for step in steps),
                fields=tuple(field for field in chosen.fields if field.name not in BULKY),
                columns=() if isinstance(chosen, Scorer) else tuple(chosen.columns),
                recipe_dir=base,
                resources=asked,
                content=content,
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
    common: tuple[str, str, dict[str, Any], str, str | None, str, str | None, str],
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
        requires[column] = _steps(*own, common, available, upstream, steps, needed).fingerprint
    family, kind, settings, base, artifact, cache, turns, content = common
    step = Step(
        name=name,
        family=family,
        kind=kind,
        settings=settings,
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
        recipe_dir=base,
        artifact=artifact,
        cache=cache,
        turns=turns,
        content=content,
    )
    steps.append(step)
    return step


def _answers_folder(store: Store) -> str:
    """Where answers of services are kept: in the workspace, or for one on an object store with this user's caches."""
    if not store.far:
        return store.uri("cache")
    return str(models_folder().parent / "answers" / fingerprint([store.uri("")])[:16])
