"""The shipped recipes: each runs on real text as it stands, and says what it is for."""

from __future__ import annotations

import json
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lengths import mostly_long

from pipelines import recipes
from pipelines.running.result import Result
from pipelines.workspace import Workspace

DATA = Path(__file__).parents[2].parent / "shared" / "data"
SMOLLM2 = "~/.cache/curation-engine/models/smollm2-135m"
OF_PAIRS = ("diverse-10k", "superfilter", "target-match")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages with the columns that the recipes map, in the folders that they name."""
    folder = tmp_path_factory.mktemp("shipped")
    rows = [
        {"text": f"{text}\n\nWrite to editor{number}@example.net.", "id": name, "url": f"https://example.net/{name}"}
        for number, (name, text) in enumerate(sorted(topics.items()))
    ]
    for place, part in (("crawl", rows[:40]), ("books", rows[40:])):
        (folder / place).mkdir()
        pq.write_table(pa.Table.from_pylist(part), folder / place / "part.parquet")
    return folder


@pytest.mark.parametrize("name", mostly_long(sorted(set(recipes.names()) - set(OF_PAIRS))))
def test_a_shipped_recipe_runs_as_it_stands(name: str, corpus: Path, tmp_path: Path) -> None:
    recipe = corpus / f"{name}.yaml"
    recipe.write_text(recipes.read(name))
    result = Workspace(tmp_path / "ws").run(recipe, executor="local", workers=2)
    assert result.outcome == "done", result.failures
    assert result.rows == result.kept + result.dropped
    assert result.kept


def test_every_recipe_begins_with_what_it_is_for() -> None:
    assert all(line.endswith((".", "?")) or len(line) > 30 for line in recipes.table()["what"].to_pylist())
    assert {"fineweb", "measure", *OF_PAIRS} <= set(recipes.names())


# --- recipes of instruction pairs, on a few that people wrote --------------------------------------------------------


class Trial:
    """A folder with what a recipe asks for, and a workspace."""

    def __init__(self, folder: Path, rows: list[dict[str, Any]]) -> None:
        self.folder = folder
        self.workspace = Workspace(folder / "ws")
        (folder / "instructions").mkdir()
        pq.write_table(pa.Table.from_pylist(rows), folder / "instructions" / "part.parquet")

    def run(self, name: str, changes: dict[str, str] | None = None) -> Result:
        """The shipped recipe, with texts in place of texts."""
        text = recipes.read(name)
        for old, new in (changes or {}).items():
            assert old in text
            text = text.replace(old, new)
        (self.folder / f"{name}.yaml").write_text(text)
        result = self.workspace.run(self.folder / f"{name}.yaml", executor="local", workers=2)
        assert result.outcome == "done", result.failures
        assert result.rows == result.kept + result.dropped
        return result

    def rows(self, query: str) -> list[dict[str, Any]]:
        return self.workspace.sql(query).to_pylist()

    def dropped(self) -> dict[str, str]:
        """Stage by id."""
        return {row["id"]: row["stage"] for row in self.rows("SELECT id, stage FROM drops")}

    def report(self, stage: str) -> dict[str, Any]:
        return self.workspace.selections(stage=stage)[0]


def written(*lines: str) -> dict[str, str]:
    """Changes that put commented-out lines into force."""
    return {f"# {line}": line for line in lines}


def dolly(count: int, most: int) -> list[dict[str, Any]]:
    """Pairs with answers of at most so many characters, then the first two with a fault each."""
    if not DATA.is_dir():
        pytest.skip("shared/data is not there")
    table = pq.read_table(DATA / "dolly_3k.parquet")
    found = [row for row in table.to_pylist() if 40 <= len(row["output"]) <= most and len(row["input"] or "") <= most]
    # Words of the answer stand in for a rating, which these pairs have not.
    rows = [{**row, "id": f"d{n}", "quality": len(row["output"].split())} for n, row in enumerate(found[:count])]
    refused = {**rows[0], "instruction": "How are you?", "output": "I'm sorry, but I can't help.", "id": "refused"}
    again = {**rows[1], "output": "Another answer to what was asked before.", "id": "again"}
    return [*rows, refused, again]


@pytest.mark.long
def test_superfilter_keeps_the_hardest_pairs_below_1_and_its_diverse_form_scores_nothing_again(
    tmp_path: Path, smollm2: Path
) -> None:
    trial = Trial(tmp_path, dolly(24, 150))
    model = {SMOLLM2: str(smollm2)}
    result = trial.run("superfilter", model)
    ranked = trial.rows(
        "SELECT id, kept, ifd.ifd_ppl AS ratio FROM documents WHERE ifd IS NOT NULL ORDER BY ratio DESC"
    )
    ratios = [row["ratio"] for row in ranked if row["ratio"] is not None]
    assert len(ratios) == len(set(ratios)) > 15
    assert result.kept == len(ranked) // 20 > 0
    assert [row["ratio"] for row in ranked if row["kept"]] == [r for r in ratios if r < 1][: result.kept]
    assert trial.dropped().items() >= {"refused": "hygiene", "again": "question"}.items()
    diverse = trial.run("superfilter", model | written("model: package", "pool_fraction: 0.2"))
    assert diverse.kept == result.kept
    assert set(diverse.steps) == {"superfiltering/vectors"}
    assert "1 - 1/e" in trial.report("superfiltering")["facts"]["guarantee"]


@pytest.mark.long
def test_diverse_10k_stands_for_all_pairs_better_than_chance_and_leaves_test_questions_out(tmp_path: Path) -> None:
    rows = dolly(300, 600)
    question = pq.read_table(DATA / "gsm8k_test.parquet").column("question")[0].as_py()
    rows += [{**rows[0], "instruction": question, "output": "It is 18 dollars in all.", "id": "leaked", "quality": 9}]
    trial = Trial(tmp_path, rows)
    everything = trial.run("diverse-10k")
    assert set(trial.dropped().values()) <= {"hygiene", "question", "pair", "quality"}
    assert everything.kept > 250
    lines = ("- scorer: decontaminate", "  against: [", "  keep: decontaminate")
    changes = {"gsm8k_test": str(DATA / "gsm8k_test"), "count: 10000": "count: 30"}
    result = trial.run("diverse-10k", written(*lines) | changes)
    assert result.kept == 30
    assert set(result.steps) <= {"decontaminate", "facility_location/vectors"}
    assert trial.dropped()["leaked"] == "decontaminate"
    coverage = trial.report("facility_location")["coverage"]
    assert coverage["selected"]["mean"] < min(coverage["random"]["mean"], coverage["longest"]["mean"])


@pytest.mark.long
def test_target_match_serves_each_example_alike_and_takes_none_of_them(tmp_path: Path) -> None:
    rows = dolly(300, 600)
    targets = pq.read_table(DATA / "selfinstruct_252.parquet").column("instruction").unique().to_pylist()[:20]
    copied = next(text for text in targets if len(text.split()) >= 8)
    rows += [{**rows[0], "instruction": copied, "output": "An answer to what is asked.", "id": "leaked"}]
    trial = Trial(tmp_path, rows)
    (tmp_path / "targets.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in targets))
    assert trial.run("target-match").kept > 250
    assert trial.run("target-match", {"count: 1000": "count: 40"}).kept == 40
    served = trial.rows(
        "SELECT target_match.target AS target, count(*) AS pairs FROM documents WHERE kept GROUP BY ALL ORDER BY ALL"
    )
    assert served == [{"target": place, "pairs": 2} for place in range(20)]
    assert trial.dropped()["leaked"] == "decontaminate"
    report = trial.report("target_match")
    assert 0 < report["facts"]["worst_match"] < 1
