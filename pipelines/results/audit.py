"""Is the recipe right? A stratified sample of a run's documents goes out to be labelled, and labels come back in.

What the labels say, `curation.report.audit` computes. The sample is in the manifest with the sizes of its strata, so
that no weight depends on a file that went through a spreadsheet.

Longer than most files: drawing, labelling and reading back share the strata and the forms of their rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import parquet
from curation.manifest.parts import Manifest, later
from curation.reasons import rules_of
from curation.report.audit import Measure, Stratum, allocate, cut, measures
from pipelines.results.audit_csv import exists, given_labels, read_rows, refused, write
from pipelines.results.labels import GOOD, give, labels_of
from schemas.documents import INPUT
from schemas.errors import CurationError, Finding, command
from schemas.manifest import SHARD

if TYPE_CHECKING:
    from curation.plan import Plan

SALT = int.from_bytes(b"audit")
"""Keeps the sample apart from others by the same hash: documents that a stage was fitted on would flatter it."""
PARTS = ("prompt", "output", "rejected")
"""Of rows in a format: what stands beside `text`, where the format has it."""
Answer = Literal["good", "bad", "unsure", "skip", "quit"]


@dataclass(frozen=True)
class Sample:
    """What was sampled of which strata, and what was left out."""

    audit: str
    """Names it: run, rows, seed."""
    run: str
    strata: list[Stratum]
    errored: int
    blank: int
    """Rows without text: none of them can be good, so there is nothing to label."""
    copies: int
    """Dropped by a dedup: a good copy that goes is no loss, since the one that stands for it is sampled as itself."""

    @property
    def left_out(self) -> str:
        """Said of the documents of the run that are in no stratum."""
        found = f"{self.errored:,} documents that errored, {self.blank:,} rows without text"
        return f"left out: {found}, {self.copies:,} copies of other documents"


@dataclass(frozen=True)
class Report:
    """What the labels of a sample say about the recipe."""

    sample: Sample
    measures: list[Measure]
    relabelled: int
    """Documents that were labelled otherwise before; their latest label counts."""
    unsure: int = 0
    """Documents that somebody has looked at and could not tell: they count as without a label."""

    def table(self) -> pa.Table:
        """One row a measure: `estimate` is null where a stratum without labels could move it."""
        columns = ("name", "stage", "reason", "estimate", "low", "high", "good", "labelled", "documents")
        kinds = [pa.string()] * 3 + [pa.float64()] * 3 + [pa.int64()] * 3
        schema = pa.schema(zip(("measure", *columns[1:]), kinds, strict=True))
        rows = [[getattr(item, name) for name in columns] for item in self.measures]
        return pa.table([list(column) for column in zip(*rows, strict=True)], schema=schema)

    def lines(self) -> list[str]:
        """What the table does not say."""
        strata = self.sample.strata
        labelled, sampled = (sum(getattr(item, name) for item in strata) for name in ("labelled", "sampled"))
        lines = [f"audit {self.sample.audit}: {labelled:,} of {sampled:,} sampled documents have a label"]
        if self.unsure:
            lines.append(f"{self.unsure:,} were looked at and left as unsure; they count as without a label")
        if self.relabelled:
            lines.append(f"{self.relabelled:,} were labelled otherwise before; the latest label counts")
        unlabelled = [f"{item.name} ({item.size:,} documents)" for item in strata if not item.labelled]
        if unlabelled:
            recall = next(item for item in self.measures if item.name == "recall")
            lines.append(f"no label yet in {'; '.join(unlabelled)}")
            lines.append(
                f"so recall may be anything from {recall.least:.3f} to {recall.most:.3f}; its interval allows for both"
            )
        lines.append(self.sample.left_out)
        lines.append(
            "95 % intervals: Clopper-Pearson for finite populations within a stratum, melded from them over strata"
        )
        return lines


@dataclass(frozen=True)
class Taken:
    """What a file of labels held."""

    audit: str
    run: str
    new: int
    changed: int
    same: int
    blank: int


def sample(manifest: Manifest, run: str | None, rows: int, seed: int, into: Path | None) -> Sample:
    """Choose `rows` documents of a decided run by hash, commit them, and write them to `into` for labelling.

    The same documents each time; errors, rows without text and copies are in no stratum. Raises C041 for a run that is
    not decided or too few rows, C037 where `into` exists, R002 where a source file has changed.
    """
    from pipelines.planning.resolve import resolve_recorded

    if into is not None and into.exists():
        raise exists(into)
    chosen = _run(manifest, run)
    plan = resolve_recorded(manifest, chosen)
    decided = _decisions(manifest, chosen)
    kept, reasons, *left_out = _counted(manifest, chosen, decided)
    if not kept and not reasons:
        raise CurationError(Finding("C041", f"run {chosen} has no document that could be labelled"))
    order = {stage.id: number for number, stage in enumerate(plan.stages)}
    keys = sorted(reasons, key=lambda key: (order[key[0]], -reasons[key], key[1]))
    merged = cut(reasons, rows - min(kept, rows // 2))
    sizes: Counter[tuple[str | None, str | None]] = Counter({(None, None): kept} if kept else {})
    for key in keys:
        sizes[(key[0], merged[key])] += reasons[key]
    dropped = [size for (stage, _), size in sizes.items() if stage is not None]
    try:
        of_kept, of_dropped = allocate(kept, dropped, rows)
    except ValueError as failure:
        raise CurationError(Finding("C041", f"{rows} rows are too few: {failure}", "raise --rows")) from failure
    counts = [of_kept, *of_dropped] if kept else of_dropped
    strata = [Stratum(*key, size, count) for (key, size), count in zip(sizes.items(), counts, strict=True)]
    places = {key: number for number, key in enumerate(sizes)}
    codes = {_name(*key): places[(key[0], merged[key])] for key in keys} | ({_name(None, None): 0} if kept else {})
    drawn = _draw(manifest, plan, decided, codes, np.array(counts, dtype=np.int64), seed)
    audit = f"{chosen}-{rows}-{seed}"
    moment = later(manifest.read("audits"))
    records = [
        {
            "audit": audit, "run": chosen, "place": number, "doc_id": doc_id, "stage": stratum.stage,
            "reason": stratum.reason, "size": stratum.size, "sampled": stratum.sampled, "created_at": moment,
        }
        for number, (doc_id, stratum) in enumerate((doc_id, strata[index]) for doc_id, index in drawn)
    ]  # fmt: skip
    texts = _documents(manifest, plan, [doc_id for doc_id, _ in drawn]) if into is not None else None
    manifest.commit("audits", audit, records)
    if into is not None and texts is not None:
        write(into, audit, texts)
    return Sample(audit, chosen, strata, *left_out)


def label(manifest: Manifest, run: str | None, ask: Callable[[dict[str, Any], int], Answer]) -> Report:
    """Ask for a label of each document of the run's latest sample that has none, in the sample's order.

    `ask` is given the document (doc_id, path, row, text, and of a format its parts; nothing of what became of it) and
    how many are left. Each answer is committed as it comes; "quit" ends.
    """
    from pipelines.planning.resolve import resolve_recorded

    records = _latest(manifest, run)
    chosen = records[0]["run"]
    before = labels_of(manifest, chosen)
    todo = [record["doc_id"] for record in records if record["doc_id"] not in before]
    documents = _documents(manifest, resolve_recorded(manifest, chosen), todo).to_pylist() if todo else []
    for place, document in enumerate(documents):
        answer = ask(document, len(todo) - place)
        if answer == "quit":
            break
        if answer != "skip":
            give(manifest, chosen, [(document["doc_id"], GOOD[answer], None)])
    return report(manifest, chosen, records[0]["audit"])


def read(manifest: Manifest, path: Path, run: str | None) -> Taken:
    """Commit the labels in a file that `sample` wrote. Those that are known already count as `same`.

    Raises C041 with the lines where a label is none, a document was not sampled or is labelled twice and differently,
    and for an audit that is not this workspace's or not of `run`. Then nothing of the file is taken.
    """
    lines = list(read_rows(path))
    named = sorted({row.get("audit", "") for _, row in lines})
    recorded = manifest.where("audits", audit=named[0]).to_pylist() if len(named) == 1 else []
    if not recorded:
        what = "holds no audit" if not named else f"is of {' and '.join(map(repr, named[:3]))}, not of one audit here"
        raise refused(path, f"{path} {what}", "read the file that `curate audit sample` wrote for this workspace")
    chosen = recorded[0]["run"]
    if run is not None and _run(manifest, run) != chosen:
        raise refused(path, f"{path} is of run {chosen}, not of {run}", "leave --run out, or read the other file")
    # spreadsheets write long numbers as 4.29E+11, so documents can be named by path and row as well
    doc_ids = [record["doc_id"] for record in recorded]
    placed = zip(_places(manifest, doc_ids), doc_ids, strict=True)
    names = {str(doc_id): doc_id for doc_id in doc_ids} | {f"{place}#{row}": doc_id for (place, row), doc_id in placed}
    given, blank = given_labels(path, lines, names)
    before = labels_of(manifest, chosen)
    fresh = {doc: value for doc, value in given.items() if doc not in before}
    other = {doc: value for doc, value in given.items() if doc in before and before[doc].good != value[0]}
    noted = {doc: value for doc, value in given.items() if doc in before and value[1] not in (None, before[doc].note)}
    if fresh or other or noted:
        give(manifest, chosen, [(doc, *value) for doc, value in (fresh | other | noted).items()])
    return Taken(named[0], chosen, len(fresh), len(other), len(given) - len(fresh) - len(other), blank)


def report(manifest: Manifest, run: str | None, audit: str | None = None) -> Report:
    """What the labels of a run say: of its latest sample, or of `audit`. Raises C032 where nothing was sampled."""
    records = _latest(manifest, run, audit)
    chosen = records[0]["run"]
    labels = labels_of(manifest, chosen)
    answers_of: dict[tuple[str | None, str | None, int, int], list[bool]] = {}
    for record in records:
        key = (record["stage"], record["reason"], record["size"], record["sampled"])
        answers = answers_of.setdefault(key, [])
        label = labels.get(record["doc_id"])
        answers += [label.good] if label is not None and label.good is not None else []
    order = {row["stage"]: row["position"] for row in manifest.where("stages", run=chosen).to_pylist()}
    order_of = {
        stratum: (order.get(stratum[0] or "", -1), stratum[1] is None, -stratum[2], stratum[1])
        for stratum in answers_of
    }
    sizes = sorted(answers_of, key=lambda stratum: order_of[stratum])
    strata = [Stratum(*key, labelled=len(answers_of[key]), good=sum(answers_of[key])) for key in sizes]
    _, _, *left_out = _counted(manifest, chosen, _decisions(manifest, chosen))
    given = [labels[record["doc_id"]] for record in records if record["doc_id"] in labels]
    relabelled, unsure = sum(item.relabelled for item in given), sum(item.good is None for item in given)
    return Report(Sample(records[0]["audit"], chosen, strata, *left_out), measures(strata), relabelled, unsure)


# --- what a run decided --------------------------------------------------------------------------------------------


def _run(manifest: Manifest, run: str | None) -> str:
    from curation.manifest.runs import choose_run

    chosen = choose_run(manifest, run)
    if chosen is None:
        start = command("run RECIPE", manifest.store.root)
        raise CurationError(Finding("C032", "nothing was run here yet", f"start: {start}"))
    return chosen


def _decisions(manifest: Manifest, run: str) -> list[dict[str, Any]]:
    """The run's decision records in the order of its shards. Raises C041 unless every good shard has one."""
    shards = {row["shard"]: row for row in manifest.where("shards", run=run).to_pylist()}
    decided = manifest.where("decisions", run=run).sort_by("shard").to_pylist()
    waiting = {place for place, row in shards.items() if row["error"] is None} - {row["shard"] for row in decided}
    if waiting or not decided:
        hint = f"finish it first: {command(f'retry {run}', manifest.store.root)}"
        raise CurationError(Finding("C041", f"run {run} is not decided to its end, so its strata may change", hint))
    return [
        {
            **row,
            "path": shards[row["shard"]]["path"],
            "file_no": shards[row["shard"]]["file_no"],
            "bundled": shards[row["shard"]]["bundle"] is not None,
        }
        for row in decided
    ]


