"""`manifest.duckdb`: the small tables as a file that any DuckDB from 1.5 on can open, published whole."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

import duckdb

from curation.manifest.parts import BULKY, Manifest
from curation.manifest.views import EVERY_RUN, attach, shared_statements
from curation.store import TEMPORARY, Store
from curation.store.scan import quoted
from schemas.manifest import PARTS

NAME = "manifest.duckdb"
STORAGE = "v1.5.0"


def publish_missing(store: Store) -> None:
    """Publish the snapshot where there is none: somebody removed it, or was killed before it was there."""
    if not store.exists(NAME):
        publish_snapshot(store)


def broken_snapshot(store: Store) -> str | None:
    """What is wrong with the snapshot of a workspace in a folder, which is read whole; None where nothing is."""
    snapshot = store.path(NAME)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="curation-") as elsewhere,
            duckdb.connect(":memory:") as connection,
        ):
            if _misread(snapshot):
                snapshot = Path(shutil.copyfile(snapshot, Path(elsewhere, NAME)))
            connection.execute(f"ATTACH {quoted(str(snapshot))} AS snapshot (READ_ONLY)")
            tables = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'snapshot'")
            for (table,) in tables.fetchall():
                connection.execute(f'SELECT hash(COLUMNS(*)) FROM snapshot."{table}"').fetchall()
    except duckdb.Error as failure:
        return f"is damaged: {str(failure).splitlines()[0]}"
    return None


def _misread(path: Path) -> bool:
    """Whether DuckDB would attach something else: it takes a question mark for a query, and a backslash for a slash."""
    return any(mark in str(path) for mark in "?\\")


def publish_snapshot(store: Store) -> None:
    """Write the views of all runs as tables, and put the file in place of the last one."""
    temporary = store.scratch(f"{TEMPORARY}{os.getpid()}-{os.urandom(4).hex()}-{NAME}")
    try:
        with (
            tempfile.TemporaryDirectory(prefix="curation-") as elsewhere,
            duckdb.connect(":memory:", config={"threads": 1}) as connection,
        ):
            database = Path(elsewhere, NAME) if _misread(temporary) else temporary
            manifest = Manifest(store)
            attach(connection, manifest, None)
            kinds = [kind for kind in PARTS if kind not in BULKY]  # no table of the snapshot is made from those
            for statement in shared_statements(manifest, kinds):
                connection.execute(statement)
            connection.execute(f"ATTACH {quoted(str(database))} AS snapshot (STORAGE_VERSION '{STORAGE}')")
            for name in EVERY_RUN:
                view, table = ("_funnel", "funnel") if name == "funnel_all" else (name, name)
                connection.execute(f"CREATE TABLE snapshot.{table} AS SELECT * FROM {view}")
            connection.execute("DETACH snapshot")
            if database != temporary:
                shutil.copyfile(database, temporary)
        store.replace(NAME, temporary)
    except duckdb.IOException as failure:  # what the system refused, as everywhere else
        full = "No space left" in str(failure)
        raise OSError(errno.ENOSPC if full else errno.EIO, str(failure).splitlines()[0]) from failure
    finally:
        for left in (temporary, temporary.with_name(f"{temporary.name}.wal")):
            left.unlink(missing_ok=True)
