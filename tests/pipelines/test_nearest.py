"""Which workspace a command takes that is told none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.main import _main
from pipelines.nearest import default_workspace
from pipelines.workspace import Workspace

RECIPE = "name: web\ninput: {path: crawl}\n"


def workspace(folder: Path) -> Path:
    Workspace(folder).create()
    return folder


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A folder below the test's own that commands are in."""

    def enter(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(folder)
        return folder

    monkeypatch.delenv("CURATION_WORKSPACE", raising=False)
    return enter


def test_the_nearest_upward_is_taken_as_git_takes_its_repository(inside: Any, tmp_path: Path) -> None:
    inside("project/recipes/web")
    assert default_workspace() == "workspace", "none: a run makes one here"
    project = workspace(tmp_path / "project" / "workspace")
    assert default_workspace() == str(project)
    nearer = workspace(tmp_path / "project" / "recipes")
    assert default_workspace() == str(nearer), "a folder that is one"
    workspace(tmp_path / "project/recipes/web/workspace")
    assert default_workspace() == "workspace"
    inside("project/recipes/web/workspace/datasets")
    assert default_workspace() == str(tmp_path / "project/recipes/web/workspace"), "from within"


def test_other_tools_workspaces_and_those_that_anybody_could_have_put_there_are_none(
    inside: Any, tmp_path: Path
) -> None:
    inside("shared/mine")
    (tmp_path / "shared/mine/workspace.json").write_text('{"version": 2, "projects": {}}')
    workspace(tmp_path / "shared/workspace")
    assert default_workspace() == str(tmp_path / "shared/workspace")
    (tmp_path / "shared").chmod(0o777)
    assert default_workspace() == "workspace"


def test_a_recipe_names_its_own(inside: Any, tmp_path: Path) -> None:
    folder = inside("project")
    workspace(folder / "workspace")
    recipe = folder / "web.yaml"
    for named, taken in (
        ("workspace: ../store\n", str(folder / "../store")),
        ("workspace: s3://bucket/ws\n", "s3://bucket/ws"),
        ("workspace: 7\n", "workspace"),
        ("workspace: [\n", "workspace"),
        ("", "workspace"),
    ):
        recipe.write_text(RECIPE + named)
        assert default_workspace(recipe) == taken
    assert default_workspace(folder / "nowhere.yaml") == "workspace"


def test_the_command_line_takes_option_then_environment_then_recipe(
    inside: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = inside("project")
    for name in ("option", "environment"):
        (folder / name).write_text("a file")  # which no workspace can be: the message names it
    (folder / "web.yaml").write_text(RECIPE + "workspace: recipe.md\n")
    (folder / "recipe.md").write_text("a file")

    def refused(*words: str) -> str:
        assert _main([*words]) == 2
        return capsys.readouterr().err.splitlines()[0]

    assert "recipe.md" in refused("plan", "web.yaml")
    monkeypatch.setenv("CURATION_WORKSPACE", "environment")
    assert "environment" in refused("plan", "web.yaml")
    assert "option" in refused("plan", "web.yaml", "-w", "option")


def test_where_one_lies_below_the_refusal_says_so(
    inside: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inside("project")
    assert _main(["status"]) == 2
    assert "make one: curate run RECIPE -w " in capsys.readouterr().err
    workspace(tmp_path / "project/my ws")
    workspace(tmp_path / "project/demo/workspace")
    assert _main(["status"]) == 2
    assert "hint: there is one here: -w demo/workspace or -w 'my ws'" in capsys.readouterr().err


def test_the_key_is_no_part_of_a_run(inside: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = inside("project")
    (folder / "crawl").mkdir()
    (folder / "crawl/a.jsonl").write_text(json.dumps({"text": "one"}) + "\n")
    runs = set()
    for key in ("", "workspace: ws\n"):
        (folder / "web.yaml").write_text(RECIPE + key)
        runs.add(Workspace("elsewhere").plan("web.yaml").run)
    assert len(runs) == 1


@pytest.mark.parametrize("named", ["../else", "{}/else", "link"])
def test_a_recipe_puts_no_workspace_among_other_things_outside_its_folder(
    named: str, inside: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inside("project")
    (tmp_path / "else").mkdir()
    Path("link").symlink_to(tmp_path / "else")
    Path("crawl").mkdir()
    Path("crawl/a.jsonl").write_text('{"text": "some words"}\n')
    Path("r.yaml").write_text(f"{RECIPE}workspace: {named.format(tmp_path)}\n")
    (tmp_path / "else/mine").write_text("mine")
    assert _main(["run", "r.yaml", "-q"]) == 2
    said = capsys.readouterr().err
    assert "error[C030]" in said
    assert str(tmp_path / "else") in said
    assert [path.name for path in (tmp_path / "else").iterdir()] == ["mine"]
    (tmp_path / "else/mine").unlink()
    assert _main(["check", "r.yaml"]) == 0  # an empty folder may become one, and is named first
    first, *_ = capsys.readouterr().err.splitlines()
    assert first.startswith("workspace: ")
    assert "which r.yaml names; -w names another" in first
    Path("r.yaml").write_text(f"{RECIPE}workspace: crawl\n")
    assert _main(["check", "r.yaml", "-w", "crawl"]) == 0
    assert "workspace:" not in capsys.readouterr().err
