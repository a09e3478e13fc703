"""What learns from weak labels, one file a kind, named as in the specification."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curation.weak_to_strong.students.base import Student
from curation.weak_to_strong.students.causal_head import CausalHead
from curation.weak_to_strong.students.encoder import EncoderStudent
from curation.weak_to_strong.students.head import HeadStudent

KINDS: dict[str, type[Student]] = {kind.kind: kind for kind in (CausalHead, EncoderStudent, HeadStudent)}


def make(kind: str, name: str, settings: Any, classes: Sequence[str], base: Path) -> Student:
    """A student of the specification. Raises ValueError or ModelError as its kind does."""
    return KINDS[kind](name, settings, tuple(classes), base)
