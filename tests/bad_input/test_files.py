"""Files that are not there, cannot be read, lack a column, or change."""

import gzip
import importlib
import json
import os
import sys
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bad_inputs import RULES, TOP, dataset, failure, files, named_files, only, recipe, refused, run, sql, text, write
from lengths import mostly_long

from curation import registry
from curation.manifest.parts import Manifest
from curation.scorers.base import Scorer, Settings
from curation.store import open_store
from pipelines import Workspace

# --- which files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "code", "says"),
    [
        ("absent.parquet", "C020", "'absent.parquet' matches no file"),
        ("*.jsonl", "C020", "'*.jsonl' matches no file"),
        (["a.parquet", "./a.parquet"], "C024", "a.parquet"),
    ],
)
def test_input_that_is_not_there_is_refused_by_name(place, paths, code, says):
    write(place / "a.parquet")
    finding = only(refused(place, paths))
    assert finding.code == code
    assert says in finding.message


def test_a_missing_text_column_names_the_file_and_what_is_there(place):
    write(place / "a.parquet")
    write(place / "b.parquet")
    pq.write_table(pa.table({"body": ["x"], "n": [1]}), place / "c.parquet")
    finding = only(refused(place))
    assert finding.code == "C021"
    assert "'text'" in finding.message
    assert str(place / "c.parquet") in finding.message
    assert "a.parquet" not in finding.message
    assert "body, n" in finding.hint
    finding = only(refused(place, ["a.parquet", "b.parquet"], input={"columns": {"text": "content"}}))
    assert "'content' (for text) is missing in" in finding.message
    assert "1 file more" in finding.message
    assert "text, n" in finding.hint


@pytest.mark.parametrize(
    ("columns", "mapped"),
    [
        ({"text": [1, 2]}, {}),
        ({"text": [["a"], ["b"]]}, {}),
        ({"text": ["a", "b"], "key": [["a"], ["b"]]}, {"id": "key"}),
        ({"text": ["a", "b"], "key": [{"a": 1}, None]}, {"id": "key"}),
    ],
)
def test_a_column_that_cannot_be_what_it_is_mapped_to_is_refused(place, columns, mapped):
    pq.write_table(pa.table(columns), place / "a.parquet")
    finding = only(refused(place, input={"columns": mapped}))
    assert finding.code == "C022"


# --- files that cannot be read -----------------------------------------------------------------------------------


def damage(path):
    """Spoil a data page and leave the footer as it is."""
    data = bytearray(path.read_bytes())
    data[200:240] = b"\x55" * 40
    path.write_bytes(data)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-30])


def empty(path):
    path.write_bytes(b"")


def pack_badly(path):
    path.with_suffix(".jsonl.gz").write_bytes(gzip.compress(json.dumps({"text": text(1)}).encode() * 99)[:-9])
    path.unlink()


@pytest.mark.parametrize("spoil", mostly_long([damage, truncate, empty, pack_badly]))
@pytest.mark.parametrize("stages", [[RULES], [RULES, {"dedup": "exact"}, TOP]], ids=["no barrier", "barriers"])
def test_an_unreadable_file_stops_the_run_after_the_others_were_scored(place, spoil, stages):
    for number, name in enumerate("abc"):
        write(place / f"{name}.parquet", number * 20)
    spoil(place / "b.parquet")
    paths = ["a.parquet", "b.*", "c.parquet"]
    result = run(place, paths, stages)
    path, found = failure(result, "R001")
    assert Path(path).stem.startswith("b")
    assert path in found.message
    scored = {row["row_start"] for row in Manifest(open_store(place / "ws")).read("scores").to_pylist()}
    assert scored == {0}
    assert result.scored == 40
    (error,) = sql(place, "SELECT kind, path, code, message FROM errors WHERE kind = 'shard'")
    assert (error["path"], error["code"], error["message"]) == (path, "R001", found.message)
    assert sql(place, "SELECT status FROM runs") == [{"status": "failed"}]
    assert sql(place, "SELECT * FROM datasets") == []
    # mended, only what is missing is done
    for leftover in place.glob("b.*"):
        leftover.unlink()
    write(place / "b.parquet", 20)
    again = run(place, paths, stages)
    assert (again.outcome, again.scored, again.kept) == ("done", 20, 60)
    assert files(again.folder) == files(run(place, paths, stages, workspace="fresh").folder)


