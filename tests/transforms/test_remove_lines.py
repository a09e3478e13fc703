"""C4's line rules as spans; parity with datatrove is in tests/parity."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.scorers.base import Context
from curation.text.edits import apply_edits
from curation.transforms.remove_lines import RemoveLines
from schemas.documents import EDITS

FIVE = "A boat came in with the tide.\nWe had to wait.\nNobody knew where it had been.\nIt left at dawn.\nSo it was.\n"
TEXT = st.lists(
    st.sampled_from(["[1]", "[edit]", "[", "]", "\n", "\r\n", "\u2028", " ", "Some words here.", "...", "{", "cookies"])
    | st.text(max_size=5),
    max_size=20,
).map("".join)
transform = RemoveLines(RemoveLines.Settings(), Context(Path()))


def score(*rows: str) -> pa.RecordBatch:
    return transform.score(pa.record_batch({"text": pa.array(rows, pa.large_string())}))


def edited(*rows: str) -> list[str]:
    result = apply_edits(pa.array(rows, pa.large_string()), score(*rows)["edits"])
    result.validate(full=True)
    return result.to_pylist()


def test_columns_are_those_declared_and_the_edits() -> None:
    assert score(FIVE).schema == pa.schema([*transform.fields, pa.field("edits", EDITS)])


def test_surviving_lines_are_joined_by_line_feeds() -> None:
    assert edited("Home\n  A boat came in.  \r\n\nMenu\nWe had to wait!\u2028Contact") == [
        "A boat came in.\nWe had to wait!"
    ]


def test_a_text_that_needs_nothing_gets_no_edits() -> None:
    assert score(FIVE.strip())["edits"].to_pylist() == [[]]


def test_citation_marks_go_and_other_brackets_stay() -> None:
    assert edited("It is so.[12] And [edit] that[citation needed] is [sic] all.") == [
        "It is so. And  that is [sic] all."
    ]


def test_each_line_counts_for_the_first_rule_that_removes_it() -> None:
    row = score(
        f"no end\nToo few.\nIt has {'x' * 1001} in it.\nEnable JavaScript to read.\nRead our privacy policy here.\n"
        + FIVE
    ).to_pylist()[0]
    counts = {name: value for name, value in row.items() if name.startswith("lines")}
    assert counts == {
        "lines": 10,
        "lines_removed_too_long_word": 1,
        "lines_removed_no_terminal_punctuation": 1,
        "lines_removed_too_few_words": 1,
        "lines_removed_javascript": 1,
        "lines_removed_policy": 1,
    }
    assert (row["pass"], row["sentences"]) == (True, 5)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", None),
        ("Lorem ipsum dolor sit amet.", "lorem_ipsum"),
        ("Lorem ipsum dolor sit amet", None),
        ("Here is { a brace.", "curly_bracket"),
        ("Here is { a brace", None),
    ],
)
def test_some_lines_condemn_the_document_if_they_would_stay(line: str, reason: str | None) -> None:
    assert score(FIVE + line)["reason"].to_pylist() == [reason]


def test_fewer_than_five_sentences_condemn_and_edits_are_given_all_the_same() -> None:
    row = score("Menu\nOne line of it. Two of them.").to_pylist()[0]
    assert (row["pass"], row["reason"], row["sentences"]) == (False, "too_few_sentences", 2)
    assert edited("Menu\nOne line of it. Two of them.") == ["One line of it. Two of them."]


def test_a_document_without_lines_is_edited_to_nothing() -> None:
    assert score("", "\n\n")["reason"].to_pylist() == ["too_few_sentences"] * 2
    assert edited("", "\n\n", "menu") == ["", "", ""]


@settings(deadline=None)  # the first example compiles
@given(st.lists(TEXT, max_size=4), st.randoms(use_true_random=False))
def test_a_document_is_edited_alike_wherever_it_stands(rows: list[str], random: object) -> None:
    alone = [score(text).to_pylist()[0] for text in rows]
    order = list(range(len(rows)))
    random.shuffle(order)  # type: ignore[attr-defined]
    batch = pa.record_batch({"text": pa.array(["x", *(rows[i] for i in order), "y"], pa.large_string())})
    assert transform.score(batch[1:-1]).to_pylist() == [alone[i] for i in order]
    assert all(line == line.rstrip() for text in edited(*rows) for line in text.split("\n"))


def test_no_documents_have_no_edits() -> None:
    assert score().num_rows == 0


def test_an_unknown_profile_is_refused_with_the_known_one() -> None:
    with pytest.raises(ValueError, match="did you mean 'c4@datatrove'"):
        RemoveLines(RemoveLines.Settings(profile="c4@datatrov"), Context(Path()))
