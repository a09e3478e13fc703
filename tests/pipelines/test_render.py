"""What people read is whole and steady; what programs read loses nothing."""

import csv
import datetime
import io
import json
import math
import re
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lengths import mostly_long

from pipelines.cli.ending import _tell
from pipelines.cli.render import counted, print_findings, put_json, put_verdicts, writing_to
from pipelines.tables import human, print_table
from pipelines.tables.markdown import readable
from pipelines.tables.width import cells, cut, folded
from schemas.errors import CurationError, Finding


class Terminal(io.StringIO):
    def isatty(self):
        return True


def findings(*items, stream=None):
    stream = io.StringIO() if stream is None else stream
    print_findings(items, stream)
    return stream.getvalue()


def printed(table, format, stream=None, **options):
    stream = io.StringIO() if stream is None else stream
    print_table(table, format, stream, **options)
    return stream.getvalue()


UNKNOWN_KEY = Finding(
    "C003",
    "stage 'quality': unknown key 'min_scor'",
    "did you mean 'min_score'?",
    "recipe.yaml",
    12,
    "    min_scor: 0.5\n    ^^^^^^^^",
)


def test_a_finding_shows_place_excerpt_and_hint():
    assert findings(UNKNOWN_KEY) == (
        "error[C003]: stage 'quality': unknown key 'min_scor'\n"
        "  --> recipe.yaml:12\n"
        "   |\n"
        "12 |     min_scor: 0.5\n"
        "   |     ^^^^^^^^\n"
        "\n"
        "hint: did you mean 'min_score'?\n"
    )


def test_findings_without_a_place_are_short_and_several_are_apart():
    assert findings(Finding("C001", "no file"), Finding("C030", "no folder", "make it", "x.yaml")) == (
        "error[C001]: no file\n\nerror[C030]: no folder\n --> x.yaml\n\nhint: make it\n"
    )


def test_colour_is_for_terminals_that_want_it_and_adds_no_words(monkeypatch):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    plain = findings(UNKNOWN_KEY)
    coloured = findings(UNKNOWN_KEY, stream=Terminal())
    assert "\x1b[" in coloured
    assert "\x1b" not in plain
    monkeypatch.setenv("NO_COLOR", "1")
    assert findings(UNKNOWN_KEY, stream=Terminal()) == plain
    table = pa.table({"x": [1]})
    assert "\x1b" not in printed(table, "table", Terminal())
    monkeypatch.setenv("NO_COLOR", "")
    assert "\x1b[" in findings(UNKNOWN_KEY, stream=Terminal())


def test_nothing_from_outside_steers_the_terminal():
    text = findings(Finding("C003", "key '\x1b[2J'", "\x07", "a\nb.yaml", 1, "\tx: \x1b]0;\x07\n\t^"))
    assert not [char for char in text if not char.isprintable() and char != "\n"]
    lines = text.split("\n")
    assert lines[3].index("x:") == lines[4].index("^")
    table = pa.table({"x\x1b": ["\x1b[2J", "a\nb"]})
    assert not [c for c in printed(table, "table") if not c.isprintable() and c != "\n"]


TABLE = pa.table(
    {
        "n": [2**60, None],
        "f": [float("nan"), 0.1],
        "s": ['a "quoted", é\nline', None],
        "l": [[1.5, float("inf")], None],
        "d": [{"k": None, "t": datetime.date(2020, 1, 2)}, None],
        "t": pa.array([datetime.datetime(2020, 1, 2, 3, 4, 5), None], pa.timestamp("ns", "UTC")),
        "b": [b"\x00\xff", None],
        "m": pa.array([Decimal("1.50"), None], pa.decimal128(10, 2)),
        "o": [True, None],
    }
)


def test_json_has_a_version_and_survives_every_type():
    result = json.loads(printed(TABLE, "json"), parse_constant=lambda word: pytest.fail(word))
    assert result["schema_version"] == 1
    assert result["columns"] == TABLE.schema.names
    assert result["rows"][0] == {
        "n": 2**60,
        "f": None,
        "s": 'a "quoted", é\nline',
        "l": [1.5, None],
        "d": {"k": None, "t": "2020-01-02"},
        "t": "2020-01-02T03:04:05+00:00",
        "b": "AP8=",
        "m": 1.5,
        "o": True,
    }
    assert set(result["rows"][1].values()) == {None, 0.1}


