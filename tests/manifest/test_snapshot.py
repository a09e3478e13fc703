"""`manifest.duckdb` is a whole file for any SQL client, and nobody can be in the way of its next version."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest

from curation.manifest.parts import Manifest
from curation.manifest.snapshot import NAME, STORAGE, publish_snapshot
from curation.manifest.views import EVERY_RUN
from curation.store import open_store

TABLES = {"funnel" if name == "funnel_all" else name for name in EVERY_RUN}


@pytest.mark.long
def test_the_snapshot_holds_what_the_views_say(undisturbed: Any) -> None:
    run, held = undisturbed
    with duckdb.connect(str(held.root / NAME), read_only=True) as connection:
        assert {row[0] for row in connection.execute("SHOW TABLES").fetchall()} == TABLES
        for table in sorted(TABLES - {"funnel"}):
            there = connection.sql(f"SELECT * FROM {table}").to_arrow_table().to_pylist()
            here = held.workspace.sql(f"SELECT * FROM {table}").to_pylist()
            assert sorted(map(str, there)) == sorted(map(str, here)), table
        funnel = connection.execute(
            "SELECT stage, rows_in, dropped, errored, rows_out FROM funnel WHERE run = ?", [run]
        )
        there = funnel.fetchall()
    here = held.workspace.sql("SELECT stage, rows_in, dropped, errored, rows_out FROM funnel").to_pylist()
    assert there == [tuple(row.values()) for row in here]


def test_the_storage_version_is_one_that_duckdb_1_5_reads(undisturbed: Any) -> None:
    header = (undisturbed[1].root / NAME).read_bytes()[:4096]
    assert STORAGE == "v1.5.0"
    assert header[8:12] == b"DUCK"
    with duckdb.connect(str(undisturbed[1].root / NAME), read_only=True) as connection:
        [[tags]] = connection.execute("SELECT tags FROM duckdb_databases() WHERE database_name = 'manifest'").fetchall()
    assert tags["storage_version"].startswith("v1.5.0")


def test_an_open_reader_neither_blocks_the_next_snapshot_nor_sees_half_of_it(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    publish_snapshot(store)
    with duckdb.connect(str(tmp_path / NAME), read_only=True) as reader:
        Manifest(store).commit("datasets", "r", [{"run": "r", "name": "n", "path": "p", "rows": 1}])
        publish_snapshot(store)
        assert reader.execute("SELECT count(*) FROM datasets").fetchall() == [(0,)]
    with duckdb.connect(str(tmp_path / NAME), read_only=True) as reader:
        assert reader.execute("SELECT name, rows FROM datasets").fetchall() == [("n", 1)]


def test_several_may_publish_at_once(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def publish() -> None:
        try:
            publish_snapshot(open_store(tmp_path))
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=publish) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_snapshot_that_cannot_be_made_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path)
    publish_snapshot(store)
    before = (tmp_path / NAME).read_bytes()
    monkeypatch.setattr("curation.manifest.snapshot.EVERY_RUN", ("runs", "nosuch"))
    with pytest.raises(duckdb.Error):
        publish_snapshot(store)
    assert (tmp_path / NAME).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
