"""Weak supervisors, one file a kind, named as in the specification."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curation.weak_to_strong.supervisors.base import Supervisor
from curation.weak_to_strong.supervisors.encoder import EncoderSupervisor
from curation.weak_to_strong.supervisors.fasttext import FastTextSupervisor
from curation.weak_to_strong.supervisors.functions import FunctionsSupervisor
from curation.weak_to_strong.supervisors.head import HeadSupervisor
from curation.weak_to_strong.supervisors.imported import ImportedSupervisor
from curation.weak_to_strong.supervisors.zero_shot import ZeroShotSupervisor

KINDS: dict[str, type[Supervisor]] = {
    kind.kind: kind
    for kind in (
        EncoderSupervisor,
        FastTextSupervisor,
        FunctionsSupervisor,
        HeadSupervisor,
        ImportedSupervisor,
        ZeroShotSupervisor,
    )
}


def make(kind: str, name: str, settings: Any, classes: Sequence[str], base: Path) -> Supervisor:
    """A supervisor of the specification. Raises ValueError, ModelError or CurationError as its kind does."""
    return KINDS[kind](name, settings, tuple(classes), base)
