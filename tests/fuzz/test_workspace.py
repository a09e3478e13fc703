"""Damage to a workspace: any file of it, cut off, emptied, removed, flipped or of another version.

Whatever is damaged: every command ends with a code and names the file, or says the right thing; what a run repairs is
the same bytes as before; no document is lost, and no changed byte comes through without a word.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli.main import _main
from pipelines.workspace import Workspace

SEED = 20261130
TEXT = "the of and to a in is that it was for on are with as his they be at one have this from by hot word"
WORDS = TEXT.split()
READERS = [
    ["sql", "SELECT doc_id, id, outcome, dropped_by, reason, score FROM documents ORDER BY doc_id", "-f", "csv"],
    ["sql", "SELECT * FROM duplicate_clusters ORDER BY doc_id", "-f", "csv"],
    ["funnel", "-f", "csv"],
    ["stats", "-f", "csv"],
    ["explain", "in/a.parquet#3"],
    ["show", "-n", "2"],
    ["status", "-f", "csv"],
    ["selection", "-f", "json"],
    ["plan", "recipe.yaml"],
]
CODED = re.compile(r"\[([CR]\d\d\d)\]")


def write_input(folder: Path) -> None:
    """Three files of short documents, one of them of JSON lines, with exact and near duplicates."""
    drawn = random.Random(SEED)
    rows = [" ".join(drawn.choice(WORDS) for _ in range(drawn.randint(20, 60))) + f" ({n})." for n in range(90)]
    rows += rows[:6] + [f"{text} So." for text in rows[10:16]]
    folder.mkdir()
    for name, texts in (("a.parquet", rows[:40]), ("b.parquet", rows[40:80])):
        table = pa.table({"text": texts, "id": [f"{name}/{n}" for n in range(len(texts))]})
        pq.write_table(table, folder / name, row_group_size=20)
    lines = (json.dumps({"text": text, "id": f"c/{n}"}) + "\n" for n, text in enumerate(rows[80:]))
    (folder / "c.jsonl").write_text("".join(lines))


def write_recipe(root: Path, name: str = "trial") -> None:
    (root / "seeds.jsonl").write_text("".join(json.dumps({"text": f"{word} hot word"}) + "\n" for word in WORDS))
    (root / "background.jsonl").write_text("".join(json.dumps({"text": f"cold {word}"}) + "\n" for word in WORDS))
    (root / "recipe.yaml").write_text(
        f"""
name: {name}
input: {{path: in, columns: {{text: text, id: id}}, shard_bytes: 4000}}
stages:
  - scorer: rules
    profile: gopher-quality@datatrove
    id: rules
  - transform: remove-lines
    profile: c4@datatrove
  - dedup: exact
  - dedup: minhash
  - scorer: dsir
    target: seeds.jsonl
    sample: 50
    background: background.jsonl
  - select: top
    by: dsir.per_token
    fraction: 0.8
output: {{columns: [text, id, rules.words, dsir.per_token]}}
"""
    )


def say(*arguments: str) -> tuple[int, str, str]:
    """A command in this process: exit code, stdout, stderr. Raises what leaves it."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = _main(list(arguments))
    return code, out.getvalue(), err.getvalue()


def answers(workspace: Path) -> dict[str, tuple[int, str, str]]:
    return {" ".join(words): say(*words, "-w", str(workspace)) for words in READERS}


def run(workspace: Path) -> tuple[int, str, str]:
    return say("run", "recipe.yaml", "-w", str(workspace), "--executor", "local", "-q")


def dataset(workspace: Path) -> dict[str, bytes]:
    found = workspace.glob("datasets/trial/*/part-*.parquet")
    return {path.relative_to(workspace).as_posix(): path.read_bytes() for path in found}


