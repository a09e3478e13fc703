"""What is damaged is found, named, set aside and done again; what is whole is left alone."""

from __future__ import annotations

import errno
import re
import shlex
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from lengths import mostly_long, mostly_slow

from curation.manifest.parts import KEY, Manifest, part_name
from pipelines.cli.main import _main
from pipelines.running import verify as verifying
from pipelines.workspace import Workspace
from schemas.errors import CurationError

Light = Callable[..., dict[str, Any]]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def first(root: Path, pattern: str) -> Path:
    return sorted(root.glob(pattern))[0]


@pytest.mark.long
def test_a_whole_workspace_has_nothing_to_say(mine: tuple[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    root = mine[1].root
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    found = Workspace(root).verify()
    assert found.damaged == []
    assert found.files > 60
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    assert _main(["verify", "-w", str(root), "-q", "-f", "csv"]) == 0
    assert capsys.readouterr().out == "file,code,what\n"


PLACES = {
    "a score part": "scores/*/*.parquet",
    "a group's members": "groups/*/members-*.parquet",
    "a group's links": "groups/*/links-*.parquet",
    "decisions": "decisions/*/*.parquet",
    "a dataset": "datasets/*/*/data/*.parquet",
    "a record of scores": "manifest/parts/scores/*.parquet",
    "a record of decisions": "manifest/parts/decisions/*.parquet",
    "a record of a group": "manifest/parts/groups/*.parquet",
    "a record of the run": "manifest/parts/runs/*.parquet",
    "a record of a dataset": "manifest/parts/datasets/*.parquet",
    "a record of shards": "manifest/parts/shards/*.parquet",
    "sketches": "manifest/parts/sketches/*.parquet",
    "the snapshot": "manifest.duckdb",
}


@pytest.mark.parametrize("what", mostly_long(PLACES))
def test_what_is_damaged_is_named_set_aside_and_done_again(
    mine: tuple[str, Any], undisturbed_light: Any, light: Light, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run, held = mine
    root = held.root
    path = first(root, PLACES[what])
    flip(path)
    assert _main(["verify", "-w", str(root), "-q", "-f", "jsonl", "--dry-run"]) == 1
    told = capsys.readouterr()
    assert str(path) in told.out
    assert path.exists()
    assert _main(["verify", "-w", str(root), "-q"]) == 1
    again = Workspace(root).run(light(), executor="local", workers=2)
    assert again.outcome in ("done", "nothing-to-do"), again.failures
    assert again.run == run
    assert Workspace(root).verify().damaged == []
    assert held.decisions(run) == undisturbed_light[0]
    assert held.dataset(run) == undisturbed_light[1]
    held.balance(run)


@pytest.mark.long
@pytest.mark.parametrize("what", ["a group's members", "a group's links", "decisions"])
def test_a_finished_run_mends_what_its_views_read(
    mine: tuple[str, Any], undisturbed_light: Any, light: Light, what: str
) -> None:
    """SQL says: run the recipe again. So that must help, though the dataset is there and nothing is to do."""
    run, held = mine
    flip(first(held.root, PLACES[what]))
    with pytest.raises(CurationError) as refused:
        Workspace(held.root).sql("SELECT * FROM documents JOIN duplicate_pairs ON true", run)
    assert {finding.code for finding in refused.value.findings} == {"R011"}
    again = Workspace(held.root).run(light(), executor="local", workers=2)
    assert (again.outcome, again.run, again.failures) == ("done", run, [])
    assert Workspace(held.root).verify().damaged == []
    assert held.decisions(run) == undisturbed_light[0]
    assert held.dataset(run) == undisturbed_light[1]
    assert Workspace(held.root).run(light(), executor="local", workers=2).outcome == "nothing-to-do"


@pytest.mark.long
def test_the_commands_of_a_hint_can_be_pasted(mine: tuple[str, Any], tmp_path: Path) -> None:
    root = mine[1].root.rename(tmp_path / "my ws")
    flip(first(root, PLACES["decisions"]))
    with pytest.raises(CurationError) as refused:
        Workspace(root).sql("SELECT * FROM documents")
    commands = re.findall("`curate ([^`]+)`", refused.value.findings[0].hint or "")
    assert [command.split()[0] for command in commands] == ["verify", "retry"]
    assert [_main(shlex.split(command)) for command in commands] == [1, 0]
    assert Workspace(root).verify().damaged == []


@pytest.mark.long
def test_a_workspace_that_lost_all_its_runs_is_not_an_empty_one(mine: tuple[str, Any], light: Light) -> None:
    run, held = mine
    for kind in ("runs", "attempts"):
        first(held.root, f"manifest/parts/{kind}/*.parquet").unlink()
    with pytest.raises(CurationError, match=r"C048.*manifest/parts/runs is damaged"):
        Workspace(held.root).sql("SELECT * FROM documents")
    assert Workspace(held.root).run(light(), executor="local", workers=2).run == run
    assert held.decisions(run)


@pytest.mark.long
@pytest.mark.parametrize("what", [name for name in PLACES if name != "the snapshot"])
def test_a_folder_in_a_files_place_is_damage(mine: tuple[str, Any], light: Light, what: str) -> None:
    run, held = mine
    path = first(held.root, PLACES[what])
    path.unlink()
    path.mkdir()
    assert str(path) in [damage.location for damage in Workspace(held.root).verify(dry_run=True).damaged]
    with suppress(CurationError):  # a finding, or an answer where the view does not need the file
        Workspace(held.root).sql("SELECT * FROM documents", run)
    Workspace(held.root).verify()
    assert Workspace(held.root).run(light(), executor="local", workers=2).run == run
    assert Workspace(held.root).verify().damaged == []


def test_a_sector_that_cannot_be_read_is_damage(mine: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    run, held = mine
    bad = first(held.root, PLACES["a record of decisions"])
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path == bad:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(CurationError) as refused:
        Workspace(held.root).sql("SELECT * FROM documents", run)
    assert str(bad) in refused.value.findings[0].message
    assert refused.value.findings[0].code == "C048"


@pytest.fixture(scope="module")
def undisturbed_light(finished: tuple[str, Any]) -> Any:
    run, held = finished
    return held.decisions(run), held.dataset(run)


@pytest.mark.long
def test_a_run_mends_what_it_meets_and_begins_anew_once(
    mine: tuple[str, Any], light: Light, held: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another threshold: another run, that reads the scores of the first. Three parts are damaged, in two stages."""
    root = mine[1].root
    parts = sorted(root.glob("scores/*/*.parquet"))
    for path in (parts[0], parts[len(parts) // 2], parts[-1]):
        flip(path)
    mended = []
    mend_run = verifying.mend_run
    monkeypatch.setattr("pipelines.running.run.mend_run", lambda *given: mended.append(mend_run(*given)) or mended[-1])
    done = Workspace(root).run(light(language=0.6), executor="local", workers=2)
    assert done.outcome == "done", done.failures
    assert [len(found.damaged) for found in mended] == [3]
    Workspace(tmp_path / "fresh").run(light(language=0.6), executor="local", workers=2)
    assert held(root).dataset(done.run) == held(tmp_path / "fresh").dataset(done.run)
    assert held(root).decisions(done.run) == held(tmp_path / "fresh").decisions(done.run)
    assert held(root).doubled() == 0
    assert Workspace(root).verify().damaged == []


@pytest.mark.long
@pytest.mark.parametrize("how", ["cut", "flipped", "gone"])
def test_a_group_whose_pairs_were_swept_is_resolved_anew(
    mine: tuple[str, Any], undisturbed_light: Any, light: Light, how: str
) -> None:
    """Candidate lists of a group that is resolved go with `gc`; the same run makes them again."""
    run, held = mine
    for path in held.root.glob("groups/*/pairs-*"):
        path.unlink()
    shutil.rmtree(held.root / "groups" / "entrants")
    shutil.rmtree(first(held.root, "datasets/*/*"))
    for path in held.root.glob("decisions/*/*.parquet"):
        path.unlink()
    path = first(held.root, "groups/*/members-*.parquet")
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    elif how == "flipped":
        flip(path)
    else:
        path.unlink()
    assert Workspace(held.root).gc().forgotten == [run]
    again = Workspace(held.root).run(light(), executor="local", workers=2)
    assert again.outcome == "done", again.failures
    assert held.decisions(run) == undisturbed_light[0]
    assert held.dataset(run) == undisturbed_light[1]


@pytest.mark.long
@pytest.mark.parametrize("damage", ["cut", "empty"])
def test_a_part_of_a_version_without_hashes_in_names_is_done_again(
    mine: tuple[str, Any], light: Light, damage: str
) -> None:
    root = mine[1].root
    manifest = Manifest(Workspace(root).store)
    for key in manifest.keys("scores"):
        records = manifest.read("scores", [key]).drop_columns([KEY]).to_pylist()
        for record in records:
            old, record["data"] = record["data"], f"{record['data'].rpartition('-')[0]}.parquet"
            (root / old).rename(root / record["data"])
        manifest.store.remove(part_name("scores", key))
        assert manifest.commit("scores", key, records)
    for path in root.glob("scores/*/*.parquet"):
        path.write_bytes(b"" if damage == "empty" else path.read_bytes()[:-20])
    again = Workspace(root).run(light(language=0.6), executor="local", workers=2)
    assert again.outcome == "done", again.failures
    assert len(list(root.glob("damaged/scores/*/*"))) > 20


@pytest.mark.long
def test_what_is_damaged_again_at_once_ends_the_run(
    mine: tuple[str, Any], light: Light, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = mine[1].root
    flip(first(root, "scores/*/*.parquet"))
    monkeypatch.setattr("pipelines.running.run.mend_run", lambda *given: verifying.Verified())
    done = Workspace(root).run(light(language=0.6), executor="local", workers=2)
    assert done.outcome == "failed"
    assert {failure.code for _, failure in done.failures} == {"R011"}


def test_sql_compares_the_hash_that_is_recorded_of_decisions_without_one_in_their_names(mine: tuple[str, Any]) -> None:
    run, held = mine
    manifest = Manifest(Workspace(held.root).store)
    for key in manifest.keys("decisions"):
        [record] = manifest.read("decisions", [key]).drop_columns([KEY]).to_pylist()
        old, record["data"] = record["data"], f"{record['data'].rpartition('-')[0]}.parquet"
        (held.root / old).rename(held.root / record["data"])
        manifest.store.remove(part_name("decisions", key))
        assert manifest.commit("decisions", key, [record])
    assert Workspace(held.root).sql("SELECT count(*) FROM documents", run).num_rows == 1
    path = first(held.root, "decisions/*/*.parquet")
    flip(path)
    with pytest.raises(CurationError, match="R011") as found:
        Workspace(held.root).sql("SELECT count(*) FROM documents", run)
    assert str(path) in found.value.findings[0].message


@pytest.fixture(scope="module")
def today(finished: tuple[str, Any], light: Light, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A second run in a copy of the finished workspace: its id, and where. Not to be written to."""
    root = Path(shutil.copytree(finished[1].root, tmp_path_factory.mktemp("today") / "ws", symlinks=True))
    return Workspace(root).run(light(language=0.6), executor="local", workers=2).run, root


@pytest.mark.long
@pytest.mark.parametrize("kind", mostly_slow(["runs", "decisions", "scores", "attempts", "sketches", "seen"], 2))
def test_a_damaged_record_of_yesterday_stops_nothing_today(
    today: tuple[str, Path], light: Light, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, root = today[0], Path(shutil.copytree(today[1], tmp_path / "ws", symlinks=True))
    yesterday = sorted(root.glob(f"manifest/parts/{kind}/*.parquet"))
    path = next(path for path in yesterday if run not in path.name)
    path.write_bytes(path.read_bytes()[:-9])
    for query in ("SELECT count(*) AS n FROM documents", "SELECT * FROM funnel", "SELECT * FROM statistics"):
        assert _main(["sql", query, "--run", run, "-w", str(root)]) == 0
        assert f"warning[C048]: {path} is damaged" in capsys.readouterr().err or kind == "sketches"
    again = Workspace(root).run(light(language=0.6), executor="local", workers=2)
    assert (again.outcome, again.run) == ("nothing-to-do", run)
    other = Workspace(root).run(light(language=0.7), executor="local", workers=2)
    assert other.outcome == "done", other.failures


@pytest.mark.long
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "renamed"])
def test_a_dataset_is_what_was_written_or_is_told(
    mine: tuple[str, Any], light: Light, damage: str, tmp_path: Path
) -> None:
    run, held = mine
    before = held.dataset(run)
    path = first(held.root, "datasets/*/*/data/*.parquet")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(CurationError, match=r"C049.*train-00000-of-0000.\.parquet has"):
            Workspace(held.root).run(light(), executor="local")
    elif damage == "flipped":
        flip(path)
    elif damage == "renamed":  # as many files, and not the ones that were written
        path.rename(path.with_name("train-0.parquet"))
        with pytest.raises(CurationError, match=r"C049.*train-00000-of-0000.\.parquet is gone"):
            Workspace(held.root).run(light(), executor="local")
    else:
        path.unlink()
        with pytest.raises(CurationError, match="C032"):
            Workspace(held.root).run(light(), executor="local")
    with pytest.raises(CurationError, match="C049") as found:
        verifying.check_dataset(Workspace(held.root).manifest, run, str(path.parents[1].relative_to(held.root)))
    assert str(path) in found.value.findings[0].message
    assert [item.location for item in Workspace(held.root).verify().damaged] == [str(path)]
    again = Workspace(held.root).run(light(), executor="local", workers=2)
    assert (again.outcome, again.scored) == ("done", 0)
    assert held.dataset(run) == before


@pytest.mark.long
@pytest.mark.parametrize("damage", ["flipped", "gone"])
def test_a_fitted_head_is_fitted_again_with_the_same_bytes(
    light: Light, recipe: Light, tmp_path: Path, damage: str
) -> None:
    settings = light()
    stage = {"scorer": "dsir", "target": recipe()["stages"][5]["seeds"], "sample": 60}
    settings["stages"] = [*settings["stages"][:2], stage]
    settings["output"] = {"columns": ["text", "dsir.per_token"]}
    space = Workspace(tmp_path / "ws")
    done = space.run(settings, executor="local", workers=2)
    head = first(tmp_path, "ws/models/*/head.safetensors")
    content = head.read_bytes()
    if damage == "gone":
        head.unlink()
    else:
        flip(head)
    assert [item.location for item in Workspace(tmp_path / "ws").verify(dry_run=True).damaged] == [str(head)]
    again = Workspace(tmp_path / "ws").run(settings, executor="local", workers=2)
    assert (again.run, again.outcome) == (done.run, "nothing-to-do")
    assert head.read_bytes() == content
    card = head.with_name("card.json")
    content = card.read_bytes()
    card.unlink() if damage == "gone" else flip(card)
    assert [item.location for item in Workspace(tmp_path / "ws").verify().damaged] == [str(card)]
    assert card.read_bytes() == content
    assert Workspace(tmp_path / "ws").verify().damaged == []
    shutil.rmtree(tmp_path / "ws")


def test_gc_sets_damaged_records_aside(mine: tuple[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    root = mine[1].root
    path = first(root, "manifest/parts/decisions/*.parquet")
    path.write_bytes(b"")
    assert _main(["gc", "-w", str(root), "--dry-run"]) == 0
    assert f"{path} is damaged; would be set aside" in capsys.readouterr().err
    assert path.exists()
    assert _main(["gc", "-w", str(root)]) == 0
    assert not path.exists()
    assert len(list((root / "damaged").rglob("*.parquet.*"))) == 1


@pytest.mark.long
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_numbers_of_files_outlive_their_records(mine: tuple[str, Any], light: Light, damage: str) -> None:
    run, held = mine
    query = "SELECT doc_id, path, row FROM documents ORDER BY doc_id"
    before = held.workspace.sql(query, run)
    for path in held.root.glob("manifest/parts/files/*.parquet"):
        path.unlink() if damage == "gone" else path.write_bytes(path.read_bytes()[:-9])
    other = Workspace(held.root).run(light(language=0.6), executor="local", workers=2)
    assert other.outcome == "done", other.failures
    assert Workspace(held.root).sql(query, other.run).equals(before)
