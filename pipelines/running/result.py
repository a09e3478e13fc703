"""What a run came to, and whether it is finished."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.flow import Failure
from curation.manifest.parts import Manifest
from curation.manifest.views import check_data
from curation.store import DamagedFileError
from curation.store.dataset import DatasetFiles
from pipelines.dataset import Dataset
from pipelines.notebook import Documents, Rows, html_facts, html_table
from pipelines.running.verify import damaged_dataset
from schemas.errors import CurationError, Finding, command


@dataclass(repr=False)
class Result:
    """What an invocation came to, and what can be asked about its run.

    >>> result = Workspace(folder).run(recipe)
    >>> result.rows, result.kept, result.dropped
    (4, 3, 1)
    >>> result.drops().to_pylist()
    [{'stage': 'same', 'reason': 'exact_duplicate', 'documents': 1}]
    >>> result.sql("SELECT count(*) AS n FROM documents WHERE kept")["n"]
    [3]
    """

    run: str
    name: str
    outcome: str
    """done, nothing-to-do, failed or interrupted."""
    rows: int = 0
    kept: int = 0
    dropped: int = 0
    errored: int = 0
    scored: int = 0
    """Documents that got at least one new score, counted once a pass."""
    steps: Counter[str] = field(default_factory=Counter)
    """New scores by step."""
    reused: int = 0
    """Shard passes that had nothing to score."""
    failures: list[tuple[str, Failure]] = field(default_factory=list)
    folder: Any = None
    """Path of the dataset's folder, or its URL on an object store; None where there is none."""
    duplicate_ids: int = 0
    seconds: float = 0.0
    workspace: Any = field(default=None, compare=False)
    """The `Workspace` that the run is in."""

    @property
    def dataset(self) -> Dataset | None:
        """The dataset's rows, as Arrow, pandas, polars, `datasets` or torch have them; None where there is none."""
        return None if self.folder is None else Dataset(self.folder)

    @property
    def failed(self) -> bool:
        return self.outcome == "failed"

    def sql(self, query: str) -> Rows:
        """The result of one SELECT, in which views of one run show this one."""
        return Rows(self.workspace.sql(query, self.run))

    def funnel(self) -> Rows:
        """How many documents came to each stage, and what became of them there."""
        return Rows(self.workspace.funnel(self.run))

    def drops(self) -> Rows:
        """How many documents were dropped, by stage and reason without its values; `drops` in SQL has each of them."""
        counted = "SELECT stage, rule AS reason, count(*) AS documents FROM drops GROUP BY stage, rule"
        return self.sql(f"{counted} ORDER BY documents DESC, stage, reason")

    def histogram(self, measurement: str, source: str | None = None) -> Any:
        """A measurement in bins, which a notebook draws: `Workspace.histogram`; so are the four that follow.

        >>> Workspace(folder).run(recipe).histogram("language.prob")["documents"]
        3
        """
        return self.workspace.histogram(measurement, self.run, source)

    def scatter(self, x: str, y: str) -> Any:
        return self.workspace.scatter(x, y, self.run)

    def clusters(self, stage: str) -> Any:
        return self.workspace.clusters(stage, self.run)

    def selection_map(self, stage: str) -> Any:
        return self.workspace.selection_map(stage, self.run)

    def shift(self) -> Any:
        return self.workspace.shift(self.run)

    def show(self, **options: Any) -> Documents:
        """Some documents with their text: `Workspace.show` has the options, such as `dropped_by="language"`."""
        return Documents(self.workspace.show(run=self.run, **options))

    def report(self) -> Any:
        """The run as a page to look at, as `Workspace.report`; its file is `report.html` in `folder`."""
        return self.workspace.report(self.run)

    def explain(self, document: str) -> list[Any]:
        """Why a document was kept or dropped, as `Workspace.explain`: by `path#row`, by the user's id or by doc_id.

        >>> [why] = Workspace(folder).run(recipe).explain("input.parquet#2")
        >>> why.outcome, why.dropped_by
        ('dropped', 'same')
        """
        return list(self.workspace.explain(document, self.run))

    def __repr__(self) -> str:
        counts = f"{self.rows:,} → {self.kept:,} documents, {self.dropped:,} dropped, {self.errored:,} errored"
        outcome = "finished before" if self.outcome == "nothing-to-do" else self.outcome
        return f"Result({self.name} {self.run}, {outcome}: {counts})"

    def _repr_html_(self) -> str:
        facts = {name: getattr(self, name) for name in ("run", "outcome", "rows", "kept", "dropped", "errored")}
        shown = html_facts(self.name, facts | ({} if self.folder is None else {"folder": str(self.folder)}))
        if self.workspace is None or self.folder is None:
            return shown
        columns = ["stage", "kind", "rows_in", "rows_out", "dropped", "errored"]
        return shown + html_table(self.workspace.funnel(self.run), columns)


def finished(manifest: Manifest, run: str) -> Result | None:
    """The result of a run whose dataset is there, or None."""
    dataset = manifest.get("datasets", run)
    if dataset is None:
        return None
    record = dataset.to_pylist()[0]
    folder = manifest.store.location(record["path"])
    exists = manifest.store.exists(record["path"])
    files = DatasetFiles.of(manifest.store, record["path"])
    if len(files.sizes) != record["files"]:
        what = f"holds {len(files.sizes)} of {record['files']} files" if exists else "is gone"
        first = "remove that folder, " if exists else ""
        forget = f"run `{command('gc', manifest.store.root)}`, which forgets datasets that were removed"
        message = f"the dataset of run {run} is recorded, but {folder} {what}"
        raise CurationError(Finding("C032", message, f"{first}{forget}, and then run again"))
    for part in manifest.where("written", run=run).to_pylist():
        name, sizes = files.name(part["part"], record["files"]), files.sizes
        if sizes.get(name) != part["bytes"]:
            has = f"has {sizes[name]:,} of {part['bytes']:,} bytes" if name in sizes else "is gone"
            raise damaged_dataset(manifest.store, run, f"{folder}/{name} {has}")
    if not _complete(manifest, run):
        return None  # what is damaged is made anew; the dataset stays
    result = Result(run, record["name"], "nothing-to-do")
    for name, value in counts(manifest.where("decisions", run=run)).items():
        setattr(result, name, value)
    result.folder = folder
    result.duplicate_ids = record["duplicate_ids"]
    return result


def _complete(manifest: Manifest, run: str) -> bool:
    """Whether all records of a finished run can be read, and all data that its views need."""
    if not manifest.store.far:  # there each would be a request, and stores compare what they hold themselves
        manifest.files("sketches", {key for key in manifest.keys("sketches") if key.startswith(f"{run}-")})
    if manifest.missing(run):
        return False
    try:
        check_finished(manifest, run)
    except DamagedFileError:
        return False
    return True


def check_finished(manifest: Manifest, run: str) -> None:
    """Raise DamagedFileError where data of a run that has its dataset is damaged: no unit would read it again."""
    if manifest.has("datasets", run) and not manifest.store.far:
        check_data(manifest, run, "documents")


def counts(decisions: pa.Table) -> dict[str, int]:
    return {name: pc.sum(decisions.column(name)).as_py() or 0 for name in ("rows", "kept", "dropped", "errored")}
