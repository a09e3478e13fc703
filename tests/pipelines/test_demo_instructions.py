"""The pairs of the second demo: real functions, the same ones every time, none twice, no answer in its question."""

from __future__ import annotations

import ast
import hashlib
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.corpora.functions import ANSWERED, ASKED, SCHEMA, SHARDS, Facts, build, pairs

ROOT = Path(ast.__file__).parent


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Facts, set[str]]:
    """The corpus of this Python's standard library, and the modules that building it imported."""
    folder = tmp_path_factory.mktemp("pairs")
    before = set(sys.modules)
    facts = build(folder)
    return folder, facts, set(sys.modules) - before


def rows(folder: Path) -> list[dict[str, str]]:
    return pa.concat_tables(pq.read_table(shard) for shard in sorted(folder.glob("*.parquet"))).to_pylist()


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def found(code: str) -> dict[str, tuple[str, str]]:
    """Question and answer by name, of the functions of one file."""
    return {pair.id.removeprefix("m.py#"): (pair.instruction, pair.output) for pair in pairs(code.encode(), "m.py")}


def test_the_same_library_gives_the_same_bytes_from_any_folder(
    corpus: tuple[Path, Facts, set[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert build(Path("elsewhere/pairs")) == corpus[1]
    assert digests(tmp_path / "elsewhere" / "pairs") == digests(corpus[0])


def test_every_answer_is_code_of_the_lengths_that_are_wanted(corpus: tuple[Path, Facts, set[str]]) -> None:
    folder, facts, _ = corpus
    assert all(pq.read_schema(shard).equals(SCHEMA) for shard in folder.iterdir())
    documents = rows(folder)
    assert len(documents) == facts.pairs > 1500
    for row in documents:
        [function] = ast.parse(row["output"]).body
        assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        assert f"def {function.name}(" in row["instruction"].partition("\n\n")[0]
        assert len(row["instruction"].encode()) in ASKED
        assert len(row["output"].encode()) in ANSWERED


def test_no_row_is_there_twice_and_no_question_holds_its_answer(corpus: tuple[Path, Facts, set[str]]) -> None:
    documents = rows(corpus[0])
    assert len({row["id"] for row in documents}) == len(documents)
    assert len({(row["instruction"], row["output"]) for row in documents}) == len(documents)
    assert not [row["id"] for row in documents if row["output"] in row["instruction"]]


def test_nothing_is_imported_and_neither_tests_nor_generated_files_are_read(
    corpus: tuple[Path, Facts, set[str]],
) -> None:
    folder, facts, imported = corpus
    modules = {row["module"] for row in rows(folder)}
    assert len(modules) == facts.modules > 100
    assert not {"turtle", "tkinter", "idlelib", "smtplib"} & imported
    assert {"textwrap", "argparse"} <= modules
    assert not {name for name in modules if {"test", "tests", "site-packages"} & set(name.split("."))}
    assert not {name for name in modules if name.startswith("encodings.cp") or name == "pydoc_data.topics"}


def test_the_question_is_signature_and_first_paragraph_and_the_answer_has_no_docstring() -> None:
    code = '''
class Shelf:
    @staticmethod
    async def load(path: str, *, strict=True) -> bytes:
        """Read the
        shelf.

        More about it.
        """

        # slowly
        return path.encode()
'''
    question = "Write the Python function `async def load(path: str, *, strict=True) -> bytes` in `Shelf`."
    answer = (
        "@staticmethod\nasync def load(path: str, *, strict=True) -> bytes:\n    # slowly\n    return path.encode()"
    )
    assert found(code) == {"Shelf.load": (f"{question}\n\nRead the shelf.", answer)}


@pytest.mark.parametrize(
    "code",
    [
        "def f(x):\n    return x\n",
        'def f(x):\n    """Only words."""\n',
        'def f(x):\n    """   """\n    return x\n',
        'def f(x): "On one line."; return x\n',
        'def f(x):\n    "On one line."; return x\n',
    ],
)
def test_what_is_no_pair_is_left_out(code: str) -> None:
    assert found(code) == {}


def test_a_name_defined_again_is_told_apart_and_lines_are_pythons_own() -> None:
    code = "".join(f'if {n}:\n    def f():\n        """Form\\n feed."""\n        return "\x0c{n}"\n' for n in range(2))
    both = found(code)
    assert list(both) == ["f", "f~2"]
    assert [answer for _, answer in both.values()] == [f'def f():\n    return "\x0c{n}"' for n in range(2)]


def test_files_that_cannot_be_read_are_counted_and_generated_ones_are_not_read(tmp_path: Path) -> None:
    library = tmp_path / "library"
    (library / "test").mkdir(parents=True)
    for place in ("textwrap.py", "test/textwrap.py"):
        shutil.copy(ROOT / "textwrap.py", library / place)
    (library / "latin.py").write_bytes(b'# -*- coding: latin-1 -*-\n"caf\xe9"\n')
    (library / "python2.py").write_text('print "hello"\n')
    (library / "surrogate.py").write_text('def f():\n    """\\ud800"""\n    return 1\n')
    (library / "table.py").write_text(f"# Generated by a script.\n{(ROOT / 'textwrap.py').read_text()}")
    facts = build(tmp_path / "pairs", root=library)
    assert (facts.files_read, facts.files_skipped) == (1, 3)
    assert {row["module"] for row in rows(tmp_path / "pairs")} == {"textwrap"}
    assert len(digests(tmp_path / "pairs")) == SHARDS
