"""Runs over what people have: JSON and CSV beside Parquet, conversations whose types differ, documents that are too
large. Every row is kept, dropped or errored, and numbers come out as they went in."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import Workspace
from schemas.errors import CurationError


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(place, paths, stages=(), workspace="ws", **rest):
    recipe = {"name": "n", "input": {"path": paths, **rest.pop("input", {})}, "stages": list(stages), **rest}
    result = Workspace(place / workspace).run(recipe, executor="local", workers=1)
    assert result.outcome in ("done", "nothing-to-do"), result.failures
    assert result.rows == result.kept + result.dropped + result.errored
    return result


def dataset(result):
    return pa.concat_tables([pq.read_table(path) for path in sorted(result.folder.glob("data/*.parquet"))])


def test_json_csv_and_parquet_are_one_corpus(place):
    rows = [{"text": f"text {n}", "n": n} for n in range(6)]
    pq.write_table(pa.table({"text": ["text 0"], "n": [0]}), "a.parquet")
    (place / "b.json").write_text(json.dumps(rows[1:3]))
    (place / "c.csv").write_text("n,text\n3,text 3\n")
    (place / "d.tsv").write_text("n\ttext\n4\ttext 4\n")
    (place / "e.jsonl").write_text(json.dumps(rows[5]))
    paths = ["a.parquet", "b.json", "c.csv", "d.tsv", "e.jsonl"]
    result = run(place, paths)
    assert dataset(result).to_pylist() == rows
    assert run(place, paths).outcome == "nothing-to-do"


def test_json_and_csv_beside_the_data_describe_it(place):
    pq.write_table(pa.table({"text": ["a"]}), "a.parquet")
    (place / "dataset_info.json").write_text('{"features": {}}')
    (place / "stats.csv").write_text("a,b\n1,2\n")
    assert run(place, ".").rows == 1


def test_ids_that_no_64_bits_hold_are_ids_of_their_own(place):
    first, last = 2**64 + 1, 2**64 + 2
    (place / "a.jsonl").write_text("".join(f'{{"text": "t", "key": {n}}}\n' for n in (first, last, 7)))
    (place / "b.jsonl").write_text('{"text": "t", "key": 9007199254740993}\n{"text": "t", "key": 1.5}\n')
    pq.write_table(pa.table({"text": ["t"], "key": [9]}), "c.parquet")
    result = run(place, ["*.jsonl", "c.parquet"], input={"columns": {"id": "key"}})
    assert result.duplicate_ids == 0
    ids = Workspace(place / "ws").sql("SELECT id FROM documents ORDER BY path, row").column("id").to_pylist()
    assert ids == [str(first), str(last), "7", "9007199254740993", "1.5", "9"]


def test_numbers_that_are_held_as_text_are_still_numbers_to_a_scorer(place):
    (place / "a.jsonl").write_text('{"text": "t", "n": 36893488147419103233}\n{"text": "t", "n": 1.5}\n')
    result = run(
        place,
        "a.jsonl",
        [{"scorer": "imported", "column": "n", "keep": "imported.score > 2"}],
        input={"columns": {"n": "n"}},
    )
    assert dataset(result).column("n").to_pylist() == ["36893488147419103233"]


@pytest.mark.parametrize(("name", "line"), [("a.jsonl", 3), ("a.csv", 4)])
def test_one_text_among_numbers_says_which_line(place, name, line):
    values = [1, 2, "many"]
    made = {
        "a.jsonl": "".join(json.dumps({"text": "t", "n": value}) + "\n" for value in values),
        "a.csv": "text,n\n" + "".join(f"t,{value}\n" for value in values),
    }
    (place / name).write_text(made[name])
    stage = {"scorer": "imported", "column": "n"}
    with pytest.raises(CurationError) as caught:
        run(place, name, [stage], input={"columns": {"n": "n"}})
    [finding] = caught.value.findings
    assert finding.code == "C022"
    assert f"line {line} of" in finding.message
    pq.write_table(pa.table({"text": ["t"], "n": [1]}), "b.parquet")
    with pytest.raises(CurationError) as caught:
        run(place, [name, "b.parquet"])
    [finding] = caught.value.findings
    assert finding.code == "C023"
    assert f"{name} (line {line})" in finding.message


def test_a_document_that_is_too_large_is_dropped_and_counted(place):
    big = "x " * 3000
    (place / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in ("a b", big, "c d")))
    (place / "b.csv").write_text(f"text\n{big}\ne f\n")
    (place / "c.json").write_text(json.dumps([{"text": big}, {"text": "g h"}]))
    pq.write_table(pa.table({"text": [big, "i j"]}), "d.parquet")
    paths = ["a.jsonl", "b.csv", "c.json", "d.parquet"]
    small = {"max_document_bytes": 5000}
    result = run(place, paths, input=small)
    assert (result.rows, result.kept, result.dropped, result.errored) == (9, 5, 4, 0)
    drops = Workspace(place / "ws").sql("SELECT stage, reason FROM drops").to_pylist()
    assert drops == [{"stage": "input", "reason": "too_large"}] * 4
    assert dataset(result).column("text").to_pylist() == ["a b", "c d", "e f", "g h", "i j"]
    assert run(place, paths).kept == 9, "with a larger limit they are read"
    assert run(place, paths, input=small).kept == 5


def test_a_conversation_that_is_too_large_is_dropped(place):
    rows = [[{"role": "user", "content": text}, {"role": "assistant", "content": "b"}] for text in ("a", "x" * 6000)]
    pq.write_table(pa.table({"messages": rows}), "a.parquet")
    result = run(place, "a.parquet", input={"columns": {"messages": "messages"}, "max_document_bytes": 5000})
    assert (result.kept, result.dropped) == (1, 1)


def test_half_a_surrogate_pair_is_counted_in_sql(place):
    (place / "a.jsonl").write_text(
        '{"text": "a\\ud800b"}\n{"text": "c", "n": NaN, "deep": ' + "[" * 3000 + "]" * 3000 + "}\n"
    )
    result = run(place, "a.jsonl")
    assert dataset(result).column("text").to_pylist() == ["a\ufffdb", "c"]
    counted = Workspace(place / "ws").sql("SELECT input.replaced AS n FROM documents ORDER BY row").column("n")
    assert counted.to_pylist() == [1, 0]


ANSWER = {"role": "assistant", "content": "Yes."}
ASKED = {"role": "user", "content": "Is it?"}
CALL = {"name": "f", "arguments": {"x": 1}}


def test_conversations_whose_files_differ_are_one_column(place):
    pq.write_table(pa.table({"messages": [[ASKED, ANSWER]]}), "a.parquet")
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    pq.write_table(pa.table({"messages": [[ASKED, {**ANSWER, "tool_calls": None}], [ASKED, called]]}), "b.parquet")
    turned = pa.large_list(pa.struct([("content", pa.large_string()), ("role", pa.string_view())]))
    pq.write_table(pa.table({"messages": pa.array([[ASKED, ANSWER]], turned)}), "c.parquet")
    result = run(place, "*.parquet", input={"columns": {"messages": "messages"}})
    assert result.kept == 4
    written = dataset(result).column("messages").to_pylist()
    assert [[message["content"] for message in row] for row in written] == [
        ["Is it?", "Yes."], ["Is it?", "Yes."], ["Is it?", None], ["Is it?", "Yes."]
    ]  # fmt: skip
    assert written[2][1]["tool_calls"] == [CALL]


def test_what_only_a_format_reads_needs_no_common_type(place):
    pq.write_table(pa.table({"messages": [[ASKED, {**ANSWER, "tool_calls": [CALL]}]], "n": [1]}), "a.parquet")
    other = {"name": "f", "arguments": {"x": "text"}}
    pq.write_table(pa.table({"messages": [[ASKED, {**ANSWER, "tool_calls": [other]}]], "n": [2]}), "b.parquet")
    (place / "c.jsonl").write_text(json.dumps({"messages": [ASKED, ANSWER], "n": 3}))
    given = {"columns": {"messages": "messages", "n": "n"}}
    result = run(
        place,
        ["*.parquet", "c.jsonl"],
        [{"scorer": "rules", "profile": "gopher-quality@datatrove", "keep": "true"}],
        input=given,
        output={"columns": ["n", "rules.words"]},
    )
    assert dataset(result).column("n").to_pylist() == [1, 2, 3]
    with pytest.raises(CurationError) as caught:
        run(place, ["*.parquet", "c.jsonl"], input=given)
    assert [finding.code for finding in caught.value.findings] == ["C023"]


def test_uuids_and_json_come_out_as_text(place):
    key = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(15) + b"\x07"], pa.binary(16)))
    meta = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}']))
    pq.write_table(pa.table({"text": ["t"], "key": key, "meta": meta}), "a.parquet")
    result = run(place, "a.parquet", input={"columns": {"id": "key"}})
    assert dataset(result).to_pylist() == [
        {"text": "t", "key": "00000000-0000-0000-0000-000000000007", "meta": '{"a": 1}'}
    ]
    assert Workspace(place / "ws").sql("SELECT id FROM documents").to_pylist() == [
        {"id": "00000000-0000-0000-0000-000000000007"}
    ]
