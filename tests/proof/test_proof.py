"""Today's code makes what the recorded digest says, has nothing to do where all is done, and scores only what is new.

When one of these fails and the change is meant: `python tests/proof record`. To see which file, column or line it is:
`python tests/proof compare --since REV`.
"""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.registry import BUILTIN
from proof import contents, proving
from schemas.weak_to_strong import STUDENTS, SUPERVISORS

pytestmark = pytest.mark.long


@dataclass(frozen=True)
class Proof:
    """Workspaces made from nothing, run again, and run once more with a file added to two of the inputs."""

    fresh: proving.Facts
    digest: dict[str, dict[str, str]]
    idle: list[str]
    grown: list[str]
    kinds: set[tuple[str, str]]


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> Proof:
    folder = tmp_path_factory.mktemp("proof")
    proving.write_inputs(folder)
    fresh = proving.work(proving.ROOT, folder, "made")
    assert proving.finished(fresh) == []
    digest = proving.digest(folder, fresh)
    before = proving.stamps(folder / "made")
    idle = proving.idle(proving.work(proving.ROOT, folder, "made", looks=False), before)
    later = proving.add_later(folder)
    grown = proving.grown(proving.work(proving.ROOT, folder, "made", looks=False), before, later)
    stages = [row for views in fresh["views"].values() for row in views["stages"]["rows"]]
    return Proof(fresh, digest, idle, grown, {(row["family"], row["kind"]) for row in stages})


@pytest.mark.parametrize("what", ["files", "rows", "views", "help"])
def test_it_is_what_was_recorded(what: str, proof: Proof) -> None:
    recorded = json.loads(proving.DIGEST.read_text(encoding="utf-8"))
    assert contents.apart(recorded[what], proof.digest[what]) == []


def test_there_is_nothing_to_do_where_all_is_done(proof: Proof) -> None:
    assert proof.idle == []


def test_of_a_file_that_is_added_its_own_documents_are_scored(proof: Proof) -> None:
    assert proof.grown == []


def test_every_kind_of_stage_is_in_it(proof: Proof) -> None:
    trained = {("scorer", kind) for kind in ("ngram", "properties", "stack")}  # tests/scorers/test_contract.py has them
    assert {(family, kind) for family, kinds in BUILTIN.items() for kind in kinds} - proof.kinds == trained
    recipes = (proving.HERE / "recipes").glob("*.yaml")
    text = "\n".join(path.read_text(encoding="utf-8") for path in recipes)
    assert [kind for kind in SUPERVISORS if f"supervisor: {kind}" not in text] == []
    assert [kind for kind in STUDENTS if f"student: {kind}" not in text] == []


def test_a_byte_a_file_and_a_row_that_differ_are_named(proof: Proof, tmp_path: Path) -> None:
    one = Path(proof.fresh["base"]) / "exact"
    other = Path(shutil.copytree(one, tmp_path / "exact", symlinks=True))
    changed, gone = sorted(other.glob("decisions/*/*.parquet"))[:2]
    changed.write_bytes(changed.read_bytes()[:-1] + b"2")
    gone.unlink()
    record = min(other.glob("manifest/parts/runs/*.parquet"))
    rows = pq.read_table(record)
    pq.write_table(rows.set_column(1, "name", pa.array(["another"])), record)
    sides = [contents.files(root, {}) for root in (one, other)]
    said = contents.apart(*sides)
    assert [line.rsplit(" ", 1)[1] for line in said] == ["differs", "gone", "differs"]
    assert all(path.name[:8] in line for path, line in zip((changed, gone, record), said, strict=True))


def test_a_word_of_help_a_column_and_a_run_that_differ_are_named(proof: Proof) -> None:
    other = copy.deepcopy(proof.fresh)
    assert proving.unlike(proof.fresh, other) == {}
    other["help"]["curate run"] = other["help"]["curate run"].replace("Usage", "Usages")
    other["views"]["exact"]["runs"]["columns"][0][0] = "id"
    other["runs"]["text"]["run"] = "0" * 16
    found = proving.unlike(proof.fresh, other)
    assert set(found) == {"help", "views", "runs"}
    assert all(line.startswith("`curate run --help`: ") for line in found["help"])
    assert (found["views"], found["runs"]) == (["exact: runs differs"], ["text differs"])
