"""The folder of a finished run: labels, students that any recipe can use, report and card. All or nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation import parquet
from curation.escape import fenced
from curation.manifest.parts import later
from curation.report.weak_to_strong import card_lines, html, student_card
from curation.store import new_folder, sync
from pipelines.weak_to_strong.plan import REPORT
from pipelines.weak_to_strong.report import report as found
from pipelines.weak_to_strong.run import Invocation

STUDENTS = "students"


def publish(run: Invocation) -> tuple[Path, dict[str, Any]]:
    """Write the folder, then the records that make the run a finished one."""
    report = found(run)
    name = f"datasets/{run.spec.name}/{run.resolved.run}"
    final = run.store.path(name)
    if final.exists():  # of an attempt that was killed before its last record; it would have held the same
        shutil.rmtree(final)
    with new_folder(final) as folder:
        _labels(run, folder)
        for student in report["students"]:
            _student(run, student, folder / STUDENTS / student["name"], report)
        text = json.dumps(report, indent=1, sort_keys=True, allow_nan=False) + "\n"
        (folder / REPORT).write_text(text, encoding="utf-8")
        (folder / "report.html").write_text(html(report), encoding="utf-8")
        card = "\n".join([*card_lines(report), "", "## Specification", "", *fenced(run.loaded.source.strip(), "yaml")])
        (folder / "README.md").write_text(card + "\n", encoding="utf-8")
        for path in folder.rglob("*"):
            sync(path)
    _record(run, report, name)
    return final, report


def _labels(run: Invocation, folder: Path) -> None:
    """Labels of the first seed with their documents' ids, and text."""
    table = parquet.read(run.store.path(run.labels[0]["data"]))
    shards = {shard.file: shard for shard in run.resolved.found.shards}
    numbers = {file: run.numbers[(shard.path, shard.fingerprint)] for file, shard in shards.items()}
    file = run.data.file
    count = max(numbers) + 1
    number = pa.array([numbers.get(place, 0) for place in range(count)], pa.int64()).take(pa.array(file))
    path = pa.DictionaryArray.from_arrays(
        pa.array(file), pa.array([shards[place].path if place in shards else "" for place in range(count)])
    )
    front = {"doc_id": pc.bit_wise_or(pc.shift_left(number, 32), pa.array(run.data.row)), "path": path}
    whole = pa.table(front | {name: table[name] for name in table.column_names if name != "file"})
    if run.spec.output.text:
        whole = whole.append_column("text", run.data.rows.text)
    facts = {"run": run.resolved.run, "seed": "0", "classes": json.dumps(run.classes)}
    whole = whole.replace_schema_metadata(
        {**facts, "temperature": str(json.loads(run.labels[0]["facts"])["temperature"])}
    )
    size = run.spec.output.file_rows
    for place, begin in enumerate(range(0, len(whole), size)):
        parquet.write(whole.slice(begin, size), folder / f"labels-{place:05d}.parquet")


def _student(run: Invocation, student: dict[str, Any], folder: Path, report: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    for name in run.learned[(student["name"], 0, "weak")]["files"]:
        shutil.copyfile(run.store.path(name), folder / name.rpartition("/")[2].partition("-")[2])
    (folder / "README.md").write_text("\n".join(student_card(student, report)) + "\n", encoding="utf-8")


def _record(run: Invocation, report: dict[str, Any], path: str) -> None:
    manifest, key = run.manifest, run.resolved.run
    facts = [json.loads(record["facts"]) for record in run.labels]
    labels = [
        {
            "run": key,
            "seed": seed,
            "data": record["data"],
            "rows": len(run.data),
            "temperature": fact["temperature"],
            "facts": record["facts"],
        }
        for seed, (record, fact) in enumerate(zip(run.labels, facts, strict=True))
    ]
    manifest.commit("weak_labels", key, labels)
    manifest.commit("weak_supervisors", key, _supervisors(run, report, facts))
    manifest.commit("weak_results", key, _results(run, report, path))


def _supervisors(run: Invocation, report: dict[str, Any], facts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for seed, fact in enumerate(facts):
        for place, entry in enumerate(report["supervisors"]):
            row = {"run": run.resolved.run, "seed": seed, "supervisor": entry["name"], "kind": entry["kind"]}
            row |= {key: entry[key] for key in ("dependence", "most_dependent_on")} if seed == 0 else {}
            row |= {key: fact[key][place] for key in ("estimated_accuracy", "estimated_error")}
            measured = fact["measured"]["supervisors"][place] if fact["measured"] else {}
            row |= {key: measured.get(key) for key in ("votes", "accuracy", "auc", "ece")}
            rows.append({**row, "status": "ok"})
    kinds = {f"supervisor '{one.name}'": one for one in run.loaded.supervisors}
    rows += [
        {"run": run.resolved.run, "supervisor": one.name, "kind": one.kind, "status": "failed", "message": message}
        for who, message in run.broken.items()
        if (one := kinds.get(who)) is not None
    ]
    return rows


def _results(run: Invocation, report: dict[str, Any], path: str) -> list[dict[str, Any]]:
    """One row a student; without one, a row for the labels alone."""
    common: dict[str, Any] = {"run": run.resolved.run, "name": run.spec.name, "path": path}
    common |= {"created_at": later(run.manifest.read("weak_results"))}
    weak = (report["labels"].get("accuracy") or {}).get("value")
    rows = []
    for student in report["students"]:
        gap = student["gap"] or {}
        row = {**common, "student": student["name"], "kind": student["kind"], "seeds": student["seeds"]}
        row["weak"] = gap["weak"]["value"] if gap else weak
        for name, column in (("student", "student"), ("ceiling", "ceiling"), ("recovered", "recovered")):
            found = gap.get(name) or (student.get("accuracy") if name == "student" else None) or {}
            row["student_accuracy" if name == "student" else column] = found.get("value")
            row |= {f"{column}_low": found.get("low"), f"{column}_high": found.get("high")}
        row["identifiable"] = bool(gap.get("identifiable"))
        row["reason"] = gap.get("reason") or student["no_gap_because"]
        rows.append(row)
    reason = "no student" if not run.loaded.students else "every student failed"
    return rows or [{**common, "weak": weak, "seeds": report["seeds"], "identifiable": False, "reason": reason}]
