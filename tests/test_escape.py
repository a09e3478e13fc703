"""Nothing in a document steers a terminal, a page or a sheet, and what a pipe reads is exact."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
import sys
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation import escape
from curation.flow import Failure
from curation.report.tables import table
from pipelines.cli.main import _main
from pipelines.cli.progress import Progress
from pipelines.cli.render import print_findings, put, put_text, tell, tell_text
from pipelines.running.events import Failed, InputSkipped, Notice, PhaseEnded, PhaseStarted
from pipelines.tables import print_table
from pipelines.workspace import Workspace
from schemas.errors import Finding

STEERING = {
    "CSI": "\x1b[2J\x1b[31mred",
    "OSC 8": "\x1b]8;;http://evil.example\x07click\x1b]8;;\x07",
    "OSC 52": "\x1b]52;c;ZXZpbA==\x07",
    "title": "\x1b]0;owned\x1b\\",
    "C1": "\x9b2J\x9d0;x\x9c",
    "bidi": "abc\u202edcba\u202c\u2066x\u2069\u200f",
    "hidden": "pass\u200bword\u2060\ufeff\u00ad",
    "lines": "one\u2028two\u2029three\x85four\x0b\x0c",
    "return": "good\rbad",
    "backspace": "bad\x08\x08\x08good",
    "tags": "x\U000e0041\U000e007f",
    "bell": "\x07\x00\x7f",
}
MARKUP = "[bold red]hi[/bold red] :smile: [link=http://evil.example]x[/link]"


def steers(text: str) -> list[str]:
    """Characters that a terminal obeys or hides, ends of lines and tabs left aside."""
    kinds = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    return [char for char in text if unicodedata.category(char) in kinds and char not in "\n\t"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")


@pytest.mark.parametrize("name", STEERING)
def test_a_terminal_is_shown_what_would_steer_it(name: str) -> None:
    evil = STEERING[name]
    stream = Terminal()
    tell(evil, stream=stream)
    tell_text(evil, stream)
    put(evil, stream=stream)
    put_text(evil, stream)
    print_findings([Finding("R001", evil, evil, evil, 3, f"{evil}\n{evil}")], stream)
    for format in ("table", "json", "jsonl", "csv"):
        print_table(pa.table({evil: [evil, MARKUP], "list": [[evil], []]}), format, stream)
    progress = Progress(stream)
    progress(Notice(f"{evil} {MARKUP}"))
    progress(InputSkipped(evil, evil))
    progress(Failed(Failure("R001", evil)))
    progress(PhaseStarted(f"{evil} {MARKUP}", 2))
    progress.say(evil)
    progress(PhaseEnded(evil))
    progress.close()
    shown = re.sub(r"\x1b\[(?:\?25[lh]|[0-9]*[A-DJKm])|\r", "", stream.getvalue())  # what bars themselves write
    assert not steers(shown), steers(shown)
    assert MARKUP in shown.replace("\n", "")


@pytest.mark.parametrize("name", STEERING)
def test_a_line_stays_one_line_and_a_pipe_reads_what_is_there(name: str) -> None:
    evil = f"{STEERING[name]}\nforged: line"
    pipe = io.StringIO()
    tell(evil, stream=pipe)
    assert pipe.getvalue().count("\n") == 1
    pipe = io.StringIO()
    put(evil, stream=pipe)
    assert pipe.getvalue() == evil + "\n"
    for format in ("json", "jsonl", "csv"):
        pipe = io.StringIO()
        print_table(pa.table({"x": [evil, "=1+1", "-5"]}), format, pipe)
        text = pipe.getvalue()
        if format == "csv":
            read = [row["x"] for row in csv.DictReader(io.StringIO(text, newline=""))]
        else:
            read = [row["x"] for row in ([*json.loads(text)["rows"]] if format == "json" else _lines(text))]
        assert read == [evil, "=1+1", "-5"], format


def _lines(text: str) -> list[dict[str, str]]:
    assert len(text.splitlines()) == text.count("\n"), "no character within a line ends it for anybody"
    return [json.loads(line) for line in text.splitlines()]


def test_text_in_other_scripts_is_shown_as_it_is() -> None:
    text = "Ветер 東京\u3000は naïve e\u0301 😀 §\u00a0½"
    assert escape.terminal(text) == text
    assert escape.terminal("a\r\nb\tc", lines=True) == "a\nb\tc"


@pytest.fixture(scope="module")
def evil_run(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A run over documents, ids and a file's name that try everything."""
    folder = tmp_path_factory.mktemp("evil")
    evil = "".join(STEERING.values()).replace("\x00", "") + MARKUP
    names = [f"id-{n}{evil}" for n in range(6)]
    place = folder / "a\x1b[31m\u202e`|<b>[x](http://evil.example)\x07.parquet".replace("://", "")
    texts = [f"{n} {evil} some words of a text that is long enough to be kept {'very ' * n}" for n in range(6)]
    pq.write_table(pa.table({"text": texts, "id": names}), place)
    settings = {
        "name": "evil",
        "input": {"path": str(folder), "columns": {"text": "text", "id": "id"}},
        "stages": [{"scorer": "language", "keep": "language.prob >= 0.3"}, {"dedup": "exact"}],
    }
    workspace = Workspace(folder / "ws")
    result = workspace.run(settings, executor="local", workers=1)
    assert result.outcome == "done", result.failures
    return workspace


