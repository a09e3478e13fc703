"""Stages that learn: which have to be fitted, and what is recorded of earlier fits."""

from __future__ import annotations

from dataclasses import dataclass

from curation.formats.columns import Columns
from curation.manifest.parts import Manifest
from curation.scorers.base import Scorer, Transform
from pipelines.planning.fingerprints import fit_key, learns_from, step_fingerprint
from pipelines.recipe.load import Loaded


@dataclass(frozen=True)
class Unfitted:
    """A stage that has to be fitted before the plan is whole."""

    position: int
    """In the recipe, from 0."""
    stage: str
    key: str
    sample_rows: int


def fits(loaded: Loaded, available: Columns) -> list[Unfitted]:
    """Every stage of the recipe that is fitted, whether it has been or not."""
    unfitted = []
    upstream: list[str] = []
    for position, (declared, chosen) in enumerate(zip(loaded.recipe.stages, loaded.stages, strict=True)):
        if isinstance(chosen, Transform):
            upstream = [*upstream, step_fingerprint(chosen, available, upstream, {})]
        elif isinstance(chosen, Scorer) and chosen.fitted:
            key = fit_key(
                loaded.recipe.name,
                declared.id,
                chosen,
                available,
                [*upstream, *learns_from(loaded, position, available)],
            )
            unfitted.append(Unfitted(position, declared.id, key, chosen.sample_rows))
    return unfitted


def latest_fit(manifest: Manifest, key: str) -> str | None:
    """Folder of the newest fit under this key, as a path or URL, or None: also where it is damaged or gone."""
    records = [record for record in manifest.read("fits").to_pylist() if record["fit"] == key]
    if not records:
        return None
    from curation.flow.fit import head_differs  # brings all that units need, and most recipes have no stage that learns

    newest = max(records, key=lambda record: record["generation"])
    if head_differs(manifest.store, newest["artifact"], newest["sha256"]):
        return None
    return manifest.store.uri(newest["artifact"])
