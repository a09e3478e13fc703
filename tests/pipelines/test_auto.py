"""`curate auto`, `preview`, `diagnose`: data without a recipe get a dataset, a look, a page of facts."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from curation_engine import CurationError
from pipelines.cli.main import _main
from pipelines.start.auto import _lay_out, auto, prepare
from pipelines.start.diagnose import diagnose
from pipelines.start.preview import preview
from pipelines.start.unseen import visible
from pipelines.workspace import Workspace
from schemas.errors import Finding

TEXTS = [f"{text[:400]}\n" for _, text in sorted(topics.items())][:12]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Twelve pairs, the last two of them the first again, the one before without an answer."""
    rows = [{"question": f"What is said of {n}?", "response": text} for n, text in enumerate(TEXTS)]
    rows[-3]["response"] = ""
    pq.write_table(pa.Table.from_pylist([*rows[:-2], rows[0], rows[0]]), tmp_path / "pairs.parquet")
    return tmp_path / "pairs.parquet"


def test_auto_makes_a_dataset_and_runs_the_recipe_as_it_is_then(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = auto(pairs, out, executor="local")
    assert (result.outcome, result.rows, result.kept) == ("done", 12, 9)
    assert result.folder == out / "dataset"
    assert sorted(path.name for path in out.iterdir()) == ["dataset", "recipe.yaml", "workspace"]
    assert sum(pq.read_metadata(path).num_rows for path in (out / "dataset").rglob("*.parquet")) == 9
    assert (out / "dataset" / "README.md").is_file()
    recipe = out / "recipe.yaml"
    assert yaml.safe_load(recipe.read_text())["workspace"] == "workspace", "later commands need no -w"
    assert auto(pairs, out, executor="local").outcome == "nothing-to-do"
    recipe.write_text(recipe.read_text().replace("columns: [instruction, input] #", "columns: [output] #"))
    assert auto(pairs, out, executor="local").run != result.run
    recipe.write_text(recipe.read_text().replace("  - scorer: hygiene", "  - scorer: hygiene\n    keep: 'true'"))
    assert auto(pairs, out, executor="local").kept == 10, "the one without an answer too"
    assert "keep: 'true'" in recipe.read_text(), "what a user wrote stays"
    again = auto(pairs, out, executor="local", force=True)
    assert (again.outcome, "keep: 'true'" in recipe.read_text()) == ("nothing-to-do", True), "as of `run`"
    _, told = prepare(pairs, out, "chats", False, Workspace(out / "workspace"))
    assert "whatever --kind says; --anew writes it anew, for conversations" in told
    with pytest.raises(CurationError, match="no kind of data 'novel'"):
        prepare(pairs, out, "novel", False, Workspace(out / "workspace"))  # type: ignore[arg-type]
    auto(pairs, out, executor="local", anew=True)
    assert "keep: 'true'" not in recipe.read_text()


def test_a_dataset_laid_out_is_a_copy_and_stands_until_the_next_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "published" / "data").mkdir(parents=True)
    source, copy = (tmp_path / name / "data" / "train.parquet" for name in ("published", "dataset"))
    source.write_text("one")
    _lay_out(tmp_path / "published", tmp_path / "dataset")
    copy.write_text("mine")
    assert source.read_text() == "one"

    rename = os.rename

    def full(old: Any, new: Any, **options: Any) -> None:
        if options or (Path(new).name == "dataset" and not Path(old).name.endswith("-old")):
            raise OSError(28, "No space left on device")
        rename(old, new)

    for broken in ("shutil.copytree", "os.rename"):
        monkeypatch.setattr(broken, full)
        with pytest.raises(OSError, match="No space"):
            _lay_out(tmp_path / "published", tmp_path / "dataset")
        assert copy.read_text() == "mine"
        monkeypatch.undo()
    _lay_out(tmp_path / "published", tmp_path / "dataset")
    assert copy.read_text() == "one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "published"]


