"""The recipe as typed data. Keys of a stage that only its kind knows are in `Stage.settings`, typed by that kind."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Family = Literal["scorer", "transform", "dedup", "select"]
FAMILIES: tuple[Family, ...] = ("scorer", "transform", "dedup", "select")
IDENTIFIER = r"^[A-Za-z_][A-Za-z0-9_]*$"
Identifier = Annotated[str, Field(pattern=IDENTIFIER)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]


Source = Annotated[str, Field(pattern=r"^[^\s].{0,99}$")]
ColumnName = Annotated[str, Field(pattern=r"^[^\s.][^\n]{0,99}$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Input(Strict):
    """Where documents come from."""

    path: str | Annotated[list[str], Field(min_length=1)] | Annotated[dict[Source, str], Field(min_length=1)]
    """A file, a glob or a folder, or a list of them, each a source; or sources by name; relative to the recipe."""
    columns: dict[Identifier, str] = {}
    """Ours: theirs. `text`, or columns that a text is made of: `instruction`, `output` and perhaps `input` and
    `system`; `messages` (role, content); `conversations` (from, value); `chosen`, `rejected` and perhaps `prompt`. `id`
    names the user's own id; any other name carries a column along."""
    shard_bytes: Annotated[int, Field(ge=1)] = 256 * 1024 * 1024
    """Uncompressed bytes of one unit of work; a larger Parquet file is split between row groups."""
    max_document_bytes: Annotated[int, Field(ge=1)] = 64 * 1024 * 1024
    """Most bytes of a document: of its line of JSON, its record of CSV, each of its texts in Parquet. A longer one is
    not read: it is dropped as `too_large`, and counted."""
    txt: Literal["file", "line"] = "file"
    """What a document is in a text file (.txt): the whole file, or each line that is not blank. Its one column is
    `text`."""


class Resources(Strict):
    """What a stage reserves on a cluster: for each actor of its model, or for each task that it runs in. No score
    depends on it, and no run's id."""

    num_cpus: Annotated[float, Field(ge=0)] | None = None
    """CPUs of each; without it 0 for an actor, so that the tasks that feed it always find room, and 1 for a task."""
    num_gpus: Annotated[float, Field(ge=0)] | None = None
    """GPUs of each actor: whole ones, or a share of one. Without it the models of a pass share each GPU evenly."""
    workers: Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern=r"^(auto|[0-9]+\.\.[0-9]+)$")] = "auto"
    """How many: a number; `2..8`, as many as are kept busy; `auto`, the same between 1 and what the cluster has room
    for. Of a stage without a model: how many tasks at most."""

    @property
    def bounds(self) -> tuple[int, int | None]:
        """Least and most; None where only the cluster sets a limit."""
        if isinstance(self.workers, int):
            return self.workers, self.workers
        if self.workers == "auto":
            return 1, None
        least, _, most = self.workers.partition("..")
        return int(least), int(most)

    @model_validator(mode="after")
    def _possible(self) -> Resources:
        least, most = self.bounds
        if least < 1 or (most is not None and most < least):
            raise ValueError(f"workers: expected a range such as 1..8, got {self.workers}")
        if self.num_gpus is not None and self.num_gpus > 1 and self.num_gpus % 1:
            raise ValueError(f"num_gpus: expected a share of one GPU or whole ones, got {self.num_gpus}")
        return self


class Stage(Strict):
    """One scorer, transform, dedup or selection, and the gate behind it."""

    family: Family
    kind: str
    id: Identifier
    keep: str | None = None
    turns: str | None = None
    """How scores of a conversation's answers become one; None for the default, or where rows are no conversations."""
    resources: Resources | None = None
    settings: dict[str, Any] = {}


class Errors(Strict):
    """How much may go wrong before a run counts as failed."""

    documents: Annotated[int, Field(ge=0)] = 0
    """Documents that may end as errored."""


class Output(Strict):
    """What is written of the documents that are kept."""

    columns: list[str | Annotated[dict[ColumnName, str], Field(min_length=1)]] | None = None
    """Mapped names, source columns, or `stage.column`, which is called `stage_column` in the dataset; a whole stage is
    each of its columns. `{name: any of these}` calls it by a name of yours. None: every source column, text edited."""
    row_group_rows: Annotated[int, Field(ge=1)] = 50_000
    """Rows of a row group: what a reader can skip, or hand to one worker."""
    file_bytes: Annotated[int, Field(ge=1)] = 128 * 1024 * 1024
    """Kept text after which the next output file begins; files are written side by side, each by one worker."""
    report: bool = True
    """Whether a run writes its report beside the card. No run's id depends on it."""

    @property
    def named(self) -> list[tuple[int, str | None, str]]:
        """Of each of `columns`: its position, the name that it was given, and what it is. Empty where all are meant."""
        return [
            (position, name, meant)
            for position, entry in enumerate(self.columns or ())
            for name, meant in ([(None, entry)] if isinstance(entry, str) else entry.items())
        ]


class Recipe(Strict):
    """A whole curation job."""

    name: Name
    """Names the dataset, and its folder in the workspace."""
    input: Input
    """Where documents come from, below."""
    stages: list[Stage] = []
    output: Output = Output()
    """What is written, below."""
    errors: Errors = Errors()
    """How much may go wrong, below."""
    on_bad_shard: Literal["stop", "skip"] = "stop"
    """At a dataset-wide stage: `stop` there, or go on without the shard and name it in the dataset card."""
    workspace: Annotated[str, Field(min_length=1)] | None = None
    """Folder of the workspace, relative to the recipe, or its URL, for a command that is not told by -w or
    CURATION_WORKSPACE. No run's id depends on it."""
