"""What pages draw of a run: plain data, which is JSON as it stands. `pipelines.charts` makes it.

Floats are finite: what is infinite or no number is counted and told, never drawn. A text may hold anything that a
document can, but is valid Unicode: a page shows it as text, never as markup. `note`, where it is not None, is one plain
sentence about what is shown, such as how it was sampled; without one, numbers of documents are exact. Documents go by
`doc`, their doc_id as a decimal string, since browsers round large integers.
"""

from __future__ import annotations

from typing import Literal, TypedDict

Outcome = Literal["kept", "dropped", "errored"]


class Reason(TypedDict):
    rule: str
    """The reason without the document's own values."""
    documents: int


class FunnelRow(TypedDict):
    """One stage; the first is `input`, the last `output` with what was kept."""

    stage: str
    stage_kind: str
    """Such as rules or minhash."""
    family: str
    """input, scorer, transform, dedup, select or output."""
    keep: str | None
    """Its gate, an SQL expression."""
    rows_in: int
    dropped: int
    errored: int
    rows_out: int
    bytes_in: int | None
    """Of the documents' texts as they were read; None where it isn't stored."""
    bytes_out: int | None
    tokens_in: int | None
    tokens_out: int | None
    seconds: float | None
    """Of all workers together, over all attempts that scored for this run; None where all of it was stored before."""
    scored: int
    """Documents that were scored for this run; the rest had scores already."""
    documents_per_second: float | None
    """Of one worker."""
    loss: float | None
    """Of a dedup, the mean share of a dropped duplicate's word 3-grams that stand in no document of its cluster which
    stays."""
    reasons: list[Reason]
    """The commonest first."""
    more_reasons: int
    """How many rules are not listed."""


class Funnel(TypedDict):
    kind: Literal["funnel"]
    note: str | None
    rows: list[FunnelRow]
    tokens_of: str | None
    """`stage.column` that tokens are counted by; None where no stage counts them for all that it sees."""


class Bound(TypedDict):
    """One comparison of a measurement with a number in a gate."""

    stage: str
    """Whose gate it is: it may read measurements of other stages."""
    value: float
    operator: Literal["<", "<=", ">", ">=", "=", "!="]
    """A document can pass where its value stands so to `value`."""
    expression: str
    """The gate as the recipe has it."""
    passing: int
    """Of the documents that reached the gate and have a value."""
    failing: int


class HistogramBars(TypedDict):
    source: str | None
    """None for all sources together."""
    before: list[int]
    """By bin, documents that reached the stage."""
    after: list[int]
    """By bin, those of them that were kept in the end."""


class Histogram(TypedDict):
    """One measurement. Bin i holds values from edges[i], below edges[i + 1]; the last one holds its upper edge too."""

    kind: Literal["histogram"]
    note: str | None
    name: str
    """`stage.field`."""
    stage: str
    stage_kind: str
    field: str
    type: Literal["number", "whole", "boolean"]
    scale: Literal["linear", "log"]
    """How edges are spaced."""
    edges: list[float]
    bars: HistogramBars
    by_source: list[HistogramBars]
    """The largest sources; empty where there is one."""
    more_sources: int
    bounds: list[Bound]
    documents: int
    """That reached the stage."""
    below: int
    """With a value below the first edge: outliers are told, so that they do not squeeze all else into one bin."""
    above: int
    nulls: int
    nans: int
    minimum: float | None
    """Of finite values; the same for the quantiles, which are those of the documents that reached the stage."""
    maximum: float | None
    quantiles: dict[str, float]
    """0.05, 0.25, 0.5, 0.75 and 0.95."""


class Axis(TypedDict):
    name: str
    """`stage.field`."""
    scale: Literal["linear", "log"]
    edges: list[float]
    bounds: list[Bound]


class Scatter(TypedDict):
    """Two measurements against each other, in a grid; documents that have both."""

    kind: Literal["scatter"]
    note: str | None
    x: Axis
    y: Axis
    cells: list[tuple[int, int, int, int]]
    """Bin of x, bin of y, documents, those of them that were kept in the end; cells without documents are left out."""
    documents: int
    outside: int
    """Documents with a value that is missing, no number, or beyond the edges."""
    spearman: float | None


class Mark(TypedDict):
    """What a stage found in some bytes of a text, or made of them."""

    what: Literal["edit", "pii", "contaminated", "repeated", "loss", "moved", "found"]
    """`edit`: a transform took it away, or put `put` in its place, which it does to `pii` as well. `loss`: a token with
    its loss. `moved`: a piece that moved a score."""
    stage: str | None
    label: str
    """Such as the type of PII, or the name of the evaluation set."""
    put: str | None
    weight: float | None
    """Of `loss` and `moved`, what the piece adds to the score, in the score's units."""


class Piece(TypedDict):
    text: str
    mark: Mark | None
    skipped: int
    """Characters that are left out here; then `text` is empty. Else 0."""


