"""Documents that are null, empty, huge, broken or alike, and selections at their ends."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bad_inputs import RULES, SECRET, dataset, failure, run, sql, text, write

# --- documents ---------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_null_empty_and_blank_texts_are_drops_with_a_reason_and_a_huge_one_is_a_document(place):
    huge = " ".join(text(n) for n in range(36_000))
    assert len(huge) > 10_000_000
    texts = [text(1), None, "", " \t\n", "\u2003\u00a0\u0085", huge, text(2)]
    pq.write_table(pa.table({"text": texts}), place / "a.parquet")
    result = run(place)
    assert (result.outcome, result.kept, result.dropped, result.errored) == ("done", 3, 4, 0)
    drops = sql(place, "SELECT row, stage, reason FROM drops ORDER BY row")
    assert [row["reason"] for row in drops] == ["null_text", "empty_text", "empty_text", "empty_text"]
    assert {row["stage"] for row in drops} == {"input"}
    assert dataset(result).column("text").to_pylist() == [text(1), huge, text(2)]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.string(), pa.large_string()], ids=str)
def test_invalid_utf8_is_an_errored_document_within_the_budget_or_a_failed_run(place, kind):
    raw = [text(1).encode(), b"\xff\xfe" + SECRET.encode(), text(2).encode(), b"cut \xe2\x82"]
    large = kind in (pa.large_binary(), pa.large_string())
    column = pa.array(raw, pa.large_binary() if large else pa.binary())
    column = column if kind in (pa.binary(), pa.large_binary()) else column.view(kind)
    pq.write_table(pa.table({"text": column, "n": [0, 1, 2, 3]}), place / "a.parquet")
    result = run(place, errors={"documents": 1})
    _, found = failure(result, "R004")
    assert "2 documents errored" in found.message
    assert (result.kept, result.errored) == (2, 2)
    errors = sql(place, "SELECT kind, row, stage, message FROM errors WHERE kind = 'document' ORDER BY row")
    assert [(row["row"], row["stage"], row["message"]) for row in errors] == [
        (1, "input", "invalid_utf8"),
        (3, "input", "invalid_utf8"),
    ]
    allowed = run(place, errors={"documents": 2})
    assert (allowed.outcome, allowed.scored) == ("done", 0)
    assert dataset(allowed).column("n").to_pylist() == [0, 2]


def test_malformed_lines_are_counted_one_by_one(place):
    lines = [
        json.dumps({"text": text(1), "n": 1}),
        '{"text": "' + SECRET,
        "",
        json.dumps([SECRET]),
        json.dumps({"text": {"nested": SECRET}, "n": 2}),
        json.dumps({"n": 3}),
        json.dumps({"text": text(2), "n": "later a string", "new": {"a": [1]}}),
    ]
    (place / "a.jsonl").write_text("\n".join(lines))
    result = run(place, "a.jsonl", errors={"documents": 3})
    assert (result.outcome, result.rows, result.kept, result.dropped, result.errored) == ("done", 6, 2, 1, 3)
    errors = sql(place, "SELECT row, message FROM errors ORDER BY row")
    assert [(row["row"], row["message"]) for row in errors] == [
        (1, "line is not valid JSON"),
        (2, "line is not a JSON object"),
        (3, "column 'text' is not of type text"),
    ]
    written = dataset(result)
    assert written.column("n").to_pylist() == ["1", "later a string"], "no value is lost because its type came late"
    assert written.column("new").to_pylist() == [None, '{"a":[1]}']
    assert written.column("text").to_pylist() == [text(1), text(2)]


def test_a_file_of_malformed_lines_alone_is_errored_documents_too(place):
    write(place / "a.parquet")
    (place / "b.jsonl").write_text("no json\nat all\n")
    result = run(place, ["a.parquet", "b.jsonl"])
    failure(result, "R004")
    assert (result.kept, result.errored) == (20, 2)


@pytest.mark.parametrize(
    ("ids", "duplicates"),
    [
        (pa.array(["a", "b", "a", "a", None, None]), 2),
        (pa.array([1, 2, 1, 3, None, 2**62], pa.int64()), 1),
        (pa.array([1, 2, 1, 3, None, 2**63], pa.uint64()), 1),
        (pa.array([b"a", b"\xff", b"\xfe", None, b"b", b"c"]), 1),
        (pa.array(["a", "b", "a", "a", None, None]).dictionary_encode(), 2),
    ],
    ids=["string", "int64", "uint64", "binary", "dictionary"],
)
def test_duplicate_null_and_odd_ids_are_counted_and_never_in_the_way(place, ids, duplicates):
    write(place / "a.parquet", rows=6, key=ids)
    result = run(place, input={"columns": {"id": "key"}})
    assert (result.outcome, result.kept, result.duplicate_ids) == ("done", 6, duplicates)
    assert sql(place, "SELECT duplicate_ids FROM datasets") == [{"duplicate_ids": duplicates}]
    assert (
        f"{duplicates:,} documents carry an id that an earlier document has"
        in (result.folder / "README.md").read_text()
    )
    assert run(place, input={"columns": {"id": "key"}}).duplicate_ids == duplicates
    written = dataset(result).column("key").to_pylist()
    assert written == ids.to_pylist()


# --- selections at their ends ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "kept"),
    [
        ({"fraction": 0.0}, 0),
        ({"fraction": 1.0}, 20),
        ({"count": 0}, 0),
        ({"count": 10**9}, 20),
        ({"fraction": 0.29}, 5),
    ],
)
def test_a_selection_takes_nothing_everything_and_no_more_than_there_is(place, budget, kept):
    write(place / "a.parquet")
    result = run(place, stages=[RULES, {"select": "top", "by": "rules.words", **budget}])
    assert (result.outcome, result.kept, result.dropped) == ("done", kept, 20 - kept)
    assert dataset(result).num_rows == kept
