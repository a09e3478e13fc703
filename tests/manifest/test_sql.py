"""User SQL reads the workspace, and can do nothing else."""

import os
import signal
import subprocess
import sys
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.manifest.limits import Limits
from curation.manifest.sql import open_locked, run_select, stream_select
from schemas.errors import CurationError


@pytest.fixture
def place(tmp_path):
    """A workspace, and next to it what no query may see."""
    workspace, secret, sibling = tmp_path / "space", tmp_path / "secret", tmp_path / "space2"
    for folder in (workspace, secret, sibling):
        folder.mkdir()
        pq.write_table(pa.table({"x": [1, 2]}), folder / "a.parquet")
        (folder / "t.csv").write_text("x\n1\n")
    (workspace / "link.csv").symlink_to(secret / "t.csv")
    (workspace / "folder").symlink_to(secret)
    return tmp_path


@pytest.fixture
def connection(place):
    setup = [
        f"CREATE VIEW docs AS SELECT * FROM read_parquet('{place}/space/*.parquet')",
        "CREATE TABLE kept AS SELECT 1 AS x",
        "CREATE SEQUENCE numbers",
        "CREATE MACRO plus(a) AS a + 1",
        "CREATE VIEW _own AS SELECT 1 AS x",
        "CREATE MACRO numbered(n) AS TABLE SELECT * FROM range(n)",
    ]
    connection = open_locked(setup, [place / "space"])
    before = _files(place)
    yield connection
    assert _files(place) == before, "a query wrote a file"
    assert connection.execute("SELECT count(*) FROM kept").fetchall() == [(1,)], "a query changed a table"
    assert connection.execute("SELECT nextval('numbers')").fetchall() == [(1,)], "a query moved a sequence"
    connection.close()


def _files(place):
    return sorted((folder, tuple(sorted(files))) for folder, _, files in os.walk(place))


def refused(connection, sql):
    with pytest.raises(CurationError) as caught:
        run_select(connection, sql)
    (finding,) = caught.value.findings
    assert "\n" not in finding.message
    return finding


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT sum(x) AS s FROM docs", [{"s": 3}]),
        ("FROM docs ORDER BY x LIMIT 1;", [{"x": 1}]),
        ("WITH t AS (SELECT 1 AS x) SELECT * FROM t", [{"x": 1}]),
        ("VALUES (1)", [{"col0": 1}]),
        ("TABLE kept", [{"x": 1}]),
        ("SELECT plus(1) AS y", [{"y": 2}]),
        ("FROM numbered(1)", [{"range": 0}]),
        ("SHOW TABLES", [{"name": "docs"}, {"name": "kept"}]),
        ("SELECT 1 AS x UNION ALL SELECT 2", [{"x": 1}, {"x": 2}]),
        ("FROM (PIVOT kept ON x IN (1) USING count(*))", [{"1": 1}]),
    ],
)
def test_reading_works(connection, sql, rows):
    assert run_select(connection, sql).to_pylist() == rows


@pytest.mark.parametrize(
    "sql", ["DESCRIBE docs", "SUMMARIZE docs", "SHOW ALL TABLES", "explain SELECT 1", "EXPLAIN ANALYZE FROM docs"]
)
def test_questions_about_queries_work(connection, sql):
    assert run_select(connection, sql).num_rows > 0


@pytest.mark.parametrize("sql", ["SHOW TABLES", "show tables;", "SHOW ALL TABLES", "FROM (SHOW TABLES)", "DESCRIBE"])
def test_tables_that_are_shown_are_those_for_users(connection, sql):
    assert {row["name"] for row in run_select(connection, sql).to_pylist()} == {"docs", "kept"}


def test_a_result_is_no_larger_than_the_limit_but_streams(connection):
    query = "SELECT repeat('x', 1000) AS text FROM range(300000)"
    with pytest.raises(CurationError) as caught:
        run_select(connection, query, Limits(memory=50))
    assert [finding.code for finding in caught.value.findings] == ["C057"]
    assert sum(batch.num_rows for batch in stream_select(connection, query, limits=Limits(memory=50))) == 300_000


