"""What `curate submit` sends: what the stages ask for, by kind; nothing hidden, nothing that a link leads away to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from curation import registry
from curation_engine_start import PACKAGES
from pipelines.cli.main import _main
from pipelines.recipe import bundle
from pipelines.recipe.load import load
from pipelines.submit import environment_of
from schemas.errors import CurationError

HIDDEN = (
    ".env",
    ".netrc",
    ".git/config",
    ".ssh/id_rsa",
    ".cache/huggingface/token",
    "sub/.env",
    "sub/.aws/credentials",
)
MODEL = (
    "config.json",
    "tokenizer.json",
    "tokenizer.model",
    "vocab.txt",
    "chat_template.jinja",
    "1_Pooling/config.json",
)
MORE = ("README.md", "model.safetensors", "adapter_model.safetensors")
STRANGE = (
    "server.key",
    "cert.pem",
    "optimizer.pt",
    "notes.md",
    "train.py",
    "__pycache__/train.cpython-311.pyc",
    "id_rsa",
)
Recipe = Callable[..., Path]


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """A recipe in a folder of its own; `files` lie beside it."""

    def make(stages: list[dict[str, Any]], files: tuple[str, ...] = (), **more: str) -> Path:
        here = tmp_path / "project" / "recipes"
        here.mkdir(parents=True, exist_ok=True)
        for name in files:
            (here / name).parent.mkdir(parents=True, exist_ok=True)
            (here / name).write_text(more.get(name, '{"text": "a", "url": "https://example.org"}\n'))
        (tmp_path / "in").mkdir(exist_ok=True)
        pq.write_table(pa.table({"text": ["one", "two"], "url": ["a", "b"]}), tmp_path / "in" / "a.parquet")
        columns = {"url": "url"}
        written = {"name": "plain", "input": {"path": str(tmp_path / "in"), "columns": columns}, "stages": stages}
        (here / "recipe.yaml").write_text(yaml.safe_dump(written, sort_keys=False))
        return here / "recipe.yaml"

    return make


def sent(path: Path, into: Path) -> set[str]:
    """Files beside the recipe that would travel, as they lie in the bundle; what is listed is what is there."""
    made = bundle.make(load(path), into, ())
    root = made.folder / bundle.FILES
    there = {file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file()}
    listed = {
        Path(os.path.normpath(item.path)).relative_to(bundle.FILES).as_posix()
        for item in made.files
        if item.what != "the engine"
    }
    assert listed == there
    assert made.bytes == sum(file.stat().st_size for file in into.rglob("*") if file.is_file())
    return there


EACH = {
    "examples": {"scorer": "fasttext", "seeds": "seeds.jsonl", "background": "more/other.jsonl"},
    "target": {"scorer": "dsir", "target": "seeds.jsonl", "background": "more/other.jsonl"},
    "contrast": {"scorer": "contrast", "target": "seeds.jsonl", "background": "more/other.jsonl"},
    "lists": {"scorer": "takedown", "urls": ["seeds.jsonl", "more/other.jsonl"]},
    "one list": {"scorer": "url", "words": "seeds.jsonl", "domains": ["more/other.jsonl"]},
    "sets": {
        "scorer": "decontaminate",
        "against": [{"name": "a", "path": "seeds.jsonl"}, {"name": "b", "path": "more/other.jsonl"}],
    },
}


@pytest.mark.parametrize("stage", EACH.values(), ids=EACH)
def test_files_that_a_stage_reads_travel(stage: dict[str, Any], recipe: Recipe, tmp_path: Path) -> None:
    names = ("seeds.jsonl", "more/other.jsonl", "third.jsonl")
    plain = dict.fromkeys(names, "example.org\n") if stage["scorer"] == "url" else {}
    path = recipe([stage], names, **plain)
    assert sent(path, tmp_path / "into") == {"recipe.yaml", "seeds.jsonl", "more/other.jsonl"}


def test_a_string_that_happens_to_name_a_file_does_not(recipe: Recipe, tmp_path: Path) -> None:
    names = ("prompt.txt", ".env", "secrets.txt", "url")
    judge = {
        "scorer": "llm-judge",
        "url": "http://127.0.0.1:1/v1",
        "model": "secrets.txt",
        "prompt": "{text}",
        "system": "prompt.txt",
        "key_env": ".env",
        "id": "judge",
    }
    path = recipe([judge, {"scorer": "takedown", "urls": "seeds.jsonl"}], ("seeds.jsonl", *names))
    assert sent(path, tmp_path / "into") == {"recipe.yaml", "seeds.jsonl"}


@pytest.mark.parametrize("folder", ["model", "models/deep/model"])
def test_of_a_model_travels_what_decides_what_it_computes(folder: str, recipe: Recipe, tmp_path: Path) -> None:
    names = tuple(f"{folder}/{name}" for name in (*HIDDEN, *MODEL, *MORE, *STRANGE))
    path = recipe([{"scorer": "token-count", "tokenizer": f"path:{folder}"}], names)
    assert sent(path, tmp_path / "into") == {"recipe.yaml", *(f"{folder}/{name}" for name in (*MODEL, *MORE))}


@pytest.mark.parametrize("name", [".env", ".config/list.txt", "more/.hidden.jsonl"])
def test_a_hidden_file_is_refused_by_name(name: str, recipe: Recipe, tmp_path: Path) -> None:
    path = recipe([{"scorer": "takedown", "id": "out", "urls": name}], (name,))
    with pytest.raises(CurationError) as refused:
        bundle.make(load(path), tmp_path / "into", ())
    [finding] = refused.value.findings
    assert (finding.code, finding.message) == (
        "C062",
        f"stage 'out': {name} is a hidden file, and those are never sent",
    )
    assert not (tmp_path / "into").exists()


def test_links_are_followed_only_to_what_may_be_sent(recipe: Recipe, tmp_path: Path) -> None:
    path = recipe([{"scorer": "takedown", "id": "out", "urls": "list.txt"}], ("plain.txt", "../.ssh/id_rsa"))
    link = path.parent / "list.txt"
    link.symlink_to("plain.txt")
    assert sent(path, tmp_path / "into") == {"recipe.yaml", "list.txt"}
    link.unlink()
    link.symlink_to("../.ssh/id_rsa")
    with pytest.raises(CurationError, match=r"C062: stage 'out': list.txt, a link to .*id_rsa is a hidden file"):
        bundle.make(load(path), tmp_path / "again", ())


def test_a_link_leads_out_of_a_model_only_in_the_hubs_cache(recipe: Recipe, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    stage = {"scorer": "token-count", "id": "count", "tokenizer": "path:model"}
    path = recipe([stage], ("model/config.json",))
    (path.parent / "model" / "tokenizer.json").symlink_to(secret)
    with pytest.raises(
        CurationError, match=r"C062: stage 'count': path:model: tokenizer.json is a link that leads out"
    ):
        bundle.make(load(path), tmp_path / "into", ())
    cache = tmp_path / "hub" / "models--x"
    (cache / "blobs").mkdir(parents=True)
    (cache / "blobs" / "aa").write_text("{}")
    (cache / "snapshots" / "r1").mkdir(parents=True)
    (cache / "snapshots" / "r1" / "config.json").symlink_to("../../blobs/aa")
    (path.parent / "hub").symlink_to(cache / "snapshots" / "r1")
    path = recipe([{**stage, "tokenizer": "path:hub"}])
    assert sent(path, tmp_path / "again") == {"recipe.yaml", "hub/config.json"}


PROJECT = """
[project]
name = "mine"
version = "1"