class Document(TypedDict):
    kind: Literal["document"]
    note: str | None
    """Such as why its text cannot be shown."""
    doc: str
    id: str | None
    path: str
    row: int
    source: str | None
    outcome: Outcome
    stage: str | None
    """That dropped it, or where it errored."""
    rule: str | None
    reason: str | None
    score: float | None
    threshold: float | None
    twin: str | None
    """`doc` of the document that stayed, for which it was dropped."""
    similarity: float | None
    scores: dict[str, float | str | bool | None]
    """What each stage ranks by, and what gates read, by `stage.column`."""
    pieces: list[Piece]
    """The text as the source has it, in order: its beginning, and what is around marks."""
    shown: int
    """Characters of the text that are in `pieces`."""
    characters: int
    """Of the whole text."""
    bytes: int


class DocumentGroup(TypedDict):
    by: Literal["random", "threshold", "reason"]
    title: str
    """In words, such as: just below 0.62 at tutorial.prob."""
    outcome: Outcome | None
    stage: str | None
    field: str | None
    """Of `threshold`, the measurement as `stage.field`."""
    threshold: float | None
    side: Literal["passing", "failing"] | None
    rule: str | None
    total: int | None
    """Documents that it was drawn from."""
    documents: list[Document]


class Documents(TypedDict):
    kind: Literal["documents"]
    note: str | None
    groups: list[DocumentGroup]


class DiffPiece(TypedDict):
    text: str
    side: Literal["both", "dropped", "kept"]


class WordDiff(TypedDict):
    """Two texts word by word: pieces of `both` and `dropped` are the one text, of `both` and `kept` the other."""

    kind: Literal["word_diff"]
    note: str | None
    """Such as how much of the texts was compared."""
    dropped: str
    """`doc`."""
    kept: str
    pieces: list[DiffPiece]


class ClusterSize(TypedDict):
    least: int
    most: int
    """Members, both included."""
    clusters: int
    documents: int


class Cluster(TypedDict):
    cluster: str
    """`doc` of its best member."""
    size: int
    dropped: int
    template: bool
    """Whether it looks like pages of one template: many members that mostly stay, or are little like the best one."""
    common: list[str]
    """Runs of words that the members that are shown have in common, in order."""
    members: list[Document]
    """Some of them, the best one first."""
    diff: WordDiff | None


class NearPair(TypedDict):
    """Two near documents of which neither was dropped for the other."""

    a: Document
    b: Document
    similarity: float
    containment: float | None
    reason: str | None
    diff: WordDiff | None


class SourceLoss(TypedDict):
    source: str
    documents: int
    """That reached the stage."""
    dropped: int


class Clusters(TypedDict):
    """What one dedup found."""

    kind: Literal["clusters"]
    note: str | None
    stage: str
    stage_kind: str
    documents: int
    """That reached it."""
    clusters: int
    dropped: int
    connect: str | None
    """Which documents go: as the recipe's `connect`."""
    verify: float | None
    """Least similarity of duplicates."""
    loss: float | None
    """Mean share of a dropped duplicate that stands in no document of its cluster which stays."""
    nothing_lost: int | None
    sizes: list[ClusterSize]
    largest: list[Cluster]
    sources: list[SourceLoss]
    """Those that lose most first."""
    more_sources: int
    stayed: list[NearPair]
    """The most similar first."""
    refused: list[Reason]
    """Why near pairs stayed, and how many pairs (not documents)."""


class Baseline(TypedDict):
    name: str
    """random or longest."""
    overlap: float | None
    """Share of the selected documents that it would have selected too."""
    chance: float | None
    """What two independent choices share."""
    spearman: float | None
    """Between its order and the selection's."""


class Coverage(TypedDict):
    name: str
    """selected, random or longest."""
    mean: float | None
    """Euclidean distance between the unit vectors of a document and of the nearest one that was chosen."""
    radius: float | None
    """The greatest of these."""


class SelectionMap(TypedDict):
    """What one selection chose. Points are the first two principal components of the vectors that it went by."""

    kind: Literal["selection"]
    note: str | None
    stage: str
    stage_kind: str
    documents: int
    selected: int
    x: list[float]
    """Empty where the run has no stored vectors; all lists of points are as long."""
    y: list[float]
    doc: list[str]
    chosen: list[Literal[0, 1]]
    """By the selection."""
    random: list[Literal[0, 1]]
    """By as many by chance."""
    longest: list[Literal[0, 1]]
    vectors_of: str | None
    """`stage.vector`."""
    explained: list[float]
    """Share of variance along x and along y."""
    baselines: list[Baseline]
    coverage: list[Coverage]
    lengths: dict[str, dict[str, float]]
    """Quantiles of bytes, of all, selected, random and longest."""
    length_tenths: list[float]
    """Share that was selected of each tenth of the documents, by length, the shortest first."""
    sentence: str | None
    """What should be known about length, in plain words."""
    shift: float | None
    """Jensen–Shannon divergence, in bits, of the selected documents' sources from all documents'."""


class ShiftRow(TypedDict):
    name: str
    before: int
    after: int


