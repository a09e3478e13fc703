"""Every command that reads, at four widths of a terminal, on real results: as files in tests/layouts, and by what holds
for all of them. `LAYOUTS=write python -m pytest tests/pipelines/test_layouts.py` writes the files anew."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from weak_reports import report, student

from curation import escape
from pipelines.cli.ending import report_end
from pipelines.cli.main import _main
from pipelines.cli.render import put_table
from pipelines.running.gc import Usage
from pipelines.running.result import Result
from pipelines.tables.width import cells
from pipelines.workspace import Workspace

FILES = Path(__file__).parents[1] / "layouts"
WIDTHS = (60, 80, 120, 200)
SENTENCES = [
    "The council voted on Tuesday to spend three million on the harbour, and the works will begin in spring.",
    "Start by writing a small function, call it with an example, and look at what it returns to you.",
    "Heavy rain is expected in the north of the country, with winds of up to eighty kilometres an hour.",
    "The museum holds nine hundred paintings, most of which were given by two families in the last century.",
    "If you want to repeat a step ten times, use a loop over a range and print the counter to see it work.",
]
TEXTS = [
    *(" ".join(SENTENCES[n:] + SENTENCES[:n]) for n in range(5)),
    *(" ".join(SENTENCES[:n]) for n in (1, 2, 3)),
    SENTENCES[0] + " " + SENTENCES[2],
    " ".join(SENTENCES),  # a copy
    "Der Rat hat am Dienstag beschlossen, drei Millionen Euro für die neue Brücke über den Fluss auszugeben.",
    "日本語のテキストはここにあります。東京は日本の首都であり、世界最大の都市の一つです。",
    "מועצת העיר החליטה ביום שלישי להוציא שלושה מיליון על הנמל, והעבודות יתחילו באביב.",
    "0 1 1 2 3 5 8 13 21 34 55 89 " * 4,
    "An evil \x1b[2J\x07 document 👍🏽 ❤️ " + SENTENCES[3],
    "",
]
PAIRS = [
    {"id": f"pair-{n}", "question": f"What does sentence number {n} say, word for word?", "answer": text}
    for n, text in enumerate(TEXTS[:10])
] + [{"id": "refused", "question": "How do I do it?", "answer": "As an AI language model, I cannot help with that."}]
WEB = {
    "name": "web",
    "input": {"path": "in/web.jsonl", "columns": {"id": "url"}},
    "stages": [
        {"scorer": "language", "keep": "language.lang = 'en' and language.prob > 0.5"},
        {"scorer": "rules", "id": "gopher", "profile": "gopher-quality@datatrove", "keep": "gopher.pass"},
        {"dedup": "exact"},
        {"select": "top", "by": "gopher.words", "fraction": 0.8},
    ],
    "errors": {"documents": 1},
}
INSTRUCTIONS = {
    "name": "instructions",
    "input": {"path": "in/pairs.jsonl", "columns": {"instruction": "question", "output": "answer"}},
    "stages": [
        {"scorer": "hygiene", "language": None},
        {"select": "longest", "id": "long_answers", "fraction": 0.5},
    ],
}
DROPS = "SELECT * FROM drops ORDER BY row"
STAGES = "SELECT stages.* FROM stages JOIN runs USING (run) ORDER BY runs.name DESC, position"
COMMANDS: dict[str, list[str]] = {
    "status": ["status"],
    "funnel": ["funnel", "--run", "web"],
    "stats": ["stats", "--run", "web"],
    "stats-of-a-stage": ["stats", "--run", "web", "--stage", "gopher", "--by-source"],
    "plan": ["plan", "web.yaml"],
    "sql-drops": ["sql", DROPS, "--run", "web"],
    "sql-documents": ["sql", "SELECT * EXCLUDE (doc_id) FROM documents ORDER BY row", "--run", "web"],
    "sql-one-document": ["sql", "SELECT * EXCLUDE (doc_id) FROM documents WHERE row = 2", "--run", "web"],
    "sql-rules": ["sql", "SELECT stage, rule, count(*) FROM drops GROUP BY ALL ORDER BY ALL", "--run", "web"],
    "sql-errors": ["sql", "SELECT * EXCLUDE (doc_id) FROM errors", "--run", "web"],
    "sql-stages": ["sql", STAGES, "--run", "web"],
    "sql-many-rows": ["sql", "SELECT range AS n, 'row ' || range AS text FROM range(100)"],
    "sql-no-rows": ["sql", "SELECT * FROM drops WHERE false", "--run", "web"],
    "what-if": ["what-if", "gopher.words >= 10", "--run", "web"],
    "describe": ["describe"],
    "error": ["error"],
    "explain-dropped": ["explain", "in/web.jsonl#5", "--run", "web"],
    "explain-kept": ["explain", "in/web.jsonl#2", "--run", "web"],
    "explain-table": ["explain", "in/web.jsonl#5", "--run", "web", "-f", "table"],
    "selection": ["selection", "--run", "instructions"],
    "models": ["models", "list"],
    "rules": ["rules", "fineweb-paper"],
    "recipes": ["recipes"],
    "describe-a-stage": ["describe", "language"],
    "show": ["show", "--run", "web", "-n", "12", "--columns", "url", "--order-by", "row DESC"],
    "show-pairs": ["show", "--run", "instructions", "--kept", "-n", "2", "--order-by", "row"],
    "gc": ["gc", "--dry-run"],
    "audit-report": ["audit", "report", "--run", "web"],
    "weak-to-strong-report": ["weak-to-strong", "report"],
    "audit-sample": ["audit", "sample", "--rows", "15", "--run", "web", "--into", "audit.csv"],
}
READ_AS_TEXT = (
    "explain-dropped", "explain-kept", "selection", "sql-one-document", "show", "show-pairs", "weak-to-strong-report",
    "describe-a-stage",
)  # fmt: skip
"""No tables with a header: what they hold is not compared with a wide table."""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layouts")
    (folder / "in").mkdir()
    rows = [json.dumps({"text": text, "url": f"https://example.org/{n}"}) for n, text in enumerate(TEXTS)]
    (folder / "in" / "web.jsonl").write_text("\n".join([*rows, "{broken"]))
    (folder / "in" / "pairs.jsonl").write_text("\n".join(map(json.dumps, PAIRS)))
    workspace, here = Workspace(folder / "ws"), Path.cwd()
    os.chdir(folder)
    try:
        for recipe in (WEB, INSTRUCTIONS):
            (folder / f"{recipe['name']}.yaml").write_text(json.dumps(recipe))
            label = "first-try" if recipe is WEB else None
            result = workspace.run(folder / f"{recipe['name']}.yaml", executor="local", workers=1, label=label)
            assert result.outcome == "done", result.failures
        workspace.audit_sample(rows=15, into="labels.csv", run="web")
        with open("labels.csv", newline="", encoding="utf-8-sig") as file:
            sheet = [
                row | {"label": "bad" if number % 3 == 0 else "good"} for number, row in enumerate(csv.DictReader(file))
            ]
        with open("labels.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(sheet[0]))
            writer.writeheader()
            writer.writerows(sheet)
        workspace.audit_read("labels.csv", "web")
    finally:
        os.chdir(here)
    return folder


Render = Callable[..., str]


@pytest.fixture
def render(place: Path, monkeypatch: pytest.MonkeyPatch) -> Render:
    """`render(width, call)`: what a call writes to a terminal of that width. Where the folder lies, what runs are
    called and what time it is are made the same for all, before anything is laid out."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("CURATION_WORKSPACE", "ws")
    monkeypatch.setenv("CURATION_MODELS", str(place / "models"))
    monkeypatch.setenv("NO_COLOR", "1")

    def steady(text: str, lines: bool = False) -> str:
        text = re.sub(r"\b[0-9a-f]{16}\b", "0123456789abcdef", text.replace(str(place), "/data"))
        return escape.terminal(text, lines)

    for module in ("pipelines.cli.render", "pipelines.tables.people", "pipelines.tables.markdown"):
        monkeypatch.setattr(f"{module}.terminal", steady)
    monkeypatch.setattr("pipelines.cli.show.terminal", steady)
    monkeypatch.setattr("pipelines.tables.human.moment", lambda value: "30 Nov 21:11")
    used = {"datasets": 12_700, "manifest": 174_712, "manifest.duckdb": 2_600_000, "scores": 99, "workspace.json": 22}
    usage = Usage(bytes=used, files={name: size % 40 for name, size in used.items()}, swept_files=5, swept_bytes=4_800)
    monkeypatch.setattr(Workspace, "gc", lambda workspace, dry_run: usage)
    monkeypatch.setattr(Workspace, "weak_to_strong_report", lambda workspace, run: report(students=[student()]))

    def at(width: int, call: Callable[[], object], *streams: str) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        stream = Terminal()
        for name in streams or ("stdout",):
            monkeypatch.setattr(sys, name, stream)
        call()
        return stream.getvalue()

    return at


