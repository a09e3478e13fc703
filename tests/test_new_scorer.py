"""A new scorer is one file and one line. Gates, resume, SQL columns and `explain` it gets for nothing, and so is what
becomes of its faults."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation import registry
from pipelines.workspace import Workspace
from schemas.errors import CurationError

VOWELS = '''
"""Share of vowels among letters."""

import pyarrow as pa
import pyarrow.compute as pc

from curation.scorers.base import Scorer, Settings


class VowelSettings(Settings):
    letters: str = "aeiou"


class Vowels(Scorer):
    kind = "vowels"
    Settings = VowelSettings

    @property
    def fields(self):
        return [pa.field("share", pa.float64()), pa.field("letters", pa.int32())]

    def score(self, batch):
        text = pc.utf8_lower(batch.column("text"))
        letters = pc.count_substring_regex(text, r"[a-z]")
        vowels = pc.count_substring_regex(text, f"[{self.settings.letters}]")
        share = pc.divide(pc.cast(vowels, pa.float64()), pc.cast(letters, pa.float64()))
        return pa.record_batch({"share": share, "letters": pc.cast(letters, pa.int32())})
'''
SECRET = "quetzalcoatl"
FAULTY = f'''
import pyarrow as pa

from curation.scorers.base import Scorer, Settings


class FaultySettings(Settings):
    on: str = "{SECRET}"
    shape: str = "right"


class Faulty(Scorer):
    kind = "faulty"
    heavy = True
    Settings = FaultySettings

    @property
    def fields(self):
        return [pa.field("length", pa.int64())]

    def score(self, batch):
        texts = batch.column("text").to_pylist()
        for text in texts:
            if self.settings.on in text:
                raise ValueError("cannot score " + text)
        values = pa.array([len(text) for text in texts], pa.int32() if self.settings.shape == "type" else pa.int64())
        if self.settings.shape == "rows":
            values = values.slice(1)
        return pa.record_batch({{"size" if self.settings.shape == "name" else "length": values}})
'''
TELLTALE = "harbours"
"""In every document's text, and nowhere else."""
TEXTS = [f"Document number {n} speaks of {TELLTALE}, bridges and {'xyz ' * (n % 7)}libraries." for n in range(60)]
CURSED = {11, 12, 13, 40}
"""Rows whose text the faulty scorer raises on; they are next to one another in a shard and alone in another."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package folder on the path, for this process and for those that it starts."""
    code = tmp_path / "code"
    code.mkdir()
    monkeypatch.syspath_prepend(str(code))
    monkeypatch.setenv("PYTHONPATH", str(code))
    yield tmp_path
    for name in ("vowels", "faulty"):
        sys.modules.pop(name, None)
    registry.find.cache_clear()


@pytest.fixture
def one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The scorer's file, and its line in the registry."""
    (folder / "code" / "vowels.py").write_text(VOWELS)
    monkeypatch.setitem(registry.BUILTIN["scorer"], "vowels", "vowels:Vowels")
    return folder


@pytest.fixture
def faulty(folder: Path) -> Path:
    """Somebody else's package, found through its entry point."""
    (folder / "code" / "faulty.py").write_text(FAULTY)
    info = folder / "code" / "faulty_scorer-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty-scorer\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[curation.scorers]\nfaulty = faulty:Faulty\n")
    return folder


def write(folder: Path, texts: list[str]) -> Path:
    crawl = folder / "crawl"
    crawl.mkdir(exist_ok=True)
    for number in range(3):
        rows = range(20 * number, 20 * number + 20)
        table = pa.table({"text": [texts[row] for row in rows], "id": [f"d{row}" for row in rows]})
        pq.write_table(table, crawl / f"{number}.parquet")
    return crawl


def recipe(folder: Path, stage: dict[str, Any], texts: list[str] = TEXTS, **changes: Any) -> dict[str, Any]:
    return {
        "name": "new",
        "input": {"path": str(write(folder, texts)), "columns": {"id": "id"}},
        "stages": [stage],
        "output": {"columns": ["id", "text"]},
        **changes,
    }


def run(folder: Path, settings: dict[str, Any], executor: str = "local") -> Any:
    return Workspace(folder / "ws").run(settings, executor=executor, workers=2)


def test_one_file_and_one_line_make_a_scorer_with_everything(one_line: Path) -> None:
    stage = {"scorer": "vowels", "keep": "vowels.share >= 0.3 and vowels.letters > 40"}
    settings = recipe(one_line, stage, output={"columns": ["id", "vowels.share"]})
    first = run(one_line, settings)
    assert (first.outcome, first.steps["vowels"]) == ("done", 60)
    assert 0 < first.kept < 60
    workspace = Workspace(one_line / "ws")
    # SQL columns, the gate's reason, score and threshold
    assert workspace.sql("SELECT count(vowels.share) AS n FROM documents").to_pylist() == [{"n": 60}]
    drops = workspace.sql("SELECT DISTINCT stage, rule, threshold FROM drops").to_pylist()
    assert drops == [{"stage": "vowels", "rule": "vowels.share >= 0.3 is false", "threshold": 0.3}]
    dropped = workspace.sql("SELECT score FROM drops").column("score").to_pylist()
    assert all(score < 0.3 for score in dropped)
    # explain
    [document] = workspace.sql("SELECT id FROM drops ORDER BY doc_id LIMIT 1").column("id").to_pylist()
    [explained] = workspace.explain(document)
    assert "vowels" in str(explained)
    # a column in the output
    table = pq.read_table(next(first.folder.glob("data/*.parquet")))
    assert table.schema.field("vowels_share").type == pa.float64()
    # resume: another threshold costs nothing, other settings are another score
    stricter = run(one_line, recipe(one_line, {**stage, "keep": "vowels.share >= 0.32"}))
    assert (stricter.outcome, stricter.scored) == ("done", 0)
    other = run(one_line, recipe(one_line, {**stage, "letters": "aeiouy"}))
    assert other.steps == {"vowels": 60}