def _counted(
    manifest: Manifest, run: str, decided: list[dict[str, Any]]
) -> tuple[int, dict[tuple[str, str], int], int, int, int]:
    """Documents kept, dropped by (stage, reason), errored, without text, and copies."""
    dedups = {row["stage"] for row in manifest.where("stages", run=run, family="dedup").to_pylist()}
    reasons: Counter[tuple[str, str]] = Counter()
    for entry in (entry for record in decided for entry in record["tally"] if entry["outcome"] == "dropped"):
        reasons[(entry["stage"], entry["reason"] or "")] += entry["rows"]
    blank = sum(reasons.pop(key) for key in list(reasons) if key[0] == INPUT)
    copies = sum(reasons.pop(key) for key in list(reasons) if key[0] in dedups)
    kept, errored = (sum(row[name] for row in decided) for name in ("kept", "errored"))
    return kept, dict(reasons), errored, blank, copies


def _name(stage: str | None, reason: str | None) -> str:
    return f"{stage or ''}\0{reason or ''}"


def _draw(
    manifest: Manifest,
    plan: Plan,
    decided: list[dict[str, Any]],
    codes: dict[str, int],
    counts: np.ndarray,
    seed: int,
) -> list[tuple[int, int]]:
    """doc_id and stratum of the `counts` (int64 [strata]) documents of lowest hash in each stratum.

    In the order of another hash: by the first one, strata of which little is taken would come first, and the order
    would tell outcomes.
    """
    from curation.sources import hash_rows, scramble

    files = {shard.path: shard for shard in plan.shards if shard.row_start == 0}
    names = pa.array(codes, pa.string())
    numbers = np.array(list(codes.values()), dtype=np.int64)
    key = np.zeros(0, dtype=np.uint64)
    stratum, shard, row = np.zeros((3, 0), dtype=np.int64)
    opened = ""
    for index, record in enumerate(decided):
        if record["path"] not in files:
            raise _gone(record["path"], record["run"])
        columns = ["row", "outcome", "dropped_by", "reason", *([SHARD] if record["bundled"] else [])]
        if record["data"] != opened:  # that of a bundle is many shards'
            with manifest.store.reading(record["data"]) as source:
                every = parquet.read(source, columns=columns)
            opened = record["data"]
        of_shard = pc.equal(every.column(SHARD), record["shard"]) if record["bundled"] else None
        table = every if of_shard is None else every.filter(of_shard)
        table = table.filter(pc.not_equal(table.column("outcome"), "errored"))
        ends = [pc.fill_null(column, "") for column in (table.column("dropped_by"), rules_of(table.column("reason")))]
        stratum_of_name = pc.index_in(pc.binary_join_element_wise(*ends, "\0"), names)
        table = table.filter(stratum_of_name.is_valid())
        rows_of_shard = table.column("row").to_numpy()
        key = np.append(key, scramble(hash_rows(files[record["path"]], rows_of_shard), SALT + seed))
        stratum = np.append(stratum, numbers[stratum_of_name.drop_null().to_numpy()])
        shard = np.append(shard, np.full(len(rows_of_shard), index))
        row = np.append(row, rows_of_shard)
        order = np.lexsort((row, shard, key, stratum))
        start = np.searchsorted(stratum[order], np.arange(len(counts)))
        best = order[np.arange(len(order)) - start[stratum[order]] < counts[stratum[order]]]
        key, stratum, shard, row = key[best], stratum[best], shard[best], row[best]
    order = np.lexsort((row, shard, scramble(key, SALT)))
    return [(decided[shard[index]]["file_no"] << 32 | int(row[index]), int(stratum[index])) for index in order]


