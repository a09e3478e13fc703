"""Faults planted in instruction data: one recipe removes every one, for the right reason, and nothing else."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import Workspace
from schemas.errors import CurationError

DOLLY = Path(__file__).parents[2].parent / "shared" / "data" / "dolly_3k.parquet"
LONG = "decontaminate.longest < 13 is false"
EVAL = "A baker has seven trays of twelve buns each and sells five of every tray before noon on a rainy day in spring."
GERMAN = (
    "Der Rat hat am Dienstag beschlossen, drei Millionen Euro für die neue Brücke über den Fluss auszugeben, "
    "und die Arbeiten sollen im Frühjahr beginnen."
)
REFUSALS = ["I'm sorry, but I can't help with that.", "As an AI language model, I have no access to manuals."]
Row = dict[str, Any]


def manual() -> list[Row]:
    """Questions about the Python manual, each answered by one of its paragraphs."""
    rows: list[Row] = []
    seen: set[str] = set()
    for topic, text in topics.items():
        for paragraph in text.split("\n\n"):
            words = " ".join(paragraph.split())
            if re.fullmatch(r"[A-Z][^=>{}\[\]|\\@%<]{120,900}\.", words) and words not in seen:
                seen.add(words)
                rows.append({"q": f"What does the manual say about {topic}, part {len(rows)}?", "i": "", "a": words})
    return rows


def plant(rows: list[Row], each: int) -> list[Row]:
    """The rows, and `each` of every fault made of some of them; `fault` says where and why it should go."""
    draw = np.random.default_rng(0)
    kinds = {
        "no answer": lambda row, n: ({"a": [None, "", " \n"][n % 3]}, ("hygiene", "empty")),
        "refusal": lambda row, n: ({"a": REFUSALS[n % 2]}, ("hygiene", "refusal")),
        "too short": lambda row, n: ({"a": ["...", "One"][n % 2]}, ("hygiene", "too_short")),
        "copied": lambda row, n: ({"a": row["q"]}, ("hygiene", "copied")),
        "in the prompt": lambda row, n: ({"i": f"It says: {row['a']} That is all."}, ("hygiene", "answer_in_prompt")),
        "language": lambda row, n: ({"a": GERMAN + f" ({n})"}, ("hygiene", "language_mismatch")),
        "contaminated": lambda row, n: (
            {"a": f"{row['a']} {EVAL}"},
            ("decontaminate", LONG),
        ),
        "same pair": lambda row, n: ({"q": f" {row['q'].upper()}", "a": row["a"] + "\n"}, ("pair", "exact_duplicate")),
        "near pair": lambda row, n: ({"a": f"{row['a'].rstrip('.')}, it says."}, ("near", "near_duplicate")),
        "same question": lambda row, n: (
            {"q": f" {row['q']}", "a": f"Number {n} says nothing about it, or so it seems to those who read it."},
            ("question", "exact_duplicate"),
        ),
    }
    planted = [{**row, "id": f"clean-{place}", "fault": None} for place, row in enumerate(rows)]
    for place, (name, make) in enumerate(kinds.items()):
        for n, row in enumerate(draw.permutation(len(rows))[place * each : place * each + each]):
            source = rows[int(row)]
            changed, fault = make(source, n)
            unique = {} if name in ("same pair", "near pair", "same question") else {"q": f"{source['q']} {name} {n}"}
            source = {**source, **unique}
            changed = {**changed, "a": source["q"]} if name == "copied" else changed
            planted.append({**source, **changed, "id": f"{name}-{n}", "fault": fault})
    return planted


STRICT = {"min_words": 2, "reject": ["refusal", "too_short", "copied", "answer_in_prompt", "language_mismatch"]}


def recipe(folder: Path, hygiene: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "clean",
        "input": {
            "path": str(folder / "*.parquet"),
            "columns": {"instruction": "q", "input": "i", "output": "a", "id": "id"},
        },
        "stages": [
            {"scorer": "hygiene", **hygiene},
            {
                "scorer": "decontaminate",
                "against": [{"name": "buns", "path": str(folder / "eval.jsonl")}],
                "keep": "decontaminate.longest < 13",
            },
            {"dedup": "exact", "id": "pair", "columns": ["instruction", "output"]},
            {"dedup": "minhash", "id": "near", "columns": ["instruction", "output"], "survivor": "first"},
            {"dedup": "exact", "id": "question", "columns": ["instruction"]},
        ],
    }


def removed(folder: Path, rows: list[Row], **hygiene: Any) -> tuple[Workspace, dict[str, tuple[str, str]]]:
    """Of each dropped row the stage and the reason; rows in three files, the planted ones last."""
    (folder / "eval.jsonl").write_text(json.dumps({"question": EVAL}) + "\n")
    third = -(-len(rows) // 3)
    for part in range(3):
        table = pa.Table.from_pylist(rows[part * third : part * third + third])
        pq.write_table(table.select(["q", "i", "a", "id"]), folder / f"{part}.parquet")
    workspace = Workspace(folder / "ws")
    result = workspace.run(recipe(folder, hygiene), executor="local", workers=2)
    assert result.outcome == "done", result.failures
    assert (result.rows, result.errored) == (len(rows), 0)
    drops = workspace.sql("SELECT id, stage, rule AS reason FROM drops").to_pylist()
    assert len(drops) == result.dropped == result.rows - result.kept
    return workspace, {row["id"]: (row["stage"], row["reason"]) for row in drops}


def test_every_planted_fault_is_removed_for_its_reason_and_nothing_else(tmp_path: Path) -> None:
    clean = manual()[:270]
    assert len(clean) == 270
    rows = plant(clean, 3)
    assert sum(row["fault"] is not None for row in rows) == len(rows) / 10
    workspace, found = removed(tmp_path, rows, **STRICT)
    assert found == {row["id"]: row["fault"] for row in rows if row["fault"] is not None}  # precision and recall 1
    funnel = {row["stage"]: row["dropped"] for row in workspace.funnel().to_pylist()}
    assert funnel == {"input": 0, "hygiene": 18, "decontaminate": 3, "pair": 3, "near": 3, "question": 3}


@pytest.mark.long
@pytest.mark.skipif(not DOLLY.exists(), reason="the shared data is not there")
def test_among_peoples_answers_the_defaults_find_most_faults_and_some_that_nobody_planted(tmp_path: Path) -> None:
    table = pq.read_table(DOLLY, columns=["instruction", "input", "output"]).rename_columns(["q", "i", "a"])
    measured = ("too short", "in the prompt")  # one-word answers, and copies of a given text, pass by default
    rows = [row for row in plant(table.slice(0, 2160).to_pylist(), 30) if not row["id"].startswith(measured)]
    faults = {row["id"] for row in rows if row["fault"] is not None}
    assert len(faults) == len(rows) / 10 == 240
    _, found = removed(tmp_path, rows)
    assert Counter(name.rpartition("-")[0] for name in faults - found.keys()) == {"language": 4}  # recall 236 / 240
    assert Counter(found[name] for name in found.keys() - faults) == {  # precision 236 / 253
        ("question", "exact_duplicate"): 9,
        ("hygiene", "language_mismatch"): 5,
        ("pair", "exact_duplicate"): 2,
        ("hygiene", "refusal"): 1,
    }


@pytest.mark.long
def test_an_answer_without_an_end_is_kept_and_marked(tmp_path: Path) -> None:
    rows = [{"q": "What is it?", "i": "", "a": "It is the middle of a", "id": "cut"}]
    workspace, found = removed(tmp_path, [*rows, *({**rows[0], "q": f"{n}?", "id": str(n)} for n in "ab")])
    assert {name: reason for name, reason in found.items() if name == "cut"} == {}
    assert workspace.sql("SELECT hygiene.cut_off AS cut FROM documents WHERE id = 'cut'").to_pylist() == [{"cut": True}]


def test_a_stage_of_answers_on_plain_text_says_which_columns_it_lacks(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "in.parquet")
    settings = {"name": "r", "input": {"path": str(tmp_path / "in.parquet")}, "stages": [{"scorer": "hygiene"}]}
    with pytest.raises(CurationError) as caught:
        Workspace(tmp_path / "ws").run(settings, executor="local")
    assert {finding.code for finding in caught.value.findings} == {"C021"}


@pytest.mark.long
def test_what_a_language_model_cannot_score_has_a_status_and_is_counted_never_zero(
    smollm2: Path, tmp_path: Path
) -> None:
    answer = "The ferry leaves the harbour at seven in the morning."
    rows = {
        "fine": ("When does it leave?", answer, "ok"),
        "null": ("When does it leave?", None, "empty"),
        "blank": ("When does it leave?", " \n", "empty"),
        "one token": ("When does it leave?", "seven", "too_short"),
        "no room": ("Tell me a long story. " * 30, answer, "no_target_tokens"),
        "no room for enough": ("story " * 58, answer, "too_long"),
    }
    table = {"q": [q for q, _, _ in rows.values()], "a": [a for _, a, _ in rows.values()], "id": list(rows)}
    pq.write_table(pa.table(table), tmp_path / "in.parquet")
    stage = {"scorer": "ifd", "model": f"path:{smollm2}", "max_tokens": 64, "pack": 512, "keep": "ifd.ifd_ppl < 9"}
    columns = {"instruction": "q", "output": "a", "id": "id"}
    workspace = Workspace(tmp_path / "ws")
    recipe = {"name": "r", "input": {"path": str(tmp_path / "in.parquet"), "columns": columns}, "stages": [stage]}
    result = workspace.run(recipe, executor="local", workers=1)
    assert (result.kept, result.dropped, result.errored) == (1, 5, 0), result.failures
    found = {row["id"]: row["ifd"] for row in workspace.sql("SELECT id, ifd FROM documents").to_pylist()}
    assert {name: struct["status"] for name, struct in found.items()} == {name: row[2] for name, row in rows.items()}
    for struct in found.values():
        numbers = [value for name, value in struct.items() if name != "status"]
        assert (None in numbers) == (struct["status"] != "ok")
        assert struct["status"] == "ok" or set(numbers) == {None}
    drops = workspace.sql("SELECT reason, count(*) AS n FROM drops GROUP BY 1").to_pylist()
    assert {row["reason"]: row["n"] for row in drops} == Counter(row[2] for row in rows.values() if row[2] != "ok")
    shown = {row["stage"]: (row["rows_in"], row["dropped"]) for row in workspace.funnel().to_pylist()}
    assert shown["ifd"] == (6, 5)
