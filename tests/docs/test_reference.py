"""The reference has every key, stage, rule, view, code, command and name, and says what each is."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

import curation_engine
from curation import registry
from curation.manifest.views import VIEWS
from curation.rules import PROFILES
from schemas.errors import CODES
from schemas.recipe import FAMILIES, Errors, Input, Output, Recipe, Resources

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))
import generate  # noqa: E402 - docs/ is no package

sys.path.remove(str(ROOT / "docs"))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("reference")
    generate.main(folder)
    return {path.stem: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def section(page: str, title: str) -> str:
    """What stands below a title."""
    [_, found] = re.split(rf"^##+ {re.escape(title)}$", page, maxsplit=1, flags=re.MULTILINE)
    return re.split(r"^##", found, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> dict[str, list[str]]:
    """Rows of a table, by what stands in the first cell."""
    cells = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in text.splitlines() if line[:1] == "|"
    ]
    return {row[0].strip("`"): row[1:] for row in cells[2:]}


def test_every_key_of_a_recipe_is_there_with_its_meaning(pages: dict[str, str]) -> None:
    top = rows(pages["recipe"].partition("## ")[0])
    assert set(top) == set(Recipe.model_fields)
    sections: list[tuple[str, Any]] = [("input", Input), ("output", Output), ("errors", Errors)]
    for name, model in [*sections, ("resources", Resources)]:
        found = rows(section(pages["recipe"], f"`{name}`"))
        assert set(found) == set(model.model_fields)
        top |= {f"{name}.{key}": row for key, row in found.items()}
    assert [key for key, row in top.items() if not row[-1]] == []


def test_every_stage_has_its_settings_and_a_description(pages: dict[str, str]) -> None:
    bare = []
    for family in FAMILIES:
        for kind in registry.BUILTIN[family]:
            found = section(pages["stages"], f"`{family}: {kind}`")
            assert len(found) > 60, kind
            settings = registry.find(family, kind).Settings.model_fields
            table = rows(found) if settings else {}
            assert set(table) == set(settings), kind
            bare += [f"{kind}.{key}" for key, row in table.items() if not row[-1]]
    assert bare == []


def test_every_rule_and_view_is_there(pages: dict[str, str]) -> None:
    for profile in PROFILES:
        assert rows(section(pages["rules"], f"`{profile}`"))
    for view in VIEWS:
        found = section(pages["views"], f"`{view}`")
        assert len(found.partition("|")[0]) > 30, f"schemas/views/{view}.sql begins with what its rows are"
        assert rows(found)


def test_every_command_is_there_with_every_option(pages: dict[str, str]) -> None:
    known = dict(generate.commands())
    assert len(known) > 25
    for words, command in known.items():
        found = section(pages["command-line"], f"`{words}`")
        assert command.help.split()[0] in found
        for item in command.params:
            if not getattr(item, "hidden", False) and item.name != "help":
                assert all(option in found for option in item.opts if option.startswith("-")), (words, item.opts)


def test_every_variable_that_the_code_reads_is_there(pages: dict[str, str]) -> None:
    internal = {"CURATION_FAILPOINTS", "CURATION_PRIVATE_RAY", "CURATION_"}
    layers = ("curation", "workers", "pipelines", "schemas")
    files = [path for layer in layers for path in (ROOT / layer).rglob("*.py")]
    read = {name for path in files for name in re.findall(r"\bCURATION_[A-Z_]*", path.read_text(encoding="utf-8"))}
    assert read - internal <= generate.VARIABLES.keys()
    assert set(rows(section(pages["command-line"], "Environment variables"))) == generate.VARIABLES.keys()


def test_every_public_name_is_there(pages: dict[str, str]) -> None:
    for name in curation_engine.__all__:
        assert len(section(pages["python"], f"`{name}`").strip()) > 5


def test_every_error_code_has_its_section() -> None:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    titles = re.findall(r"^### ([CR]\d{3}) (.+)$", text, flags=re.MULTILINE)
    assert dict(titles) == CODES
