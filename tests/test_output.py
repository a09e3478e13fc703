"""What a run writes: the schema it says, the bytes it always writes, in the order of the input."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
import zstandard

from pipelines import Workspace
from schemas.errors import CurationError

WORDS = "the quick brown fox jumps over a lazy dog and then it sleeps for the rest of that long day".split()  # noqa: SIM905


def text(number, words=60):
    return " ".join(
        WORDS[(number * 7 + at * (1 + number % 5)) % len(WORDS)] + f"{(number + at) % 13}" for at in range(words)
    )


def table(first, rows, **columns):
    made = {"text": [text(n) for n in range(first, first + rows)], "n": list(range(first, first + rows))}
    return pa.table(made | columns)


RULES = {"scorer": "rules", "profile": "gopher-quality@datatrove"}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(place, paths, stages=(RULES,), workspace="ws", **rest):
    recipe = {"name": "out", "input": {"path": paths, **rest.pop("input", {})}, "stages": list(stages), **rest}
    result = Workspace(place / workspace).run(recipe, executor="local", workers=2)
    assert not result.failures, result.failures
    return result


def dataset(result):
    return pa.concat_tables([pq.read_table(path) for path in sorted(result.folder.glob("data/*.parquet"))])


def files(result):
    return {path.name: path.read_bytes() for path in sorted(result.folder.rglob("*")) if path.is_file()}


def test_default_columns_are_the_sources_own_and_rows_keep_their_order(place):
    nested = pa.array([[{"a": n, "b": [str(n)]}] for n in range(50)])
    pq.write_table(table(100, 50, meta=nested), place / "b.parquet")
    pq.write_table(table(0, 50), place / "c.parquet")
    written = dataset(run(place, ["b.parquet", "c.parquet"]))
    assert written.schema.names == ["text", "n", "meta"]
    assert written.schema.field("meta").type == nested.type
    assert written.column("n").to_pylist() == [*range(100, 150), *range(50)]
    assert written.column("text").to_pylist() == [text(n) for n in [*range(100, 150), *range(50)]]
    assert written.column("meta").to_pylist() == [*nested.to_pylist(), *[None] * 50]


@pytest.mark.long
def test_a_mapped_name_never_hides_a_source_column_of_that_name(place):
    rows = 20
    source = table(0, rows, id=[f"id-{n}" for n in range(rows)], url=[f"url-{n}" for n in range(rows)])
    source = source.rename_columns(["content", "n", "id", "url"])
    source = source.append_column("text", pa.array(["not the text"] * rows))
    pq.write_table(source, place / "a.parquet")
    mapped = {"columns": {"text": "content", "id": "url"}}
    assert dataset(run(place, "a.parquet", input=mapped)).to_pydict() == source.to_pydict()
    chosen = dataset(run(place, "a.parquet", input=mapped, output={"columns": ["id", "text", "url", "n"]}))
    assert chosen.schema.names == ["id", "text", "url", "n"]
    assert chosen.column("id") == source.column("url")
    assert chosen.column("text").to_pylist() == source.column("content").to_pylist()
    ids = Workspace(place / "ws").sql("SELECT id FROM documents ORDER BY doc_id").column("id").to_pylist()
    assert ids == source.column("url").to_pylist()


def test_chosen_scores_are_columns_with_plain_names_and_the_text_is_the_edited_one(place):
    boiler = "We use cookies here, please accept them all to go on reading"
    texts = [f"{text(n)}.\n{boiler}\n{text(n + 1)}.\n{text(n + 2)}.\n{text(n + 3)}.\n{text(n + 4)}." for n in range(10)]
    pq.write_table(pa.table({"text": texts}), place / "a.parquet")
    stages = [{**RULES, "id": "gopher"}, {"transform": "remove-lines", "profile": "c4@datatrove"}]
    columns = ["text", "gopher.words", {"quality": "gopher.pass", "body": "text"}, "gopher.status", "gopher.words"]
    result = run(place, "a.parquet", stages, output={"columns": columns})
    written = dataset(result)
    assert written.num_rows == 10
    assert written.schema.names == ["text", "gopher_words", "quality", "body", "gopher_status"]
    assert [str(kind) for kind in written.schema.types[1:3]] == ["int32", "bool"]
    assert written.column("gopher_words").to_pylist()[0] > 0
    assert set(written.column("gopher_status").to_pylist()) == {"ok"}
    assert written.column("body") == written.column("text")
    assert not any("cookies" in value for value in written.column("text").to_pylist())
    whole = dataset(run(place, "a.parquet", stages, output={"columns": ["gopher"]}))
    assert {"gopher_words", "gopher_pass"} <= set(whole.schema.names)
    assert "gopher_status" not in whole.schema.names


def test_zstd_row_groups_of_the_size_that_was_asked_for(place):
    pq.write_table(table(0, 95), place / "a.parquet", row_group_size=30)
    pq.write_table(table(95, 25), place / "b.parquet")
    (part,) = run(place, ["a.parquet", "b.parquet"], output={"row_group_rows": 50}).folder.glob("data/*.parquet")
    meta = pq.ParquetFile(part).metadata
    assert [meta.row_group(n).num_rows for n in range(meta.num_row_groups)] == [50, 50, 20]
    assert meta.row_group(0).column(0).compression == "ZSTD"


def test_a_row_group_ends_at_its_bytes_as_well(place, monkeypatch):
    monkeypatch.setattr("curation.flow.write.GROUP_BYTES", 4 * len(text(0)))
    pq.write_table(table(0, 30).append_column("id", pa.array([str(n) for n in range(30)])), place / "a.parquet")
    pq.write_table(pa.table({"text": [text(1, 5000)], "n": [30]}), place / "b.parquet")
    (part,) = run(place, "*.parquet").folder.glob("data/*.parquet")
    meta = pq.ParquetFile(part).metadata
    sizes = [meta.row_group(n).num_rows for n in range(meta.num_row_groups)]
    assert sum(sizes) == 31
    assert sizes[-1] == 1, "one document that is larger than a group is a group"
    assert max(sizes) <= 4
    assert dataset(run(place, "*.parquet")).column("n").to_pylist() == list(range(31))


@pytest.mark.long
def test_bytes_are_the_same_however_large_files_are_split(place, monkeypatch):
    monkeypatch.setattr("curation.sources.reading.BATCH_BYTES", 16_384)
    pq.write_table(table(0, 400), place / "a.parquet", row_group_size=40)
    pq.write_table(table(400, 30), place / "b.parquet")
    stages = [RULES, {"dedup": "exact"}, {"select": "top", "by": "rules.words", "fraction": 0.9}]
    whole = run(place, "*.parquet", stages)
    split = run(place, "*.parquet", stages, workspace="split", input={"shard_bytes": 20_000})
    shards = Workspace(place / "split").sql("SELECT count(*) AS shards FROM shards").to_pylist()[0]["shards"]
    assert shards > 5
    assert [data for name, data in files(split).items() if name != "README.md"] == [
        data for name, data in files(whole).items() if name != "README.md"
    ]


def test_two_workspaces_write_the_same_bytes_card_included(place):
    pq.write_table(table(0, 200), place / "a.parquet")
    pq.write_table(table(200, 100), place / "b.parquet")
    first, second = run(place, "*.parquet"), run(place, "*.parquet", workspace="other")
    assert files(first) == files(second)
    assert first.run == second.run


def test_small_file_bytes_give_several_files_of_whole_shards(place):
    for number in range(5):
        pq.write_table(table(number * 20, 20), place / f"{number}.parquet")
    size = 45 * len(text(0))
    result = run(place, "*.parquet", output={"file_bytes": size})
    parts = sorted(result.folder.glob("data/*.parquet"))
    assert [path.name for path in parts] == [f"train-0000{n}-of-00003.parquet" for n in range(3)]
    assert dataset(result).column("n").to_pylist() == list(range(100))


def test_nothing_kept_is_still_a_readable_file_with_the_right_columns(place):
    pq.write_table(table(0, 30, tags=pa.array([["x"]] * 30)), place / "a.parquet")
    result = run(
        place,
        "a.parquet",
        [{**RULES, "keep": "rules.words > 1000000"}],
        output={"columns": ["text", "tags", "rules.words"]},
    )
    assert (result.kept, result.dropped) == (0, 30)
    written = dataset(result)
    assert written.num_rows == 0
    assert written.schema.names == ["text", "tags", "rules_words"]
    assert written.schema.field("tags").type == pa.list_(pa.string())


@pytest.mark.parametrize(
    "stages", [[RULES], [RULES, {"dedup": "exact"}, {"select": "top", "by": "rules.words", "count": 3}]]
)
def test_input_without_a_single_document_is_an_empty_dataset(place, stages):
    pq.write_table(table(0, 0), place / "a.parquet")
    result = run(place, "a.parquet", stages)
    assert (result.rows, result.kept) == (0, 0)
    assert dataset(result).schema.names == ["text", "n"]


def test_the_card_has_front_matter_funnel_and_recipe(place):
    pq.write_table(table(0, 30), place / "a.parquet")
    (place / "r.yaml").write_text(
        yaml.safe_dump(
            {"name": "card", "input": {"path": "a.parquet"}, "stages": [{**RULES, "keep": "rules.words > 10"}]}
        )
    )
    result = Workspace(place / "ws").run(place / "r.yaml", executor="local")
    card = (result.folder / "README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}
    ]
    assert "30 of 30 documents, in 1 Parquet file" in card
    assert "| rules | rules | 30 | 30 | 0 | 0 | `rules.words > 10` |" in card
    assert "profile: gopher-quality@datatrove" in card


# --- formats and drift -------------------------------------------------------------------------------------------


def test_parquet_and_json_lines_plain_and_packed_make_one_dataset(place):
    pq.write_table(table(0, 10), place / "0.parquet")
    for number, (name, pack) in enumerate(
        [("jsonl", bytes), ("jsonl.gz", gzip.compress), ("jsonl.zst", zstandard.compress), ("ndjson", bytes)], 1
    ):
        lines = "".join(json.dumps(row) + "\n" for row in table(number * 10, 10).to_pylist())
        (place / f"{number}.{name}").write_bytes(pack(lines.encode()))
    written = dataset(run(place, ["0.parquet", "1.*", "2.*", "3.*", "4.ndjson"]))
    assert written.schema == pa.schema([("text", pa.string()), ("n", pa.int64())])
    assert written.column("n").to_pylist() == list(range(50))
    assert written.column("text").to_pylist() == [text(n) for n in range(50)]


def test_columns_that_drift_are_reconciled(place):
    dictionary = pa.array(["d"] * 5).dictionary_encode()
    drifts = [
        {
            "i": pa.array([1] * 5, pa.int32()),
            "f": pa.array([1] * 5, pa.int64()),
            "s": pa.array(["a"] * 5),
            "z": pa.nulls(5),
        },
        {
            "i": pa.array([2**40] * 5),
            "f": pa.array([0.5] * 5, pa.float32()),
            "s": pa.array(["b"] * 5, pa.large_string()),
        },
        {
            "f": pa.array([2**60 + 1] * 5),
            "s": dictionary,
            "z": pa.array([True] * 5),
            "u": pa.array([1] * 5, pa.uint64()),
        },
        {"u": pa.array([1] * 5, pa.uint8()), "s": pa.array(["v"] * 5, pa.string_view()), "none": pa.nulls(5)},
    ]
    for number, columns in enumerate(drifts):
        pq.write_table(table(number * 5, 5, **columns), place / f"{number}.parquet")
    written = dataset(run(place, "*.parquet"))
    kinds = {field.name: field.type for field in written.schema}
    assert kinds == {
        "text": pa.string(), "n": pa.int64(), "i": pa.int64(), "f": pa.float64(), "s": pa.string(),
        "z": pa.bool_(), "u": pa.uint64(), "none": pa.string(),
    }  # fmt: skip
    assert written.column("i").to_pylist() == [1] * 5 + [2**40] * 5 + [None] * 10
    assert written.column("s").to_pylist() == ["a"] * 5 + ["b"] * 5 + ["d"] * 5 + ["v"] * 5
    assert written.column("f").to_pylist()[::5] == [1.0, 0.5, float(2**60), None]


def test_columns_that_contradict_each_other_are_refused_by_name_only_where_used(place):
    pq.write_table(table(0, 5, year=pa.array([2024] * 5)), place / "a.parquet")
    pq.write_table(table(5, 5, year=pa.array(["MMXXIV"] * 5)), place / "b.parquet")
    with pytest.raises(CurationError) as caught:
        run(place, "*.parquet")
    (finding,) = caught.value.findings
    assert finding.code == "C023"
    assert all(part in finding.message for part in ("'year'", "int64", "string", "a.parquet", "b.parquet"))
    assert "output.columns" in finding.hint
    assert dataset(run(place, "*.parquet", output={"columns": ["text", "n"]})).num_rows == 10
    with pytest.raises(CurationError, match="C023"):
        run(place, "*.parquet", output={"columns": ["text", "n"]}, input={"columns": {"id": "year"}})


def test_files_without_rows_have_no_say_about_types(place):
    pq.write_table(pa.table({"text": pa.array([], pa.float64())}), place / "a.parquet")
    (place / "b.jsonl").write_text("\n")
    pq.write_table(table(0, 5), place / "c.parquet")
    assert dataset(run(place, ["a.parquet", "b.jsonl", "c.parquet"])).num_rows == 5


def test_types_without_arithmetic_are_carried_through(place):
    import datetime
    import decimal

    columns = {
        "when": pa.array([datetime.datetime(2024, 1, 2, 3)] * 3, pa.timestamp("us", "UTC")),
        "day": pa.array([datetime.date(2024, 1, 2)] * 3),
        "price": pa.array([decimal.Decimal("1.25")] * 3, pa.decimal128(9, 2)),
        "hash": pa.array([b"12345678"] * 3, pa.binary(8)),
        "raw": pa.array([b"\xff\x00", None, b""]),
        "map": pa.array([[("k", 1)]] * 3, pa.map_(pa.string(), pa.int64())),
        "struct": pa.array([{"a": {"b": [1]}}, None, {"a": None}]),
        "vector": pa.array([[1.0, 2.0]] * 3, pa.list_(pa.float32(), 2)),
    }
    source = table(0, 3, **columns)
    pq.write_table(source, place / "a.parquet")
    written = dataset(run(place, "a.parquet"))
    assert written.to_pydict() == source.to_pydict()
    assert {name: written.schema.field(name).type for name in columns} == {
        name: source.schema.field(name).type for name in columns
    }


def test_invalid_bytes_in_a_column_that_is_carried_along_stay_readable(place):
    import duckdb

    bad = pa.array([b"fine", b"\xffoops", None], pa.binary()).view(pa.string())
    pq.write_table(table(0, 3, url=bad), place / "a.parquet")
    result = run(place, "a.parquet", input={"columns": {"id": "url"}})
    assert dataset(result).column("url").to_pylist() == ["fine", "�oops", None]
    assert len(duckdb.sql(f"SELECT url FROM '{result.folder}/data/*.parquet'").fetchall()) == 3
    assert Workspace(place / "ws").sql("SELECT id FROM documents ORDER BY row").column("id").to_pylist()[1] == "�oops"


@pytest.mark.long
def test_two_files_of_one_content_are_two_shards_and_share_their_scores(place):
    pq.write_table(table(0, 20), place / "a.parquet")
    (place / "b.parquet").write_bytes((place / "a.parquet").read_bytes())
    result = run(place, "*.parquet")
    assert (result.rows, result.kept) == (40, 40)
    assert dataset(result).column("n").to_pylist() == [*range(20), *range(20)]
    again = run(place, "*.parquet", [{**RULES, "keep": "rules.words > 1"}])
    assert again.scored == 0
    deduplicated = run(place, "*.parquet", [RULES, {"dedup": "exact"}])
    assert dataset(deduplicated).column("n").to_pylist() == list(range(20))


@pytest.mark.parametrize(
    ("columns", "mapped", "stage", "refused"),
    [
        (["text", "g.words"], {}, "g", ["g.words"]),
        (["text", "G.words"], {}, "G", ["G.words"]),
        (["text", "g"], {}, "g", ["g"]),
        (["text", "tag"], {"tag": "kind"}, "tag", ["tag"]),
        (["kind", "Kind"], {}, "g", ["Kind"]),
        (["text", "TAG"], {"tag": "kind"}, "TAG", []),
        (["text", "g.words"], {}, "other", []),
        (["text", "tag", "kind"], {"tag": "kind"}, "other", []),
        (["text", "o.words", "o_words"], {"o_words": "kind"}, "o", ["o_words"]),
        (["text", {"kind": "o.words"}, "kind"], {}, "o", ["kind"]),
        (["text", {"more": "o.words"}, "kind", "o.words"], {}, "o", []),
        (None, {}, "g", []),
    ],
)
def test_an_output_name_has_one_meaning(tmp_path, columns, mapped, stage, refused):
    data = {"text": ["some words"], "g.words": [1], "g": [2], "kind": ["a"], "Kind": ["b"]}
    pq.write_table(pa.table(data), tmp_path / "a.parquet")
    recipe = {
        "name": "out",
        "input": {"path": str(tmp_path / "a.parquet"), "columns": mapped},
        "stages": [{"scorer": "rules", "id": stage, "profile": "gopher-quality@datatrove"}],
        "output": {"columns": columns},
    }
    try:
        Workspace(tmp_path / "ws").check(recipe)
        findings = []
    except CurationError as failure:
        findings = [(finding.code, finding.message) for finding in failure.findings]
    assert [code for code, _ in findings] == ["C058"] * len(refused)
    assert all(f"'{name}'" in message for name, (_, message) in zip(refused, findings, strict=True))
