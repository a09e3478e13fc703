"""`curate init`: of data in every form a recipe that runs, told from names and content."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from curation.store import remote
from pipelines.cli.main import _main
from pipelines.planning.describe import describe_data
from pipelines.planning.drafting import recipe_for
from pipelines.workspace import Workspace
from schemas.errors import CurationError, Finding

Row = dict[str, Any]


def prose(manual: str) -> str:
    """Paragraphs of a chapter that are prose: rules for web text drop code, lists and grammar."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in manual.split("\n\n")]
    return "\n".join(
        text
        for text in paragraphs
        if text.endswith(".") and len(text) > 200 and re.fullmatch(r"[\w ,.;:()'’\"-]+", text)
    )


TEXTS = [text for _, chapter in sorted(topics.items()) if len(text := prose(chapter)) > 600][:12]


def parquet(path: Path, rows: list[Row]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)


def lines(path: Path, rows: list[Row]) -> None:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def array(path: Path, rows: list[Row]) -> None:
    path.write_text(json.dumps(rows, indent=1))


def table(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)


def texts(path: Path, rows: list[Row]) -> None:
    path.mkdir()
    for number, row in enumerate(rows):
        (path / f"{number}.txt").write_text(row["text"])


def sentences(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(f"Sentence number {n} of this file says what {n} is.\n" for n in range(len(rows))))


def numbered(rows: list[Row]) -> list[Row]:
    return [{"id": f"d{number}", **row} for number, row in enumerate(rows)]


def said(role: str, content: str, who: str, what: str) -> Row:
    return {role: who, content: what}


