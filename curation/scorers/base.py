"""What a scorer is. To add one: a file with one class like this, and one line in `curation.registry`."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from curation.models.locate import made_here
from curation.paths import expanded
from curation.reasons import Grounds

if TYPE_CHECKING:
    from curation.models.meter import Reading
    from curation.models.reader import Reader
    from curation.scorers.attribution import Attribution


class Settings(BaseModel):
    """A stage's own keys in the recipe: strict types, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


@dataclass(frozen=True)
class Context:
    """Where a stage finds its files; never part of a fingerprint."""

    recipe_dir: Path
    artifact: Path | None = None
    """Folder of what `fit` learned, once it has been fitted."""
    cache: Path | None = None
    """Folder of the workspace in which answers that cost money are kept as they come."""
    turns: str | None = None
    """Where rows are conversations, how scores of their answers become one (`curation.scorers.turns`): a rule, or ""
    for none named. None where they are not. Part of the fingerprint by way of the scorer that it makes."""
    asked: set[str] = field(default_factory=set, compare=False, repr=False)
    """Paths that were asked for: what `curate submit` sends along."""

    def resolve(self, path: str) -> Path:
        """A path from the recipe, relative to the recipe's folder. Of a link its own name, which tells the format."""
        self.asked.add(path)
        return Path(os.path.abspath(self.recipe_dir / expanded(path)))


Scale = Literal["logprob", "ratio", "prob", "ordinal", "rank", "count"]
"""What a score is counted in: nats a token (or sums of them); a ratio of perplexities or losses; a probability or share
in [0, 1]; a grade or verdict, of which the order counts; a rank among sampled documents; a number of things."""


@dataclass(frozen=True)
class Contract:
    """What a scorer's numbers mean: recorded with every run, for whoever compares or combines them."""

    score: str | None = None
    """The field that ranks documents; None for labels and vectors."""
    orientation: Literal[1, 0, -1] = 0
    """+1 where a higher `score` is more of what the scorer looks for, -1 where a lower one is, 0 where neither."""
    scale: Scale | None = None
    tokens: str | None = None
    """The field that says how many tokens were read or scored; None where the whole text is always read."""
    truncated: str | None = None
    """The field that says whether some of the document was left unread; None where nothing ever is."""


HEAD = "head.safetensors"
"""File of an artifact's tensors, in `Context.artifact`."""


@dataclass(frozen=True)
class Artifact:
    """What a fitted scorer learned: saved as safetensors, its hash part of the scorer's fingerprint."""

    tensors: dict[str, np.ndarray]
    card: dict[str, Any] = field(default_factory=dict)
    """Plain JSON facts for the model card: what it was fitted on, and how well it fits."""