COMMANDS = [
    ["show", "-n", "6"],
    ["show", "-n", "6", "-f", "table"],
    ["show", "-n", "6", "-f", "csv"],
    ["show", "-n", "6", "-f", "json"],
    ["explain", "0"],
    ["explain", "0", "-f", "json"],
    ["explain", "0", "-f", "table"],
    ["sql", "SELECT * FROM documents"],
    ["sql", "SELECT * FROM documents", "-f", "csv"],
    ["sql", "SELECT * FROM shards", "-f", "jsonl"],
    ["sql", 'SELECT id AS "a\x1b[31m\u202eb" FROM documents'],
    ["sql", "SELECT \x1b[31m"],
    ["status"],
    ["stats"],
    ["funnel"],
    ["explain", "no\x1b[31msuch\u202e"],
    ["audit", "sample", "--rows", "4"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_no_command_lets_a_document_steer_a_terminal(
    arguments: list[str], evil_run: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    _main([*arguments, "-w", str(evil_run.store.root)])
    shown = out.getvalue() + err.getvalue()
    assert shown
    assert not steers(shown), sorted(set(steers(shown)))


# --- Markdown, HTML, sheets --------------------------------------------------------------------------------------

PAGES = [
    "# heading", "- item", "1. item", "> quote", "---", "===", "`code`", "``` fence", "**bold**", "_italic_", "[x](http://e)",
    "![x](http://e/x.png)", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "a|b", "a\nb", "http://evil.example",
    "&lt;", "~~x~~", "$x$", "\\", "\\|", "a\r\n\r\n# b", "---\nconfigs: x\n---", ":smile:",
]  # fmt: skip


@pytest.mark.parametrize("text", PAGES)
def test_markdown_shows_a_text_and_obeys_none_of_it(text: str) -> None:
    markdown = pytest.importorskip("markdown_it").MarkdownIt("gfm-like", {"linkify": False, "html": True})
    tokens = markdown.parse(f"before\n\n{escape.markdown(text)}\n\nafter")
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"] * 3
    children = tokens[4].children
    assert {child.type for child in children} <= {"text", "text_special"}
    assert "".join(child.content for child in children) == escape.terminal(text)
    span = markdown.parse(f"x {escape.code(text)} y")[1].children
    assert [child.type for child in span] == ["text", "code_inline", "text"]
    block = markdown.parse("\n".join([*escape.fenced(text), "", "after"]))
    assert [token.type for token in block][:2] == ["fence", "paragraph_open"]
    assert block[0].content == escape.terminal(text, lines=True) + "\n"
    rows = markdown.parse("\n".join(table(["a", "b"], [[text, escape.code(text)], ["1", "2"]])))
    assert sum(token.type == "td_open" for token in rows) == 4


def test_links_are_no_links() -> None:
    assert escape.markdown("see https://evil.example") == "see https\\://evil.example"


@pytest.mark.parametrize("text", [*PAGES, *STEERING.values()])
def test_a_page_holds_a_text_and_nothing_else(text: str) -> None:
    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags: list[str] = []
            self.words = ""

        def handle_starttag(self, tag: str, attributes: object) -> None:
            self.tags.append(tag)

        def handle_data(self, data: str) -> None:
            self.words += data

    reader = Reader()
    reader.feed(f"<p>{escape.page(text)}</p>")
    assert (reader.tags, reader.words) == (["p"], escape.terminal(text))


CELLS = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "'=1", "''=1", "'", "'quoted'", "plain", "",
    "=cmd|' /C x'!A0",
]  # fmt: skip


@pytest.mark.parametrize("text", CELLS)
def test_a_sheet_computes_nothing_and_a_cell_comes_back(text: str) -> None:
    cell = escape.sheet(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝"))
    assert escape.from_sheet(cell) == text
    assert (cell == text) == (text.lstrip("'")[:1] not in tuple("=+-@\t\r\n＝") or not text.lstrip("'"))


@pytest.mark.long
def test_only_render_prints() -> None:
    """A bare print would be a way round all of this. `stdout.py` is the stream itself."""
    root = Path(__file__).parents[1]
    found = []
    for path in [*root.glob("pipelines/**/*.py"), *root.glob("workers/**/*.py"), *root.glob("curation/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and path.name not in ("render.py", "stdout.py", "tables.py"):
                called = ast.unparse(node.func)
                if called in ("print", "sys.stdout.write", "sys.stderr.write", "typer.echo", "typer.secho"):
                    found.append(f"{path.relative_to(root)}:{node.lineno} {called}")
    assert not found