def test_auto_writes_into_no_folder_of_something_else(pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("mine")
    with pytest.raises(CurationError, match="holds something already"):
        auto(pairs, tmp_path / "mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "recipe.yaml").write_text("name: other\ninput: {path: other.parquet}\n")
    with pytest.raises(CurationError, match="about other data"):
        auto(pairs, tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["recipe.yaml"]


def test_a_dry_run_prints_the_recipe_alone(pairs: Path, tmp_path: Path, capsys: Any) -> None:
    assert _main(["auto", str(pairs), "--into", str(tmp_path / "out"), "--dry-run"]) == 0
    printed = capsys.readouterr()
    assert yaml.safe_load(printed.out)["input"]["columns"] == {"instruction": "question", "output": "response"}
    assert not (tmp_path / "out").exists()


def test_preview_shows_what_each_stage_does_and_keeps_nothing(
    pairs: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = {
        "name": "look",
        "input": {"path": str(pairs), "columns": {"instruction": "question", "output": "response"}},
        "stages": [{"scorer": "hygiene"}, {"dedup": "exact", "id": "position", "columns": ["instruction"]}],
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    monkeypatch.setattr("curation.sources.files.SETTLING_NS", -(10**18))  # the file will not change again
    Workspace(tmp_path / "ws").run(tmp_path / "recipe.yaml", executor="local")
    before = sorted(tmp_path.rglob("*"))
    seen = preview(tmp_path / "recipe.yaml", rows=50, documents=4, characters=30)
    assert (seen.result.rows, seen.result.kept) == (12, 9)
    assert [(stage.stage, stage.rows_in, stage.rows_out) for stage in seen.stages][-1] == ("position", 11, 9)
    shown = seen.stages[-1].documents
    assert [item.verdict for item in shown] == ["dropped", "dropped", "kept", "kept"]
    assert all(item.reason for item in shown[:2])
    assert all(len(item.text) == 31 and item.text.endswith("…") for item in shown)
    assert _main(["preview", str(tmp_path / "recipe.yaml"), "--documents", "2", "-q"]) == 0
    printed = capsys.readouterr().out
    assert "position (exact)  11 -> 9" in printed
    assert "\n   - pairs.parquet#" in printed
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("pipelines.planning.inputs.inspect", None)  # an input that a workspace knows is not read anew
    assert _main(["preview", str(tmp_path / "recipe.yaml"), "-w", str(tmp_path / "ws"), "-q"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) == 60
    assert sorted(tmp_path.rglob("*")) == before


def test_diagnose_tells_what_is_wrong_with_data_and_what_to_do(tmp_path: Path, capsys: Any) -> None:
    texts = [
        *TEXTS,
        TEXTS[0],
        "",
        "Write to anna.smith@example.com or to me, please.",
        TEXTS[1].replace("\n", " or\n", 1),
    ]
    pq.write_table(pa.table({"text": texts}), tmp_path / "texts.parquet")
    (tmp_path / "test.jsonl").write_text(json.dumps({"question": " ".join(TEXTS[2].split()[:20])}) + "\n")
    facts = diagnose(tmp_path / "texts.parquet", benchmarks=[tmp_path / "test.jsonl"], costs=False)
    assert (facts.sampled, facts.empty) == (16, 1)
    assert facts.exact == pytest.approx(1 / 15, abs=1e-4)
    assert facts.near == pytest.approx(1 / 15, abs=1e-4)
    assert facts.pii["email"] == pytest.approx(1 / 15, abs=1e-4)
    assert facts.contaminated == {"test.jsonl": pytest.approx(1 / 15, abs=1e-4)}
    assert max(facts.languages) == "en"
    told = "\n".join(concern.message for concern in facts.concerns)
    assert all(word in told for word in ("no text", "there twice", "email", "test.jsonl"))
    assert facts.concerns[-1].next == f"curate init {tmp_path / 'texts.parquet'}"
    assert _main(["diagnose", str(tmp_path / "texts.parquet"), "--no-costs", "-f", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["kind"], printed["rows"], printed["sampled"]) == ("text", 16, 16)


def test_a_benchmark_that_cannot_be_used_is_told_of_the_option(tmp_path: Path, capsys: Any) -> None:
    pq.write_table(pa.table({"text": TEXTS[:2]}), tmp_path / "texts.parquet")
    for name in ("bench.xyz", "a/test.jsonl", "b/test.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"question": "What is it?"}) + "\n")
    for name, why in (("nosuch", "does not exist"), ("bench.xyz", "no known format")):
        assert _main(["diagnose", str(tmp_path / "texts.parquet"), "--benchmark", str(tmp_path / name)]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error[C012]: --benchmark: ")
        assert why in said
        assert not re.search(r"-->|\d \||curation-diagnose|recipe", said)
    sets = [tmp_path / "a/test.jsonl", tmp_path / "b/test.jsonl"]
    assert diagnose(tmp_path / "texts.parquet", benchmarks=sets, costs=False).sampled == 2


def test_what_is_told_of_a_preview_leads_to_nothing_that_is_gone(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "recipe.yaml").write_text("name: x\ninput: {path: nosuch}\nstages: [{dedup: exact}]\n")
    assert _main(["preview", str(tmp_path / "recipe.yaml"), "-q"]) == 2
    said = capsys.readouterr().err
    assert f"--> {tmp_path}/recipe.yaml:2" in said
    seen = [
        visible(Finding("R001", "x", "see /tmp/x/ws", "/tmp/x/a", 3, "b"), "/tmp/x"),
        visible(Finding("R001", "x", "y", "z", 3), "/tmp/x"),
    ]
    assert seen == [Finding("R001", "x"), Finding("R001", "x", "y", "z", 3)]


@pytest.mark.long
def test_diagnose_tells_what_each_recipe_would_take(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": TEXTS * 2}), tmp_path / "texts.parquet")
    costs = {cost.recipe: cost for cost in diagnose(tmp_path / "texts.parquet").costs}
    assert set(costs) == {"init", "fineweb", "measure"}
    assert all(cost.seconds and cost.seconds > 0 and cost.slowest for cost in costs.values())
