"""Conversations out of Arrow and out of JSON are the same columns; what is no conversation says why."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.formats.turns import ASSISTANT, SYSTEM, TOOL, USER, Turns, exchange
from schemas.documents import TEXT

CONVERSATIONS: list[list[dict[str, str]] | None] = [
    [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "Two."}],
    None,
    [],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "First?"},
        {"role": "assistant", "content": "Once."},
        {"role": "tool", "content": "42"},
        {"role": "user", "content": "naïve 😀?"},
        {"role": "assistant", "content": "Twice."},
    ],
    [{"role": "user", "content": "No answer"}],
]
MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])


def columnar(rows: list[Any]) -> Turns:
    return Turns.read(pa.array(rows, pa.list_(MESSAGE)))


def parsed(rows: list[Any]) -> Turns:
    return Turns.read(pa.array([None if row is None else json.dumps(row) for row in rows], TEXT))


def shown(turns: Turns) -> Any:
    return turns.bounds.tolist(), turns.roles.tolist(), turns.contents.to_pylist()


@pytest.mark.parametrize("read", [columnar, parsed])
def test_columns_of_conversations(read: Any) -> None:
    turns = read(CONVERSATIONS)
    assert turns.faults == {}
    assert turns.bounds.tolist() == [0, 2, 2, 2, 8, 9]
    assert turns.roles.tolist() == [USER, ASSISTANT, SYSTEM, USER, ASSISTANT, TOOL, USER, ASSISTANT, USER]
    assert turns.first(USER).to_pylist() == ["One?", "", "", "First?", "No answer"]
    assert turns.last(ASSISTANT).to_pylist() == ["Two.", "", "", "Twice.", ""]
    assert turns.first(SYSTEM).to_pylist() == ["", "", "", "Be brief.", ""]
    asked = turns.before_last(ASSISTANT).joined("\n").to_pylist()
    assert asked == ["One?", "", "", "Be brief.\nFirst?\nOnce.\n42\nnaïve 😀?", "No answer"]
    assert [json.loads(text) for text in turns.json().to_pylist()] == [row or [] for row in CONVERSATIONS]
    places = turns.answers()
    assert turns.until(places, itself=False).joined("|").to_pylist() == [
        "One?",
        "Be brief.|First?",
        "Be brief.|First?|Once.|42|naïve 😀?",
    ]
    assert [len(json.loads(text)) for text in turns.until(places, itself=True).json().to_pylist()] == [2, 3, 6]


SMALL = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "human", "GPT", "tool"]), "content": st.text()}
    ),
    max_size=4,
)


@given(st.lists(st.one_of(st.none(), SMALL), max_size=6), st.integers(0, 3))
def test_arrow_and_json_agree_whatever_the_slice(rows: list[Any], skip: int) -> None:
    rows = [row and [item for item in row if item["content"].isprintable()] for row in rows]
    column = pa.array(rows, pa.list_(MESSAGE)).slice(min(skip, len(rows)))
    assert shown(Turns.read(column)) == shown(parsed(rows[skip:]))


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("not json", "not a list of messages"),
        ('{"role": "user"}', "not a list of messages"),
        ("[1]", "message 1 is no object"),
        ('[{"content": "x"}]', "message 1 has no 'role'"),
        ('[{"role": "user", "content": "x"}, {"role": "wizard", "content": "y"}]', "message 2 has an unknown role"),
        ('[{"role": "user"}]', "message 1 has no 'content'"),
        ('[{"role": "user", "content": [{"type": "image_url"}]}]', "message 1 holds something that is not text"),
    ],
)
def test_what_is_no_conversation_says_why_and_harms_no_other(row: str, fault: str) -> None:
    good = json.dumps(CONVERSATIONS[0])
    turns = Turns.read(pa.array([good, row, good], TEXT))
    assert turns.faults == {1: fault}
    assert turns.bounds.tolist() == [0, 2, 2, 4]
    assert turns.last(ASSISTANT).to_pylist() == ["Two.", "", "Two."]


def test_half_a_surrogate_pair_is_one_replacement_character_and_counted() -> None:
    bad = r'[{"role": "user", "content": "a\ud800b\udc00"}, {"role": "assistant", "content": "fine"}]'
    turns = Turns.read(pa.array([bad, json.dumps(CONVERSATIONS[0])], TEXT))
    assert (turns.faults, turns.replaced) == ({}, {0: 2})
    assert turns.first(USER).to_pylist()[0] == "a\ufffdb\ufffd"
    assert turns.last(ASSISTANT).to_pylist() == ["fine", "Two."]


OLD_CALL = {"name": "weather", "arguments": '{"city": "Oslo"}'}


@pytest.mark.parametrize("arrow", [False, True])
@pytest.mark.parametrize("content", [{"content": None}, {}])
def test_a_call_of_a_function_without_content_is_an_answer(arrow: bool, content: dict) -> None:
    asked = {"role": "user", "content": "Rain?"}
    row = [asked, {"role": "assistant", **content, "function_call": OLD_CALL}]
    column = pa.array([row]) if arrow else pa.array([json.dumps(row)], TEXT)
    turns = Turns.read(column)
    assert turns.faults == {}
    assert json.loads(turns.last(ASSISTANT)[0].as_py()) == OLD_CALL
    assert json.loads(turns.more[1].as_py()) == {
        "content": "",
        "tool_calls": [{"type": "function", "function": OLD_CALL}],
    }


def test_null_roles_and_contents_in_arrow_are_faults() -> None:
    rows = [[{"role": None, "content": "x"}], [{"role": "user", "content": None}], CONVERSATIONS[0]]
    assert columnar(rows).faults == {0: "message 1 has no 'role'", 1: "message 1 has no 'content'"}


def test_calls_of_tools_and_contents_in_parts_are_texts() -> None:
    rows = [
        [{"role": "assistant", "content": None, "tool_calls": [{"name": "add"}]}],
        [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
    ]
    assert parsed(rows).contents.to_pylist() == ['[{"name":"add"}]', "a\nb"]


CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": None}}}
TOOLED: list[dict[str, Any]] = [
    {"role": "user", "content": "1 and none?", "name": "Ann", "weight": 0},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "1", "tool_call_id": "c1", "tool_calls": []},
    {"role": "assistant", "content": "It is 1.", "reasoning_content": "Easy."},
]


def more(turns: Turns) -> list[Any]:
    assert turns.more is not None
    return [text and json.loads(text) for text in turns.more.to_pylist()]


def test_what_messages_have_beside_words_is_kept_as_json() -> None:
    turns = parsed([CONVERSATIONS[0], TOOLED])
    assert more(turns) == [
        None,
        None,
        {"name": "Ann"},
        {"tool_calls": [CALL], "content": ""},
        {"tool_call_id": "c1"},
        {"reasoning_content": "Easy."},
    ]
    assert more(turns.take(turns.roles == ASSISTANT))[1:] == [more(turns)[3], more(turns)[5]]
    assert parsed([CONVERSATIONS[0]]).more is None


@pytest.mark.parametrize("content", [None, ""])
def test_in_structs_a_null_is_a_key_that_there_is_not(content: str | None) -> None:
    rows = [CONVERSATIONS[0], [TOOLED[0], {**TOOLED[1], "content": content}, *TOOLED[2:]]]
    turns = Turns.read(pa.array(rows))
    bare = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    assert more(turns)[2:4] == [{"name": "Ann"}, {"tool_calls": [bare]} | ({} if content == "" else {"content": ""})]
    assert more(turns)[:2] == [None, None]


@pytest.mark.parametrize("as_json", [False, True])
def test_sharegpts_calls_are_calls_where_their_words_are_json(as_json: bool) -> None:
    words = ['{"name": "add", "arguments": {"a": 1}}', "I call add"]
    rows = [[{"from": "human", "value": "?"}, {"from": "function_call", "value": text}] for text in words]
    column = pa.array([json.dumps(row) for row in rows], TEXT) if as_json else pa.array(rows)
    turns = Turns.read(column, "from", "value")
    function = {"name": "add", "arguments": {"a": 1}}
    assert more(turns) == [
        None,
        {"content": "", "tool_calls": [{"type": "function", "function": function}]},
        None,
        None,
    ]
    assert turns.last(ASSISTANT).to_pylist() == words


def test_an_exchange_leaves_blank_messages_out() -> None:
    turns = exchange(pa.array(["q", "", "r"], TEXT), pa.array(["a", "b", ""], TEXT), pa.array(["s", None, ""], TEXT))
    assert shown(turns) == (
        [0, 3, 4, 5],
        [SYSTEM, USER, ASSISTANT, ASSISTANT, USER],
        ["s", "q", "a", "b", "r"],
    )