ASKED = [
    {"prompt": f"What does the chapter on {name} say?", "response": text}
    for name, text in zip(topics, TEXTS, strict=False)
]
SHAPES: dict[str, tuple[str, Callable[[Path, list[Row]], None], list[Row], str, dict[str, str]]] = {
    "web": (
        "pages.parquet",
        parquet,
        numbered([{"content": text, "url": f"https://example.net/{n}"} for n, text in enumerate(TEXTS)]),
        "web",
        {"text": "content", "url": "url", "id": "id"},
    ),
    "rows that share an id": (
        "texts.csv",
        table,
        [{"id": number // 2, "body": text} for number, text in enumerate(TEXTS)],
        "text",
        {"text": "body"},
    ),
    "pairs": ("pairs.jsonl.gz", lines, ASKED, "instructions", {"instruction": "prompt", "output": "response"}),
    "messages": (
        "chats.json",
        array,
        [
            {"conversation": [said("role", "content", "user", prompt), said("role", "content", "assistant", answer)]}
            for prompt, answer in map(dict.values, ASKED)
        ],
        "chats",
        {"messages": "conversation"},
    ),
    "sharegpt": (
        "share.jsonl",
        lines,
        [
            {"conversations": [said("from", "value", "human", prompt), said("from", "value", "gpt", answer)]}
            for prompt, answer in map(dict.values, ASKED)
        ],
        "chats",
        {"conversations": "conversations"},
    ),
    "two answers": (
        "better.jsonl",
        lines,
        [{"prompt": row["prompt"], "chosen": row["response"], "rejected": "No idea at all."} for row in ASKED],
        "preferences",
        {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"},
    ),
    "votes": (
        "votes.csv",
        table,
        [
            {"idx": n, "instruction": prompt, "response1": answer, "response2": f"{n}?", "annotator1": 1 + n % 2}
            for n, (prompt, answer) in enumerate(map(dict.values, ASKED))
        ],
        "preferences",
        {"instruction": "instruction", "output": "response1", "id": "idx"},
    ),
    "labels": (
        "labels.tsv",
        table,
        [{"sentence": f"This is film number {n} of all.", "stars": n % 5} for n in range(24)],
        "labels",
        {"text": "sentence"},
    ),
    "problems": (
        "sums.parquet",
        parquet,
        [
            {"question": f"What are {n} apples and {n * n} pears?", "answer": f"{n} + {n * n}\n#### {n + n * n}"}
            for n in range(24)
        ],
        "verifiable",
        {"instruction": "question", "output": "answer", "reference": "answer"},
    ),
    "a text a file": ("books", texts, [{"text": text} for text in TEXTS[:4]], "text", {"text": "text"}),
    "a text a line": ("lines.txt", sentences, [{}] * 24, "text", {"text": "text"}),
}  # fmt: skip


RUN = ("pairs", "votes", "a text a line", "problems")
"""Shapes whose recipes load few kernels."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("init") / "ws")


@pytest.mark.parametrize("shape", SHAPES)
def test_the_kind_and_the_columns_are_told_and_the_recipe_is_without_findings(
    shape: str, workspace: Workspace, tmp_path: Path
) -> None:
    name, write, rows, kind, mapping = SHAPES[shape]
    write(tmp_path / name, rows)
    description = describe_data(tmp_path / name)
    assert (description.kind, description.mapping) == (kind, mapping)
    assert (description.rows, description.exact_rows) == (len(rows), True)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(recipe_for(description, tmp_path))
    assert yaml.safe_load(recipe.read_text())["input"]["path"] == name, "relative to the recipe"
    workspace.check(recipe)
    lines = recipe.read_text().splitlines()
    commented = [number for number, line in enumerate(lines) if _COMMENTED.match(line)]
    assert commented, "each draft offers something"
    for number in commented:  # each by itself
        lines_now = [*lines[:number], _COMMENTED.sub(r"\1\2", lines[number]), *lines[number + 1 :]]
        recipe.write_text("\n".join(lines_now))
        for finding in _findings(workspace, recipe):  # a model or a file that somebody else has
            assert finding.code in ("C012", "C013"), lines[number]
            assert re.search("is not installed|no such folder|does not exist", finding.message), finding


def _findings(workspace: Workspace, recipe: Path) -> tuple[Finding, ...]:
    try:
        workspace.check(recipe)
    except CurationError as refused:
        return refused.findings
    return ()


_COMMENTED = re.compile(r"^( *)# (- |[a-z_]+: \S|[a-z_]+:$)")


@pytest.mark.parametrize(
    "shape", [name if name in RUN else pytest.param(name, marks=pytest.mark.long) for name in SHAPES]
)
def test_what_init_writes_runs(shape: str, workspace: Workspace, tmp_path: Path) -> None:
    name, write, rows, _, _ = SHAPES[shape]
    write(tmp_path / name, rows)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(recipe_for(describe_data(tmp_path / name), tmp_path))
    result = workspace.run(recipe, sample=200, executor="local", workers=1)
    assert result.outcome == "done", result.failures
    assert result.rows == len(rows) == result.kept + result.dropped
    assert result.kept


def test_what_has_to_be_converted_is_told_with_a_command_that_does_it(tmp_path: Path) -> None:
    import duckdb

    name, write, rows, _, _ = SHAPES["votes"]
    write(tmp_path / name, rows)
    command = describe_data(tmp_path / name).convert
    assert command is not None
    with duckdb.connect() as connection:
        connection.execute(command.replace("'preferences.parquet'", f"'{tmp_path / 'made.parquet'}'"))
    made = describe_data(tmp_path / "made.parquet")
    assert made.mapping["chosen"] == "chosen"
    first, second = pq.read_table(tmp_path / "made.parquet").to_pylist()[:2]
    assert first["chosen"] == rows[0]["response1"]
    assert second["chosen"] == rows[1]["response2"]


def test_a_recipe_is_fit_for_the_language_of_the_texts(tmp_path: Path) -> None:
    german = "Der Rat hat am Dienstag beschlossen, die neue Brücke über den Fluss zu bauen, und zwar im Frühjahr. " * 4
    parquet(
        tmp_path / "de.parquet", [{"text": f"{german} Absatz {n}.", "url": f"https://example.de/{n}"} for n in range(8)]
    )
    text = recipe_for(describe_data(tmp_path / "de.parquet"), tmp_path)
    assert "language.lang = 'de'" in text
    stages = yaml.safe_load(text)["stages"]
    assert "gopher-quality@datatrove" not in [stage.get("profile") for stage in stages], "its stop words are English"


def test_rules_that_would_drop_most_of_the_texts_measure_and_drop_nothing(tmp_path: Path) -> None:
    grammar = [text for _, text in sorted(topics.items()) if "::=" in text][:12]
    parquet(tmp_path / "grammar.parquet", [{"text": text} for text in grammar])
    text = recipe_for(describe_data(tmp_path / "grammar.parquet"), tmp_path)
    assert re.search(r"# keep: quality\.pass # not in force: of the rows looked at it would drop \d+%", text)
    [quality] = [stage for stage in yaml.safe_load(text)["stages"] if stage.get("id") == "quality"]
    assert "keep" not in quality


def test_names_of_columns_and_files_end_no_comment_and_no_scalar(tmp_path: Path) -> None:
    hostile = "a\nstages: [x]: {y}, # 'z' \"\x1b[31m"
    name = "a b: {c} \U0001f600\u202e\U000e0041.parquet"
    parquet(tmp_path / name, [{"text": text, hostile: "no", "on": "yes"} for text in TEXTS[:4]])
    text = recipe_for(describe_data(tmp_path / name), tmp_path)
    recipe = yaml.safe_load(text)
    assert recipe["input"] == {"path": name, "columns": {"text": "text"}}
    assert recipe["stages"][0]["scorer"] == "language"
    assert not set("\x1b\u202e\U000e0041") & set(text)


def test_rows_that_cannot_be_read_are_counted_and_allowed_for(tmp_path: Path, workspace: Workspace) -> None:
    path = tmp_path / "mixed.jsonl"
    lines(path, [{"text": text} for text in TEXTS[:4]])
    path.write_bytes(path.read_bytes() + b'{"text": broken\n\xff\xfe{}\n')
    description = describe_data(path)
    assert description.faults == 2
    assert any("2 of 6 rows" in note for note in description.notes)
    (tmp_path / "r.yaml").write_text(recipe_for(description, tmp_path))
    result = workspace.run(tmp_path / "r.yaml", executor="local", workers=1)
    assert (result.outcome, result.errored) == ("done", 2)


def test_bytes_that_are_no_text_and_files_beside_the_data_are_told(tmp_path: Path) -> None:
    parquet(
        tmp_path / "bytes.parquet", [{"content": text} for text in (TEXTS[0].encode(), b"\xff\xfe", b"Some words.")]
    )
    (tmp_path / "licence.txt").write_text("words")
    description = describe_data(tmp_path)
    assert (description.mapping, description.rows, description.sampled) == ({"text": "content"}, 3, 3)
    assert description.faults == 1
    assert any("1 of 3 rows" in note for note in description.notes)
    assert any("1 file(s)" in note for note in description.notes)
    parquet(tmp_path / "null.parquet", [{"text": None}, {"text": "  "}])
    silent = describe_data(tmp_path / "null.parquet")
    assert silent.languages == ()
    assert "no row that was looked at has a text" in silent.notes


def test_init_writes_over_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    parquet(tmp_path / "data.parquet", [{"text": text} for text in TEXTS[:4]])
    assert _main(["init", "data.parquet"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "recipe.yaml\n"
    assert "plain text" in printed.err
    assert "curate run recipe.yaml --sample 200" in printed.err
    (tmp_path / "recipe.yaml").write_text("mine")
    assert _main(["init", "data.parquet"]) == 2
    assert "error[C037]" in capsys.readouterr().err
    assert _main(["init", "nosuch.parquet"]) == 2
    assert "error[C037]" in capsys.readouterr().err  # before any data are looked at
    assert (tmp_path / "recipe.yaml").read_text() == "mine"
    assert _main(["init", "data.parquet", "--force", "--kind", "web"]) == 0
    assert "fineweb-code" in (tmp_path / "recipe.yaml").read_text()


@pytest.mark.parametrize(
    ("kind", "code"), [("novel", "C004"), ("chats", "C021"), ("preferences", "C021"), ("labels", "C021")]
)
def test_a_kind_that_the_columns_do_not_bear_out_is_refused(kind: Any, code: str, tmp_path: Path) -> None:
    parquet(tmp_path / "data.parquet", [{"text": text} for text in TEXTS[:2]])
    with pytest.raises(CurationError) as refused:
        describe_data(tmp_path / "data.parquet", kind)
    assert refused.value.findings[0].code == code


def test_ids_too_many_to_be_compared_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.parquet"
    parquet(path, [{"id": f"d{number}", "text": text} for number, text in enumerate(TEXTS[:4] * 50)])
    assert not any("names each of the rows looked at" in note for note in describe_data(path).notes)
    monkeypatch.setattr("pipelines.planning.describe.MOST_IDS_BYTES", 500)
    monkeypatch.setattr("pipelines.planning.describe.parquet.read", None)
    assert any("names each of the rows looked at" in note for note in describe_data(path).notes)


def test_sizes_on_a_store_are_those_of_its_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[str] = set()
    for number in range(30):
        remote.put(f"memory://sizes/in/{number}.jsonl", json.dumps({"text": TEXTS[number % 12]}).encode() + b"\n")
    stat = remote.stat

    def counted(url: str) -> remote.Stat:
        asked.add(url)
        return stat(url)

    monkeypatch.setattr(remote, "stat", counted)
    described = describe_data("memory://sizes/in")
    assert described.bytes > 30 * 600
    assert 25 < (described.rows or 0) < 35
    assert len(asked) < 12, "of those alone that are read"


def test_csv_that_is_no_utf8_or_names_a_column_twice_is_a_finding(tmp_path: Path, capfd: Any) -> None:
    latin = tmp_path / "latin.csv"
    latin.write_bytes("text,label\nLe café est bon et la vie est belle,1\nTwo lines here,0\n".encode("latin-1"))
    description = describe_data(str(latin))
    assert any("row is not valid UTF-8" in note for note in description.notes)
    twice = tmp_path / "twice.csv"
    twice.write_text("text,text\na,b\n")
    with pytest.raises(CurationError, match="two columns named 'text'"):
        describe_data(str(twice))
    assert "Exception ignored" not in capfd.readouterr().err
    with pytest.raises(CurationError, match="no data was named"):
        describe_data([])


def test_init_and_output_spare_data_and_workspaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, workspace: Workspace
) -> None:
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data.jsonl"
    data.write_text('{"text": "A line of some words."}\n' * 3)
    before = data.read_bytes()
    assert _main(["init", "data.jsonl", "--into", "data.jsonl", "--force"]) == 2
    assert "C037" in capsys.readouterr().err
    assert data.read_bytes() == before
    workspace.create()
    root = str(workspace.store.root)
    assert _main(["sql", "SELECT 1", "-w", root, "-o", f"{root}/workspace.json"]) == 2
    assert "C004" in capsys.readouterr().err
    assert _main(["sql", "SELECT 1", "-w", root, "-o", "one.csv"]) == 0
    Path("recipe.yaml").write_text("name: few\ninput: {path: data.jsonl}\nstages: [{dedup: exact}]\n")
    Path("link.csv").symlink_to(data)
    Path("hard.csv").hardlink_to(data)
    Path("in").mkdir()
    capsys.readouterr()
    for name in ("data.jsonl", "in/../data.jsonl", "link.csv", "recipe.yaml"):
        command = ["plan", "recipe.yaml", "-w", f"{root}-not-there", "-f", "csv", "-o", name]
        assert _main(command) == 2, name
        assert f"error[C004]: --output {name}" in capsys.readouterr().err
    assert _main(["sql", "SELECT 1", "-w", root, "-o", "hard.csv"]) == 0  # takes the name's place, not the file's
    assert data.read_bytes() == before
    assert _main(["run", "recipe.yaml", "-w", root, "-q"]) == 0
    for command in (["sql", "SELECT 1"], ["audit", "read", "data.jsonl"]):  # an input of a run; what is read
        assert _main([*command, "-w", root, "-o", "data.jsonl"]) == 2
        assert data.read_bytes() == before
    capsys.readouterr()
    for label in ("deadbeef", "latest"):
        assert _main(["run", "recipe.yaml", "-w", root, "--label", label]) == 2
        assert "C004" in capsys.readouterr().err


def test_data_for_a_recipe_and_back_is_one_finding_with_the_command_that_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    parquet(tmp_path / "data.parquet", [{"text": "a"}])
    (tmp_path / "pages.csv.gz").write_bytes(b"")
    (tmp_path / "crawl").mkdir()
    (tmp_path / "curated").mkdir()
    for name in ("recipe.yaml", "curated/recipe.yaml"):
        (tmp_path / name).write_text("name: x\ninput: {path: a}\nstages: []\n")
    (tmp_path / "spec.yaml").write_text("name: x\ninput: {path: a}\nsupervisors: []\n")
    meant = {
        "run data.parquet": ("C001", "curate init data.parquet writes a recipe"),
        "preview data.parquet": ("C001", "curate auto data.parquet --into"),
        "check crawl": ("C001", "curate init crawl"),
        "plan pages.csv.gz": ("C001", "curate init pages.csv.gz"),
        "check curated": ("C001", "curated/recipe.yaml"),
        "init recipe.yaml": ("C020", "curate check recipe.yaml"),
        "auto data.parquet recipe.yaml --into out": ("C020", "curate check recipe.yaml"),
        "diagnose recipe.yaml": ("C020", "curate check recipe.yaml"),
        "check spec.yaml": ("C002", "curate weak-to-strong check spec.yaml"),
        "weak-to-strong check recipe.yaml": ("C002", "curate check recipe.yaml"),
        "weak-to-strong check data.parquet": ("C001", "input.path"),
    }
    for command, (code, words) in meant.items():
        assert _main(command.split()) == 2
        said = capsys.readouterr().err
        assert (said.count("error["), f"error[{code}]" in said, words in said) == (1, True, True), said
    assert not (tmp_path / "out").exists()
