"""The demo corpus: real text of this environment, the same every time, in shards of very different sizes."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.corpora import topics
from pipelines.corpora.documentation import SCHEMA, WHOLE_FILES, Facts, build
from pipelines.corpora.environment import Document, harvest, unwrap

LIMIT = 400_000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Facts, set[str]]:
    """A small corpus of the environment that runs the tests, and the modules that building it imported."""
    folder = tmp_path_factory.mktemp("corpus")
    before = set(sys.modules)
    facts = build(folder, LIMIT)
    return folder, facts, set(sys.modules) - before


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def rows(folder: Path) -> list[dict[str, str]]:
    return pa.concat_tables(pq.read_table(shard) for shard in shards(folder)).to_pylist()


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A site-packages of our own, with what real ones have."""
    files = {
        "pack/__init__.py": b'"""The package."""\nraise RuntimeError("imported")\n',
        "pack/module.py": b'class A:\n    """A class."""\n    @property\n    def x(self):\n        """Get."""\n'
        b'    @x.setter\n    def x(self, value):\n        """Set."""\n\n'
        b'def empty():\n    """ """\n\ndef silent():\n    pass\n',
        "pack/latin.py": b'# -*- coding: utf-8 -*-\n"""caf\xe9"""\n',
        "pack/python2.py": b'print "hello"\n',
        "pack/surrogate.py": b'"""\\ud800"""\n',
        "pack/data.json": b"{}",
        "pack-1.0.dist-info/METADATA": b"Name: pack\nVersion: 1.0\n\n# Pack\n\nRead me.\n",
        "pack-1.0.dist-info/licenses/LICENSE": b"Do what you want.\n",
        "pack/docs/guide.rst": b"Guide\n=====\n",
        "pack/__pycache__/module.py": b'"""Not source."""\n',
    }
    root = tmp_path / "library"
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def test_the_same_environment_gives_the_same_bytes(corpus: tuple[Path, Facts, set[str]], tmp_path: Path) -> None:
    folder, facts, _ = corpus
    assert build(tmp_path, LIMIT) == facts
    assert digests(tmp_path) == digests(folder)


def test_shards_are_uneven_and_the_largest_can_be_split(corpus: tuple[Path, Facts, set[str]]) -> None:
    folder, facts, _ = corpus
    counts = {shard.name: pq.read_metadata(shard).num_rows for shard in shards(folder)}
    assert counts == facts.rows
    assert len(counts) == 9
    assert max(counts.values()) > 5 * min(counts.values()) > 0
    groups = {shard.name: pq.read_metadata(shard).num_row_groups for shard in shards(folder)}
    assert groups.pop(max(counts, key=lambda name: counts[name])) > 1
    assert set(groups.values()) == {1}


def test_rows_have_the_declared_columns_and_unique_ids(corpus: tuple[Path, Facts, set[str]]) -> None:
    folder, facts, _ = corpus
    assert all(pq.read_schema(shard).equals(SCHEMA) for shard in shards(folder))
    documents = rows(folder)
    assert len(documents) == facts.documents > 100
    assert len({document["id"] for document in documents}) == len(documents)
    assert {document["kind"] for document in documents} >= {"docstring", "licence"}
    for document in documents:
        assert document["id"].startswith(document["source"])
        assert document["source"].split("/")[0] in {"site-packages", "stdlib"}


def test_the_limit_holds_and_whole_files_take_their_share_at_most(corpus: tuple[Path, Facts, set[str]]) -> None:
    folder, facts, _ = corpus
    sizes = [(document["kind"], len(document["text"].encode())) for document in rows(folder)]
    assert facts.bytes == sum(size for _, size in sizes) <= LIMIT
    assert sum(size for kind, size in sizes if kind != "docstring") <= WHOLE_FILES * LIMIT


def test_nothing_of_the_environment_is_imported(corpus: tuple[Path, Facts, set[str]], library: Path) -> None:
    packages = {document["package"] for document in rows(corpus[0])} - {"python"}
    assert not {module for module in corpus[2] if module.split(".")[0] in packages - {"pyarrow", "numpy"}}
    list(harvest({"site-packages": library}))
    assert "pack" not in sys.modules


def test_each_kind_of_document_is_found_and_bad_files_are_counted(library: Path) -> None:
    found = list(harvest({"site-packages": library}))
    documents = {document.id: document for each in found for document in each.documents}
    module = "site-packages/pack/module.py"
    texts = {id: document.text for id, document in documents.items()}
    assert texts == {
        "site-packages/pack/__init__.py#": "The package.",
        f"{module}#A": "A class.",
        f"{module}#A.x": "Get.",
        f"{module}#A.x~2": "Set.",
        f"{module}#empty": "",
        "site-packages/pack-1.0.dist-info/METADATA": "# Pack\n\nRead me.",
        "site-packages/pack-1.0.dist-info/licenses/LICENSE": "Do what you want.",
        "site-packages/pack/docs/guide.rst": "Guide\n=====",
    }
    assert {document.kind for document in documents.values()} == {"docstring", "readme", "licence", "docs"}
    assert {document.package for document in documents.values()} == {"pack"}
    assert sum(each.skipped for each in found) == 3  # latin, python2, surrogate
    assert sum(each.read for each in found) == 5
    assert isinstance(documents[f"{module}#A"], Document)


def test_a_smaller_build_leaves_no_shard_of_a_larger_one(library: Path, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    roots = {"site-packages": library}
    assert len(build(folder, LIMIT, files=6, roots=roots).rows) == 6
    facts = build(folder, LIMIT, files=2, roots=roots)
    assert [shard.name for shard in shards(folder)] == list(facts.rows) == ["docs-00.parquet", "docs-01.parquet"]
    assert sum(facts.rows.values()) == facts.documents == 8


def test_progress_only_grows(library: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    facts = build(tmp_path / "corpus", LIMIT, progress=lambda n, size: calls.append((n, size)), roots={"x": library})
    assert calls == sorted(calls)
    assert calls[-1] == (facts.documents, facts.bytes)


def test_paragraphs_are_unwrapped_and_structure_is_not() -> None:
    long = "This line was broken by an editor at its seventy-ninth column, and goes on"
    assert unwrap(f"{long}\nbelow.\n\nNew paragraph.") == f"{long} below.\n\nNew paragraph."
    for text in (
        "Short line\nanother one",
        f"{long}\n- an item",
        f"{long}\n    an indented block",
        f"{long}\n>>> print(1)",
        f"A heading that happens to be quite long, far longer than sixty characters\n{'=' * 70}",
    ):
        assert unwrap(text) == text


def test_labelled_texts_have_their_topic_once_each(tmp_path: Path) -> None:
    said = {
        "numbers": "Return the mean of an array of values, weighted by how often each occurs in it, as a float.",
        "network": "Open a socket to the server and send a request, and wait until the response has come back.",
    }
    for topic, text in said.items():
        (tmp_path / topic).mkdir()
        code = "".join(f'def f{k}():\n    """{line}"""\n' for k, line in enumerate((text, text, "Too short.")))
        (tmp_path / topic / "module.py").write_text(code)
    folders = {topic: {topic: tmp_path / topic} for topic in said}
    assert topics.build(tmp_path / "out", folders).texts == {"numbers": 1, "network": 1}
    rows = pq.read_table(tmp_path / "out" / "topics.parquet").to_pylist()
    assert {row["topic"]: row["text"] for row in rows} == said
    assert all(row["numeric"] == (row["topic"] == "numbers") for row in rows)