def compare(name: str, found: dict[int, str]) -> None:
    """With the file of that name, or write it."""
    text = "".join(f"# {width} columns\n{shown}" for width, shown in found.items())
    if os.environ.get("LAYOUTS") == "write":
        FILES.mkdir(exist_ok=True)
        (FILES / f"{name}.txt").write_text(text)
    assert text == (FILES / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_reading_command_fits_the_terminal_and_breaks_no_word(name: str, render: Render, place: Path) -> None:
    found = {}
    for width in WIDTHS:
        (place / "audit.csv").unlink(missing_ok=True)
        found[width] = render(width, lambda: _main(COMMANDS[name]))
        assert found[width]
        for line in found[width].splitlines():
            assert cells(line) <= width, line
            assert not [char for char in line if not (char.isprintable() or char == "\u200e")]
    compare(name, found)
    if name in READ_AS_TEXT:
        return
    (place / "audit.csv").unlink(missing_ok=True)
    whole = Counter(render(60, lambda: _main([*COMMANDS[name], "--wide"])).replace("\u200e", "").split())
    for shown in found.values():
        (*lines,) = (line for line in shown.replace("\u200e", "").splitlines() if not line.startswith("…"))
        words = [word for line in lines for word in line.split() if "…" not in word and set(word) != {"─"}]
        footer = {"(40", "shown;", "the", "others:", "--wide,", "-f", "jsonl)"}
        assert not set(words) - set(whole) - footer


def test_the_end_of_a_run_fits_too_but_for_commands_which_are_copied_whole(render: Render, place: Path) -> None:
    workspace = Workspace(place / "ws")
    [row] = [row for row in workspace.status().to_pylist() if row["name"] == "web"]
    counts = {name: row[name] for name in ("rows", "kept", "dropped", "errored")}
    steps = Counter({"input": 17, "language": 15, "gopher": 12, "exact/hash": 9})
    result = Result(row["run"], "web", "done", seconds=7.31, steps=steps, **counts)
    found = {width: render(width, lambda: report_end(result, workspace, "ws"), "stderr") for width in WIDTHS}
    for width, shown in found.items():
        assert all(cells(line) <= width for line in shown.splitlines() if not line.startswith("  curate "))
        assert "scored up to 15 documents by each of 3 stages" in " ".join(shown.split())
    compare("end-of-a-run", found)


def test_jobs_and_weak_to_strong_plans_fit_too(render: Render) -> None:
    rows = [
        {
            "job": f"web-{n:016x}-attempt-{n}",
            "run": f"{n:016x}",
            "name": "web",
            "status": status,
            "started": None,
            "seconds": seconds,
            "message": message,
        }
        for n, (status, seconds, message) in enumerate(
            [("RUNNING", 12.4, None), ("SUCCEEDED", 3725.0, None), ("FAILED", 0.4, "the driver ended with exit code 1")]
        )
    ]
    table = pa.Table.from_pylist(rows)
    found = {width: render(width, lambda: put_table(table, None, None, False, "jobs")) for width in WIDTHS}
    for width, shown in found.items():
        assert all(cells(line) <= width for line in shown.splitlines())
        assert "1 h 02 min" in shown
    compare("jobs", found)


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "md", "parquet", "txt"])
def test_output_writes_a_whole_file_of_the_format_that_its_ending_says(
    ending: str, render: Render, place: Path, tmp_path: Path
) -> None:
    file = tmp_path / f"funnel.{ending}"
    assert render(60, lambda: _main(["funnel", "--run", "web", "-o", str(file)])) == ""
    text = file.read_bytes()
    assert b"gopher.pass" in text
    assert b"\x1b" not in text
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    (tmp_path / "other").touch()
    assert file.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_output_that_cannot_be_written_leaves_what_was_there(render: Render, place: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    file.write_text("before")
    code = SimpleNamespace()

    def ask(*words: str) -> str:
        return render(80, lambda: setattr(code, "value", _main(list(words))), "stdout", "stderr")

    assert "error[C004]" in ask("sql", "SELECT [INTERVAL 1 YEAR] AS x", "-o", str(file))
    assert code.value == 2
    assert file.read_text() == "before"
    assert "which format?" in ask("funnel", "-o", str(tmp_path / "x.xlsx"))
    assert "No such file or directory" in ask("funnel", "-o", str(tmp_path / "none" / "x.csv"))
    (tmp_path / "link.csv").symlink_to(file)
    assert "written" in ask("funnel", "-f", "csv", "-o", str(tmp_path / "link.csv"))
    assert file.read_text().startswith("position,stage")
    (tmp_path / "link.csv").unlink()
    assert "in  kept  dropped" in ask("funnel", "-o", "-")
    assert "Is a directory" in ask("funnel", "-f", "csv", "-o", str(tmp_path))
    assert "Parquet is not for a terminal" in ask("funnel", "-f", "parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


def test_check_says_what_scorers_without_keep_do(render: Render, place: Path) -> None:
    stages = [{"scorer": "hygiene", "language": None}, {"scorer": "token-count", "tokenizer": "words"}]
    recipe: dict[str, Any] = {**INSTRUCTIONS, "stages": stages[:1]}
    (place / "silent.yaml").write_text(json.dumps(recipe))
    said = render(80, lambda: _main(["check", "silent.yaml"]), "stderr")
    assert said.splitlines() == [
        "silent.yaml: 1 stage, no findings",
        "hygiene: drops by its default gate hygiene.pass",
    ]
    web = {**WEB, "stages": [{"scorer": "language"}, {**WEB["stages"][1]}]}  # type: ignore[dict-item,index]
    (place / "silent.yaml").write_text(json.dumps(web))
    said = render(80, lambda: _main(["check", "silent.yaml"]), "stderr")
    assert said.splitlines() == ["silent.yaml: 2 stages, no findings", "language: scores only"]
