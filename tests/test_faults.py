"""What is said of a fault: its reason, never a document's text, and where it is stored no place in the code."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
import yaml

from curation import registry
from curation.flow.faults import said_by, to_be_stored, unforeseen
from curation.models.locate import ModelError
from pipelines.cli import crash
from pipelines.cli.main import _main
from schemas.errors import Refusal, advice

SECRET = "swordfish"


def arrow_cast() -> Any:
    return pc.cast(pa.array([f"{SECRET} isn't a number"]), pa.int64())


def arrow_csv() -> Any:
    return csv.read_csv(pa.BufferReader(f"a,b\n1,2\n{SECRET},it's,3\n".encode()))


def arrow_file() -> Any:
    return pq.read_table(pa.BufferReader(b"no parquet"))


def duck_cast() -> Any:
    return duckdb.sql(f"SELECT '{SECRET} and more'::INTEGER").fetchall()


def duck_json() -> Any:
    return duckdb.sql(f"""SELECT json_extract('{{"a": {SECRET}', '$.a')""").fetchall()


def python_value() -> Any:
    return float(SECRET)


def python_key() -> Any:
    return {}[SECRET]


def raised(work: Any) -> Exception:
    try:
        work()
    except Exception as failure:
        return failure
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("work", [arrow_cast, arrow_csv, arrow_file, duck_cast, duck_json, python_value, python_key])
def test_no_fault_tells_a_documents_text(work: Any) -> None:
    failure = unforeseen(raised(work), "scoring in.parquet", ())
    told = f"{failure.message} {failure.hint} {failure.trace}"
    assert SECRET not in told
    assert failure.message.startswith(f"scoring in.parquet: {type(raised(work)).__name__}")
    assert not re.search(r"\.py:\d|\.pxi:\d", to_be_stored(failure.message))


def test_a_librarys_reason_is_kept_with_the_names_that_are_known() -> None:
    assert "magic bytes not found" in said_by(raised(arrow_file))
    missing = raised(lambda: pa.table({"a": [1]}).select(["words"]))
    assert "words" not in said_by(missing) or "words" in said_by(missing, {"words"})
    gone = pa.ArrowInvalid("Could not open '/ws/scores/a.parquet': no 'text' in it")
    assert said_by(gone, {"text"}, "/ws") == "Could not open '/ws/scores/a.parquet': no 'text' in it"
    assert said_by(gone, (), "/ws") == "Could not open '…' in it"


@pytest.mark.parametrize(
    ("message", "stored"),
    [
        (
            "stage 'a' fails on every document: ValueError at words.py:12",
            "stage 'a' fails on every document: ValueError",
        ),
        ("scoring a.parquet: ArrowInvalid (at error.pxi:92)", "scoring a.parquet: ArrowInvalid"),
        ("look at 12:30 in a.parquet", "look at 12:30 in a.parquet"),
    ],
)
def test_places_in_the_code_are_not_stored(message: str, stored: str) -> None:
    assert to_be_stored(message) == stored


@pytest.mark.parametrize("failure", [Refusal("no file", "make one"), ModelError("no file", hint="make one")])
def test_a_hint_is_a_hint_wherever_it_was_given(failure: Exception) -> None:
    assert advice(failure) == ("no file", "make one")
    assert advice(pickle.loads(pickle.dumps(failure))) == ("no file", "make one")
    assert advice(ValueError("just\nso")) == ("just so", None)
    assert advice(KeyError()) == ("KeyError", None)


@pytest.mark.parametrize("command", ["check", "run"])
def test_the_hint_of_examples_is_the_findings_hint(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(pa.table({"text": ["one", "two"]}), tmp_path / "in.parquet")
    (tmp_path / "target.jsonl").write_text('{"text": "one"}\n')
    stage = {"scorer": "dsir", "target": "target.jsonl", "buckets": 1000}
    recipe = {"name": "x", "input": {"path": "in.parquet"}, "stages": [stage]}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    code = _main([command, str(tmp_path / "r.yaml"), "-w", str(tmp_path / "ws")])
    told = capsys.readouterr().err
    assert code == (0 if command == "check" else 2)
    if command == "run":
        assert "1 distinct documents, and at least 2 are needed\n" in told
        assert "\nhint: 50 or more do well" in told


# --- the command line ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raises", "code", "exit_code"),
    [
        (KeyError(SECRET), "R016", 1),
        (AssertionError(SECRET), "R016", 1),
        (RecursionError(), "R016", 1),
        (SystemExit(0), "R016", 1),
        (GeneratorExit(), "R016", 1),
        (MemoryError(), "R003", 1),
        (PermissionError(13, "Permission denied", "/x"), "R003", 1),
        (OSError(28, "No space left on device"), "R005", 1),
    ],
    ids=lambda given: type(given).__name__ if isinstance(given, BaseException) else "",
)
def test_nothing_leaves_the_command_line_without_a_code(
    raises: BaseException, code: str, exit_code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def fails(*_: Any) -> Any:
        raise raises

    monkeypatch.setattr("pipelines.cli.results.open_workspace", fails)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert _main(["funnel", "-w", "s3://user:secret@host/ws"]) == exit_code
    told = capsys.readouterr()
    assert (told.out, f"error[{code}]: " in told.err, "Traceback" in told.err) == ("", True, False)
    files = list(tmp_path.glob("curate-fault-*.txt"))
    assert len(files) == (code == "R016")
    for file in files:
        text = file.read_text()
        assert str(file) in told.err
        assert "test_faults.py" in text
        assert "curate funnel -w s3://···········@host/ws" in text
        assert SECRET not in text + told.err


def test_an_interrupted_command_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.cli.results.open_workspace", fails)
    assert _main(["funnel"]) == 130


def test_what_a_plugin_raises_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._loaded, __name__, (None, ()))
    assert crash.finding(raised(python_key), []).code == "C054"
