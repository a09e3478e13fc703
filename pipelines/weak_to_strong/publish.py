"""The folder of a finished run: labels, students that any recipe can use, report and card. All or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation import parquet
from curation.escape import fenced
from curation.manifest.parts import later
from curation.report.weak_to_strong import card_lines, html, student_card
from curation.store import Store
from curation.store.dataset import file_name
from pipelines.running.latest import point_latest
from pipelines.running.records import new_attempt
from pipelines.weak_to_strong.report import Completed, make_report
from pipelines.weak_to_strong.result import REPORT

STUDENTS = "students"


def publish(done: Completed, file_numbers: dict[int, int]) -> tuple[Any, dict[str, Any]]:
    """Write the folder, then the records that make the run a finished one. Returns its path or URL, and the report."""
    report = make_report(done)
    store, name = done.run.units.store, f"datasets/{done.run.loaded.spec.name}/{done.run.resolved.run}"
    source = fenced(done.run.loaded.source.strip(), "yaml")
    card = "\n".join([*card_lines(report), "", "## Specification", "", *source]) + "\n"
    with _staging(store, done.run.resolved.run) as staging:
        _stage_labels(staging, done, file_numbers)
        for student in report["students"]:
            _stage_student(staging, done, student, report)
        staging.add_text(REPORT, json.dumps(report, indent=1, sort_keys=True, allow_nan=False) + "\n")
        staging.add_text("report.html", html(report))
        store.publish(name, staging.files, lambda: card, staging.mark)
    _record(done, report, name)
    point_latest(store, done.run.loaded.spec.name, done.run.resolved.run)
    return store.location(name), report


class _Staging:
    """Files of the folder that is made, written under names that `curate gc` knows."""

    def __init__(self, store: Store, run: str) -> None:
        self.store = store
        self.mark = new_attempt()
        self.files: dict[str, str] = {}
        """Name in the folder: name in the workspace."""
        self.written: list[str] = []
        self._prefix = f"datasets/.staging-{run}-{self.mark}"

    def add(self, name: str, produce: Callable[[Path], Any]) -> None:
        self.files[name] = f"{self._prefix}-{name.replace('/', '-')}"
        self.written.append(self.files[name])
        self.store.write(self.files[name], produce)

    def add_text(self, name: str, text: str) -> None:
        self.add(name, lambda path: path.write_text(text, encoding="utf-8"))


@contextmanager
def _staging(store: Store, run: str) -> Iterator[_Staging]:
    staging = _Staging(store, run)
    try:
        yield staging
    finally:
        for name in staging.written:
            store.remove(name)


def _stage_labels(staging: _Staging, done: Completed, file_numbers: dict[int, int]) -> None:
    """Labels of the first seed with their documents' ids, and text."""
    run = done.run
    table = done.labels.table(0)
    paths = {shard.file: shard.path for shard in run.resolved.input.shards}
    files = range(max(paths) + 1)
    file = pa.array(run.data.file)
    number = pa.array([file_numbers.get(index, 0) for index in files], pa.int64()).take(file)
    front = {
        "doc_id": pc.bit_wise_or(pc.shift_left(number, 32), pa.array(run.data.row)),
        "path": pa.DictionaryArray.from_arrays(file, pa.array([paths.get(index, "") for index in files])),
    }
    whole = pa.table(front | {name: table[name] for name in table.column_names if name != "file"})
    if run.loaded.spec.output.text:
        whole = whole.append_column("text", run.data.rows.text)
    facts = {"run": run.resolved.run, "seed": "0", "classes": json.dumps(run.classes)}
    whole = whole.replace_schema_metadata({**facts, "temperature": str(done.label_facts[0]["temperature"])})
    size = run.loaded.spec.output.file_rows
    starts = range(0, len(whole), size)
    for index, start in enumerate(starts):
        staging.add(file_name(index, len(starts)), partial(parquet.write, whole.slice(start, size)))


def _stage_student(staging: _Staging, done: Completed, student: dict[str, Any], report: dict[str, Any]) -> None:
    folder = f"{STUDENTS}/{student['name']}"
    for name in done.students.files((student["name"], 0, "weak")):
        staging.files[f"{folder}/{name.rpartition('/')[2].partition('-')[2]}"] = name
    staging.add_text(f"{folder}/README.md", "\n".join(student_card(student, report)) + "\n")


def _record(done: Completed, report: dict[str, Any], path: str) -> None:
    manifest, run = done.run.units.manifest, done.run.resolved.run
    labels = [
        {
            "run": run,
            "seed": seed,
            "data": record["data"],
            "rows": len(done.run.data),
            "temperature": facts["temperature"],
            "facts": record["facts"],
        }
        for seed, (record, facts) in enumerate(zip(done.labels.records, done.label_facts, strict=True))
    ]
    manifest.commit("weak_labels", run, labels)
    manifest.commit("weak_supervisors", run, _supervisors(done, report))
    manifest.commit("weak_results", run, _results(done, report, path))


def _supervisors(done: Completed, report: dict[str, Any]) -> list[dict[str, Any]]:
    run = done.run.resolved.run
    rows: list[dict[str, Any]] = []
    for seed, facts in enumerate(done.label_facts):
        for index, entry in enumerate(report["supervisors"]):
            row = {"run": run, "seed": seed, "supervisor": entry["name"], "kind": entry["kind"]}
            row |= {key: entry[key] for key in ("dependence", "most_dependent_on")} if seed == 0 else {}
            row |= {key: facts[key][index] for key in ("estimated_accuracy", "estimated_error")}
            measured = facts["measured"]["supervisors"][index] if facts["measured"] else {}
            row |= {key: measured.get(key) for key in ("votes", "accuracy", "auc", "ece")}
            rows.append({**row, "status": "ok"})
    by_title = {supervisor.title: supervisor for supervisor in done.run.loaded.supervisors}
    rows += [
        {"run": run, "supervisor": failed.name, "kind": failed.kind, "status": "failed", "message": message}
        for title, message in done.left_out.items()
        if (failed := by_title.get(title)) is not None
    ]
    return rows


def _results(done: Completed, report: dict[str, Any], path: str) -> list[dict[str, Any]]:
    """One row a student; without one, a row for the labels alone."""
    common: dict[str, Any] = {"run": done.run.resolved.run, "name": done.run.loaded.spec.name, "path": path}
    common |= {"created_at": later(done.run.units.manifest.read("weak_results"))}
    weak = (report["labels"].get("accuracy") or {}).get("value")
    rows = []
    for student in report["students"]:
        gap = student["gap"] or {}
        row = {**common, "student": student["name"], "kind": student["kind"], "seeds": student["seeds"]}
        row["weak"] = gap["weak"]["value"] if gap else weak
        for name, column in (("student", "student"), ("ceiling", "ceiling"), ("recovered", "recovered")):
            value = gap.get(name) or (student.get("accuracy") if name == "student" else None) or {}
            row["student_accuracy" if name == "student" else column] = value.get("value")
            row |= {f"{column}_low": value.get("low"), f"{column}_high": value.get("high")}
        row["identifiable"] = bool(gap.get("identifiable"))
        row["reason"] = gap.get("reason") or student["no_gap_because"]
        rows.append(row)
    reason = "no student" if not done.run.loaded.students else "every student failed"
    return rows or [{**common, "weak": weak, "seeds": report["seeds"], "identifiable": False, "reason": reason}]
