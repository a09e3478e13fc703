"""Two runs beside each other: nothing that changed is left out, and nothing is said of what did not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.cli.main import _main
from pipelines.results import moved
from pipelines.workspace import Workspace
from schemas.errors import CurationError


def test_documents_that_changed_sides_are_those_of_the_two_runs(strict_and_loose: Any) -> None:
    workspace = strict_and_loose[0]
    found = workspace.diff("strict", "loose")
    kept = [
        {row["doc_id"] for row in workspace.sql("SELECT doc_id FROM documents WHERE kept", run).to_pylist()}
        for run in ("strict", "loose")
    ]
    changes = dict.fromkeys(("dropped → kept", "kept → dropped"), 0)
    for row in found.moved.to_pylist():
        changes[row["change"]] += row["documents"]
        assert len(row["examples"]) == min(3, row["documents"])
    assert changes == {"dropped → kept": len(kept[1] - kept[0]), "kept → dropped": len(kept[0] - kept[1])}
    reasons = {(row["stage"], row["reason"]) for row in found.moved.to_pylist()}
    assert ("language", "language.prob > 0.9 is false") in reasons
    [example, *_] = [row["examples"][0] for row in found.moved.to_pylist() if row["stage"] == "language"]
    outcomes = [workspace.explain(example, run)[0].outcome for run in ("strict", "loose")]
    assert outcomes == ["dropped", "kept"]
    assert (found.inputs.num_rows, found.only_a, found.only_b, found.differ) == (0, 0, 0, True)
    assert "-  keep: gopher.words >= 40" in found.recipe
    assert not any(line.startswith(("+", "-")) and "profile" in line for line in found.recipe)
    funnel = {row["stage"]: row for row in found.funnel.to_pylist()}
    assert [funnel["fine"][name] for name in ("rows_out_a", "rows_out_b")] == [len(side) for side in kept]
    assert funnel["fine"]["more"] == len(kept[1]) - len(kept[0])


@pytest.mark.parametrize("rows", [7, 60])
def test_a_portion_at_a_time_is_the_same(rows: int, strict_and_loose: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = strict_and_loose[0].diff("strict", "loose", examples=5)
    monkeypatch.setattr(moved, "AT_ONCE", rows)
    assert strict_and_loose[0].diff("strict", "loose", examples=5).as_dict() == whole.as_dict()


def test_each_decision_file_of_a_large_file_is_read_for_its_own_portion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moved, "AT_ONCE", 10)
    shards = {
        n: {"file_no": 0, "path": "in", "row_start": 5 * n, "rows": 5, "shard": n, "bundle": None} for n in range(20)
    }
    manifest: Any = SimpleNamespace(store=SimpleNamespace(uri=lambda name: name))

    def decided(*numbers: int) -> Any:
        return SimpleNamespace(decided=[{"shard": n, "data": f"{n}.parquet"} for n in numbers], shards=shards)

    joins = list(moved._joins(manifest, decided(*range(20)), decided(*range(20))))
    assert [re.findall(r"'(\d+)\.parquet', 'in'", join) for join in joins] == [
        [str(2 * n), str(2 * n + 1)] * 2 for n in range(10)
    ]
    assert len(list(moved._joins(manifest, decided(*range(20)), decided(0, 1, 9)))) == 2


def test_a_run_is_no_different_from_itself(strict_and_loose: Any) -> None:
    found = strict_and_loose[0].diff("loose", "latest")
    assert (found.a, found.differ, found.recipe, found.moved.num_rows) == (found.b, False, [], 0)


def test_files_that_came_and_changed_are_said_and_their_documents_go_by_id(tmp_path: Path) -> None:
    data = tmp_path / "in"
    data.mkdir()
    workspace = Workspace(tmp_path / "ws")
    recipe = {
        "name": "web",
        "input": {"path": str(data), "columns": {"id": "id"}},
        "stages": [{"dedup": "exact"}],
        "output": {},
    }

    def write(name: str, *texts: str) -> None:
        rows = [{"id": text.split()[0], "text": text} for text in texts]
        (data / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    write("a.jsonl", "one stays", "two", "three")
    write("gone.jsonl", "four")
    workspace.run(recipe, executor="local", label="before")
    write("a.jsonl", "zero", "one stays", "two", "three")
    (data / "gone.jsonl").unlink()
    write("a0.jsonl", "four", "two")
    workspace.run(recipe, executor="local", label="after")
    found = workspace.diff("before")
    changes = {Path(row["path"]).name: row["change"] for row in found.inputs.to_pylist()}
    assert changes == {"a.jsonl": "changed", "a0.jsonl": "only b", "gone.jsonl": "only a"}
    assert (found.only_a, found.only_b, found.recipe) == (0, 2, []), "zero, and two a second time"
    assert found.moved.num_rows == 0


def test_the_command_exits_as_git_does_and_says_all_of_it_in_json(
    strict_and_loose: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["-w", str(strict_and_loose[0].store.root)]
    assert [
        _main(["diff", "strict", *words, *place]) for words in ([], ["--exit-code"], ["strict", "--exit-code"])
    ] == [
        0,
        1,
        0,
    ]
    said = capsys.readouterr().out
    assert "documents that changed sides:" in said
    assert said.endswith("no difference\n")
    assert _main(["diff", "strict", "loose", "-n", "0", "-f", "json", *place]) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["schema_version"], value["a"]["labels"], value["b"]["labels"]) == (1, ["strict"], ["loose"])
    assert {"recipe", "inputs", "funnel", "moved", "elsewhere"} <= value.keys()
    assert all(row["examples"] == [] for row in value["moved"])


def test_an_unknown_run_is_refused(strict_and_loose: Any) -> None:
    with pytest.raises(CurationError, match="C032"):
        strict_and_loose[0].diff("strict", "zzz")