@pytest.mark.parametrize("spoil", [damage, truncate, empty])
@pytest.mark.parametrize("stages", [[RULES], [RULES, {"dedup": "exact"}, TOP]], ids=["no barrier", "barriers"])
def test_skip_makes_the_dataset_without_the_shard_and_the_card_names_it(place, spoil, stages):
    for number, name in enumerate("abc"):
        write(place / f"{name}.parquet", number * 20)
    spoil(place / "b.parquet")
    result = run(place, stages=stages, on_bad_shard="skip")
    assert (result.outcome, result.kept) == ("done", 40)
    assert dataset(result).column("n").to_pylist() == [*range(20), *range(40, 60)]
    card = (result.folder / "README.md").read_text()
    left_out = card.split("## Left out")[1].split("##")[0]
    assert str(place / "b.parquet") in left_out
    assert "a.parquet" not in left_out
    assert sql(place, "SELECT skipped_shards FROM datasets") == [{"skipped_shards": 1}]
    assert run(place, stages=stages, on_bad_shard="skip").outcome == "nothing-to-do"


def test_nothing_readable_at_all_is_a_failure_even_with_skip(place):
    empty(place / "a.parquet")
    empty(place / "b.parquet")
    result = run(place, on_bad_shard="skip")
    assert result.outcome == "failed"
    assert {found.code for _, found in result.failures} == {"R001"}


# --- sources that change -----------------------------------------------------------------------------------------


def test_new_content_is_scored_and_the_old_scores_stay(place):
    write(place / "a.parquet")
    write(place / "b.parquet", 20)
    first = run(place)
    before = {name: (place / "ws" / name).read_bytes() for name in named_files(place)}
    write(place / "b.parquet", 100)
    second = run(place)
    assert (first.scored, second.scored) == (40, 20)
    assert dataset(second).column("n").to_pylist() == [*range(20), *range(100, 120)]
    assert {name: (place / "ws" / name).read_bytes() for name in before} == before
    assert dataset(first).column("n").to_pylist() == list(range(40)), "the earlier dataset is as it was"
    write(place / "b.parquet", 20)
    assert run(place).outcome == "nothing-to-do", "the old content is the old run"


def test_a_touched_file_is_the_same_file(place):
    write(place / "a.parquet")
    first = run(place)
    os.utime(place / "a.parquet", ns=(10**18, 10**18))
    second = run(place)
    assert (second.outcome, second.scored, second.run) == ("nothing-to-do", 0, first.run)


class MeddleSettings(Settings):
    path: str


class Meddle(Scorer):
    """Changes a source file while it scores the first batch."""

    kind = "meddle"
    Settings = MeddleSettings
    fields: ClassVar = [pa.field("length", pa.int64())]
    armed: ClassVar[list[bool]] = []

    def score(self, batch):
        if self.armed:
            self.armed.clear()
            path = Path(self.settings.path)
            if path.stem == "gone":
                path.unlink()
            else:
                write(path, 500)
        lengths = pa.array([len(value.as_py()) for value in batch.column("text")], pa.int64())
        return pa.RecordBatch.from_arrays([lengths], schema=pa.schema(self.fields))


@pytest.fixture
def meddle(monkeypatch):
    # imported anew by its name: the class that the registry finds is the one whose flag is raised
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or importlib.import_module(__name__))
    monkeypatch.setitem(registry.BUILTIN["scorer"], "meddle", f"{__name__}:Meddle")
    return registry.find("scorer", "meddle").armed.append


@pytest.mark.long
@pytest.mark.parametrize("name", ["b.parquet", "gone.parquet"])
@pytest.mark.parametrize("barrier", [False, True])
def test_a_file_that_changes_during_the_run_is_r002_and_its_new_content_counts_next_time(place, meddle, name, barrier):
    write(place / "a.parquet")
    write(place / name, 20)
    # without a barrier it changes under the pass that reads it; with one, between two passes
    stages = [{"scorer": "meddle", "path": str(place / name)}]
    if barrier:
        stages = [RULES, TOP, {"scorer": "meddle", "path": str(place / name)}]
    meddle(True)
    result = Workspace(place / "ws").run(recipe(stages=stages), executor="local", workers=1)
    path, found = failure(result, "R002")
    assert path == str(place / name)
    assert "run again" in found.hint
    assert sql(place, "SELECT path, code FROM errors WHERE kind = 'shard'") == [{"path": path, "code": "R002"}]
    again = run(place, stages=stages)
    assert again.outcome == "done"
    assert dataset(again).column("n").to_pylist() == [*range(20), *(range(500, 520) if name == "b.parquet" else ())]
