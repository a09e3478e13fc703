"""31 shards on two nodes, disturbed in every way that we know: the bytes of the run that nothing happened to."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from chaos import harness
from chaos.nodes import Cluster, Network, cluster, network
from chaos.scorers import POISON

from curation.store import remote
from object_store import Proxy, failing, mirror, new_bucket

SERVER = Path(__file__).parents[1] / "store" / "server.py"
SHARDS, EACH = 31, 13  # with one more, files this small would share units
LAST = 84
"""Of some 160 parts the one up to which faults are planned: a few shards before the last pass of scoring ends."""
SHORT = ("driver killed", "worker killed", "worker killed", "scorer killed", "node killed", "node late")
LONG = (*SHORT, "driver stopped", "scorer killed", "node cut off", "disk full")
STORE = (*SHORT, "driver stopped", "scorer killed", "store failing", "store away")
POISONED = ("driver killed", "worker killed", "scorer killed", "node killed", "node late")
SEEDS, STORE_SEED, POISON_SEED = (11, 12, 13), 21, 31
ONE = {"resources": {"workers": 1}}
"""Of each model one actor: another costs seconds of a small machine."""


class Place(NamedTuple):
    """The cluster, the servers around it, and what it was made of."""

    cluster: Cluster
    net: Network
    server: int | None
    """Port of the S3 server."""
    proxy: Proxy | None
    """Between it and the nodes."""
    report: harness.Report
    environment: dict[str, str]
    """What the scorers need, for other processes than the nodes."""


class Job(NamedTuple):
    recipe: Path
    run: str
    undisturbed: Any
    """What the workspace of the run holds that nothing happened to."""


def write_corpus(folder: Path, poison: bool) -> Path:
    """403 documents in 31 files: paragraphs of the Python manual, some of them twice, or nearly. Two are poisonous."""
    paragraphs = [" ".join(part.split()) for text in topics.values() for part in text.split("\n\n")]
    texts = [text for text in paragraphs if len(text.split()) >= 25][: SHARDS * EACH]
    for number in range(60, len(texts), 9):
        texts[number] = texts[number - 47]
    for number in range(64, len(texts), 11):
        texts[number] = texts[number - 31].replace(" is ", " was ", 1) + " So it ends."
    if poison:
        for number, drop in zip((77, 211), POISON.values(), strict=True):
            texts[number] = f"{texts[number - 1]} It was {drop} that did it, number {number}."
    folder.mkdir()
    for shard in range(SHARDS):
        rows = range(shard * EACH, shard * EACH + EACH)
        table = pa.table({"text": [texts[row] for row in rows], "id": [f"d{row}" for row in rows]})
        pq.write_table(table, folder / f"{shard:02d}.parquet")
    return folder


def write_recipe(folder: Path, poison: bool) -> Path:
    corpus = write_corpus(folder / "crawl", poison)
    recipe = {
        "name": "chaos",
        "input": {"path": str(corpus), "columns": {"id": "id"}},
        "stages": [
            {"scorer": "rules", "id": "gopher", "profile": "gopher-quality@datatrove", "keep": "gopher.words >= 20"},
            {"scorer": "chaos-light", "id": "light", "keep": "light.score > 0.05"},
            {"scorer": "chaos-heavy", "id": "first", "keep": "first.score > 0.1", **ONE},
            {"dedup": "minhash", "verify": 0.7, "survivor": "longest"},
            {"scorer": "chaos-heavy", "id": "second", "salt": 2, **ONE},
            {"select": "top", "by": "second.score", "fraction": 0.6},
        ],
        "output": {"columns": ["text", "id", "second.score"], "file_bytes": 12_000},
        "errors": {"documents": len(POISON)},
    }
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(recipe))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Place]:
    """Two nodes, up; at the end their report is printed."""
    folder = tmp_path_factory.mktemp("cluster")
    environment = {"PYTHONPATH": harness.plugins(folder / "plugins")}
    with ExitStack() as stack:
        net = stack.enter_context(network())
        server, proxy = s3(stack, net)
        control = {"CHAOS_DIR": str(folder), "CHAOS_SECONDS": "0.02", "CHAOS_POISON": "kill"}
        there = {} if proxy is None else credentials(f"http://{net.host}:{proxy.server_address[1]}")
        nodes = stack.enter_context(cluster(folder, net, {**environment, **control, **there}))
        where = "each node in a network namespace of its own" if net.separate else f"one network namespace: {net.why}"
        report = harness.Report(where)
        yield Place(nodes, net, server, proxy, report, environment)
    tell(report, request.config)


def s3(stack: ExitStack, net: Network) -> tuple[int | None, Proxy | None]:
    """An S3 server, and a proxy that the nodes reach it by; none where it is not installed."""
    if not all(find_spec(name) for name in ("moto", "s3fs")):
        return None, None
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = stack.enter_context(subprocess.Popen([sys.executable, str(SERVER)], text=True, **pipes))
    stack.callback(process.kill)
    assert process.stdout is not None
    port = int(process.stdout.readline())
    return port, stack.enter_context(failing(port, 5, 0.0, host=net.host))


def credentials(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "KEY-OF-THE-TEST",
        "AWS_SECRET_ACCESS_KEY": "SECRET-OF-THE-TEST",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
    }


def tell(report: harness.Report, config: pytest.Config) -> None:
    """Print the report, whatever pytest captures."""
    terminal, capture = (config.pluginmanager.get_plugin(name) for name in ("terminalreporter", "capturemanager"))
    if terminal is not None and report.entries:
        with capture.global_and_fixture_disabled():
            for line in ("", *report.lines()):
                terminal.write_line(line)


def job(folder: Path, place: Place, held: Any, poison: bool) -> Job:
    recipe = write_recipe(folder, poison)
    root = folder / "undisturbed"
    harness.reference(recipe, root, place.environment)
    found = held(root)
    [run] = found.workspace.manifest.read("runs").column("run").to_pylist()
    return Job(recipe, run, found)


@pytest.fixture(scope="module")
def wholesome(place: Place, held: Any, tmp_path_factory: pytest.TempPathFactory) -> Job:
    return job(tmp_path_factory.mktemp("wholesome"), place, held, poison=False)


@pytest.fixture(scope="module")
def poisoned(place: Place, held: Any, tmp_path_factory: pytest.TempPathFactory) -> Job:
    return job(tmp_path_factory.mktemp("poisoned"), place, held, poison=True)


def possible(place: Place, kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Without namespaces there is no link to cut."""
    return tuple("node late" if kind == "node cut off" and place.net.why else kind for kind in kinds)