def test_json_lines_are_the_same_objects():
    lines = [json.loads(line) for line in printed(TABLE, "jsonl").splitlines()]
    assert lines == json.loads(printed(TABLE, "json"))["rows"]


def test_csv_has_a_header_and_reads_back():
    header, first, second = csv.reader(io.StringIO(printed(TABLE, "csv")))
    assert header == TABLE.schema.names
    assert first == [
        str(2**60),
        "",
        'a "quoted", é\nline',
        "[1.5, null]",
        '{"k": null, "t": "2020-01-02"}',
        "2020-01-02T03:04:05+00:00",
        "AP8=",
        "1.50",
        "true",
    ]
    assert second == ["", "0.1", "", "", "", "", "", "", ""]


@pytest.mark.parametrize("format", ["json", "jsonl", "csv", "table"])
def test_empty_results_print(format):
    assert printed(pa.table({"x": pa.array([], pa.int64())}), format) or format == "jsonl"


def test_all_formats_have_one_rule_for_names_numbers_and_intervals():
    interval = pa.array([(14, 3, 0)], pa.month_day_nano_interval())
    columns = [pa.array([1]), pa.array([2]), pa.array([float("-inf")]), interval]
    table = pa.Table.from_arrays(columns, names=["x", "x", "f", "i"])
    text = "1 year 2 months 3 days"
    assert json.loads(printed(table, "jsonl")) == {"x": 1, "x_1": 2, "f": None, "i": text}
    assert printed(table, "csv") == f"x,x_1,f,i\n1,2,,{text}\n"
    assert printed(table, "table").splitlines()[0].split() == ["x", "x_1", "f", "i"]
    raw = io.BytesIO()
    print_table(table, "parquet", stream := io.TextIOWrapper(raw))
    stream.detach()
    assert pq.read_table(io.BytesIO(raw.getvalue())).to_pylist() == [{"x": 1, "x_1": 2, "f": float("-inf"), "i": text}]
    with pytest.raises(CurationError, match="column 'deep' is of the type struct<a: month_day_nano_interval>, which"):
        print_table(
            pa.table({"n": [1], "deep": pa.StructArray.from_arrays([interval], ["a"])}),
            "parquet",
            io.TextIOWrapper(io.BytesIO()),
        )


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_streams_are_written_as_they_come(format):
    stream = io.StringIO()

    def batches():
        for index in range(3):
            # Everything before this batch is out before it is asked for.
            assert stream.getvalue().count("\n") == 10 * index + (format == "csv")
            yield pa.record_batch({"x": [index] * 10})

    print_table(pa.RecordBatchReader.from_batches(pa.schema({"x": pa.int64()}), batches()), format, stream)
    assert stream.getvalue().count("\n") == 30 + (format == "csv")


@pytest.mark.long
def test_a_long_table_is_cut_in_the_middle_on_a_terminal_only():
    table = pa.table({"x": range(1000)})
    cut = printed(table, "table", Terminal())
    assert "1,000 rows (40 shown; the others: --wide, -f jsonl)" in cut
    assert cut.splitlines()[22] == "…"
    assert "999" in cut.split()
    assert "500" not in cut.split()
    for whole in (printed(table, "table"), printed(table, "table", Terminal(), wide=True)):
        assert "1,000 rows\n" in whole
        assert {str(value) for value in range(1000)} <= set(whole.split())


