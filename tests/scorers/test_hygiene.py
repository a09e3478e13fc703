"""Each fault of an answer by itself, which one is named where there are several, and what people's own answers show."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from curation.scorers.base import Context
from curation.scorers.hygiene import REASONS, Hygiene, HygieneSettings
from curation.scorers.turns import PerTurn, per_turn
from schemas.documents import TEXT

DOLLY = Path(__file__).parents[2].parent / "shared" / "data" / "dolly_3k.parquet"
QUESTION = "Which of the many rivers of Europe flows through ten countries on its way to the sea?"
ANSWER = "The Danube, from the Black Forest to the Black Sea."
GERMAN = "Die Donau fließt durch zehn Länder, vom Schwarzwald bis zum Schwarzen Meer, und ist über 2800 km lang."


def hygiene(folder: Path = Path(), turns: str | None = None, **settings: Any) -> Hygiene:
    return Hygiene(HygieneSettings(**settings), Context(folder, turns=turns))


def scored(*rows: tuple[str, str, str], folder: Path = Path(), **settings: Any) -> list[dict[str, Any]]:
    names = ("instruction", "input", "output")
    batch = pa.record_batch({name: pa.array([row[place] for row in rows], TEXT) for place, name in enumerate(names)})
    scorer = hygiene(folder, **settings)
    result = scorer.score(batch)
    types = [(item.name, item.type) for item in result.schema if item.name != "status"]
    assert types == [(item.name, item.type) for item in scorer.fields]
    return result.to_pylist()


def test_a_plain_answer_passes_and_is_measured() -> None:
    [row] = scored((QUESTION, "", ANSWER))
    assert row["pass"]
    assert row["reason"] is row["refusal"] is None
    assert (row["words"], row["copied"]) == (10, 2 / 10)
    assert [row[name] for name in ("answer_in_prompt", "mismatch", "cut_off")] == [False] * 3
    assert (row["instruction_lang"], row["output_lang"]) == ("en", "en")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((QUESTION, "", "I’m sorry, but I can’t help with that."), "refusal"),
        ((QUESTION, "", "?!"), "too_short"),
        ((QUESTION, "", QUESTION), "copied"),
        ((QUESTION, f"They say so. {ANSWER} And so on.", ANSWER), "answer_in_prompt"),
        ((QUESTION, "", GERMAN), "language_mismatch"),
        ((QUESTION, "", "The Danube, from the Black Forest to the"), "cut_off"),
    ],
)
def test_each_fault_has_its_reason_and_can_be_let_pass(row: tuple[str, str, str], reason: str) -> None:
    [found] = scored(row, reject=list(REASONS))
    assert (found["pass"], found["reason"]) == (False, reason)
    others = [name for name in REASONS if name != reason and (reason, name) != ("copied", "answer_in_prompt")]
    [found] = scored(row, reject=others)
    assert found["reason"] in (None, "cut_off"), "a mark alone, and a question, end as no sentence of an answer does"


def test_the_first_fault_in_the_stated_order_is_the_reason() -> None:
    row = (QUESTION, "", "As an AI")
    assert scored(row, reject=["cut_off", "too_short", "refusal"], min_words=9)[0]["reason"] == "refusal"
    assert scored(row, reject=["cut_off", "too_short"], min_words=9)[0]["reason"] == "too_short"
    assert scored(row, reject=["cut_off", "too_short"], min_words=3)[0]["reason"] == "cut_off"


def test_no_answer_is_a_status_and_never_a_number() -> None:
    rows = scored((QUESTION, "", ""), (QUESTION, "", " \n\t"), (QUESTION, "", ANSWER))
    assert [row["status"] for row in rows] == ["empty", "empty", "ok"]
    for row in rows[:2]:
        assert {value for name, value in row.items() if name != "status"} == {None}


def test_a_short_answer_may_repeat_a_word_of_the_question() -> None:
    [row] = scored(("Is a tomato a fruit or a vegetable?", "", "A fruit"), reject=list(REASONS[:-1]))
    assert (row["pass"], row["copied"], row["answer_in_prompt"]) == (True, 1.0, False)


@pytest.mark.parametrize(
    ("answer", "cut"),
    [
        ("It ends.", False), ('He said "yes."', False), ("Is it so?)", False), ("**Done!**\n", False),
        ("終わり。", False),
        ("```py\nprint(1)\n```", False), ("and then the", True), ("one, two,", True), ("It ends. Not", True),
    ],
)  # fmt: skip
def test_an_answer_that_does_not_end_as_a_sentence_is_cut_off(answer: str, cut: bool) -> None:
    assert scored((QUESTION, "", answer))[0]["cut_off"] is cut


def test_languages_differ_only_where_both_guesses_are_sure_and_none_was_asked_for() -> None:
    rows = scored(
        (QUESTION, "", GERMAN),
        ("Where is it?", "", GERMAN),
        (QUESTION, "", "Die Donau."),
        (f"Translate it into German: {ANSWER}", "", GERMAN),
        (f"{QUESTION} Say it in German.", "", GERMAN),
        ("Durch welche Länder fließt der Fluss, und wo mündet er am Ende ins Meer?", "", GERMAN),
    )
    assert [row["mismatch"] for row in rows] == [True, False, False, False, False, False]
    assert not scored((QUESTION, "", GERMAN), language_prob=1.0)[0]["mismatch"]
    assert scored((QUESTION, "", GERMAN), language=None)[0]["pass"]


def test_phrases_of_a_file_take_the_place_of_ours_and_are_recorded(tmp_path: Path) -> None:
    (tmp_path / "no.txt").write_text("# ours\nNo comment\n")
    rows = [(QUESTION, "", "No comment, thank you."), (QUESTION, "", "I'm sorry, but I can't help with that.")]
    found = scored(*rows, folder=tmp_path, refusals="no.txt")
    assert [row["refusal"] for row in found] == ["No comment", None]
    scorer = hygiene(tmp_path, refusals="no.txt")
    before = scorer.identity()
    assert scorer.lists() == [tmp_path / "no.txt"]
    assert before != hygiene().identity()
    (tmp_path / "no.txt").write_text("I'm sorry\n")
    assert scorer.identity() != before
    with pytest.raises(ValueError, match="does not exist"):
        hygiene(tmp_path, refusals="gone.txt")


def test_conversations_are_judged_answer_by_answer_in_the_language_of_the_last_question() -> None:
    scorer = per_turn(hygiene(turns=""), "")
    assert isinstance(scorer, PerTurn)
    german = "Durch welche Länder fließt der Fluss, und wo mündet er am Ende ins Meer?"
    talks = [
        [
            ("system", "Be a helpful assistant that answers every question briefly."),
            ("user", german),
            ("assistant", GERMAN),
        ],
        [("user", QUESTION), ("assistant", ANSWER), ("user", QUESTION), ("assistant", "I'm sorry, but I can't say.")],
        [("user", german), ("assistant", GERMAN), ("user", QUESTION), ("assistant", GERMAN)],
        [("user", QUESTION)],
    ]
    lines = [json.dumps([{"role": role, "content": text} for role, text in talk]) for talk in talks]
    rows = scorer.score(pa.record_batch({"messages": pa.array(lines, TEXT)})).to_pylist()
    assert [row["status"] for row in rows] == ["ok", "ok", "ok", "empty"]
    assert [row["pass"] for row in rows] == [True, False, False, None]
    assert [row["reason"] for row in rows] == [None, "refusal", "copied", None]
    assert [turn["pass"] for turn in rows[1]["turns"]] == [True, False]
    assert rows[2]["turns"][1]["mismatch"]
    assert scorer.default_keep == "{id}.pass"


@pytest.mark.skipif(not DOLLY.exists(), reason="the shared data is not there")
def test_of_peoples_own_answers_hardly_any_is_rejected() -> None:
    table = pq.read_table(DOLLY)
    names = ("instruction", "input", "output")
    columns = {name: pc.fill_null(table.column(name).combine_chunks().cast(TEXT), "") for name in names}
    found = hygiene(reject=list(REASONS[:-1])).score(pa.record_batch(columns))
    assert Counter(found.column("reason").drop_null().to_pylist()) == {
        "answer_in_prompt": 45,
        "language_mismatch": 5,
        "refusal": 1,  # "As a Large Language Model (LLM), I don't have any favorite baseball team"
    }