def disturb(
    place: Place, job: Job, seed: int, kinds: tuple[str, ...], space: harness.Space, name: str
) -> harness.Disturbed:
    faults = harness.plan(seed, possible(place, kinds), LAST)
    run = harness.Disturbed(name, seed, faults, place.cluster, space, job.recipe, place.report)
    run.run()
    injected = [entry.kind for entry in place.report.entries if entry.run == name and entry.kind != "poison"]
    assert injected == [fault.kind for fault in faults]
    return run


def same(job: Job, found: Any) -> None:
    """Assert byte for byte what the undisturbed run made, no row lost or doubled, and every row accounted for."""
    assert found.everything(job.run) == job.undisturbed.everything(job.run)
    conserved(job, found)


def conserved(job: Job, found: Any) -> None:
    assert found.rows() == job.undisturbed.rows()
    assert found.doubled() == 0
    found.balance(job.run)
    swept = found.workspace.gc()
    assert found.dataset(job.run) == job.undisturbed.dataset(job.run), f"{swept.swept_files} files were swept"
    found.balance(job.run)


def silent(job: Job, found: Any) -> dict[str, list[pa.Table]]:
    """Scores and decisions, but for what they say of errors."""
    tables: defaultdict[str, list[pa.Table]] = defaultdict(list)
    for record in found.workspace.manifest.read("scores").to_pylist():
        table = pq.read_table(found.root / record["data"])
        tables[harness.MARK.sub("", record["data"])].append(table.drop_columns(["message"]))
    for record in found.workspace.manifest.where("decisions", run=job.run).to_pylist():
        table = pq.read_table(found.root / record["data"])
        place, errored = table.schema.get_field_index("reason"), pc.equal(table.column("outcome"), "errored")
        said = pc.if_else(errored, "", table.column("reason"))
        tables[harness.MARK.sub("", record["data"])].append(table.set_column(place, "reason", said))
    return dict(tables)


