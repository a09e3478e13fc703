"""What names a step and a fit: all that decides their values, and nothing else."""

from __future__ import annotations

from curation.formats.columns import Columns
from curation.plan import fingerprint
from curation.scorers.base import Scorer
from pipelines.recipe.load import Loaded


def step_fingerprint(scorer: Scorer, available: Columns, upstream: list[str], requires: dict[str, str]) -> str:
    """Everything that decides a score beside the document: kind, version, settings, models, inputs, edits before."""
    return fingerprint(
        [
            scorer.kind,
            scorer.version,
            scorer.settings.model_dump(mode="json", exclude=set(scorer.operational)),
            [[name, available.identity(name)] for name in scorer.reads],
            upstream if "text" in scorer.reads else [],
            scorer.identity(),
            sorted(requires.items()),
        ]
    )


def actor_of(scorer: Scorer) -> str:
    """What decides what a model does with prepared documents, whichever columns those were."""
    settings = scorer.settings.model_dump(mode="json")
    return fingerprint([scorer.kind, scorer.version, settings, scorer.identity()])


def learns_from(loaded: Loaded, position: int, available: Columns) -> list[str]:
    """What a fit depends on beside the text as it stands: columns that it reads, and gates that choose its rows."""
    scorer = loaded.stages[position]
    named = []
    columns = {name: available.identity(name) for name in scorer.all_reads()} if scorer.requires() else {}
    if columns.keys() - {"text"}:
        named.append(fingerprint(columns))
    if scorer.fits_on_survivors:
        earlier = zip(loaded.recipe.stages[:position], loaded.stages[:position], loaded.gates[:position], strict=True)
        gates = [[d.id, d.kind, s.settings.model_dump(mode="json"), gate.sql] for d, s, gate in earlier if gate]
        named.append(fingerprint(gates))
    return named


def fit_key(name: str, stage: str, scorer: Scorer, available: Columns, upstream: list[str]) -> str:
    """Names a fit, whatever the inputs are now: it stays pinned in the workspace until `--refit`."""
    text = available.identity("text")
    return fingerprint([name, stage, scorer.kind, scorer.version, scorer.fit_identity(), text, upstream])