def decisions(workspace: Path) -> list[dict[str, Any]]:
    return Workspace(workspace).sql("SELECT * EXCLUDE (twin, link) FROM documents ORDER BY doc_id").to_pylist()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The workspace of a finished run, in the folder of its input and its recipe."""
    root = tmp_path_factory.mktemp("finished")
    write_input(root / "in")
    write_recipe(root)
    with contextlib.chdir(root):
        code, _, err = run(root / "ws")
        assert code == 0, err
        yield root / "ws"


def kinds(root: Path) -> dict[str, list[Path]]:
    """Files of a workspace by what they are."""
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(root.rglob("*")):
        if path.is_file() and "damaged" not in path.parts and path.name != ".gitignore":
            parts = path.relative_to(root).parts
            name = "/".join(parts[:3] if parts[0] == "manifest" else parts[:1])
            if parts[0] == "groups":
                name += "/" + path.name.partition("-")[0].rpartition(".")[0]
            found[name if len(parts) > 1 else path.name].append(path)
    return dict(found)


def cut(content: bytes, drawn: random.Random) -> bytes:
    return content[: drawn.randrange(1, len(content))]


def empty(content: bytes, drawn: random.Random) -> bytes:
    return b""


def flip(content: bytes, drawn: random.Random) -> bytes:
    place = drawn.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << drawn.randrange(8)]) + content[place + 1 :]


def another(content: bytes, drawn: random.Random) -> bytes:
    """A sound file of another version, or of somebody else."""
    if content[:4] == b"PAR1":
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"format_version": [9]}), sink)
        return sink.getvalue().to_pybytes()
    return b'{"format_version": 9}\n'


DAMAGE: list[Callable[[bytes, random.Random], bytes] | None] = [cut, empty, flip, another, None]
"""None: the file is gone."""


def damage(path: Path, how: Callable[[bytes, random.Random], bytes] | None, drawn: random.Random) -> None:
    content = path.read_bytes()
    path.unlink()
    if how is not None:
        path.write_bytes(how(content, drawn))


def trial(finished: Path, root: Path, number: int, expected: Any) -> str:
    """One file damaged in one way. Returns what was done, to be seen where it fails."""
    drawn = random.Random(SEED + number)
    shutil.copytree(finished, root)
    by_kind = kinds(root)
    names = sorted(by_kind)
    kind = names[number % len(names)]
    path = drawn.choice(by_kind[kind])
    how = DAMAGE[(number // len(names) + number) % len(DAMAGE)]
    damage(path, how, drawn)
    what = f"trial {number}: {path.relative_to(root)} {how.__name__ if how else 'gone'}"
    before, data, rows = expected
    for command, (code, out, err) in answers(root).items():
        assert code in (0, 1, 2), (what, command, code, err)
        if code:
            assert CODED.search(err), (what, command, err)
        elif not command.startswith(("status", "plan", "show", "explain")):
            told = "warning[C048]" in err
            assert out == before[command][1] or told, (what, command, out, err)
    code, _, err = run(root) if number % 2 else say("retry", "-w", str(root), "-q")
    assert code == 0 or CODED.search(err), (what, err)
    if path.name == "workspace.json" and how is not None:
        assert code == 2, (what, err)
        assert "C030" in err or "C031" in err, (what, err)
        path.unlink()
        run(root)
    code, out, err = say("verify", "-w", str(root), "-q")
    assert code in (0, 1), (what, out, err)
    code, _, err = run(root)
    assert code == 0, (what, err)
    code, out, err = say("verify", "-w", str(root), "-q")
    assert code == 0, (what, out, err)
    assert dataset(root) == data, what
    assert decisions(root) == rows, what
    shutil.rmtree(root)
    return what


@pytest.fixture(scope="module")
def expected(finished: Path) -> Any:
    return answers(finished), dataset(finished), decisions(finished)


def test_a_sound_workspace_verifies(finished: Path, expected: Any) -> None:
    code, out, err = say("verify", "-w", str(finished), "-f", "csv")
    assert (code, out.splitlines()) == (0, ["file,code,what"]), err
    assert all(code == 0 for code, _, _ in expected[0].values()), expected[0]


def test_damaged_files_are_named_and_repaired(finished: Path, expected: Any, tmp_path: Path) -> None:
    for number in (3, 30, 59, 82):
        trial(finished, tmp_path / "trial", number, expected)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(200))
def test_any_damaged_file_is_named_and_repaired(finished: Path, expected: Any, tmp_path: Path, number: int) -> None:
    trial(finished, tmp_path / "trial", number, expected)