def test_columns_that_do_not_fit_are_left_out_and_named(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    table = pa.table({"run": ["ab82c250eb6d186b"] * 2, "what is kept": ["language.lang = 'en'"] * 2, "n": [1, 10_000]})
    monkeypatch.setenv("COLUMNS", "50")
    assert printed(table, "table", Terminal()).splitlines() == [
        "run               what is kept              n",
        "────────────────  ────────────────────  ─────",
        "ab82c250eb6d186b  language.lang = 'en'      1",
        "ab82c250eb6d186b  language.lang = 'en'  10000",
        "2 rows",
    ]
    monkeypatch.setenv("COLUMNS", "40")
    lines = printed(table, "table", Terminal()).splitlines()
    assert lines[2:] == [
        "ab82c250eb6d186b  language.lang = 'en'",
        "ab82c250eb6d186b  language.lang = 'en'",
        "… 1 more column: n (--wide, -f jsonl)",
        "2 rows",
    ]
    assert "10000" in printed(table, "table", Terminal(), wide=True)


def test_one_row_that_does_not_fit_has_a_line_for_each_value_and_each_of_a_struct(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    path = "/a/b/c/" + "d" * 40 + ".parquet"
    table = pa.table({"path": [path], "gopher": [{"words": 12, "pass": True}], "n": [None]})
    assert printed(table, "table", Terminal()).splitlines() == [
        "path          /a/b/c/d…ddddddddd.parquet",
        "gopher.words  12",
        "gopher.pass   true",
        "n             NULL",
        "1 row",
    ]
    assert f"path          {path}\n" in printed(table, "table", Terminal(), wide=True)


def test_colour_has_a_meaning_and_null_is_faint(monkeypatch):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    table = pa.table({"stage": ["a", "b"], "dropped": [0, 7], "outcome": ["kept", "errored"], "x": [None, "kept"]})
    text = printed(table, "table", Terminal())
    painted = re.findall(r"\x1b\[(\d+)m(.*?)\x1b\[0m", text)
    heads = [("1", name) for name in table.schema.names]
    assert painted == [*heads, ("32", "kept"), ("2", "NULL"), ("33", "7"), ("31", "errored")]
    assert "\x1b" not in printed(table, "table")
    monkeypatch.setenv("NO_COLOR", "1")
    assert re.sub(r"\x1b\[\d*m", "", text) == printed(table, "table", Terminal())


SCRIPTS = {
    "CJK": "日本語のテキスト",
    "emoji": "ok 👍🏽 ❤️ 🇩🇪",
    "Hebrew": "שלום עולם",
    "Arabic": "مرحبا بالعالم",
    "marks": "e\u0301a\u0308o\u0323\u0302",
    "Thai": "สวัสดี",
    "control": "\x1b[2J\x07\u202e",
    "long": "語" * 60,
}


@pytest.mark.parametrize("width", [30, 60, 80])
def test_columns_stay_below_one_another_whatever_script_the_cells_are_in(width, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    table = pa.table({"name": list(SCRIPTS), "text": list(SCRIPTS.values()), "n": [7] * len(SCRIPTS)})
    head, rule, *lines = printed(table, "table", Terminal()).splitlines()
    assert max(map(cells, lines)) <= width
    if "n" in head.split():
        assert {cells(line) for line in [head, rule, *lines[: len(SCRIPTS)]]} == {cells(rule)}
    assert all(char.isprintable() or char == "\u200e" for line in lines for char in line)
    assert sum("\u200e" in line for line in lines) in (0, 2)  # after what is read from right to left


def test_texts_are_cut_at_their_end_paths_in_their_middle_and_words_fold_whole():
    assert cut("language", 5) == "lang…"
    assert cut("/data/web/part-0001.parquet", 16, middle=True) == "/data…01.parquet"
    assert cut("語語語", 4) == "語…"
    assert cut("e\u0301e\u0301e\u0301", 2) == "e\u0301…"
    assert folded("a short sentence of words", 12, "  ") == ["a short", "  sentence", "  of words"]
    assert folded("x" * 9, 4) == ["xxxx", "xxxx", "x"]
    assert folded("in " + "x" * 9, 4, whole=True) == ["in", "x" * 9]


@pytest.mark.parametrize("tell", [_tell, lambda line, stream: put_verdicts([line], stream)])
def test_a_sentence_is_folded_on_a_terminal_alone_and_never_within_a_word(tell, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    path = "/data/" + "part" * 12
    line = f"failed[R004]: {path}: 4 documents errored, and the recipe allows 0"
    log, terminal = io.StringIO(), Terminal()
    for stream in (log, terminal):
        tell(line, stream)
    assert log.getvalue() == f"{line}\n"
    lines = terminal.getvalue().splitlines()
    assert len(lines) == 4
    assert " ".join(lines).split() == line.split()
    hint = "hint: curate sql 'SELECT path, message FROM errors' -w a/workspace"
    _tell(hint, stream := Terminal())
    assert stream.getvalue() == f"{hint}\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.123456, "0.1235"), (12345.678, "12,346"), (999.96, "1,000"), (1.23456e-7, "1.235e-07"),
     (50.0, "50"), (-0.00012345, "-0.0001234"), (float("nan"), "NaN"), (float("-inf"), "-inf"), (2e20, "2e+20")],
)  # fmt: skip
def test_numbers_have_four_significant_digits(value, text):
    assert human.number(value) == text


def test_sizes_times_and_shares_are_as_people_say_them():
    assert [human.size(n) for n in (0, 812, 90_868_376, 5e12)] == ["0 B", "812 B", "90.9 MB", "5.0 TB"]
    assert [human.duration(s) for s in (0.04, 59.9, 59.96, 3725)] == ["0.0 s", "59.9 s", "1 min 00 s", "1 h 02 min"]
    assert [human.duration(s) for s in (0.0, 8, 65)] == ["0 s", "8 s", "1 min 05 s"]
    assert [human.share(s) for s in (0, 1, 0.99999, 0.00001, 0.497)] == ["0%", "100%", ">99.9%", "<0.1%", "49.7%"]
    old = datetime.datetime(2020, 1, 2, 3, tzinfo=datetime.UTC).astimezone()
    assert human.moment(old) == f"{old:%d %b %Y}"


def test_markdown_and_parquet_are_tables_of_all_rows(tmp_path):
    table = pa.table({"a|b": ["x|y\n*z*", None], "bytes": [1500, 2], "bytes_": [[1], None]})
    assert printed(table, "markdown").splitlines() == [
        "| a\\|b | bytes | bytes\\_ |",
        "| --- | ---: | --- |",
        "| x\\|y\\\\n\\*z\\* | 1.5 kB | \\[1\\] |",
        "| NULL | 2 B | NULL |",
    ]
    with open(tmp_path / "x.parquet", "w") as stream:
        print_table(table, "parquet", stream)
    assert pq.read_table(tmp_path / "x.parquet").equals(table)
    with pytest.raises(CurationError, match="C004"):
        printed(table, "parquet", Terminal())


def test_a_card_is_read_on_a_terminal():
    text = "---\nlicense: x\n---\n# A *card*\n\nSee [docs](http://x) and `a|b`, \\*not\\* bold.\n\n"
    text += "| a | n |\n|---|---|\n| `x` \\| y | 1,000 |\n| long | 2 % |\n\n"
    text += "- an item of a list that folds\n```\n  code   stays\n```\n"
    assert list(readable(text, 24, False)) == [
        "---", "license: x", "---", "A *card*", "", "See docs (http://x) and", "`a|b`, *not* bold.", "",
        "a          n", "─────  ─────", "x | y  1,000", "long     2 %", "",
        "- an item of a list that", "  folds", "```", "  code   stays", "```",
    ]  # fmt: skip
    assert any("\x1b[1m" in line for line in readable(text, 24, True))


@pytest.mark.parametrize(("number", "words"), [(0, "0 shards"), (1, "1 shard"), (2000, "2,000 shards")])
def test_one_of_a_thing_is_no_plural(number, words):
    assert counted(number, "shard") == words


def test_long_cells_are_shortened_and_markup_is_text():
    table = pa.table({"x": ["a" * 500, "[bold]b[/bold]"], "y": [None, 0.123456789]})
    text = printed(table, "table", Terminal())
    assert "a" * 70 + "…" in text
    assert "[bold]b[/bold]" in text
    assert "NULL" in text
    assert "0.1235" in text
    assert "a" * 500 in printed(table, "table")
    assert "a" * 500 in printed(table, "table", Terminal(), wide=True)


@pytest.mark.long
@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.floats(),
            st.none() | st.text(),
            st.none() | st.lists(st.none() | st.text(max_size=3), max_size=3),
        ),
        max_size=10,
    )
)
def test_values_come_back_exactly(rows):
    kinds = [pa.int64(), pa.float64(), pa.string(), pa.list_(pa.string())]
    columns = [pa.array([row[index] for row in rows], kind) for index, kind in enumerate(kinds)]
    table = pa.Table.from_arrays(columns, names=["i", "f", "s", "l"])
    lines = [json.loads(line) for line in printed(table, "jsonl").split("\n") if line]
    expected = [
        {"i": i, "f": f if f is not None and math.isfinite(f) else None, "s": s, "l": items} for i, f, s, items in rows
    ]
    assert lines == expected
    read = list(csv.reader(io.StringIO(printed(table, "csv"), newline="")))[1:]
    assert [row[0] for row in read] == ["" if row[0] is None else str(row[0]) for row in rows]
    assert [row[2] for row in read] == [row[2] or "" for row in rows]
    printed(table, "table")


