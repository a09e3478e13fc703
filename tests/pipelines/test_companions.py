"""What travels with a recipe to a cluster: companions in their places, and code that registers stages."""

from __future__ import annotations

import re
from importlib.metadata import distributions
from pathlib import Path

import pytest
from projects import PROJECT, Project

from curation_engine_start import PACKAGES
from pipelines.recipe import bundle
from pipelines.recipe.load import load
from schemas.errors import CurationError

STAGES = """
  - {scorer: fasttext, seeds: seeds.jsonl}
  - {scorer: takedown, urls: [b/bad.txt, ../lists/words.txt]}
  - {scorer: takedown, id: elsewhere, urls: %s}
  - {scorer: token-count, tokenizer: path:model}
"""


def companions(folder: Path) -> Path:
    """A recipe that names files beside it, above it and elsewhere; returns its path."""
    here = folder / "a" / "recipes"
    names = ("seeds.jsonl", "other.jsonl", "b/bad.txt", "model/config.json", "model/.gitignore", "../lists/words.txt")
    for name in names:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text('{"text": "a"}\n')
    away = folder / "away.txt"
    away.write_text("")
    (here / "recipe.yaml").write_text(f"name: plain\ninput: {{path: other.jsonl}}\nstages:{STAGES % away}")
    return here / "recipe.yaml"


def test_companions_keep_their_places_and_nothing_else_of_the_folder_travels(tmp_path: Path) -> None:
    made = bundle.make(load(companions(tmp_path)), tmp_path / "into", ())
    root = made.folder / bundle.FILES
    assert {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()} == {
        "recipes/recipe.yaml",
        "recipes/seeds.jsonl",
        "recipes/b/bad.txt",
        "recipes/model/config.json",
        "lists/words.txt",
    }
    assert made.recipe == "recipe-files/recipes/recipe.yaml"
    assert {path.name for path in made.modules} == set(PACKAGES)
    sent = [path for module in made.modules for path in module.rglob("*")]
    assert {".py", ".sql", ".tsv", ".npz", ".yaml"} <= {path.suffix for path in sent}
    assert not [path for path in sent if path.name in ("__pycache__", "tests")]


def test_too_much_to_send_is_refused_before_it_is_copied(tmp_path: Path) -> None:
    recipe = companions(tmp_path)
    with (recipe.parent / "model" / "weights.safetensors").open("wb") as file:
        file.truncate(150_000_000)
    with pytest.raises(CurationError) as refused:
        bundle.make(load(recipe), tmp_path / "into", ())
    [finding] = refused.value.findings
    assert re.fullmatch(r"15\d MB would have to be sent, and 100 MB may: model alone has 150 MB", finding.message)
    assert finding.hint is not None
    assert "absolute path" in finding.hint
    assert not (tmp_path / "into" / "bundle").exists()


@pytest.mark.long
def test_code_registers_its_stages_however_it_is_named(project: Project, tmp_path: Path) -> None:
    code = project.folder / "code"
    for number, path in enumerate((code, code / "src" / "my_scorers")):
        assert bundle.take_code(path, tmp_path / str(number)) == ("my_scorers",)
    assert bundle.take_code(tmp_path / "0" / "bundle", tmp_path / "2") == ("my_scorers",)
    for number in range(3):
        [found] = distributions(path=[str(tmp_path / str(number) / "bundle")])
        assert {point.name: point.value for point in found.entry_points} == {
            "words": "my_scorers.words:Words",
            "longer": "my_scorers.words:Mean",
        }
        there = {path.name for path in (tmp_path / str(number) / "bundle" / "my_scorers").iterdir()}
        assert there == {"__init__.py", "words.py"}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"mine.py": ""}, "registers no stage"),
        ({"pyproject.toml": "[project]\nname = 'x'\n", "mine.py": ""}, "registers no stage"),
        ({"pyproject.toml": PROJECT, "mine.py": ""}, "names the module 'my_scorers', which is not there"),
        ({"pyproject.toml": "[project", "mine.py": ""}, "pyproject.toml cannot be read"),
        ({}, "there is no such file or folder"),
    ],
)
def test_code_that_registers_nothing_is_refused(files: dict[str, str], said: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / "code").mkdir(exist_ok=True)
        (tmp_path / "code" / name).write_text(text)
    with pytest.raises(CurationError, match=said) as refused:
        bundle.take_code(tmp_path / "code", tmp_path / "into")
    assert [finding.code for finding in refused.value.findings] == ["C046"]


@pytest.mark.parametrize(
    ("module", "whose"),
    [
        *((name, "the engine's own") for name in PACKAGES),
        *((name, "Python's own") for name in ("json", "types", "sitecustomize", "logging")),
        ("numpy", "that of numpy"),
        ("yaml", "that of pyyaml"),
        ("click", "that of click"),
    ],
)
@pytest.mark.parametrize("package", [False, True])
def test_code_that_would_hide_another_module_is_refused(module: str, whose: str, package: bool, tmp_path: Path) -> None:
    code = tmp_path / "code"
    place = code / module / "__init__.py" if package else code / f"{module}.py"
    place.parent.mkdir(parents=True)
    place.write_text("")
    (code / "pyproject.toml").write_text(PROJECT.replace("my_scorers.words", module))
    with pytest.raises(CurationError) as refused:
        bundle.take_code(code, tmp_path / "into")
    [finding] = refused.value.findings
    assert (finding.code, f"the module '{module}' would hide {whose}".lower() in finding.message.lower()) == (
        "C055",
        True,
    )
    assert not list((tmp_path / "into" / "bundle").glob(f"{module}*"))


def test_code_that_registers_a_stage_of_the_engine_is_refused(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "mine.py").write_text("")
    (tmp_path / "code" / "pyproject.toml").write_text(
        '[project]\nname = "x"\n[project.entry-points."curation.scorers"]\nrules = "mine:Rules"\n'
    )
    with pytest.raises(CurationError, match=r"C055.*has a scorer 'rules' itself"):
        bundle.take_code(tmp_path / "code", tmp_path / "into")
