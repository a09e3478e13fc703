"""Fitting stages that must learn before a run, each as a unit of an executor's: drained and reported as others are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from curation.flow.fit import FitWork, head_differs, unfitted_scorer
from curation.flow.sample import sample_rows
from curation.flow.units import Work
from curation.manifest.parts import Manifest
from curation.plan import Plan, StagePlan, Step
from curation.store import Store
from pipelines.planning.fits import Unfitted
from pipelines.planning.resolve import Resolved
from pipelines.running.events import FitStarted, PhaseEnded, PhaseStarted, Report, UnitEnded
from pipelines.running.pace import Pace, paced
from schemas.errors import CurationError, Finding
from workers.executor import Executor
from workers.local import LocalExecutor


def fit(
    resolved: Resolved,
    todo: Unfitted,
    store: Store,
    runs_on: Callable[[], Executor],
    report: Report,
    refit: bool = False,
    in_process: Callable[[], Executor] = LocalExecutor,
) -> None:
    """Fit one stage and pin what it learned. Raises CurationError where that fails.

    It runs where the run will where its models want GPUs, else in this process, which has the stage's examples.
    """
    plan = resolved.plan
    stage = plan.stages[todo.position + 1]
    # before the work, and 0 where `resolved` found no fit: whoever commits meanwhile takes this very generation
    earlier = Manifest(store).where("fits", fit=todo.key).to_pylist()
    damaged = all(head_differs(store, row["artifact"], row["sha256"]) for row in earlier)
    models = _on_gpus(plan, stage)
    unit = FitWork(
        Work.of(plan, store),
        stage,
        todo.key,
        generation=len(earlier) if refit or damaged else 0,
        sampled=sample_rows(plan.shards, todo.sample_rows),
        skip_unreadable=plan.on_bad_shard != "stop",
        unfitted=tuple(item.stage for item in resolved.unfitted),
        gpus=(stage.resources and stage.resources.num_gpus) or 1.0 if models else 0.0,
    )
    report(FitStarted(todo.stage, todo.sample_rows))
    phase = PhaseStarted(f"fit {todo.stage}", 1, "fit", todo.stage)
    report(phase)
    with closing(runs_on() if models else in_process()) as executor:
        if models:
            executor.hardware(models)  # refuses a cluster that has none
        with paced(executor, Pace(phase, report)):
            for outcome in executor.run([unit], [], filter(None, [stage.resources])):
                report(UnitEnded(outcome))
                if outcome.failure is not None:
                    raise CurationError(Finding(outcome.failure.code, outcome.failure.message, outcome.failure.hint))
    report(PhaseEnded(phase.name))


def _on_gpus(plan: Plan, stage: StagePlan) -> list[Step]:
    """Models of a fit that want a GPU."""
    stages = plan.stages[: stage.position + 1] if unfitted_scorer(stage).fits_on_survivors else (stage,)
    return [step for needed in stages for step in needed.steps if step.heavy and step.device == "cuda"]