def _select(sql):
    from curation.manifest.sql import open_locked, run_select

    return run_select(open_locked([], []), f"SELECT {sql} AS v")


@pytest.mark.parametrize(
    ("sql", "text"),
    mostly_long(
        [
            ("INTERVAL '1 year 2 months 3 days 04:05:06'", "1 year 2 months 3 days 04:05:06"),
            ("-INTERVAL 90 MINUTE", "-01:30:00"),
            ("INTERVAL 0 DAY", "00:00:00"),
            ("'10:00:00+02'::TIMETZ", "10:00:00+02"),
            ("TIME '24:00:00'", "24:00:00"),
            ("TIME_NS '10:00:00.123456789'", "10:00:00.123456789"),
            ("DATE '12000-01-01'", "12000-01-01"),
            ("DATE 'infinity'", "infinity"),
            ("TIMESTAMP '-infinity'", "-infinity"),
            ("TIMESTAMP '12000-01-01 01:02:03'", "12000-01-01T01:02:03.000000"),
            ("TIMESTAMPTZ '12000-01-01 00:00:00+00'", "12000-01-01T00:00:00.000000+00:00"),
            ("TIMESTAMP_NS '2020-01-01 00:00:00.123456789'", "2020-01-01T00:00:00.123456789"),
            ("TIMESTAMP '2020-01-01'", "2020-01-01T00:00:00"),
        ]
    ),
)
def test_moments_and_intervals_are_printed_as_they_are_at_any_depth(sql, text):
    for nested, expected in (
        (sql, text),
        (f"[{sql}, NULL]", [text, None]),
        (f"{{'a': [{sql}]}}", {"a": [text]}),
        (f"MAP {{'k': {sql}}}", [["k", text]]),
    ):
        found, stream = _select(nested), io.StringIO()
        print_table(found, "jsonl", stream)
        assert json.loads(stream.getvalue()) == {"v": expected}
        for format in ("csv", "table", "json"):
            print_table(found, format, io.StringIO())


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
@pytest.mark.parametrize("format", ["json", "jsonl", "csv", "table"])
def test_a_terminal_that_is_not_utf8_gets_escapes(encoding, format):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    print_table(pa.table({"ü": ["ü … 語"]}), format, stream)
    stream.flush()
    text = raw.getvalue().decode(encoding)
    if format == "jsonl":
        assert json.loads(text) == {"ü": "ü … 語"}
    if format == "json":
        assert json.loads(text)["rows"] == [{"ü": "ü … 語"}]
    assert "u8a9e" in text


