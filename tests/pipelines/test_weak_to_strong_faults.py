"""`curate weak-to-strong` where something goes wrong: supervisors, specifications, splits, kills."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from reviews import FUNCTIONS, reviews, specification, write
from weak_runs import FASTTEXT, HEAD, IMPORTED, files, run, table

from pipelines.running.events import Event
from pipelines.weak_to_strong.spec import parse
from pipelines.workspace import Workspace
from schemas.errors import CurationError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weak")
    write(folder / "reviews.parquet", reviews(600))
    return folder


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_supervisor_that_crashes_or_returns_nan_is_named_and_the_others_go_on(
    folder: Path, tmp_path: Path, curate: Callable[..., Any]
) -> None:
    broken = reviews(600)
    p = broken["p_positive"].to_numpy().copy()
    p[17] = np.nan
    broken = broken.set_column(broken.column_names.index("p_positive"), "p_positive", pa.array(p, from_pandas=False))
    path = write(tmp_path / "reviews.parquet", broken)
    crash = {"name": "f", "class": "positive", "sql": "CAST(text AS INTEGER) > 1"}
    endless = {**FASTTEXT, "id": "endless", "lr": 1e30}
    weak = [FUNCTIONS, IMPORTED, {"supervisor": "functions", "id": "crash", "functions": [crash]}, endless]
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(specification(path, supervisors=weak)))
    ended = curate("weak-to-strong", "run", "spec.yaml", "-w", "ws", cwd=tmp_path)
    assert ended.returncode == 1, ended.stderr
    for said in (
        "supervisor p 0: ValueError: it returned NaN or infinity for 1 of 600 rows",
        "supervisor crash 0: ValueError: function 'f': ConversionException",
        "supervisor endless seed 0 fold 0: the training went to infinity",
    ):
        assert f"failed[R003]: {said}" in ended.stderr
        assert said in (Path(ended.stdout.strip()) / "report.html").read_text().replace("&#x27;", "'")
    workspace = Workspace(tmp_path / "ws")
    rows = workspace.sql("SELECT supervisor, message FROM supervisors WHERE status = 'failed'").to_pylist()
    assert sorted(row["supervisor"] for row in rows) == ["crash", "endless", "p"]
    alone = run(path, tmp_path / "alone", supervisors=[FUNCTIONS])
    good = pa.concat_tables([pq.read_table(found) for found in Path(ended.stdout.strip()).glob("data/*.parquet")])
    assert good.equals(table(alone))
    again = curate("weak-to-strong", "run", "spec.yaml", "-w", "ws", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (1, ended.stdout)


def test_when_every_supervisor_fails_nothing_is_published(folder: Path, tmp_path: Path) -> None:
    crash = {"name": "f", "sql": "'neither'"}
    weak = [{"supervisor": "functions", "functions": [crash]}]
    result = run(folder / "reviews.parquet", tmp_path / "ws", supervisors=weak)
    assert (result.outcome, result.folder) == ("failed", None)
    assert "every supervisor failed" in result.failures[-1][1].message


def test_copies_among_supervisors_stop_the_run(folder: Path, tmp_path: Path) -> None:
    twice = [IMPORTED, {**IMPORTED, "id": "again"}, FUNCTIONS]
    result = run(folder / "reviews.parquet", tmp_path / "ws", supervisors=twice)
    assert result.outcome == "failed"
    [(_, failure)] = result.failures
    assert failure.code == "R009"
    assert "p and again vote alike on every row" in failure.message


def test_everything_that_is_wrong_with_a_specification_is_found_at_once() -> None:
    text = """
name: s
input: {path: x.parquet, columns: {text: text}}
task:
  text: "{title}"
  classes: [bad, good, mixed]
  gold: label
combine: {by: triplet, fold: 3}
splits: {weak: 0.9}
supervisors:
  - supervisor: functoins
  - supervisor: functions
    functions:
      - {name: a, class: good, regex: "("}
      - {name: b, class: neither, sql: x > 1}
  - supervisor: fasttext
    epochs: many
  - {supervisor: imported, column: said}
  - {supervisor: imported, column: said}
