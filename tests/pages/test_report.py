"""The report that a run writes, that `curate report` writes again, and that a notebook shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from curation.report.card import REPORT
from html_pages import HOSTILE, Read
from pipelines.cli.main import _main
from pipelines.workspace import Workspace
from schemas.errors import CurationError

WORDS = "the quick brown fox is what this sentence is about and it has some words for the gate to count"
LIMIT = 5_000_000


class Made(NamedTuple):
    recipe: dict[str, Any]
    workspace: Workspace
    folder: Path
    told: list[str]


def make(folder: Path, **changes: Any) -> Made:
    """A run over texts that try to be more than text, short ones among them, one of 10 MB and two duplicates."""
    rows = [{"text": f"{text} {WORDS} {number}", "id": f"{text}{number}"} for number, text in enumerate(HOSTILE)]
    rows += [{"text": text, "id": f"short {text}"} for text in HOSTILE]
    rows += [
        {"text": "<b>" * 3_000_000 + WORDS, "id": "long"},
        {"text": WORDS, "id": "one"},
        {"text": WORDS, "id": "two"},
    ]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe: dict[str, Any] = {
        "name": "hostile",
        "input": {"path": str(folder / "in.jsonl"), "columns": {"text": "text", "id": "id"}},
        "stages": [
            {"scorer": "rules", "id": "gopher", "profile": "gopher-quality@datatrove", "keep": "gopher.words >= 15"},
            {"dedup": "exact"},
        ],
        **changes,
    }
    workspace, told = Workspace(folder / "ws"), []
    result = workspace.run(recipe, executor="local", workers=1, report=lambda event: told.append(str(event)))
    assert result.outcome == "done", result.failures
    return Made(recipe, workspace, Path(result.folder), told)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CURATION_REPORT")
        return make(tmp_path_factory.mktemp("hostile"))


def read(path: Path) -> Read:
    return Read(path.read_text(encoding="utf-8"))


def test_a_run_writes_it_beside_the_card_which_links_it(made: Made) -> None:
    page = read(made.folder / REPORT)
    assert f"]({REPORT})" in (made.folder / "README.md").read_text()
    assert page.data["kind"] == "report"
    assert page.data["missing"] == []
    assert [row["stage"] for row in page.data["funnel"]["rows"]] == ["input", "gopher", "exact", "output"]
    assert page.title == f"hostile: report of run {page.data['run']}"
    assert not [line for line in made.told if "warning: the report" in line]


def test_documents_are_data_in_it_whatever_they_hold(made: Made) -> None:
    page = read(made.folder / REPORT)
    assert [given for given, _ in page.scripts] == [{"id": "data", "type": "application/json"}, {}]
    assert page.asked == []
    texts = [
        "".join(piece["text"] for piece in document["pieces"])
        for group in page.data["documents_shown"]["groups"]
        for document in group["documents"]
    ]
    assert any("</script><script>alert(1)" in text for text in texts)
    assert (made.folder / REPORT).stat().st_size < LIMIT


def test_without_a_script_it_is_the_funnel_and_the_reasons(made: Made) -> None:
    page = read(made.folder / REPORT)
    assert {"main", "h1", "table", "noscript"} <= set(page.tags)
    assert "gopher.words >= 15" in page.text
    assert "exact_duplicate" in page.text


def test_what_checks_and_sweeps_a_workspace_leaves_it_alone(made: Made) -> None:
    before = (made.folder / REPORT).read_bytes()
    assert not made.workspace.verify().damaged
    made.workspace.gc()
    assert (made.folder / REPORT).read_bytes() == before
    assert len(made.workspace.dataset()) == made.workspace.result().kept


def test_it_can_be_written_again_and_elsewhere(made: Made, tmp_path: Path) -> None:
    into = tmp_path / "look.html"
    assert made.workspace.write_report("hostile", into) == into
    assert read(into).data["run"] == made.workspace.result().run
    result = made.workspace.result()
    assert result.report().html[:15] == b"<!doctype html>"
    assert result.report()._repr_html_().startswith("<iframe ")
    with pytest.raises(CurationError, match="--into") as refused:
        made.workspace.write_report(None, tmp_path / "no" / "folder.html")
    assert refused.value.findings[0].code == "C004"
    with pytest.raises(CurationError) as unknown:
        Workspace(made.folder.parents[2]).write_report("nobody")
    assert unknown.value.findings[0].code == "C032"


def test_it_is_written_over_no_input_recipe_or_file_of_a_workspace(made: Made, capsys: Any, tmp_path: Path) -> None:
    root = Path(made.workspace.store.root)
    link = tmp_path / "look.html"
    link.symlink_to(root / "workspace.json")
    source = Path(made.workspace.sql("SELECT path FROM shards").column("path")[0].as_py())
    for into in (root / "workspace.json", link, source, tmp_path / "recipe.yaml"):
        before = into.read_bytes() if into.exists() else None
        assert _main(["report", "-w", str(root), "--into", str(into)]) == 2
        assert f"--into {into}" in capsys.readouterr().err.replace("\n", "")
        assert (into.read_bytes() if into.exists() else None) == before


def test_a_run_that_has_nothing_to_do_writes_one_that_is_gone(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CURATION_REPORT")
    (made.folder / REPORT).unlink()
    done = made.workspace.run(made.recipe, executor="local")
    assert (done.outcome, done.report_file) == ("nothing-to-do", made.folder / REPORT)
    first = (made.folder / REPORT).stat().st_mtime_ns
    made.workspace.run(made.recipe, executor="local")
    assert (made.folder / REPORT).stat().st_mtime_ns == first


def test_a_recipe_leaves_it_out_and_the_run_is_the_same(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CURATION_REPORT")
    without = dict(made.recipe, output={"report": False})
    assert made.workspace.run(without, executor="local").run == made.folder.name
    other = Workspace(tmp_path / "ws").run(without, executor="local", workers=1)
    assert (other.run, other.report_file) == (made.folder.name, None)
    assert sorted(path.name for path in Path(other.folder).iterdir()) == ["README.md", "data"]
    assert REPORT not in (Path(other.folder) / "README.md").read_text()


def test_a_report_that_fails_is_a_warning_and_the_run_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise MemoryError("no room")

    monkeypatch.delenv("CURATION_REPORT")
    monkeypatch.setattr("pipelines.charts.report.report_data", fail)
    told = make(tmp_path).told
    [warning] = [line for line in told if "report was not written" in line]
    assert "MemoryError: no room; try again: curate report " in warning
