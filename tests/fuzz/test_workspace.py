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
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trials import seeds

from pipelines.cli.main import _main
from pipelines.workspace import MARKER, Workspace

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
RUN = ["run", "recipe.yaml", "--executor", "local", "-q"]
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


def answers(workspace: Path, readers: list[list[str]] = READERS) -> dict[str, tuple[int, str, str]]:
    return {" ".join(words): say(*words, "-w", str(workspace)) for words in readers}


def run(workspace: Path) -> tuple[int, str, str]:
    return say(*RUN, "-w", str(workspace))


def results(workspace: Path) -> dict[str, bytes]:
    """Datasets, without their cards, which are there to be edited, and fitted heads."""
    found = [*workspace.glob("datasets/trial/*/data/*.parquet"), *workspace.glob("models/*/*")]
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
            if parts[0] in ("groups", "models", "datasets"):
                name += "/" + re.split("[-.]", path.name)[0]
            found[name].append(path)
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


Way = Callable[[bytes, random.Random], bytes] | None
WAYS: list[Way] = [cut, empty, flip, another, None]
"""None: the file is gone."""


def damage(path: Path, way: Way, drawn: random.Random) -> str:
    """Returns what was done."""
    content = path.read_bytes()
    path.unlink()
    if way is not None:
        path.write_bytes(way(content, drawn))
    return f"{path} {way.__name__ if way else 'gone'}"


def sound(answer: tuple[int, str, str], what: Any) -> None:
    """A command went well, or ended with a code that is not ours to mend, and its hint can be pasted."""
    code, _, err = answer
    assert code in (0, 1, 2), (what, err)
    assert not code or CODED.search(err), (what, err)
    assert not {"R003", "R016"} & set(CODED.findall(err)), (what, err)
    for command in re.findall(r"^hint: .*`curate ([^`]+)`", err, re.M):
        assert " -w " in command, (what, err)


def repaired(root: Path, readers: list[list[str]], first: list[str], expected: Any, what: Any) -> None:
    """Whatever a workspace has met: commands answer rightly or say what is wrong, and after a command, a verification
    and a run everything is as it was."""
    before, data, rows = expected
    for command, (code, out, err) in answers(root, readers).items():
        sound((code, out, err), (what, command))
        if not code and not command.startswith(("status", "plan")):
            assert out == before[command][1] or "warning[C048]" in err, (what, command, out, err)
    answer = say(*first, "-w", str(root))
    sound(answer, what)
    if re.search(r"error\[C03[01]\].*workspace", answer[2]):  # not even known for a workspace: users have to say so
        (root / MARKER).unlink(missing_ok=True)
        sound(run(root), what)
    code, out, err = say("verify", "-w", str(root))
    assert code in (0, 1), (what, out, err)
    for words in (RUN, ["verify"]):
        code, out, err = say(*words, "-w", str(root))
        assert code == 0, (what, words, out, err)
    assert results(root) == data, what
    assert decisions(root) == rows, what


@pytest.fixture(scope="module")
def expected(finished: Path) -> Any:
    return answers(finished), results(finished), decisions(finished)


def test_a_sound_workspace_verifies(finished: Path, expected: Any) -> None:
    code, out, err = say("verify", "-w", str(finished), "-f", "csv")
    assert (code, out.splitlines()) == (0, ["file,code,what"]), err
    assert all(code == 0 for code, _, _ in expected[0].values()), expected[0]


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__ if way else "gone")
def test_a_file_of_every_kind_is_repaired(finished: Path, expected: Any, tmp_path: Path, way: Way) -> None:
    drawn = random.Random(SEED)
    root = Path(shutil.copytree(finished, tmp_path / "ws", symlinks=True))
    what = [damage(drawn.choice(paths), way, drawn) for kind, paths in kinds(root).items() if kind != MARKER]
    repaired(root, [READERS[0], *drawn.sample(READERS[1:], 2)], RUN, expected, what)


def one(root: Path, seed: int) -> tuple[str, Way]:
    """A kind of file and a way of damage: each pair before any comes again."""
    pairs = list(product(sorted(kinds(root)), WAYS))
    random.Random(SEED).shuffle(pairs)
    return pairs[seed % len(pairs)]


@seeds((), range(200))
def test_any_damaged_file_is_named_and_repaired(finished: Path, expected: Any, tmp_path: Path, seed: int) -> None:
    drawn = random.Random(SEED + seed)
    root = Path(shutil.copytree(finished, tmp_path / "ws", symlinks=True))
    kind, way = one(root, seed)
    what = damage(drawn.choice(kinds(root)[kind]), way, drawn)
    firsts = (RUN, ["retry", "-q"], ["gc"])
    repaired(root, [READERS[0], *drawn.sample(READERS[1:], 2)], firsts[seed % 3], expected, what)


def test_the_trials_meet_every_kind_in_every_way(finished: Path) -> None:
    assert len(kinds(finished)) * len(WAYS) <= 200