def test_an_unknown_scorer_is_one_error_that_names_the_known_ones(one_line: Path) -> None:
    with pytest.raises(CurationError, match="vowel") as failure:
        run(one_line, recipe(one_line, {"scorer": "vowel"}))
    assert len(failure.value.findings) == 1
    assert "vowels" in str(failure.value.findings[0].hint)


def cursed(number: int, text: str) -> str:
    return f"{text} {SECRET}" if number in CURSED else text


@pytest.mark.parametrize("budget", [0, 4])
def test_documents_that_a_scorer_raises_on_are_errored_and_no_others(faulty: Path, budget: int) -> None:
    texts = [cursed(number, text) for number, text in enumerate(TEXTS)]
    settings = recipe(faulty, {"scorer": "faulty"}, texts, errors={"documents": budget})
    result = run(faulty, settings)
    assert (result.kept, result.dropped, result.errored) == (56, 0, 4)
    assert result.outcome == ("done" if budget else "failed")
    assert [failure.code for _, failure in result.failures] == ([] if budget else ["R004"])
    errors = Workspace(faulty / "ws").sql("SELECT id, stage, message FROM errors ORDER BY doc_id").to_pylist()
    assert [row["id"] for row in errors] == [f"d{number}" for number in sorted(CURSED)]
    assert {row["stage"] for row in errors} == {"faulty"}
    assert {row["message"] for row in errors} == {
        "ValueError"
    }  # without its place in the code, which is stored nowhere
    lengths = Workspace(faulty / "ws").sql("SELECT row, path, faulty.length FROM documents WHERE kept").to_pylist()
    assert all(row["length"] == len(texts[20 * int(Path(row["path"]).stem) + row["row"]]) for row in lengths)
    assert_no_text_leaked(faulty / "ws", result)
    again = run(faulty, settings)
    assert (again.scored, again.errored) == (0, 4)


def test_a_scorer_that_raises_on_everything_is_one_clear_error(faulty: Path) -> None:
    result = run(faulty, recipe(faulty, {"scorer": "faulty", "on": "e"}, errors={"documents": 1000}))
    assert (result.outcome, result.errored) == ("failed", 0)
    [message] = {failure.message for _, failure in result.failures}
    assert message.startswith("stage 'faulty' fails on every document: ValueError at faulty.py:")
    assert all(failure.hint is None for _, failure in result.failures)  # what it said differs, and is the text
    assert all("faulty.py" in failure.trace for _, failure in result.failures)
    assert_no_text_leaked(faulty / "ws", result)
    stored = {row["step"] for row in Workspace(faulty / "ws").manifest.read("scores").to_pylist()}
    assert "faulty" not in stored  # a broken scorer says nothing about documents


def test_a_batch_of_bad_documents_alone_is_not_a_broken_scorer(faulty: Path) -> None:
    texts = [f"{text} {SECRET}" if number < 20 else text for number, text in enumerate(TEXTS)]
    result = run(faulty, recipe(faulty, {"scorer": "faulty"}, texts, errors={"documents": 20}))
    assert (result.outcome, result.kept, result.errored) == ("done", 40, 20)


@pytest.mark.parametrize(
    ("shape", "what"),
    [
        ("name", "what scorer 'faulty' returned lacks the column 'length'"),
        ("type", "scorer 'faulty' declared length as int64 and returned int32"),
        ("rows", "what scorer 'faulty' returned has 19 rows for 20 documents"),
    ],
)
def test_a_scorer_that_returns_something_else_is_one_clear_error(faulty: Path, shape: str, what: str) -> None:
    result = run(faulty, recipe(faulty, {"scorer": "faulty", "shape": shape}))
    assert {failure.message for _, failure in result.failures} == {f"stage 'faulty': {what}"}


@pytest.mark.long
def test_faults_have_the_same_bytes_on_ray(faulty: Path, held: Callable[[Path], Any]) -> None:
    texts = [cursed(number, text) for number, text in enumerate(TEXTS)]
    settings = recipe(faulty, {"scorer": "faulty"}, texts, errors={"documents": 4})
    here = run(faulty, settings)
    (faulty / "ws").rename(faulty / "local")
    there = run(faulty, settings, "ray")
    assert (here.outcome, there.outcome) == ("done", "done"), there.failures
    assert held(faulty / "ws").everything(there.run) == held(faulty / "local").everything(here.run)
    assert_no_text_leaked(faulty / "ws", there)


def assert_no_text_leaked(root: Path, result: Any) -> None:
    told = " ".join(f"{failure.message} {failure.hint} {failure.trace}" for _, failure in result.failures)
    assert TELLTALE not in told
    for path in (root / "manifest").rglob("*.parquet"):
        assert TELLTALE not in str(pq.read_table(path).to_pylist()), path
