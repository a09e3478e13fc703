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
from pipelines.running.verify import damaged_dataset
from schemas.errors import CurationError, Finding, command


@dataclass
class Result:
    """What an invocation came to."""

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

    @property
    def dataset(self) -> Dataset | None:
        """The dataset's rows, as Arrow, pandas, polars, `datasets` or torch have them; None where there is none."""
        return None if self.folder is None else Dataset(self.folder)

    @property
    def failed(self) -> bool:
        return self.outcome == "failed"


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
