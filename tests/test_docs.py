"""What the documents for contributors say of files and functions is so, and what tools read of them they can read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PATH = re.compile(r"`(\.?[\w-]+(?:/[\w.-]+)*/?\.?[\w-]*)`")
DEFINED = re.compile(r"^\s*(?:class|def) (\w+)", re.MULTILINE)


def paths_in(text: str) -> set[str]:
    """Files and folders that are named as code."""
    named = {found for found in PATH.findall(text) if "/" in found or re.search(r"\.(md|py|toml|yaml|cff)$", found)}
    return named - {"datasets/NAME/RUN/data/train-*.parquet"}


def read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_contributing_names_files_that_exist() -> None:
    named = paths_in(CONTRIBUTING)
    assert len(named) > 25
    assert {path for path in named if not (ROOT / path).exists()} == set()


def test_every_way_to_add_something_names_the_files() -> None:
    ways = re.findall(r"^\*\*(An? [a-z ]+)\.\*\* (.+)$", CONTRIBUTING, flags=re.MULTILINE)
    assert [way for way, _ in ways] == [
        "A scorer", "A rule profile", "A dedup", "A selection", "A view", "A command that prints rows", "A chart",
        "An error code", "A page",
    ]  # fmt: skip
    for way, text in ways:
        assert len(paths_in(text)) >= 3 or way == "An error code", way


def test_targets_of_make_that_documents_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)`", CONTRIBUTING)) <= targets


def test_the_list_of_make_s_targets_fits_a_terminal() -> None:
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    lines = listed.stdout.splitlines()
    assert len(lines) > 10
    assert [line for line in lines if len(line) > 80] == []


def test_architecture_has_eight_hops_by_functions_that_exist() -> None:
    hops = re.findall(r"^\| (\d) \| `([\w.]+)`, `([\w./]+)` \|", ARCHITECTURE, flags=re.MULTILINE)
    assert [int(number) for number, _, _ in hops] == [1, 2, 3, 4, 5, 6, 7, 8]
    for _, name, path in hops:
        assert set(name.split(".")) <= set(DEFINED.findall((ROOT / path).read_text())), (name, path)
    sources = "\n".join(
        path.read_text() for layer in ("curation", "pipelines") for path in (ROOT / layer).rglob("*.py")
    )
    called = set(re.findall(r"\(`([\w.]+)`\)", ARCHITECTURE))
    assert {part for name in called for part in name.split(".")} <= set(DEFINED.findall(sources))
    assert all(f"{number} {name}" in ARCHITECTURE for number, name, _ in hops), "the picture has the same"


def test_the_tree_of_layers_has_the_folders_and_files_that_there_are() -> None:
    tree = ARCHITECTURE.partition("\n## Layers\n")[2].partition("\n## The flow\n")[0]
    layers = set(re.findall(r"^ {4}(\w+)/", tree, flags=re.MULTILINE))
    assert {layer for layer in layers if not (ROOT / layer).is_dir()} == set()
    rooms = {path.parent.name for path in (ROOT / "curation").glob("*/__init__.py")}
    assert rooms <= set(re.findall(r"(\w+)/", tree))
    folders = {path.name for layer in layers for path in (ROOT / layer).iterdir() if path.is_dir()}
    assert set(re.findall(r"^ {6}(\w+)/", tree, flags=re.MULTILINE)) <= folders
    files = {path.name for layer in layers for path in (ROOT / layer).rglob("*.py")}
    assert set(re.findall(r"\w+\.py", tree)) <= files


PAGES = [path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md") if "reference" not in path.parts]
NAMES = ("index", "recipe", "stages", "rules", "views", "command-line", "python")
GENERATED = [f"docs/reference/{name}.md" for name in NAMES]
"""By `make docs`, which looks at links within them, too."""


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "README.md", "examples/README.md", *sorted(PAGES)])
def test_links_lead_somewhere(document: str) -> None:
    file = ROOT / document
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", file.read_text(encoding="utf-8"))
    targets = {os.path.relpath(file.parent / link, ROOT) for link in links}
    assert [target for target in targets if target not in GENERATED and not (ROOT / target).exists()] == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md")), ids=lambda path: path.stem[:3]
)
def test_a_decision_bears_its_number(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith(f"# {int(path.stem[:3])}. ")


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        (".github/workflows/ci.yml", "github-workflows"),
        (".github/ISSUE_TEMPLATE/bug.yml", "github-issue-forms"),
        (".github/ISSUE_TEMPLATE/wish.yml", "github-issue-forms"),
        ("CITATION.cff", "citation-file-format"),
    ],
)
def test_what_platforms_read_conforms(path: str, schema: str) -> None:
    command = [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema", f"vendor.{schema}", ROOT / path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_calls_what_anybody_can_call_with_pinned_actions() -> None:
    [job] = read(".github/workflows/ci.yml")["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run", "make docs"]
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in used)


def test_hooks_are_the_commands_of_make_check() -> None:
    [repository] = read(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local", "a hook of another repository would be fetched"
    makefile = (ROOT / "Makefile").read_text()
    check = makefile.partition("\ncheck:")[2].partition("\n\n")[0].replace("$(BIN)", ".venv/bin")
    commands = [line.strip() for line in check.splitlines()[1:]]
    assert [hook["entry"] for hook in repository["hooks"]] == [
        line for line in commands if line.startswith(".venv/bin/")
    ]


def test_editors_are_told_what_the_formatter_does() -> None:
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]
    assert f"max_line_length = {ruff['line-length']}" in (ROOT / ".editorconfig").read_text()


def test_the_citation_has_the_package_s_version_and_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = read("CITATION.cff")
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
