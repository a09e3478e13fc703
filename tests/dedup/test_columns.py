"""Dedup on chosen columns: of instructions, of pairs, and of text as it always was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.dedup.exact import Digest, Exact, ExactSettings
from curation.dedup.minhash import MinHash, MinHashSettings
from curation.formats.columns import Columns
from curation.plan import fingerprint
from curation.scorers.base import Context, Settings
from curation.text.normalize import joint_digest, normalized_digest
from pipelines import Workspace
from pipelines.planning.fingerprints import step_fingerprint
from schemas.documents import TEXT
from schemas.errors import CurationError

LONG = "The ferry leaves the harbour at seven in the morning and comes back late at night, but not on Sundays."
ROWS = [
    ("When does it leave?", LONG),
    ("when does  it leave?", LONG.upper()),
    ("When does it leave?", "At seven."),
    ("When does it leave? At", "seven."),
    ("", "At seven."),
    ("", "At eight."),
    (None, "At nine."),
    ("How long does it take?", LONG.replace("Sundays", "Mondays")),
]


def kept(folder: Path, stage: dict[str, Any], columns: dict[str, str] | None = None) -> list[int]:
    """Rows that a dedup leaves, in two shards."""
    (folder / "in").mkdir(parents=True)
    for number, rows in enumerate((ROWS[:3], ROWS[3:])):
        table = pa.table({"q": [q for q, _ in rows], "a": [a for _, a in rows]})
        pq.write_table(table, folder / "in" / f"{number}.parquet")
    recipe = {
        "name": "pairs",
        "input": {"path": str(folder / "in"), "columns": columns or {"instruction": "q", "output": "a"}},
    }
    workspace = Workspace(folder / "ws")
    result = workspace.run({**recipe, "stages": [stage]}, executor="local", workers=2)
    assert result.outcome == "done", result.failures
    shown = workspace.sql("SELECT row, path, kept FROM documents ORDER BY path, row").to_pylist()
    return [place for place, row in enumerate(shown) if row["kept"]]


@pytest.mark.parametrize(
    ("stage", "left"),
    [
        ({"dedup": "exact", "columns": ["instruction"]}, [0, 3, 4, 5, 6, 7]),
        ({"dedup": "exact", "columns": ["instruction", "output"]}, [0, 2, 3, 4, 5, 6, 7]),
        ({"dedup": "exact", "columns": ["output"]}, [0, 2, 3, 5, 6, 7]),
        ({"dedup": "minhash", "columns": ["output"], "verify": 0.6, "survivor": "first"}, [0, 2, 3, 5, 6]),
        ({"dedup": "minhash", "columns": ["instruction", "output"], "survivor": "first"}, [0, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_duplicates_are_those_of_the_columns_and_blank_ones_are_nobodys(
    tmp_path: Path, stage: dict[str, Any], left: list[int]
) -> None:
    assert kept(tmp_path, stage) == left


def test_the_longest_by_the_columns_stays(tmp_path: Path) -> None:
    stage = {"dedup": "exact", "columns": ["instruction"], "survivor": "longest"}
    assert kept(tmp_path, stage)[0] == 1, "a space more"


@pytest.mark.parametrize("kind", ["exact", "minhash"])
def test_a_column_that_is_not_mapped_or_named_twice_is_refused(tmp_path: Path, kind: str) -> None:
    for columns, code in ((["instruction", "answer"], "C021"), (["output", "output"], "C012"), ([], "C004")):
        with pytest.raises(CurationError) as caught:
            kept(tmp_path / code, {"dedup": kind, "columns": columns})
        assert [finding.code for finding in caught.value.findings] == [code]


def test_the_text_alone_has_the_fingerprint_that_it_had_before_there_were_columns() -> None:
    for settings in (ExactSettings(), ExactSettings(columns=["text"])):
        assert settings.model_dump(mode="json") == {"survivor": "first"}
        [sketch] = Exact(settings, Context(Path())).requires().values()
        known = fingerprint(["digest", 1, {}, [["text", "body"]], [], {}, []])
        assert step_fingerprint(sketch, Columns.of({"text": "body"}), [], {}) == known
    [sketch] = MinHash(MinHashSettings(), Context(Path())).requires().values()
    known = fingerprint(
        ["minhash-signature", 1, {"ngram": 5, "permutations": 112, "seed": 1}, [["text", "body"]], ["up"], {}, []]
    )
    assert step_fingerprint(sketch, Columns.of({"text": "body"}), ["up"], {}) == known


def test_what_ends_one_column_never_begins_the_next() -> None:
    columns = [pa.array(["a b", "a", "A  B", ""], TEXT), pa.array(["c", "b c", "C", "a b c"], TEXT)]
    digests = joint_digest(columns).to_pylist()
    assert digests[0] == digests[2]
    assert len(set(digests)) == 3
    assert joint_digest(columns[:1]) == normalized_digest(columns[0])
    long = [pa.array([LONG, LONG + " x y z"], TEXT), pa.array(["x y z", ""], TEXT)]
    stage = MinHash(MinHashSettings(columns=["instruction", "output"]), Context(Path()))
    sketch = stage.requires()["sketch"].score(pa.RecordBatch.from_arrays(long, names=["instruction", "output"]))
    evidence = np.frombuffer(b"".join(sketch.column("evidence").to_pylist()), np.uint8).reshape(2, -1)
    assert stage.similarity(evidence[:1], evidence[1:])[0] < 1


def test_only_rows_that_are_blank_throughout_have_no_evidence() -> None:
    batch = pa.record_batch({"a": pa.array(["", " ", "x"], TEXT), "b": pa.array(["\n", "x", ""], TEXT)})
    found = Digest(Settings(), Context(Path()), ["a", "b"]).score(batch)
    assert found.column("evidence").is_valid().to_pylist() == [False, True, True]
    assert found.column("bytes").to_pylist() == [1, 2, 1]