@pytest.mark.parametrize("sql", ["SELECT count(*) FROM {many}", "SELECT t FROM {many}", "EXPLAIN ANALYZE FROM {many}"])
def test_a_query_ends_with_its_time(connection, sql):
    many = "(SELECT x AS t FROM range(1000000000000) r(x) WHERE x % 1000003 = 2000000)"
    with pytest.raises(CurationError) as caught:
        run_select(connection, sql.format(many=many), Limits(seconds=0.3))  # it would take hours
    assert [finding.code for finding in caught.value.findings] == ["C057"]
    assert run_select(connection, "SELECT 1 AS x").to_pylist() == [{"x": 1}]


@pytest.mark.parametrize("select", [run_select, stream_select])
def test_a_query_is_interrupted_at_once(connection, select):
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))

    def ask():
        timer.start()
        list(select(connection, "SELECT x FROM range(1000000000000) r(x) WHERE x % 1000003 = 2000000"))  # hours

    with pytest.raises(KeyboardInterrupt):
        ask()
    assert run_select(connection, "SELECT 1 AS x").to_pylist() == [{"x": 1}]


def test_limits_are_set_by_the_environment_and_must_be_numbers(monkeypatch):
    monkeypatch.setenv("CURATION_SQL_MEMORY", "64")
    assert (Limits.of(), Limits.of(5, 6)) == (Limits(64.0, 600.0), Limits(5, 6))
    monkeypatch.setenv("CURATION_SQL_MEMORY", "much")
    with pytest.raises(CurationError) as caught:
        Limits.of()
    assert caught.value.findings[0].code == "C004"


