"""What each trainer is given of a row, and which rows it is not given, and why."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from curation.formats.columns import Columns
from curation.formats.targets.base import Examples, Target
from curation.formats.targets.llama_factory import LlamaFactory
from pipelines.results.export import TARGETS
from schemas.documents import TEXT

SYSTEM = {"role": "system", "content": "Be brief."}
QUESTION = {"role": "user", "content": "What is 1 and 2?"}
ANSWER = {"role": "assistant", "content": "3."}
WORSE = {"role": "assistant", "content": "4."}
FUNCTION = {"name": "add", "arguments": {"a": 1, "b": 2}}
CALLING = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": FUNCTION}]}
RESULT = {"role": "tool", "content": "3", "name": "add"}
TOOLED = [SYSTEM, QUESTION, CALLING, RESULT, ANSWER]
PAIR = {"prompt": [SYSTEM, QUESTION], "chosen": [ANSWER], "rejected": [WORSE]}


def read(kind: str, mapped: dict[str, str], **columns: list[Any]) -> Examples:
    target = TARGETS[kind](Columns.of(mapped))
    arrays = {name: pa.array([_text(value) for value in values], TEXT) for name, values in columns.items()}
    return target.read(target.columns.open(pa.RecordBatch.from_pydict(arrays)))


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def talks(kind: str, *rows: Any) -> Examples:
    return read(kind, {"messages": "m"}, m=list(rows))


def pairs(kind: str, *rows: dict[str, Any]) -> Examples:
    columns = {name: [row[name] for row in rows] for name in PAIR}
    return read(kind, {name: name for name in PAIR}, **columns)


def made(examples: Examples) -> list[Any]:
    return [json.loads(line) for line in examples.lines.to_pylist()]


@pytest.mark.parametrize("kind", ["trl", "axolotl"])
def test_conversations_stay_what_they_are(kind: str) -> None:
    long = [SYSTEM, QUESTION, ANSWER, {"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes."}]
    found = talks(kind, [QUESTION, ANSWER], long)
    assert made(found) == [{"messages": [QUESTION, ANSWER]}, {"messages": long}]
    assert found.asked.to_pylist() == ["What is 1 and 2?", "What is 1 and 2?\nSure?"]
    assert not found.rich
    tooled = talks(kind, TOOLED)
    assert made(tooled) == [{"messages": TOOLED}]
    assert tooled.rich


@pytest.mark.parametrize("kind", ["trl", "axolotl"])
def test_sharegpt_gets_the_usual_names_and_calls_become_calls(kind: str) -> None:
    names = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
    row = [{"from": names[item["role"]], "value": item["content"]} for item in TOOLED]
    row[2] = {"from": "function_call", "value": json.dumps(FUNCTION)}
    [example] = made(read(kind, {"conversations": "c"}, c=[row]))
    assert example["messages"] == [*TOOLED[:3], {"role": "tool", "content": "3"}, ANSWER]


def test_instructions_are_asked_with_their_input() -> None:
    mapped = {"instruction": "i", "input": "n", "output": "o", "system": "s"}
    found = read("trl", mapped, i=["Add", "Say"], n=["1 2", None], o=["3", "Hi"], s=["Be brief.", None])
    assert [[message["content"] for message in row["messages"]] for row in made(found)] == [
        ["Be brief.", "Add\n1 2", "3"],
        ["Say", "Hi"],
    ]


def test_a_calls_arguments_become_an_object_and_its_id_stays() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    [example] = made(talks("trl", [QUESTION, {**CALLING, "tool_calls": [call]}]))
    assert example["messages"][1]["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    ]


@pytest.mark.parametrize("kind", ["trl", "axolotl", "llama-factory"])
@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([QUESTION], "no answer"),
        ([QUESTION, {"role": "assistant", "content": " \n"}], "no answer"),
        ([SYSTEM, ANSWER], "no question"),
        ([], "no question"),
        (None, "no question"),
        ("nothing", "not a conversation"),
        (
            [QUESTION, {**CALLING, "tool_calls": [{"function": {"arguments": {}}}]}],
            "a call of tools that cannot be read",
        ),
        (
            [QUESTION, {**CALLING, "tool_calls": [{"name": "f", "arguments": "{"}]}],
            "a call of tools that cannot be read",
        ),
    ],
)
def test_rows_that_no_trainer_can_use_are_counted_and_harm_no_other(kind: str, row: Any, reason: str) -> None:
    found = talks(kind, [QUESTION, ANSWER], row, [QUESTION, WORSE])
    assert found.refused == {reason: 1}
    assert len(found.lines) == len(found.asked) == 2


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([QUESTION, ANSWER, QUESTION], "no answer at the end"),
        ([QUESTION, QUESTION, ANSWER], "turns that do not alternate"),
        ([QUESTION, SYSTEM, ANSWER], "turns that do not alternate"),
        ([ANSWER, QUESTION], "turns that do not alternate"),
        ([QUESTION, {**CALLING, "content": "Let me see."}], "words beside a call of tools"),
        ([QUESTION, {**ANSWER, "reasoning_content": "Easy."}], "reasoning apart from the words"),
    ],
)
def test_llama_factory_is_not_given_what_it_would_skip(row: list[Any], reason: str) -> None:
    assert talks("llama-factory", row).refused == {reason: 1}
    assert not talks("trl", row).refused


def test_llama_factory_has_names_of_its_own() -> None:
    [example] = made(talks("llama-factory", TOOLED))
    assert [turn["from"] for turn in example["conversations"]] == [
        "system", "human", "function_call", "observation", "gpt",
    ]  # fmt: skip
    assert json.loads(example["conversations"][2]["value"]) == [FUNCTION]


def test_preferences_in_each_form() -> None:
    assert made(pairs("trl-preference", PAIR)) == [PAIR]
    assert made(pairs("axolotl", PAIR)) == [{"messages": PAIR["prompt"], "chosen": ANSWER, "rejected": WORSE}]
    turns = [{"from": "system", "value": "Be brief."}, {"from": "human", "value": QUESTION["content"]}]
    answers = {"chosen": {"from": "gpt", "value": "3."}, "rejected": {"from": "gpt", "value": "4."}}
    assert made(pairs("llama-factory", PAIR)) == [{"conversations": turns, **answers}]


def test_preferences_as_texts_and_as_whole_conversations_are_the_same() -> None:
    texts = {"prompt": QUESTION["content"], "chosen": "3.", "rejected": "4."}
    whole = {"prompt": None, "chosen": [QUESTION, ANSWER], "rejected": [QUESTION, WORSE]}
    plain = {**PAIR, "prompt": [QUESTION]}
    assert made(pairs("trl-preference", texts)) == made(pairs("trl-preference", whole)) == [plain]


def test_calls_of_tools_in_preferences_are_kept_by_trl_and_refused_by_axolotl() -> None:
    row = {"prompt": TOOLED[:-1], "chosen": [ANSWER], "rejected": [WORSE]}
    assert made(pairs("trl-preference", row)) == [row]
    [reason] = pairs("axolotl", row).refused
    assert "call of tools" in reason
    assert len(pairs("llama-factory", row).lines) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rejected": None}, "no rejected answer"),
        ({"chosen": " "}, "no chosen answer"),
        ({"prompt": None}, "no question"),
        ({"rejected": [QUESTION]}, "no rejected answer"),
    ],
)
@pytest.mark.parametrize("kind", ["trl-preference", "axolotl", "llama-factory"])
def test_preferences_without_both_sides_are_counted(kind: str, change: dict[str, Any], reason: str) -> None:
    assert pairs(kind, PAIR, {**PAIR, **change}).refused == {reason: 1}


def test_an_answer_that_goes_on_is_one_only_for_trl() -> None:
    row = {**PAIR, "chosen": [ANSWER, QUESTION, ANSWER]}
    assert made(pairs("trl-preference", row)) == [row]
    for kind in ("axolotl", "llama-factory"):
        assert pairs(kind, row).refused == {"an answer of several messages": 1}


@pytest.mark.parametrize(("kind", "none"), [("trl", None), ("axolotl", "[]"), ("llama-factory", "[]")])
def test_tools_ride_along_and_must_be_a_list(kind: str, none: str | None) -> None:
    tools = json.dumps([{"type": "function", "function": {"name": "add"}}])
    mapped = {"messages": "m", "tools": "t"}
    found = read(kind, mapped, m=[TOOLED] * 5, t=[tools, None, "", "[]", "{}"])
    assert [row["tools"] for row in made(found)] == [tools, none, none, none]
    assert found.refused == {"tools that are no JSON list": 1}


def test_what_stands_beside_the_data_names_its_columns() -> None:
    files = {"train": "train.jsonl", "test": "test.jsonl"}
    columns = Columns.of({name: name for name in (*PAIR, "tools")})
    facts = json.loads(LlamaFactory(columns).beside("mine", files)["dataset_info.json"])
    assert list(facts) == ["mine", "mine_test"]
    assert facts["mine"]["ranking"] is True
    assert facts["mine"]["columns"] == {
        "messages": "conversations", "chosen": "chosen", "rejected": "rejected", "tools": "tools",
    }  # fmt: skip


def test_a_target_goes_by_the_name_of_its_file() -> None:
    for kind, target in TARGETS.items():
        assert issubclass(target, Target)
        assert target.__module__ == f"curation.formats.targets.{kind.replace('-', '_')}"
