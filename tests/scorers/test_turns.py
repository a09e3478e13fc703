"""Conversations: each answer scored as a row of its own, and one number made of them by the stated rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curation.scorers.base import Context, Contract, Scorer, Settings
from curation.scorers.ifd import Ifd, IfdSettings
from curation.scorers.turns import PerTurn, per_turn, uses_turns
from schemas.documents import EMPTY, ERROR, OK, TEXT, TOO_SHORT
from small_models import write_tiny_causal

TALK = [
    ("system", "Be brief."),
    ("user", "What is the capital of France?"),
    ("assistant", "The capital of France is Paris."),
    ("user", "And how do I whisk eggs?"),
    ("assistant", "Whisk the eggs with sugar until the mixture is pale."),
]


def messages(*turns: tuple[str, str]) -> str:
    return json.dumps([{"role": role, "content": text} for role, text in turns])


def batch(*rows: str) -> pa.RecordBatch:
    return pa.record_batch({"messages": pa.array(rows, TEXT)})


class Length(Scorer):
    """Length of prompt and answer; of "!" an error, of one letter too short."""

    kind = "length"
    reads = ("prompt", "output")

    @property
    def fields(self) -> list[pa.Field]:
        return [
            pa.field("share", pa.float32()),
            pa.field("tokens", pa.int32()),
            pa.field("truncated", pa.bool_()),
            pa.field("fine", pa.bool_()),
            pa.field("reason", pa.string()),
            pa.field("labels", pa.list_(pa.string())),
        ]

    @property
    def contract(self) -> Contract:
        return Contract("share", 1, "ratio", tokens="tokens", truncated="truncated")

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        rows = []
        for prompt, output in zip(*(batch.column(name).to_pylist() for name in self.reads), strict=True):
            status = {"!": ERROR, "x": TOO_SHORT}.get(output, OK)
            rows.append(
                {
                    "share": len(output) / (len(prompt) or 1),
                    "tokens": len(output.split()),
                    "truncated": len(output) > 20,
                    "fine": "?" not in output,
                    "reason": "asks" if "?" in output else None,
                    "labels": [output[:1]],
                    "status": status,
                    "message": "what it said" if status == ERROR else None,
                }
                if status == OK
                else {"status": status, "message": "what it said" if status == ERROR else None}
            )
        kinds = [*self.fields, pa.field("status", pa.string()), pa.field("message", pa.string())]
        return pa.RecordBatch.from_pylist(rows, schema=pa.schema(kinds))


def length(rule: str = "mean") -> PerTurn:
    found = per_turn(Length(Settings(), Context(Path())), rule)
    assert isinstance(found, PerTurn)
    return found


def scored(*rows: str, rule: str = "mean") -> list[dict[str, Any]]:
    scorer = length(rule)
    result = scorer.score(batch(*rows))
    assert [(item.name, item.type) for item in result.schema][:-2] == [(f.name, f.type) for f in scorer.fields]
    return result.to_pylist()


def test_numbers_by_rule_tokens_summed_and_every_answer_at_hand() -> None:
    talk = messages(("user", "four"), ("assistant", "ab"), ("user", "q"), ("assistant", "a long one? yes, so long"))
    shares = [2 / 4, 24 / len("four\nab\nq")]
    for rule, expected in {
        "mean": sum(shares) / 2,
        "sum": sum(shares),
        "min": min(shares),
        "max": max(shares),
        "first": shares[0],
        "last": shares[1],
    }.items():
        [row] = scored(talk, rule=rule)
        assert row["share"] == pytest.approx(expected, rel=1e-6)
        assert (row["tokens"], row["truncated"], row["fine"], row["reason"]) == (7, True, False, "asks")
        assert (row["answers"], row["status"]) == (2, OK)
        assert [turn["labels"] for turn in row["turns"]] == [["a"], ["a"]]
        assert [turn["share"] for turn in row["turns"]] == pytest.approx(shares, rel=1e-6)


def test_answers_without_a_score_are_left_out_and_counted() -> None:
    some = messages(("user", "q"), ("assistant", "x"), ("user", "q"), ("assistant", "abc"))
    none = messages(("user", "q"), ("assistant", "x"))
    bad = messages(("user", "q"), ("assistant", "abc"), ("assistant", "!"))
    silent = messages(("user", "q"))
    rows = scored(
        some,
        none,
        bad,
        silent,
        "[]",
        messages(
            ("assistant", "first"),
        ),
    )
    assert [row["status"] for row in rows] == [OK, TOO_SHORT, ERROR, EMPTY, EMPTY, OK]
    assert [row["answers"] for row in rows] == [1, 0, 1, 0, 0, 1]
    assert [row["share"] is None for row in rows] == [False, True, True, True, True, False]
    assert [turn["status"] for turn in rows[0]["turns"]] == [TOO_SHORT, OK]
    assert rows[2]["message"] == "what it said"


def test_neighbours_change_nothing() -> None:
    rows = [messages(*TALK), messages(("user", "q"), ("assistant", "abc")), "[]", messages(*TALK[:3])]
    together = scored(*rows)
    assert [scored(row)[0] for row in rows] == together
    assert scored(*rows[::-1])[::-1] == together


def test_ifd_of_a_conversation_is_that_of_its_answers_as_rows(tmp_path: Path) -> None:
    folder = write_tiny_causal(tmp_path / "model")
    ifd = Ifd(IfdSettings(model=f"path:{folder}"), Context(Path()))
    scorer = per_turn(ifd, "")
    assert uses_turns(scorer)
    assert scorer.reads == ("messages",)
    scorer.load()
    before = ["Be brief.\nWhat is the capital of France?", "\n".join(text for _, text in TALK[:4])]
    answers = [TALK[2][1], TALK[4][1]]
    columns = {"instruction": before, "input": ["", ""], "output": answers}
    alone = ifd.score(pa.record_batch({name: pa.array(column, TEXT) for name, column in columns.items()})).to_pylist()
    [row] = scorer.score(batch(messages(*TALK))).to_pylist()
    names = [item.name for item in ifd.fields]
    assert [{name: turn[name] for name in names} for turn in row["turns"]] == [
        {name: turn[name] for name in names} for turn in alone
    ]
    assert row["ifd_ppl"] == pytest.approx((alone[0]["ifd_ppl"] + alone[1]["ifd_ppl"]) / 2, rel=1e-12)
    assert row["tokens"] == alone[0]["tokens"] + alone[1]["tokens"]
    assert scorer.identity() != per_turn(ifd, "sum").identity()


def test_scorers_of_whole_conversations_are_left_alone_unless_a_rule_is_named() -> None:
    class Chat(Length):
        reads = ("messages",)

    chat = Chat(Settings(), Context(Path()))
    assert per_turn(chat, "") is chat
    assert isinstance(per_turn(chat, "max"), PerTurn)
    assert per_turn(chat, None) is chat
    plain = Length(Settings(), Context(Path()))
    assert per_turn(plain, None) is plain