[project.entry-points."curation.scorers"]
mine = "mine:Mine"

[tool.setuptools.package-data]
mine = ["words/*.txt", ".env"]
"""
SOURCE = '''
import pyarrow as pa

from curation.scorers.base import Scorer, Settings


class Mine(Scorer):
    """Reads a file only when it scores, so nobody knows of it before."""

    kind = "mine"

    class Settings(Settings):
        note: str = ""
        listed: str = ""

    def identity(self):
        return {"listed": self.context.resolve(self.settings.listed).read_text()} if self.settings.listed else {}

    @property
    def fields(self):
        return [pa.field("n", pa.int64())]

    def score(self, batch):
        return pa.record_batch({"n": pa.array([1] * batch.num_rows, pa.int64())})
'''
CODE = ("__init__.py", "deep/__init__.py", "fast.so", "words/en.txt")
KEPT_HERE = (
    *HIDDEN,
    *STRANGE[:-3],
    "tests/test_mine.py",
    "data.csv",
    "words/en.csv",
    "__pycache__/a.pyc",
    ".secret.py",
)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    package = tmp_path / "code" / "src" / "mine"
    for name in (*CODE, *KEPT_HERE):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("")
    (package / "__init__.py").write_text(SOURCE)
    (package / "away.py").symlink_to(tmp_path / "secret.py")
    (tmp_path / "secret.py").write_text("")
    (tmp_path / "code" / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "code" / ".env").write_text("")
    return tmp_path / "code"


@pytest.mark.parametrize("which", ["", "src/mine"])
def test_of_code_travel_modules_and_declared_data(which: str, code: Path, tmp_path: Path) -> None:
    assert bundle.take_code(code / which, tmp_path / "into") == ("mine",)
    there = tmp_path / "into" / "bundle"
    files = {file.relative_to(there).as_posix() for file in there.rglob("*") if file.is_file()}
    info = {"mine-1.dist-info/METADATA", "mine-1.dist-info/entry_points.txt"}
    assert files == {*(f"mine/{name}" for name in CODE), *info}


@pytest.mark.parametrize("name", [*PACKAGES, "json"])
def test_code_that_would_hide_another_module_is_refused(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / f"{name}.py").write_text("")
    (folder / "pyproject.toml").write_text(PROJECT.replace('"mine:Mine"', f'"{name}:Mine"'))
    with pytest.raises(CurationError, match=f"C055: .* the module '{name}' would hide"):
        bundle.take_code(folder, tmp_path / "into")


def test_a_dry_run_lists_what_would_be_sent_and_sends_nothing(
    code: Path, recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recipe([{"scorer": "mine", "note": "note.txt", "listed": "list.txt"}], ("note.txt", "list.txt", ".env"))
    registry.find.cache_clear()
    try:
        given = ["submit", str(path), "-w", str(tmp_path / "ws"), "--code", str(code), "--dry-run"]
        assert _main(given) == 0
    finally:
        registry.find.cache_clear()
        sys.modules.pop("mine", None)
    out, err = capsys.readouterr()
    for name in ("recipe-files/recipe.yaml", "recipe-files/list.txt", "mine/words/en.txt", "curation/"):
        assert name in out
    assert "note.txt" not in out
    assert ".env" not in out
    assert "not sent: stage 'mine': note.txt is a file beside the recipe" in err
    assert "nothing was sent" in err
    assert not (tmp_path / "ws").exists()


@pytest.mark.parametrize(
    "given",
    ["DB=postgres://me:mine@host/db", "MY_PASSPHRASE=x", "X_AUTHORIZATION=Bearer x", "PROXY=http://me@proxy:3128"],
)
def test_a_variable_that_holds_a_secret_is_refused(given: str) -> None:
    with pytest.raises(CurationError, match="C046"):
        environment_of({}, (given,))


def test_the_engine_starts_from_packages_that_lie_apart(recipe: Recipe, tmp_path: Path) -> None:
    """As a job does: Ray unpacks each into a folder of its own, and `-P` leaves out the one it is started in."""
    made = bundle.make(load(recipe([])), tmp_path / "into", ())
    folders = []
    for module in made.modules:
        folders.append(tmp_path / f"package-{module.name}")
        shutil.copytree(module, folders[-1] / module.name)
    (made.folder / "schemas").mkdir()
    (made.folder / "schemas" / "__init__.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pipelines.cli", "run", "--help"],
        cwd=made.folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Usage: " in done.stdout


POINT = '[project.entry-points."curation.scorers"]\nmine = "my_scorer:Mine"\n'
NO_METADATA: dict[str, tuple[str, bytes]] = {
    "project is a text": ("pyproject.toml", b'project = "x"\n'),
    "entry points are a text": ("pyproject.toml", b'[project]\nentry-points = "x"\n'),
    "a group is a text": ("pyproject.toml", b'[project.entry-points]\n"curation.scorers" = "x"\n'),
    "a target is a number": ("pyproject.toml", b'[project.entry-points."curation.scorers"]\nmine = 3\n'),
    "tool is a text": ("pyproject.toml", f'tool = "x"\n{POINT}'.encode()),
    "data is a list": ("pyproject.toml", f'{POINT}[tool.setuptools]\npackage-data = ["x"]\n'.encode()),
    "patterns are a number": ("pyproject.toml", f"{POINT}[tool.setuptools.package-data]\nx = 3\n".encode()),
    "no section": ("x-1.dist-info/entry_points.txt", b"garbage\n"),
    "no UTF-8": ("x-1.dist-info/entry_points.txt", b"\xff\xfe"),
    "twice": ("x-1.dist-info/entry_points.txt", b"[curation.scorers]\nm = my_scorer:A\nm = my_scorer:B\n"),
}


@pytest.mark.parametrize("kind", NO_METADATA)
def test_a_project_that_says_nothing_sensible_of_itself_is_a_finding(kind: str, tmp_path: Path) -> None:
    name, content = NO_METADATA[kind]
    file = tmp_path / "code" / name
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    (tmp_path / "code/my_scorer.py").write_text("")
    with pytest.raises(CurationError, match="C046") as refused:
        bundle.take_code(tmp_path / "code", tmp_path / "out")
    assert name in str(refused.value)


def test_any_name_and_version_of_a_project_make_a_folder(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "a/b"\nversion = "1/2"\n{POINT}')
    (tmp_path / "my_scorer.py").write_text("")
    assert bundle.take_code(tmp_path, tmp_path / "out") == ("my_scorer",)
