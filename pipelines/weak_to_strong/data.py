"""The rows of a weak-to-strong run: found, checked against the specification, and read whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.manifest.parts import Manifest
from curation.plan import fingerprint
from curation.sources import Shard, cut_shards, find, read_batches
from curation.sources.jsonl import NESTED
from curation.sources.texts import nameable, usable
from curation.sources.texts import names as id_names
from curation.weak_to_strong.label_model import ABSTAIN
from curation.weak_to_strong.supervisors.base import TaskRows
from curation.weak_to_strong.task import as_text, codes
from curation.weak_to_strong.tuning import order_keys
from pipelines.planning.inputs import inspect_files, sources_of, unify
from pipelines.recipe.document import excerpt_of
from pipelines.weak_to_strong.spec import Loaded
from schemas.documents import TEXT
from schemas.errors import CurationError, Finding


@dataclass(frozen=True)
class InputFiles:
    """Input files of a specification, seen but not read."""

    shards: tuple[Shard, ...]
    kinds: dict[str, pa.DataType]
    """Type of each mapped column that is read."""
    notices: tuple[str, ...] = ()
    """Lines about what was passed over in the input's folders, and why."""

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.shards)

    @property
    def identity(self) -> list[Any]:
        return [[shard.path, shard.fingerprint, shard.row_start, shard.rows] for shard in self.shards]


@dataclass(frozen=True)
class Data:
    """All rows, n of them, in the order of the input."""

    rows: TaskRows
    gold: NDArray[np.int8]
    """ABSTAIN where it is unknown."""
    keys: NDArray[np.uint64]
    """Hash of each text."""
    blank: NDArray[np.bool_]
    """No text to be read, or unreadable: set aside."""
    file: NDArray[np.int32]
    """Index of the file in the run's order."""
    row: NDArray[np.int64]
    """Row in the file."""
    ids: pa.Array
    """The user's own, strings; null where none is mapped."""
    identity: str
    """Names files, template and gold."""

    def __len__(self) -> int:
        return len(self.gold)


def find_files(loaded: Loaded, manifest: Manifest) -> InputFiles:
    """Find the input and check its columns. Raises CurationError with everything that is wrong."""
    patterns, sources = sources_of(loaded.spec.input)
    search = find(patterns, loaded.base, sources, manifest.store.uri("").rstrip("/"))
    if search.findings:
        raise CurationError(*(_located(loaded, finding, "input", "path") for finding in search.findings))
    files, _ = inspect_files(search.files, manifest)
    unreadable = [file for file in files if file.error]
    if unreadable:
        raise CurationError(*(Finding("R001", f"{file.path} {file.error}", file=file.path) for file in unreadable))
    unified, broken = unify(files)
    findings: list[Finding] = []
    kinds: dict[str, pa.DataType] = {}
    for name in [*loaded.reads, *(["id"] if "id" in loaded.spec.input.columns else [])]:
        column = loaded.mapping[name]
        lacking = [file for file in files if file.rows and file.schema and column not in file.schema.names]
        if column in broken:
            findings.append(_located(loaded, broken[column], "input", "columns", name))
        elif lacking or column not in unified:
            where = lacking[0].path if lacking else files[0].path
            hint = f"columns there: {', '.join(unified)}"
            finding = Finding("C021", f"input column '{column}' (for {name}) is missing in {where}", hint)
            findings.append(_located(loaded, finding, "input", "columns", name))
        elif name == "id" and not nameable(unified[column]):
            finding = Finding("C022", f"input column '{column}' (for id) is {unified[column]}, which names nothing")
            findings.append(_located(loaded, finding, "input", "columns", name))
        else:
            kinds[name] = TEXT if usable(unified[column]) else unified[column]
    if findings:
        raise CurationError(*findings)
    return InputFiles(tuple(cut_shards(list(files), loaded.spec.input.shard_bytes)), kinds, tuple(search.notices))


def read(loaded: Loaded, files: InputFiles) -> Data:
    """Read all rows. Raises CurationError C038 for gold that names no class, or where there is no row."""
    mapping = loaded.mapping
    wanted = pa.schema(
        [
            pa.field(theirs, kind, metadata=NESTED if kind == TEXT else None)
            for theirs, kind in {mapping[name]: kind for name, kind in files.kinds.items()}.items()
        ]
    )
    batches, file, row, unreadable = [], [], [], []
    for shard in files.shards:
        for batch in read_batches(shard, wanted):
            batches.append(batch.columns)
            count = batch.columns.num_rows
            file.append(np.full(count, shard.file, np.int32))
            row.append(np.arange(count) + shard.row_start + batch.start)
            bad = np.zeros(count, bool)
            bad[list(batch.faults)] = True
            unreadable.append(bad)
    table = pa.Table.from_batches(batches, wanted)
    if not table.num_rows:
        raise CurationError(_located(loaded, Finding("C038", "the input has no row"), "input", "path"))
    columns = pa.table({name: table[mapping[name]] for name in files.kinds})
    texts = {name: as_text(_whole(columns[name])) for name in loaded.template.columns}
    text = loaded.template.render(texts, len(columns))
    blank = np.concatenate(unreadable)
    empty = np.ones(len(columns), bool)
    for column in texts.values() or [text]:
        empty &= pc.equal(pc.utf8_trim_whitespace(column), "").to_numpy(zero_copy_only=False)
    task = loaded.spec.task
    gold = np.full(len(columns), ABSTAIN, np.int8)
    if task.gold is not None:
        try:
            gold = codes(_whole(columns[task.gold]), task.classes)
        except ValueError as failure:
            finding = Finding("C038", f"gold '{task.gold}': {failure}", "null is for rows whose class is not known")
            raise CurationError(_located(loaded, finding, "task", "gold")) from None
    ids = id_names(_whole(columns["id"])) if "id" in files.kinds else pa.nulls(len(columns), pa.string())
    kept = [name for name in loaded.reads if name in files.kinds]
    made_of = {name: mapping[name] for name in kept}
    identity = fingerprint([files.identity, task.model_dump(), sorted(made_of.items())])
    return Data(
        TaskRows(text, columns.select(kept)),
        gold,
        order_keys(text),
        blank | empty,
        np.concatenate(file),
        np.concatenate(row),
        ids,
        identity,
    )


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays([*column.chunks, pa.array([], column.type)])


def _located(loaded: Loaded, finding: Finding, *path: str | int) -> Finding:
    """The finding at a key, or at the nearest one above it that the text has."""
    while path and loaded.line(*path) is None:
        path = path[:-1]
    line = loaded.line(*path) if path else None
    excerpt = excerpt_of(finding.code, loaded.source.splitlines()[line - 1]) if line is not None else None
    return replace(finding, file=str(loaded.path) if loaded.path else None, line=line, excerpt=excerpt)