def test_a_report_in_json_is_json_though_it_holds_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    put_json({"scores": [float("nan"), float("inf"), 0.5], "on": datetime.date(2026, 1, 2)})
    said = capsys.readouterr().out
    assert json.loads(said, parse_constant=pytest.fail) == {"scores": [None, None, 0.5], "on": "2026-01-02"}


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(2**63), 2**63 - 1), st.none() | st.floats(), st.none() | st.text(max_size=200)
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(30, 130),
    st.text(min_size=1, max_size=60),
)
def test_no_line_is_wider_than_the_terminal_whatever_is_in_the_table(rows, width, name):
    kinds = [pa.int64(), pa.float64(), pa.string()]
    columns = [pa.array([row[index] for row in rows], kind) for index, kind in enumerate(kinds)]
    table = pa.Table.from_arrays([*columns, *reversed(columns)], names=[name, "f", "path", "s", "g", f"{name}2"])
    stream = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        patch.setenv("NO_COLOR", "1")
        print_table(table, "table", stream)
    assert max(map(cells, stream.getvalue().splitlines())) <= width


def test_what_fails_while_a_file_is_written_is_no_fault_of_output(tmp_path):
    with pytest.raises(ConnectionError, match="the store is gone"), writing_to(tmp_path / "rows.csv"):
        raise ConnectionError("the store is gone")
    with pytest.raises(CurationError, match=r"C004.*--output"), writing_to(tmp_path / "none" / "rows.csv"):
        pass
    assert list(tmp_path.iterdir()) == []