class ShiftPanel(TypedDict):
    """One property of documents, in the input and in the output."""

    of: Literal["language", "source", "length", "domain", "ngram"]
    note: str | None
    """Such as how many documents were read for it."""
    rows: list[ShiftRow]
    """In their order for lengths, else those that changed most or are commonest first."""
    before: int
    """Of all, listed or not: documents, or for n-grams all n-grams."""
    after: int
    divergence: float | None
    """Jensen–Shannon divergence in bits between the two, over all names."""


class Shift(TypedDict):
    kind: Literal["shift"]
    note: str | None
    panels: list[ShiftPanel]


class Estimate(TypedDict):
    """A number with its interval."""

    value: float | None
    low: float | None
    high: float | None


class ReliabilityBin(TypedDict):
    rows: int
    confidence: float
    """Mean of the rows."""
    accuracy: float
    low: float | None
    """The interval of the accuracy at 95 %."""
    high: float | None


class CoveragePoint(TypedDict):
    coverage: float
    """Share of rows that are labelled when only the surest are."""
    error: float


class SupervisorRow(TypedDict):
    name: str
    supervisor_kind: str
    accuracy: Estimate | None
    estimated_accuracy: float | None
    votes: float | None
    dependence: float | None


class StudentGap(TypedDict):
    student: str
    student_kind: str
    seeds: int
    weak: Estimate | None
    accuracy: Estimate | None
    ceiling: Estimate | None
    recovered: Estimate | None
    identifiable: bool
    because: str | None
    """Why there is no gap, or none that can be told."""


class Reliability(TypedDict):
    """A weak-to-strong run: whether its labels' confidences are right, and what its students recovered."""

    kind: Literal["reliability"]
    note: str | None
    run: str
    name: str
    classes: list[str]
    rows: int
    labelled: int
    accuracy: Estimate | None
    """Of the weak labels."""
    majority: float | None
    """Share of the largest class: what a guess would reach."""
    ece_before: float | None
    """Expected calibration error before the temperature was fitted, and after."""
    ece: float | None
    bins: list[ReliabilityBin]
    """The least sure first."""
    coverage: list[CoveragePoint]
    error_target: float | None
    """Of risk control: automatic labels are wrong at most in this share."""
    automatic: int | None
    """Rows that are labelled automatically."""
    supervisors: list[SupervisorRow]
    students: list[StudentGap]


class ModelFile(TypedDict):
    step: str
    address: str
    revision: str | None
    file: str
    sha256: str
    bytes: int
    licence: str | None


class InputFile(TypedDict):
    path: str
    source: str | None
    fingerprint: str
    rows: int
    bytes: int


class AttemptRow(TypedDict):
    attempt: str
    executor: str | None
    host: str | None
    hardware: str | None
    started: str | None
    """ISO 8601, UTC."""
    ended: str | None
    outcome: str | None
    """None while it is under way, or when it was killed."""
    seconds: float | None
    scored: int | None


class StepRow(TypedDict):
    """One step of a stage: what the plan estimates for it at the speeds of this workspace, and what it took."""

    step: str
    stage_kind: str
    version: int
    fingerprint: str
    scored: int
    seconds: float | None
    """Of all workers together."""
    documents_per_second: float | None
    """Of one worker."""
    tokens_per_second: float | None
    device: str | None
    dtype: str | None
    busy: float | None
    """Share of its time in which the model was computing."""
    estimated_seconds: float | None


class Origin(TypedDict):
    """Where a dataset comes from."""

    kind: Literal["origin"]
    note: str | None
    run: str
    name: str
    created: str | None
    version: str
    """Of the engine that made this data; versions of stages are in `steps`."""
    recipe: str
    recipe_path: str | None
    inputs: list[InputFile]
    more_inputs: int
    models: list[ModelFile]
    steps: list[StepRow]
    attempts: list[AttemptRow]
    seconds: float | None
    """From start to end, of all attempts together."""
    estimated: tuple[float, float] | None
    """Seconds, from and to, that the plan would have told; None where nothing says how fast a step is."""
    documents_per_second: float | None
    bytes_per_second: float | None
    dataset: str | None
    """Its folder."""
    dataset_files: int | None
    dataset_bytes: int | None


class Missing(TypedDict):
    """A piece that could not be made, and why: the others are there all the same."""

    piece: str
    code: str
    message: str


class Report(TypedDict):
    """All pieces of one run."""

    kind: Literal["report"]
    note: str | None
    format: Literal[1]
    run: str
    name: str
    labels: list[str]
    state: Literal["done", "running", "stopped", "failed", "unfinished"]
    created: str | None
    documents: int
    kept: int
    dropped: int
    errored: int
    striking: list[str]
    """What should be looked at before the dataset is used, a sentence each."""
    funnel: Funnel
    histograms: list[Histogram]
    """Those that gates read first."""
    scatters: list[Scatter]
    documents_shown: Documents
    clusters: list[Clusters]
    selections: list[SelectionMap]
    shift: Shift
    reliability: list[Reliability]
    origin: Origin
    missing: list[Missing]
