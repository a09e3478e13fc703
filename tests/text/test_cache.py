"""Kernels are compiled once a machine: a second process finds them, and there is always a place for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COUNT = """
import pyarrow as pa
from curation.text import spaced
assert len(spaced.spaced(pa.array(["a b c"], pa.large_string())).starts) == 3
stats = spaced._split.dispatcher().stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""
FOLDER = "import os; from curation.text import load_numba; load_numba(); print(os.environ.get('NUMBA_CACHE_DIR'))"


def python(code: str, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**inherited, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.long
def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    assert python(COUNT, XDG_CACHE_HOME=str(tmp_path)) == "0 1"
    assert python(COUNT, XDG_CACHE_HOME=str(tmp_path)) == "1 0"


@pytest.mark.long
def test_where_the_cache_folder_cannot_be_made_the_temporary_one_is_used(tmp_path: Path) -> None:
    """As in an image whose user owns no home, or one that is mounted read-only."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    (tmp_path / "tmp").mkdir()
    found = Path(python(FOLDER, XDG_CACHE_HOME=str(blocked), TMPDIR=str(tmp_path / "tmp")))
    assert found.is_relative_to(tmp_path / "tmp")
    assert python(COUNT, XDG_CACHE_HOME=str(blocked), TMPDIR=str(tmp_path / "tmp")) == "0 1"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_may_not_be_written_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "cache" / "curation-engine").mkdir(parents=True)
    (tmp_path / "cache" / "curation-engine").chmod(0o500)
    (tmp_path / "tmp").mkdir()
    found = Path(python(FOLDER, XDG_CACHE_HOME=str(tmp_path / "cache"), TMPDIR=str(tmp_path / "tmp")))
    assert found.is_relative_to(tmp_path / "tmp")