def test_a_seed_is_one_plan_and_the_long_form_has_forty_faults_of_all_kinds() -> None:
    runs = [*((seed, LONG) for seed in SEEDS), (STORE_SEED, STORE), (POISON_SEED, POISONED)]
    plans = [harness.plan(seed, kinds, LAST) for seed, kinds in runs]
    assert plans == [harness.plan(seed, kinds, LAST) for seed, kinds in runs]
    assert len({tuple(faults) for faults in plans}) == len(plans)
    assert sum(len(faults) for faults in plans) + len(POISON) >= 40
    assert {fault.kind for faults in plans for fault in faults} | {"poison"} == set(harness.KINDS)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_run_on_two_nodes_that_six_faults_hit_gives_the_undisturbed_bytes(
    place: Place, wholesome: Job, held: Any, tmp_path: Path
) -> None:
    run = disturb(place, wholesome, 1, SHORT, harness.Space(str(tmp_path / "ws")), "short")
    assert run.late
    same(wholesome, held(tmp_path / "ws"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_many_faults(place: Place, wholesome: Job, held: Any, tmp_path: Path, seed: int) -> None:
    kinds, disk = LONG, None
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(harness.small_disk(tmp_path / "disk"))
        except OSError as failure:
            kinds = tuple(kind for kind in kinds if kind != "disk full")
            place.report.notes.append(f"no full disk: {failure.strerror}")
        root = (disk or tmp_path) / "ws"
        run = disturb(place, wholesome, seed, kinds, harness.Space(str(root), disk), f"disk-{seed}")
        assert run.late
        same(wholesome, held(root))


@pytest.mark.slow
def test_many_faults_with_the_workspace_on_a_store_that_fails(
    place: Place, wholesome: Job, held: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place.proxy is None:
        pytest.skip("s3fs is in the extra s3, moto, the S3 server, in the extra dev")
    for name, value in credentials(f"http://127.0.0.1:{place.server}").items():
        monkeypatch.setenv(name, value)
    remote._filesystem.cache_clear()
    url = f"{new_bucket()}/ws"
    place.proxy.rate = harness.RATE
    try:
        run = disturb(place, wholesome, STORE_SEED, STORE, harness.Space(url, proxy=place.proxy), "store")
    finally:
        place.proxy.rate = 0.0
    assert run.late
    same(wholesome, held(mirror(url, tmp_path / "ws")))
    remote._filesystem.cache_clear()


@pytest.mark.slow
def test_two_documents_that_kill_what_scores_them(place: Place, poisoned: Job, held: Any, tmp_path: Path) -> None:
    """The undisturbed scorers raise over them. Only what is said of the two differs."""
    run = disturb(place, poisoned, POISON_SEED, POISONED, harness.Space(str(tmp_path / "ws")), "poison")
    found = held(tmp_path / "ws")
    assert silent(poisoned, found) == silent(poisoned, poisoned.undisturbed)
    conserved(poisoned, found)
    select = "SELECT id, stage, message FROM errors ORDER BY id"
    errors, theirs = (item.workspace.sql(select).to_pylist() for item in (found, poisoned.undisturbed))
    assert [(row["id"], row["stage"]) for row in errors] == [(row["id"], row["stage"]) for row in theirs]
    assert [(row["id"], row["stage"]) for row in errors] == [("d211", "first"), ("d77", "light")]
    for row, kind in zip(errors, ("chaos-heavy", "chaos-light"), strict=True):
        assert row["message"].startswith("the process that scored it died"), row
        run.poison[kind].followed.append(f"{row['id']} is an error: {row['message']}")
    mine, others = (item.decisions(poisoned.run) for item in (found, poisoned.undisturbed))
    assert sum(mine[name] != others[name] for name in mine) == len(POISON)
