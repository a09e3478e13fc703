"""Which format a recipe's columns are, and what each gives to stages."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from curation.formats.columns import Columns, Opened
from schemas.documents import TEXT

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


def said(*contents: str) -> list[dict[str, str]]:
    return [
        {"role": role, "content": text} for role, text in zip(["user", "assistant"] * 9, contents, strict=False) if text
    ]


def opened(columns: Columns, **given: pa.Array) -> Opened:
    return columns.open(pa.RecordBatch.from_pydict(given))


@pytest.mark.parametrize(
    ("mapped", "kind"),
    [
        ({}, None),
        ({"text": "t", "output": "o"}, None),
        ({"instruction": "i", "output": "o"}, "instruction"),
        ({"messages": "m", "instruction": "i", "output": "o"}, "messages"),
        ({"conversations": "c"}, "sharegpt"),
        ({"prompt": "p", "chosen": "c", "rejected": "r"}, "preference"),
    ],
)
def test_the_format_is_known_by_mapped_names(mapped: dict[str, str], kind: str | None) -> None:
    columns = Columns.of(mapped)
    assert columns.kind == kind
    assert ("text" in columns.mapping) == (kind is None)
    assert "text" in columns.names
    assert columns.conversation == (kind in ("messages", "sharegpt"))


def test_a_mapped_text_is_the_sources_own() -> None:
    columns = Columns.of({"text": "o", "instruction": "i", "output": "o"})
    rows = opened(columns, i=pa.array(["ask"], TEXT), o=pa.array(["answer"], TEXT))
    assert rows.text[0].to_pylist() == rows.field("text").to_pylist() == ["answer"]
    assert rows.field("prompt").to_pylist() == ["ask"]
    assert columns.identity("text") == "o"
    assert columns.identity("prompt") == ["instruction", 1, [["instruction", "i"], ["output", "o"]]]
    assert columns.sources(["text"]) == ["i", "o"]


def test_instruction_input_output() -> None:
    columns = Columns.of({"instruction": "i", "input": "n", "output": "o", "system": "s"})
    rows = opened(
        columns,
        i=pa.array(["add", "add", None, "say"], TEXT),
        n=pa.array(["1 2", "", None, None], TEXT),
        o=pa.array(["3", "what?", None, ""], TEXT),
        s=pa.array([None, "Be kind.", None, None], TEXT),
    )
    assert rows.text[0].to_pylist() == ["add\n1 2\n\n3", "Be kind.\n\nadd\n\nwhat?", None, "say"]
    assert rows.field("prompt").to_pylist() == ["add\n1 2", "add", "", "say"]
    assert rows.field("input").to_pylist() == ["1 2", "", "", ""]
    assert [[item["role"] for item in json.loads(text)] for text in rows.field("messages").to_pylist()] == [
        ["user", "assistant"],
        ["system", "user", "assistant"],
        [],
        ["user"],
    ]
    bare = Columns.of({"instruction": "i", "output": "o"})
    assert opened(bare, i=pa.array(["q"], TEXT), o=pa.array(["a"], TEXT)).field("input").to_pylist() == [""]


def test_invalid_text_in_any_part_makes_the_text_invalid() -> None:
    bad = pa.array([b"fine", b"\xff"], pa.large_binary()).view(TEXT)
    rows = opened(Columns.of({"instruction": "i", "output": "o"}), i=pa.array(["q", "q"], TEXT), o=bad)
    assert rows.text[1].tolist() == [False, True]


def test_sharegpt_is_messages_by_other_names() -> None:
    turns = [[{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]]
    kind = pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))
    rows = opened(Columns.of({"conversations": "c"}), c=pa.array([*turns, None], kind))
    assert rows.text[0].to_pylist() == ["q\n\na", None]
    assert json.loads(rows.field("messages").to_pylist()[0]) == said("q", "a")


@pytest.mark.parametrize("as_json", [False, True])
def test_preferences_as_lists_share_their_prompt(as_json: bool) -> None:
    pairs: list[tuple[Any, Any]] = [
        (said("q", "good"), said("q", "bad")),
        (said("q", "a", "more?", "good"), said("q", "a", "more?", "bad", "and?", "worse")),
        (said("q", "same"), said("q", "same")),
        (None, None),
    ]
    columns = [[side and json.dumps(side) for side in column] for column in zip(*pairs, strict=True)]
    chosen, rejected = (
        (pa.array(column, TEXT) for column in columns)
        if as_json
        else (pa.array(list(column), MESSAGES) for column in zip(*pairs, strict=True))
    )
    rows = opened(Columns.of({"chosen": "c", "rejected": "r"}), c=chosen, r=rejected)
    assert rows.field("prompt").to_pylist() == ["q", "q\na\nmore?", "q", ""]
    assert rows.field("chosen").to_pylist() == ["good", "good", "same", ""]
    assert rows.field("rejected").to_pylist() == ["bad", "bad\nand?\nworse", "same", ""]
    assert rows.text[0].to_pylist()[0] == "q\n\ngood"
    assert rows.text[0].to_pylist()[3] is None
    assert json.loads(rows.field("rejected_messages").to_pylist()[0]) == said("q", "bad")
    assert rows.field("output").to_pylist() == rows.field("chosen").to_pylist()


def test_preferences_as_texts() -> None:
    columns = Columns.of({"prompt": "p", "chosen": "c", "rejected": "r"})
    rows = opened(
        columns,
        p=pa.array(["q", "q", None], TEXT),
        c=pa.array(["good", "", None], TEXT),
        r=pa.array(["bad", "bad", None], TEXT),
    )
    assert rows.field("instruction").to_pylist() == ["q", "q", ""]
    assert rows.field("chosen").to_pylist() == ["good", "", ""]
    assert rows.field("rejected_text").to_pylist() == ["q\n\nbad", "q\n\nbad", ""]
    assert json.loads(rows.field("messages").to_pylist()[0]) == said("q", "good")


def test_a_prompt_as_text_beside_lists_that_begin_with_it_counts_once() -> None:
    columns = Columns.of({"prompt": "p", "chosen": "c", "rejected": "r"})
    chosen, rejected = (pa.array([said("q", answer)], MESSAGES) for answer in ("good", "bad"))
    rows = opened(columns, p=pa.array(["q"], TEXT), c=chosen, r=rejected)
    assert rows.field("chosen_text").to_pylist() == ["q\n\ngood"]
    only = opened(columns, p=pa.array(["q"], TEXT), c=chosen.take([0]), r=pa.array([said("", "bad")], MESSAGES))
    assert only.field("rejected_text").to_pylist() == ["q\n\nbad"]
