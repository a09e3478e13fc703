"""A recipe and its input may come from anybody: each of these tries to run code, to read what is not its input, or to
write outside the workspace. What SQL of a user tries is in tests/manifest/test_sql.py, on a store in
tests/store/test_commands.py; ports and tokens are in tests/workers/test_ports.py and tests/pipelines/test_submit.py."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipelines.cli.main import _main
from pipelines.workspace import Workspace
from schemas.errors import CurationError

SECRET = "gutta cavat lapidem"


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with input, a secret beside it, and weights that run code when they are unpickled."""
    (tmp_path / "secret.txt").write_text(SECRET)
    folder = tmp_path / "home"
    folder.mkdir()
    pq.write_table(pa.table({"text": ["a text of some words", "another"]}), folder / "in.parquet")
    model = folder / "model"
    model.mkdir()
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    (model / "config.json").write_text('{"model_type": "bert", "auto_map": {"AutoModel": "evil.Evil"}}')
    (model / "evil.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'ran')!r})\nclass Evil: pass\n")
    return folder


def tree(folder: Path) -> set[str]:
    """Everything below a folder, but for the workspace."""
    return {str(path) for path in folder.rglob("*") if "ws" not in path.relative_to(folder).parts}


LANGUAGE = {"scorer": "language"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": "../../out"}, "C004"),
        ({"name": "/tmp/out"}, "C004"),
        ({"name": ".."}, "C004"),
        ({"stages": [{**LANGUAGE, "id": "../x"}]}, "C008"),
        ({"stages": [{"scorer": "os:mkdir"}]}, "C006"),
        ({"stages": [{"scorer": "../evil"}]}, "C006"),
        ({"stages": [{**LANGUAGE, "keep": "read_text('SECRET') = ''"}]}, "C011"),
        ({"stages": [{**LANGUAGE, "keep": "(SELECT count(*) FROM 'SECRET') > 0"}]}, "C011"),
        ({"stages": [{**LANGUAGE, "keep": "getenv('HOME') = ''"}]}, "C011"),
        ({"stages": [{**LANGUAGE, "keep": "language.prob > 0); COPY (SELECT 1) TO 'PLACE/out.csv'; --"}]}, "C009"),
        ({"stages": [{"scorer": "embedding", "model": "path:model"}]}, "C013"),
        ({"stages": [{"scorer": "perplexity", "model": "path:model"}]}, "C013"),
        ({"output": {"columns": ["../text"]}}, "C025"),
        ({"output": {"path": "PLACE/out"}}, "C003"),
    ],
)
def test_a_recipe_that_reaches_out_is_refused(
    change: dict[str, Any], code: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = {"name": "tame", "input": {"path": "in.parquet"}, **change}
    text = yaml.safe_dump(recipe).replace("SECRET", str(tmp_path / "secret.txt")).replace("PLACE", str(tmp_path))
    refused(text, code, home, tmp_path, capsys)


@pytest.mark.parametrize(
    "text",
    [
        "name: !!python/object/apply:os.mkdir [PLACE/ran]\ninput: {path: in.parquet}",
        "name: tame\ninput: {path: !!python/object/new:os.mkdir [PLACE/ran]}",
    ],
)
def test_a_recipe_that_is_code_is_refused(
    text: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(text.replace("PLACE", str(tmp_path)), "C002", home, tmp_path, capsys)


def refused(text: str, code: str, home: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing ran, nothing was written, and nothing of the secret is in what was said."""
    (home / "recipe.yaml").write_text(text)
    before = tree(root)
    assert _main(["run", str(home / "recipe.yaml"), "-w", str(home / "ws")]) == 2
    said = capsys.readouterr()
    assert f"error[{code}]" in said.err
    assert SECRET not in said.err + said.out
    assert tree(root) == before
    assert not (home / "ws").exists()


def test_names_and_texts_that_look_like_sql_are_names_and_texts(home: Path, tmp_path: Path) -> None:
    evil = f"'); COPY (SELECT 1) TO '{tmp_path}/out.csv'; --".replace("/", "\N{FRACTION SLASH}")
    hurt = f"x\"'); COPY (SELECT 1) TO '{tmp_path}/out.csv'; --"
    texts = [f"words and more words {hurt}", f"{hurt} and others"]
    pq.write_table(pa.table({"text": texts, hurt: texts}), home / f"{evil}.parquet")
    settings = {
        "name": "tame",
        "input": {"path": {hurt[:90]: str(home / "'*.parquet")}, "columns": {"text": "text", "id": hurt}},
        "stages": [{"scorer": "language", "keep": "language.prob >= 0"}, {"dedup": "exact"}],
    }
    before = tree(tmp_path)
    workspace = Workspace(home / "ws")
    result = workspace.run(settings, executor="local")
    assert (result.outcome, result.kept) == ("done", 2)
    assert workspace.sql("SELECT id FROM documents ORDER BY id DESC").column("id").to_pylist() == sorted(texts)[::-1]
    for view in ("statistics", "distributions", "funnel", "shards", "lineage"):
        workspace.sql(f"SELECT * FROM {view}")
    assert workspace.explain(texts[0])[0].path.endswith(f"{evil}.parquet")
    assert tree(tmp_path) == before


def test_what_lies_in_the_workspace_by_a_link_is_not_followed_out_of_it(home: Path, tmp_path: Path) -> None:
    settings = {"name": "tame", "input": {"path": str(home / "in.parquet")}, "stages": [LANGUAGE]}
    workspace = Workspace(home / "ws")
    workspace.run(settings, executor="local")
    (home / "ws" / "datasets" / "link.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(CurationError) as failure:
        print(workspace.sql(f"SELECT content FROM read_text('{home}/ws/datasets/link.txt')").to_pylist())
    assert SECRET not in str(failure.value)