students:
  - {student: head, model: package:not-there}
  - {student: encoder, loss: hinge}
"""
    with pytest.raises(CurationError) as caught:
        parse(text)
    found = [(finding.line, finding.code) for finding in caught.value.findings]
    assert (8, "C003") in found
    assert (9, "C012") in found
    assert (11, "C006") in found
    assert (14, "C012") in found
    assert (15, "C012") in found
    assert (17, "C004") in found
    assert (19, "C007") in found
    assert (21, "C013") in found
    assert (22, "C004") in found
    assert next(one for one in caught.value.findings if one.line == 11).hint.startswith("did you mean 'functions'?")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"task": {"classes": ["a", "b"], "text": "{titel}"}}, "C021", "'titel'"),
        ({"task": {"classes": ["a", "b"], "gold": "truth"}}, "C021", "'truth'"),
        ({"task": {"classes": ["a", "b", "c"]}, "combine": {"by": "triplet"}}, "C012", "two classes"),
        ({"task": {"classes": ["negative", "positive"]}}, "C012", "learns from gold"),
        ({"combine": {"by": "em"}, "supervisors": [FASTTEXT]}, "C012", "three supervisors"),
        ({"combine": {"prior": [0.2, 0.3, 0.5]}}, "C012", "one share"),
        ({"supervisors": [{"supervisor": "imported", "column": "nowhere"}]}, "C021", "'nowhere'"),
    ],
)
def test_parts_that_do_not_fit_together(change: dict[str, Any], code: str, says: str) -> None:
    with pytest.raises(CurationError, match=says) as caught:
        parse(specification(Path("x.parquet"), **change))
    assert code in {finding.code for finding in caught.value.findings}


@pytest.mark.parametrize(
    ("columns", "code", "says"),
    [
        ({"gold": "lable"}, "C021", "'lable' .for gold. is missing"),
        ({"gold": "text"}, "C038", "name none of the classes"),
    ],
)
def test_columns_that_do_not_hold_what_is_asked(columns: dict[str, str], code: str, says: str, folder: Path) -> None:
    spec = specification(folder / "reviews.parquet", supervisors=[FUNCTIONS])
    spec["input"]["columns"] |= columns
    workspace = Workspace(folder / "none")
    try:
        result = workspace.weak_to_strong(spec)
        found = [failure for _, failure in result.failures]
    except CurationError as failure:
        found = list(failure.findings)  # type: ignore[arg-type]
    assert [one.code for one in found] == [code]
    assert re.search(says, found[0].message)


# --- frozen, killed, repeated ----------------------------------------------------------------------------------------


def test_splits_stay_as_they_were_drawn_and_a_cluster_that_comes_to_span_two_is_set_aside(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    long = [" ".join(f"w{number}" for number in random.integers(0, 5000, 60)) for _ in range(20)]
    first = reviews(100, seed=3)
    some = first.slice(0, 20).set_column(0, "text", pa.array(long))
    write(tmp_path / "in" / "a.parquet", pa.concat_tables([first, some]))
    weak = {"supervisors": [FUNCTIONS], "seeds": 1, "splits": {"weak": 0.2, "transfer": 0.3, "calibration": 0.1,
            "certification": 0.1, "test": 0.3}}  # fmt: skip
    before = table(run(tmp_path / "in", tmp_path / "ws", **weak))
    split = dict(zip(before["text"].to_pylist(), before["split"].cast(pa.string()).to_pylist(), strict=True))
    one, other = (next(text for text in long if split[text] == name) for name in ("weak", "test"))
    chain = bridge(one.split(), other.split())
    later = first.slice(0, len(chain)).set_column(0, "text", pa.array(chain))
    write(tmp_path / "in" / "b.parquet", pa.concat_tables([reviews(40, seed=8), later]))
    said: list[Event] = []
    result = Workspace(tmp_path / "ws").weak_to_strong(specification(tmp_path / "in", **weak), report=said.append)
    after = table(result)
    now = dict(zip(after["text"].to_pylist(), after["split"].cast(pa.string()).to_pylist(), strict=True))
    aside = {text for text, place in now.items() if place == "quarantined"}
    assert {one, other, *chain} <= aside
    assert all(now[text] == place for text, place in split.items() if text not in aside)
    assert any(f"1 clusters of near-duplicates came to span splits; {len(aside)} rows" in str(event) for event in said)
    assert result.report["splits"][0]["quarantined"] == len(aside)
    row = after["text"].to_pylist().index(one)
    assert after["hard_label"][row].as_py() is None
    assert after["soft_label"][row].as_py() is None


def bridge(one: list[str], other: list[str]) -> list[str]:
    """Texts that turn one into the other a word at a time: each is a near-duplicate of the next."""
    return [" ".join(other[:place] + one[place:]) for place in range(1, len(one))]


@pytest.mark.long
@pytest.mark.parametrize(
    ("point", "hit"),
    [
        pytest.param("before-part", 8, marks=pytest.mark.slow),
        pytest.param("before-rename", 12, marks=pytest.mark.slow),
        pytest.param("after-part", 18, marks=pytest.mark.slow),
        ("before-part", 23),
    ],
)
def test_killed_and_resumed_it_gives_the_same_bytes(
    point: str, hit: int, folder: Path, tmp_path: Path, curate: Callable[..., Any], undisturbed_weak: dict[str, bytes]
) -> None:
    spec = specification(folder / "reviews.parquet", students=[HEAD])
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    (tmp_path / "points").mkdir()
    points = json.dumps({"point": point, "hit": hit, "dir": str(tmp_path / "points")})
    killed = curate("weak-to-strong", "run", "spec.yaml", "-w", "ws", cwd=tmp_path, CURATION_FAILPOINTS=points)
    assert killed.returncode == -9
    assert bool(list((tmp_path / "ws").rglob("report.json"))) == (hit == 23), "the last record makes it a finished run"
    done = len(Workspace(tmp_path / "ws").manifest.keys("weak_units"))
    ended = curate("weak-to-strong", "run", "spec.yaml", "-w", "ws", "-v", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert done > 0
    assert files(Path(ended.stdout.strip())) == undisturbed_weak
    assert Workspace(tmp_path / "ws").gc().bytes["weak_to_strong"] > 0
    again = curate("weak-to-strong", "run", "spec.yaml", "-w", "ws", cwd=tmp_path)
    assert "nothing-to-do" in again.stderr


@pytest.mark.long
def test_stopped_it_commits_the_unit_under_way_and_goes_on_from_there(
    folder: Path, tmp_path: Path, curate: Callable[..., Any]
) -> None:
    """The first supervisor's commit, behind those of files, run, clusters and two splits, takes long."""
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(specification(folder / "reviews.parquet")))
    (tmp_path / "points").mkdir()
    points = {"point": "before-part", "hit": 7, "sleep": 2, "dir": str(tmp_path / "points")}
    command = ("weak-to-strong", "run", "spec.yaml", "-w", "ws", "--workers", "1")
    with subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", *command],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "CURATION_FAILPOINTS": json.dumps(points)},
    ) as process:
        while not (tmp_path / "points/hit-7").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, talk = process.communicate(timeout=60)
    assert process.returncode == 130, talk
    assert "; press again to stop now" in talk
    assert "interrupted · run" in talk
    committed = Workspace(tmp_path / "ws").manifest.read("weak_units").to_pylist()
    assert sorted(unit["kind"] for unit in committed) == ["clusters", "supervisor"]
    ended = curate(*command, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def undisturbed_weak(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files of the same run with one worker, to which nothing happened."""
    root = tmp_path_factory.mktemp("undisturbed")
    text = yaml.safe_dump(specification(folder / "reviews.parquet", students=[HEAD]))
    (root / "spec.yaml").write_text(text)
    result = Workspace(root / "ws").weak_to_strong(root / "spec.yaml", workers=1)
    assert result.outcome == "done", result.failures
    return files(result.folder)
