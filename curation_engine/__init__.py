"""The curation engine from Python: all names that other people's code may rely on.

>>> from curation_engine import Workspace
>>> Workspace("ws").run("recipe.yaml")

SemVer covers these names, the command line with its exit codes, the codes of docs/errors.md, the views of SQL and their
columns, recipes, and the entry points' groups. Where in `pipelines`, `workers`, `curation` and `schemas` a thing stands
may change with any release.

Importing this costs nothing: each name is fetched when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from curation_engine_start import refuse_others

if TYPE_CHECKING:  # where `_HOMES` says, for type checkers and editors
    from curation.dedup.base import Dedup
    from curation.formats.batches import Batches
    from curation.scorers.attribution import Attribution
    from curation.scorers.base import HEAD, Artifact, Context, Contract, Scorer, Settings, Transform
    from curation.selection.base import Ranking, Selection
    from curation.testing import check_scorer
    from pipelines.dataset import Dataset
    from pipelines.notebook import Documents, Rows
    from pipelines.planning.cost import Cost
    from pipelines.planning.estimate import Forecast, PlanReport, StageEstimate
    from pipelines.recipe.load import Loaded
    from pipelines.results.audit import Report as AuditReport
    from pipelines.results.audit import Sample as AuditSample
    from pipelines.results.diff import RunDiff
    from pipelines.results.explain import Explanation
    from pipelines.results.export import Exported
    from pipelines.results.what_if import WhatIf
    from pipelines.running.events import (
        Advanced,
        Event,
        Failed,
        FitStarted,
        InputSkipped,
        Joined,
        ModelMetered,
        Notice,
        PhaseEnded,
        PhaseStarted,
        RunStarted,
        UnitEnded,
    )
    from pipelines.running.gc import Usage
    from pipelines.running.result import Result
    from pipelines.running.verify import Verified
    from pipelines.start.auto import curate
    from pipelines.weak_to_strong.result import Result as WeakToStrongResult
    from pipelines.workspace import Workspace
    from schemas.errors import CurationError, Finding

refuse_others("schemas", "curation", "workers", "pipelines")

__all__ = [
    "HEAD",
    "Advanced",
    "Artifact",
    "Attribution",
    "AuditReport",
    "AuditSample",
    "Batches",
    "Context",
    "Contract",
    "Cost",
    "CurationError",
    "Dataset",
    "Dedup",
    "Documents",
    "Event",
    "Explanation",
    "Exported",
    "Failed",
    "Finding",
    "FitStarted",
    "Forecast",
    "InputSkipped",
    "Joined",
    "Loaded",
    "ModelMetered",
    "Notice",
    "PhaseEnded",
    "PhaseStarted",
    "PlanReport",
    "Ranking",
    "Result",
    "Rows",
    "RunDiff",
    "RunStarted",
    "Scorer",
    "Selection",
    "Settings",
    "StageEstimate",
    "Transform",
    "UnitEnded",
    "Usage",
    "Verified",
    "WeakToStrongResult",
    "WhatIf",
    "Workspace",
    "check_scorer",
    "curate",
]
_HOMES = {
    "HEAD": "curation.scorers.base:HEAD",
    "Advanced": "pipelines.running.events:Advanced",
    "Artifact": "curation.scorers.base:Artifact",
    "Attribution": "curation.scorers.attribution:Attribution",
    "AuditReport": "pipelines.results.audit:Report",
    "AuditSample": "pipelines.results.audit:Sample",
    "Batches": "curation.formats.batches:Batches",
    "Context": "curation.scorers.base:Context",
    "Contract": "curation.scorers.base:Contract",
    "Cost": "pipelines.planning.cost:Cost",
    "CurationError": "schemas.errors:CurationError",
    "Dataset": "pipelines.dataset:Dataset",
    "Dedup": "curation.dedup.base:Dedup",
    "Documents": "pipelines.notebook:Documents",
    "Event": "pipelines.running.events:Event",
    "Explanation": "pipelines.results.explain:Explanation",
    "Exported": "pipelines.results.export:Exported",
    "Failed": "pipelines.running.events:Failed",
    "Finding": "schemas.errors:Finding",
    "FitStarted": "pipelines.running.events:FitStarted",
    "Forecast": "pipelines.planning.estimate:Forecast",
    "InputSkipped": "pipelines.running.events:InputSkipped",
    "Joined": "pipelines.running.events:Joined",
    "Loaded": "pipelines.recipe.load:Loaded",
    "ModelMetered": "pipelines.running.events:ModelMetered",
    "Notice": "pipelines.running.events:Notice",
    "PhaseEnded": "pipelines.running.events:PhaseEnded",
    "PhaseStarted": "pipelines.running.events:PhaseStarted",
    "PlanReport": "pipelines.planning.estimate:PlanReport",
    "Ranking": "curation.selection.base:Ranking",
    "Result": "pipelines.running.result:Result",
    "Rows": "pipelines.notebook:Rows",
    "RunDiff": "pipelines.results.diff:RunDiff",
    "RunStarted": "pipelines.running.events:RunStarted",
    "Scorer": "curation.scorers.base:Scorer",
    "Selection": "curation.selection.base:Selection",
    "Settings": "curation.scorers.base:Settings",
    "StageEstimate": "pipelines.planning.estimate:StageEstimate",
    "Transform": "curation.scorers.base:Transform",
    "UnitEnded": "pipelines.running.events:UnitEnded",
    "Usage": "pipelines.running.gc:Usage",
    "Verified": "pipelines.running.verify:Verified",
    "WeakToStrongResult": "pipelines.weak_to_strong.result:Result",
    "WhatIf": "pipelines.results.what_if:WhatIf",
    "Workspace": "pipelines.workspace:Workspace",
    "check_scorer": "curation.testing:check_scorer",
    "curate": "pipelines.start.auto:curate",
}
"""Where each name is defined."""


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    module, _, attribute = home.partition(":")
    found = globals()[name] = getattr(import_module(module), attribute)
    return found


def __dir__() -> list[str]:
    return __all__