def test_what_one_row_is_made_into_stays_within_the_limit():
    script = """
from curation.manifest.limits import Limits, confined
from curation.manifest.limits import Limits
from curation.manifest.sql import open_locked, run_select
from schemas.errors import CurationError
limits = Limits(memory=200)
connection = open_locked([], [], "200MB")
with confined(limits):
    for value in ("repeat('x', 1000000000 + x)", "list_contains(range(x * 30000000), 5)"):
        try:
            run_select(connection, f"SELECT {value} FROM range(50) t(x)", limits)
        except CurationError as failure:
            print(failure.findings[0].code)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["C057", "C057"]


def test_types_that_arrow_has_none_for_come_as_text(connection):
    sql = "SELECT '10:00:00+02'::TIMETZ AS \"a\"\"b\", ['101'::BIT] AS l, {'x y': 12::BIGNUM, 'n': 1} AS s, 1 AS n"
    (row,) = run_select(connection, sql).to_pylist()
    assert row == {'a"b': "10:00:00+02", "l": ["101"], "s": {"x y": "12", "n": 1}, "n": 1}


def test_a_query_that_is_no_text_is_a_finding(connection):
    assert refused(connection, "SELECT '\ud800'").code in ("C033", "C034")


def test_files_of_the_workspace_may_be_named(connection, place):
    for sql in (f"FROM '{place}/space/a.parquet'", f"FROM read_csv('{place}/space/t.csv')"):
        assert run_select(connection, sql).num_rows > 0


def test_streams_come_in_batches_and_fail_as_findings(connection):
    reader = stream_select(connection, "FROM range(100000)", batch_rows=10_000)
    assert reader.schema.names == ["range"]
    assert sum(batch.num_rows for batch in reader) == 100_000
    with pytest.raises(CurationError) as caught:
        for _ in stream_select(
            connection, "SELECT (CASE WHEN range = 90000 THEN 'x' ELSE '1' END)::INT FROM range(100000)"
        ):
            pass
    assert caught.value.findings[0].code == "C034"


WRITES = [
    "COPY docs TO '{place}/space/o.parquet'",
    "COPY docs TO '{place}/o.csv'",
    "EXPORT DATABASE '{place}/space/o'",
    "IMPORT DATABASE '{place}/space/o'",
    "ATTACH '{place}/space/o.duckdb'",
    "ATTACH ':memory:' AS m",
    "DETACH memory",
    "CREATE TABLE t AS FROM docs",
    "CREATE TEMP TABLE t (x INT)",
    "CREATE OR REPLACE VIEW docs AS SELECT 1",
    "CREATE MACRO f(x) AS x",
    "CREATE SECRET (TYPE s3)",
    "INSERT INTO kept VALUES (2) RETURNING x",
    "UPDATE kept SET x = 2 RETURNING x",
    "DELETE FROM kept RETURNING x",
    "MERGE INTO kept USING docs ON kept.x = docs.x WHEN MATCHED THEN DELETE RETURNING *",
    "TRUNCATE kept",
    "DROP VIEW docs",
    "ALTER TABLE kept ADD COLUMN y INT",
    "VACUUM",
    "ANALYZE",
    "CHECKPOINT",
    "BEGIN",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "CALL pragma_version()",
    "CALL checkpoint()",
    "USE memory",
]
SETTINGS = [
    "SET threads = 1",
    "SET enable_external_access = true",
    "SET VARIABLE x = 1",
    "RESET threads",
    "PRAGMA threads = 1",
    "PRAGMA version",
    "PRAGMA enable_profiling",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{place}/space/x.duckdb_extension'",
    "FORCE INSTALL httpfs",
    "UPDATE EXTENSIONS",
]
HIDDEN = [
    "SELECT 1; COPY docs TO '{place}/space/o'",
    "SELECT 1; SELECT 2",
    "PIVOT kept ON x USING count(*)",
    "EXPLAIN ANALYZE INSERT INTO kept VALUES (2)",
    "EXPLAIN ANALYZE COPY docs TO '{place}/space/o'",
    "EXPLAIN EXPLAIN SELECT 1",
    "/* */ EXPLAIN ANALYZE COPY docs TO '{place}/space/o'",
    # DuckDB 2.0 calls each of these a SELECT, and runs it.
    "WITH t AS (COPY docs TO '{place}/space/o') FROM t",
    "WITH t AS (INSERT INTO kept VALUES (2) RETURNING x) FROM t",
    "WITH t AS (UPDATE kept SET x = 2 RETURNING x) FROM t",
    "WITH t AS MATERIALIZED (DELETE FROM kept RETURNING x) FROM t",
    "SELECT (WITH t AS (COPY docs TO '{place}/space/o') SELECT 1 FROM t)",
    "FROM (WITH t AS (COPY docs TO '{place}/space/o') FROM t)",
    "FROM docs WHERE x IN (WITH t AS (COPY docs TO '{place}/space/o') SELECT 1 FROM t)",
    "FROM docs LIMIT (WITH t AS (COPY docs TO '{place}/space/o') SELECT 1 FROM t)",
    "FROM docs JOIN kept ON (WITH t AS (COPY docs TO '{place}/space/o') SELECT true FROM t)",
    "SELECT 1 UNION ALL (WITH t AS (COPY docs TO '{place}/space/o') SELECT 1 FROM t)",
    "SELECT sum(x) OVER (ORDER BY (WITH t AS (COPY docs TO '{place}/space/o') SELECT 1 FROM t)) FROM docs",
    "SELECT list_transform([1], lambda y: (WITH t AS (COPY docs TO '{place}/space/o') SELECT 1 FROM t))",
    "VALUES ((WITH t AS (COPY docs TO '{place}/space/o') SELECT 1 FROM t))",
    "DESCRIBE WITH t AS (COPY docs TO '{place}/space/o') FROM t",
    "SUMMARIZE WITH t AS (COPY docs TO '{place}/space/o') FROM t",
    "EXPLAIN ANALYZE WITH t AS (COPY docs TO '{place}/space/o') FROM t",
    "FROM (PIVOT (WITH t AS (COPY docs TO '{place}/space/o') FROM t) ON x IN (1) USING count(*))",
    "WITH RECURSIVE r AS (SELECT 1 UNION ALL (WITH t AS (DELETE FROM kept RETURNING x) SELECT x FROM t)) FROM r",
    "FROM query('COPY docs TO ''{place}/space/o''')",
    "FROM query('WITH t AS (COPY docs TO ''{place}/space/o'') FROM t')",
    "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
]
SIDE_EFFECTS = [
    "SELECT nextval('numbers')",
    "SELECT main.nextval('numbers')",
    "SELECT \"NextVal\"('numbers')",
    "SELECT setval('numbers', 10)",
    "FROM docs ORDER BY (SELECT nextval('numbers'))",
    "SELECT write_log('x')",
    "SELECT setseed(0.5)",
    "SELECT sleep_ms(1)",
    "SELECT pg_sleep(1)",
    "FROM checkpoint()",
    "FROM system.main.checkpoint()",
    "FROM force_checkpoint()",
    "FROM enable_logging()",
    "FROM enable_logging(storage = 'file', storage_config = {{'path': '{place}/space/log'}})",
    "FROM enable_profiling(save_location = '{place}/space/profile.json')",
    "FROM truncate_duckdb_logs()",
    "FROM arrow_scan(1::POINTER, 2::POINTER, 3::POINTER)",
    "FROM pandas_scan(1::POINTER)",
    "FROM python_map_function(1)",
    "FROM read_duckdb('{place}/space/o.duckdb')",
    "FROM register_external_resource('x')",
    "FROM duckdb_secrets()",
]


@pytest.mark.parametrize("sql", [*WRITES, *SETTINGS, *HIDDEN, *SIDE_EFFECTS])
def test_nothing_but_reading_runs(connection, place, sql):
    assert refused(connection, sql.format(place=place)).code in ("C033", "C034")


@pytest.mark.parametrize("sql", [*WRITES[:5], *SETTINGS[:5], *HIDDEN[:1], *HIDDEN[7:10], *SIDE_EFFECTS[:4]])
def test_refusals_come_before_anything_runs_and_say_what_to_do(connection, place, sql):
    finding = refused(connection, sql.format(place=place))
    assert finding.code == "C033"
    assert finding.hint


@pytest.mark.parametrize(
    "sql",
    [
        "FROM read_csv('/etc/passwd')",
        "FROM read_text('/etc/passwd')",
        "FROM read_blob('/etc/passwd')",
        "FROM read_text('file:///etc/passwd')",
        "FROM read_text('/proc/self/environ')",
        "FROM sniff_csv('/etc/passwd')",
        "FROM '/etc/passwd'",
        "FROM glob('/etc/*')",
        "FROM glob('{place}/*')",
        "FROM '{place}/secret/a.parquet'",
        "FROM '{place}/space2/a.parquet'",
        "FROM parquet_metadata('{place}/secret/a.parquet')",
        "FROM read_csv('{place}/space/../secret/t.csv')",
        "FROM read_csv('{place}/space/link.csv')",
        "FROM read_csv('{place}/space/[l]ink.csv')",
        "FROM read_csv('{place}/space/folder/t.csv')",
        "FROM read_csv(['{place}/space/t.csv', '{place}/secret/t.csv'])",
        "FROM read_csv('http://127.0.0.1:9/t.csv')",
        "FROM read_parquet('s3://bucket/a.parquet')",
        "SELECT (SELECT content FROM read_text('/etc/passwd'))",
    ],
)
def test_files_elsewhere_are_out_of_reach(connection, place, sql):
    assert refused(connection, sql.format(place=place)).code == "C034"


def test_relative_paths_and_links_do_not_lead_out(connection, place, monkeypatch):
    monkeypatch.chdir(place / "space")
    assert refused(connection, "FROM read_csv('../secret/t.csv')").code == "C034"
    assert refused(connection, "FROM read_csv('folder/t.csv')").code == "C034"
    found = run_select(connection, f"FROM glob('{place}/space/**')").to_pylist()
    assert not [row for row in found if "secret" in row["file"] or "folder" in row["file"]]


def test_python_variables_are_not_tables(connection):
    mine = pa.table({"x": [1]})
    assert mine.num_rows == 1
    assert refused(connection, "FROM mine").code == "C034"


def test_failures_are_one_line_with_duckdbs_suggestion(connection):
    finding = refused(connection, "SELECT y FROM docs")
    assert finding.code == "C034"
    assert "y" in finding.message
    assert "x" in finding.hint
    assert refused(connection, "SELEC 1").code == "C034"
    assert refused(connection, "SELECT 'x'::INT").code == "C034"


@pytest.mark.parametrize("sql", ["", "  ", ";", "-- nothing", "SELECT ?", "SELECT $x", "SELECT 1\0; DROP VIEW docs"])
def test_no_query_and_open_queries_are_refused(connection, sql):
    assert refused(connection, sql).code in ("C033", "C034")


def test_the_connection_survives_a_refusal(connection):
    refused(connection, "COPY docs TO 'x'")
    refused(connection, "SELECT 'x'::INT")
    assert run_select(connection, "SELECT count(*) AS n FROM docs").to_pylist() == [{"n": 2}]