# --- documents -----------------------------------------------------------------------------------------------------


def _places(manifest: Manifest, doc_ids: list[int]) -> list[tuple[str, int]]:
    paths = {row["file_no"]: row["path"] for row in manifest.read("files").to_pylist()}
    return [(paths[doc_id >> 32], doc_id & 0xFFFFFFFF) for doc_id in doc_ids]


def _documents(manifest: Manifest, plan: Plan, doc_ids: list[int]) -> pa.Table:
    """doc_id, path, row, `text` as the output would have it, and of a format its PARTS, in the order of `doc_ids`.

    Transforms are run again, since a document that was dropped before one was never edited by it: it would be judged by
    lines that the output does not have, and be known by them.
    """
    from curation.flow.documents import edited_anew, source_rows, wanted_columns
    from curation.flow.objects import scorer_object

    transforms = [scorer_object(stage.steps[-1]) for stage in plan.stages if stage.family == "transform"]
    has = plan.columns.names if plan.columns.format is not None else []
    shown = ["text", *(name for name in PARTS if name in has)]
    names = sorted({*shown, *(name for transform in transforms for name in transform.all_reads())})
    numbers = {name for step in plan.steps() for name in step.numbers}
    places = _places(manifest, doc_ids)
    missing = {path for path, _ in places} - {shard.path for shard in plan.shards}
    if missing:
        raise _gone(min(missing), plan.run)
    wanted: dict[str, list[int]] = {}
    for path, row in sorted(places):
        wanted.setdefault(path, []).append(row)
    pieces, origins = [], []
    for shard in plan.shards:
        rows = np.array(wanted.get(shard.path, []), dtype=np.int64) - shard.row_start
        rows = rows[(rows >= 0) & (rows < shard.rows)]
        for read in source_rows(shard, rows, plan.columns, wanted_columns(plan, names)) if len(rows) else ():
            pieces.append(read.batch(names, numbers))
            origins += [(shard.path, int(row)) for row in read.rows + shard.row_start]
    [documents] = pa.Table.from_batches(pieces).combine_chunks().to_batches()
    for transform in transforms:
        documents = edited_anew(transform, documents)
    at = {place: number for number, place in enumerate(origins)}
    documents = documents.select(shown).take(pa.array([at[place] for place in places]))
    paths, rows_in_file = zip(*places, strict=True)
    keys = {"doc_id": pa.array(doc_ids), "path": pa.array(paths), "row": pa.array(rows_in_file)}
    return pa.table({**keys, **{name: documents.column(name) for name in shown}})


def _gone(path: str, run: str) -> CurationError:
    return CurationError(Finding("R002", f"{path} is gone since run {run}", "its text can no longer be shown", path))


# --- the manifest --------------------------------------------------------------------------------------------------


def _latest(manifest: Manifest, run: str | None, audit: str | None = None) -> list[dict[str, Any]]:
    """Records of the audit, or of the one that was sampled last of the run, in its order."""
    chosen = _run(manifest, run)
    records = manifest.where("audits", run=chosen).to_pylist()
    if not records:
        begin = command(f"audit sample --run {chosen}", manifest.store.root)
        raise CurationError(Finding("C032", f"run {chosen} has no audit", f"begin: {begin}"))
    audit = audit or max(records, key=lambda record: (record["created_at"], record["audit"]))["audit"]
    return sorted((record for record in records if record["audit"] == audit), key=lambda record: record["place"])