class Scorer(ABC):
    """A pure function from documents to columns.

    What `score` returns for a document depends on that document, the settings and the model alone: never on its
    neighbours in the batch, nor on their order. Constructing one is cheap and opens no model; `load` does that,
    once a process.

    A scorer has to have `kind`, `fields` and `score`; `version` is raised when the same document would get other
    values. All else has a default, and its text says when to replace it. What depends on the settings is set in
    `__init__`, or is a property.
    """

    kind: str
    """As after `scorer:` in a recipe."""
    version: int = 1
    """Raised whenever the same document would get other values; it is part of the fingerprint."""

    @property
    @abstractmethod
    def fields(self) -> list[pa.Field]:
        """The columns that `score` returns, without `status`."""

    @abstractmethod
    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Score documents.

        `batch` has the columns `reads` and one struct for each of `requires`. Returns as many rows in the same
        order, with the columns `fields` and, where some document has no score, `status` (one of
        `schemas.documents.STATUSES`; its other columns null, but for statuses of its parts). Raises for faults of the
        machine only: what is wrong with one document is its status.
        """

    # --- only if it has keys of its own in the recipe, reads something beside texts, or has a gate -------------------

    Settings: ClassVar[type[BaseModel]] = Settings

    def __init__(self, settings: BaseModel, context: Context) -> None:
        self.settings: Any = settings
        self.context = context

    reads: tuple[str, ...] = ("text",)
    """Input columns that `score` is given, each `schemas.documents.TEXT`, never null; `id` as it would be printed."""
    numbers: tuple[str, ...] = ()
    """Those of `reads` that come as float64 instead, null where the input has none."""
    default_keep: str | None = None
    """The gate of a stage that has no `keep:`, with `{id}` for the stage's id; None keeps everything."""
    operational: tuple[str, ...] = ()
    """Settings that say how a score is had, not which: they are no part of the fingerprint."""

    @property
    def contract(self) -> Contract:
        """What the fields mean, for whoever ranks or combines them."""
        return Contract()

    @property
    def incomparable(self) -> tuple[str, ...]:
        """Fields that no ranking may go by, because not every document's value was made the same way."""
        return ()

    # --- only if files decide a score --------------------------------------------------------------------------------

    def identity(self) -> dict[str, Any]:
        """Whatever beside settings and version decides a score: weights' hash, tokenizer's hash, dtype, shapes."""
        return {}

    def lists(self) -> list[Path]:
        """Files beside model and input that decide a score: blocklists, evaluation sets. Recorded with their hashes."""
        return []

    def check(self) -> None:
        """Read the files that the settings name to their end: called once when a recipe is checked, before anything is
        written. Raises ValueError, with `hint` where there is one, for what cannot be used. By default what a fit
        learns from is read."""
        if self.fitted:
            self.fit_identity()

    def load(self) -> None:  # noqa: B027 - most scorers have nothing to load
        """Open models and compile kernels; called once in each process before `score`."""

    # --- only if it runs a model (`curation.scorers.model.ModelScorer` has these) ------------------------------------

    heavy: bool = False
    """True for a model: on Ray it lives in a shared actor instead of in each shard task."""

    @property
    def device(self) -> str:
        """Where its model runs, cpu or cuda."""
        return "cpu"

    def models(self) -> list[dict[str, Any]]:
        """Models used, for the manifest: address, revision, file, sha256, bytes, licence."""
        return []

    def readings(self) -> list[tuple[Reader, Reading]]:
        """Models that were run in this process, and what their meters say."""
        return []

    def prepare(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """What `infer` needs of documents, made where the shard is read: for a model, token ids in place of texts."""
        return batch

    def infer(self, prepared: pa.RecordBatch) -> pa.RecordBatch:
        """The rest of `score`, where the model is: `score(batch)` is `infer(prepare(batch))`."""
        return self.score(prepared)

    # --- only if it builds on other scorers --------------------------------------------------------------------------

    def requires(self) -> dict[str, Scorer]:
        """Scorers whose columns this one reads, by the name that the column gets in its batch (a struct)."""
        return {}

    def only_where(self) -> dict[str, tuple[str, str]]:
        """Requirements that not every document needs: by name, an earlier requirement and its boolean column that says
        so. For the others the struct in the batch is null, unless another stage has scored them."""
        return {}

    def all_reads(self) -> set[str]:
        """Input columns that the scorer or one of its requirements reads."""
        return set(self.reads).union(*(other.all_reads() for other in self.requires().values()))

    # --- only if it learns from the pool before it scores ------------------------------------------------------------

    fitted: bool = False
    """Whether it has to be fitted. A class with a `fit` is; one of whose settings only some are says so itself."""
    sample_rows: int = 0
    """How many rows of the pool `fit` needs."""
    fits_on_survivors: bool = False
    """True where `fit` wants only those of the sampled rows that the gates before the stage keep."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "fit" in vars(cls) and "fitted" not in vars(cls):
            cls.fitted = True

    def fit_identity(self) -> dict[str, Any]:
        """What a fit depends on beside the pool's sample: seeds' hash, encoder's fingerprint, settings."""
        return {}

    def fit(self, pool: pa.RecordBatch) -> Artifact:
        """Learn from `sample_rows` documents of the pool (columns as for `score`, without `requires`)."""
        raise TypeError(f"{self.kind} is not fitted")

    def fitted_models(self) -> list[dict[str, Any]]:
        """`models` of a fitted scorer: what `fit` saved, once it did."""
        return [] if self.context.artifact is None else [made_here(self.context.artifact / HEAD)]

    # --- only if it can say why a document got its score -------------------------------------------------------------

    def attribution(self, document: pa.RecordBatch) -> Attribution | None:
        """Which pieces of one document moved its score; None where nothing can be said. Where a scorer has no such
        method, each sentence is left out in turn (`curation.scorers.leave_one_out`). `document` has one row, with all
        columns that the scorer and its requirements read."""
        raise NotImplementedError

    def grounds(self, rejected: pa.StructArray) -> Grounds | None:
        """Why the column `pass` is false, from the scorer's own columns of such documents; None for no more than the
        column `reason` says."""
        return None


class Transform(Scorer):
    """A scorer that also edits text. `score` returns one more column, `edits` (`schemas.documents.EDITS`).

    Edits are in the coordinates of the text that it was given; the source file is never changed. Later stages, and
    the output, see the edited text.
    """
