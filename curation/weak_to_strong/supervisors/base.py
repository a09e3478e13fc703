"""What all supervisors have in common: each says, of each row, how probable the classes are, or abstains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.weak_to_strong.features import View
from curation.weak_to_strong.label_model import ABSTAIN, likeliest

Inputs: TypeAlias = pa.LargeStringArray | NDArray[np.float16]
"""Texts, or where a supervisor has a view, the frozen encoder's vectors [n, dim]."""


@dataclass(frozen=True)
class TaskRows:
    """Rows as supervisors see them."""

    text: pa.LargeStringArray
    """The task's text."""
    columns: pa.Table
    """Mapped columns that some supervisor reads, in their own types."""

    def __len__(self) -> int:
        return len(self.text)

    def column(self, name: str) -> pa.Array:
        chunks = self.columns[name].chunks
        return chunks[0] if len(chunks) == 1 else pa.concat_arrays([*chunks, pa.array([], self.columns[name].type)])

    def slice(self, begin: int, count: int) -> TaskRows:
        return TaskRows(self.text.slice(begin, count), self.columns.slice(begin, count))


@dataclass(frozen=True)
class Votes:
    """What m voters say of n rows."""

    votes: NDArray[np.int8]
    """[n, m], ABSTAIN for none."""
    p: NDArray[np.float32] | None = None
    """[n, m, k], NaN where it says nothing, equal where it cannot decide. None for voters that
    name a class and no more."""

    @classmethod
    def of(cls, p: NDArray[np.floating[Any]], abstains: NDArray[np.bool_] | None = None) -> Votes:
        """One voter's probabilities [n, k]; their likeliest class is the vote, and where two are, there is none.

        Raises ValueError where one that does not abstain is not finite: no NaN becomes a label.
        """
        abstains = np.zeros(len(p), bool) if abstains is None else abstains
        broken = ~np.isfinite(p).all(axis=1) & ~abstains
        if broken.any():
            raise ValueError(f"it returned NaN or infinity for {int(broken.sum()):,} of {len(p):,} rows")
        votes = likeliest(np.where(abstains[:, None], np.nan, p))
        p = np.where(abstains[:, None], np.nan, p).astype(np.float32)
        return cls(votes[:, None], p[:, None, :])

    def probabilities(self, classes: int) -> NDArray[np.float32]:
        """[n, m, k], NaN where it abstains; a bare vote is sure."""
        if self.p is not None:
            return self.p
        sure = np.eye(classes, dtype=np.float32)[np.maximum(self.votes, 0)]
        sure[self.votes == ABSTAIN] = np.nan
        return sure


class Supervisor(ABC):
    """One weak supervisor. Cheap to construct: `identity` opens no weights."""

    kind: ClassVar[str]
    version: ClassVar[int] = 2
    heavy: ClassVar[bool] = False
    """Whether it runs a network: one at a time then."""
    reads: tuple[str, ...] = ()
    """Mapped columns beside the task's text."""
    view: View | None = None

    def __init__(self, name: str, settings: Any, classes: tuple[str, ...], base: Path) -> None:
        self.name = name
        self.settings = settings
        self.classes = classes
        self.base = base

    @property
    def title(self) -> str:
        """What it is called in reports and messages."""
        return f"supervisor '{self.name}'"

    @property
    def voters(self) -> Sequence[str]:
        """Names of its voters."""
        return (self.name,)

    def identity(self) -> Any:
        """What decides its answers beside settings, rows and classes: hashes of models."""
        return None


class Fixed(Supervisor):
    """A supervisor that learns nothing here: what it says of a row depends on the row alone."""

    @abstractmethod
    def vote(self, rows: TaskRows) -> Votes:
        """Raises whatever it fails with."""


class Learning(Supervisor):
    """A supervisor that learns from gold."""

    @abstractmethod
    def fit_predict(self, train: Inputs, y: NDArray[np.int8], to_predict: Inputs) -> NDArray[np.floating[Any]]:
        """Learn from `train` with classes y [n], and return the probabilities [m, k] of the rows `to_predict`.

        Nothing else decides it, neither order nor threads. Raises ValueError where it cannot learn.
        """


def absent(y: NDArray[np.int8], classes: Sequence[str]) -> None:
    """Raise ValueError where a class has no row to learn from."""
    missing = [name for place, name in enumerate(classes) if not (y == place).any()]
    if missing:
        raise ValueError(f"no row to learn from is of class {', '.join(missing)}")
