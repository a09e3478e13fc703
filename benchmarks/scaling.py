"""What becomes of a run as it grows: workers that sleep, the driver alone, and more machines than are here.

    python benchmarks/scaling.py workers        64 shards, 1, 2 and 4 workers on Ray: speed-up, overhead a shard
    python benchmarks/scaling.py driver         what the driver itself takes for each shard, by phase, and its memory
    python benchmarks/scaling.py simulate       a million shards on up to 1,000 nodes, from what `driver` measured
    python benchmarks/scaling.py driver --shards 1000 --into costs.json
    python benchmarks/scaling.py simulate --costs costs.json

`driver` runs the real phases of the `fineweb` recipe. Units are not performed: an executor answers with the records of
a run over one real file, put where a worker's commit would have put them. Its own time is left out.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import json
import os
import pickle
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

SCORER = '''
import time
import pyarrow as pa
from curation.scorers.base import Scorer

class Nap(Scorer):
    """Sleeps, once a batch."""
    kind = "nap"
    @property
    def fields(self):
        return [pa.field("rested", pa.bool_())]
    def score(self, batch):
        time.sleep(NAP)
        return pa.record_batch({"rested": pa.repeat(True, batch.num_rows)})
'''
RECIPE = """
name: nap
input: {path: in/*.parquet}
stages: [{scorer: nap}]
output: {columns: [text]}
"""
RECORDED = ("scores", "entrants", "pairs", "groups", "decisions", "written", "sketches")
IN_FLIGHT = (32, 512, 4096, 32_000)
"""Units that wait in Ray at once: two a worker."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nap", type=float, default=0.3, help="seconds that a shard sleeps")
    parser.add_argument("--shards", type=int, nargs="*", help="of `driver`: 1000 10000; of `workers`: 64")
    parser.add_argument("--to-a-file", type=int, default=1, help="of `driver`: shards cut from one file")
    parser.add_argument("--into", type=Path, help="where `driver` leaves what it measured")
    parser.add_argument("--costs", type=Path, nargs="*", help="what `simulate` goes by; else `driver` runs first")
    parser.add_argument("--million", type=float, default=1.0, help="of `simulate`: millions of shards")
    parser.add_argument("--child", nargs="*", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        CHILDREN[chosen.child[0]](Path(chosen.child[1]), *(float(value) for value in chosen.child[2:]))
        return
    for name in chosen.sections or SECTIONS:
        print(f"== {name}: load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
        folder = Path(tempfile.mkdtemp(prefix="scaling-"))
        try:
            SECTIONS[name](folder, chosen)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def run_child(folder: Path, name: str, *values: float) -> Any:
    """One measurement in a process of its own, which prints JSON last."""
    path = os.pathsep.join([str(folder / "site"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, __file__, "--child", name, str(folder), *(str(value) for value in values)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


# --- workers ---------------------------------------------------------------------------------------------------------


def workers(folder: Path, chosen: argparse.Namespace) -> None:
    """Print wall seconds of the scoring pass, speed-up, efficiency, and what is neither work nor waiting for it."""
    shards = chosen.shards[0] if chosen.shards else 64
    install_nap(folder, shards, chosen.nap)
    print(f"{shards} shards that sleep {chosen.nap} s each, medians of {chosen.rounds}")
    print(f"{'':14}{'wall (s)':>10}{'speed-up':>10}{'efficiency':>12}{'overhead (ms a shard)':>23}{'load':>7}")
    for name in ("threads", "ray"):
        first = 0.0
        for count in (1, 2, 4):
            rounds = run_child(folder, name, count, chosen.rounds)
            wall = statistics.median(rounds)
            first = first or wall
            over = (wall * count / shards - chosen.nap) * 1e3
            print(
                f"{name:<8}{count:>4}  {wall:>10.2f}{first / wall:>10.2f}{chosen.nap * shards / count / wall:>12.1%}"
                f"{over:>23.0f}{os.getloadavg()[0]:>7.1f}",
                flush=True,
            )
    print("efficiency: of workers that do nothing but sleep. overhead: reading, writing and committing a shard too")


def install_nap(folder: Path, shards: int, nap: float) -> None:
    """A package with the scorer, found through its entry point, and shards of ten rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    info = folder / "site" / "scaling_nap-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "site" / "scaling_nap.py").write_text(SCORER.replace("NAP", str(nap)))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: scaling-nap\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[curation.scorers]\nnap = scaling_nap:Nap\n")
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "in").mkdir()
    for number in range(shards):
        table = pa.table({"text": [f"shard {number}, row {row}" for row in range(10)]})
        pq.write_table(table, folder / "in" / f"{number:04}.parquet")


def timed_passes(folder: Path, executor: Any, rounds: int) -> list[float]:
    """Seconds of the scoring pass, each round in a workspace of its own; the first, which warms up, is left out."""
    from pipelines import Workspace
    from pipelines.planning.resolve import resolve
    from pipelines.running.events import Event, PhaseEnded, PhaseStarted
    from pipelines.running.run import execute

    seconds = []
    for number in range(rounds + 1):
        workspace = Workspace(folder / f"ws-{os.getpid()}-{number}")
        workspace.create()
        plan = resolve(workspace.check(folder / "recipe.yaml"), workspace.manifest).plan
        began: dict[str, float] = {}

        def report(event: Event, began: dict[str, float] = began) -> None:
            if isinstance(event, PhaseStarted | PhaseEnded) and event.name.startswith("score"):
                began["begin" if isinstance(event, PhaseStarted) else "end"] = time.monotonic()

        result = execute(plan, workspace.store, lambda: executor, report)
        assert result.outcome == "done", result.failures
        seconds.append(began["end"] - began["begin"])
    return seconds[1:]


def threads_child(folder: Path, count: float, rounds: float) -> None:
    from workers.local import LocalExecutor

    print(json.dumps(timed_passes(folder, LocalExecutor(int(count)), int(rounds))))


def ray_child(folder: Path, count: float, rounds: float) -> None:
    from workers.on_ray import RayExecutor

    class Held(RayExecutor):
        """One cluster for all rounds."""

        def close(self) -> None:
            pass

    executor = Held(None, int(count))
    try:
        print(json.dumps(timed_passes(folder, executor, int(rounds))))
    finally:
        RayExecutor.close(executor)


# --- driver ----------------------------------------------------------------------------------------------------------


def driver(folder: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    """Print milliseconds a shard of each phase, what units weigh, what Ray takes, and memory."""
    found: dict[str, Any] = {}
    for shards in chosen.shards or (1_000, 10_000):
        rounds = [
            run_child(folder, "phases", shards, chosen.to_a_file)
            for _ in range(chosen.rounds if shards <= 1_000 else 1)
        ]
        found = {"shards": shards, "phases": _medians([one["phases"] for one in rounds])}
        found |= {
            name: statistics.median(one[name] for one in rounds) for name in ("memory", "again_memory", "shared_bytes")
        }
        found["units"] = _medians([one["units"] for one in rounds])
        print(f"{shards:,} shards, {chosen.to_a_file} to a file; {len(rounds)} rounds; load {os.getloadavg()[0]:.1f}")
        print(f"  {'ms a shard':<24}{'before':>9}{'each unit':>11}{'after':>9}{'CPU in all':>12}{'wall':>9}")
        for attempt in ("first", "again"):
            total = [0.0] * 5
            for name, row in found["phases"].items():
                if name.startswith(attempt):
                    total = [one + other for one, other in zip(total, row, strict=True)]
                    print(f"  {name:<24}{_cells(row)}")
            print(f"  {attempt + ', all':<24}{_cells(total)}")
        print(f"  memory beyond the plan: {found['memory']:.1f} KB a shard, at most; again {found['again_memory']:.1f}")
        for name, (size, make, load) in found["units"].items():
            print(f"  {name:<14}{size:>12,.0f} bytes a shard{make:>9.3f} ms to pickle{load:>9.3f} ms to open")
    found["ray"] = run_child(folder, "submitting", chosen.rounds)
    print("what Ray takes of the driver's thread, CPU ms (wall):")
    for name, (cpu, wall) in found["ray"].items():
        print(f"  {name:<28}{cpu:>9.3f} ({wall:.3f})")
    found["resolve"] = run_child(folder, "resolving", 1_000, chosen.rounds)
    cells = [f"{name} {cpu:.2f} ms a file ({wall:.2f})" for name, (cpu, wall) in found["resolve"].items()]
    print(f"resolving 1,000 files of one row, CPU (wall): {', '.join(cells)}")
    found["digest"] = run_child(folder, "digesting", chosen.rounds)
    print(f"fingerprinting an input file, which `resolve` does once: {found['digest']:.1f} GB/s of CPU from memory")
    if chosen.into:
        chosen.into.write_text(json.dumps(found, indent=1))
    return found


def _cells(row: list[float]) -> str:
    return "".join(f"{value:>{width}.3f}" for value, width in zip(row, (9, 11, 9, 12, 9), strict=True))


def _medians(rounds: list[dict[str, list[float]]]) -> dict[str, list[float]]:
    return {
        name: [statistics.median(values) for values in zip(*(one[name] for one in rounds), strict=True)]
        for name in rounds[0]
    }


class Answers:
    """An executor that answers with records made from those of a real run, and commits them without waiting.

    `before`, `each` and `after`: CPU seconds of the driver until it asks for units, for making them and taking in what
    became of them, and once they are done.
    """

    name = "answers"
    workers = 1

    def __init__(self, store: Any, records: dict[str, list[dict[str, Any]]], shard: Any) -> None:
        self.store = store
        self.records = records
        self.shard = shard
        self.units: dict[str, list[float]] = {}
        self.count = 0
        self.away = [0.0, 0.0]
        self.asked: list[float] = []

    def hardware(self, steps: Iterable[Any]) -> str:
        return "any"

    def meters(self, steps: Iterable[Any]) -> list[Any]:
        return []

    def close(self) -> None:
        pass

    def run(self, units: Iterable[Any], steps: Any, *tasks: Any) -> Iterator[Any]:
        from curation.flow import Outcome

        self.asked.append(time.thread_time() - self.away[0])
        for unit in units:
            cpu, wall = time.thread_time(), time.perf_counter()
            self.count += 1
            self._weigh(unit)
            value = self._answer(unit)
            self.away[0] += time.thread_time() - cpu
            self.away[1] += time.perf_counter() - wall
            yield Outcome(unit, value)
        self.asked.append(time.thread_time() - self.away[0])

    def _weigh(self, unit: Any) -> None:
        """Of a few units of each type: bytes a shard, and milliseconds to pickle as Ray does, and to open."""
        from ray import cloudpickle

        shards = len(getattr(unit, "shards", None) or getattr(unit, "entrants", None) or (1,))
        seen = self.units.setdefault(type(unit).__name__, [])
        if len(seen) < 300:
            began = time.thread_time()
            packed = cloudpickle.dumps(unit, protocol=5)
            made = time.thread_time()
            pickle.loads(packed)
            seen.append((len(packed) / shards, (made - began) * 1e3, (time.thread_time() - made) * 1e3))  # type: ignore[arg-type]

    def _put(self, kind: str, key: str, rows: list[dict[str, Any]]) -> bool:
        import pyarrow.parquet as pq

        from curation.manifest.parts import to_table

        path = self.store.path(f"manifest/parts/{kind}/{key}.parquet")
        if path.exists():
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(to_table(kind, rows), path, compression="zstd")
        return True

    def _answer(self, unit: Any) -> Any:
        from curation.flow.parts import part_key
        from curation.flow.score import Scored

        kind = type(unit).__name__
        if kind == "ScoreWork":
            shard, steps = unit.shard, {step.fingerprint for step in unit.part.steps}
            place = {"file_fingerprint": shard.fingerprint, "row_start": shard.row_start, "row_end": shard.row_end}
            rows = [
                {**row, **place, "data": row["data"].replace(self.shard.key, shard.key)}
                for row in self.records["scores"]
                if row["fingerprint"] in steps
            ]
            won = self._put("scores", part_key(unit, 0), rows)
            return Scored(shard.rows, shard.rows, {row["step"]: row["rows"] for row in rows} if won else {}, 0.1, won)
        if kind == "EnterWork":
            key = f"{unit.stage.id}-{unit.shard.index:08d}"
            record = next(row for row in self.records["entrants"] if row["stage"] == unit.stage.id)
            moved = {
                name: record[name] and record[name].replace(f"{unit.stage.id}-00000000", key)
                for name in ("data", "buckets")
            }
            record = {**record, **moved, "shard": unit.shard.index, "key": unit.shard.key}
            self._put("entrants", f"{unit.work.run}-{key}", [record])
        elif kind == "PairWork":
            record = {**self.records["pairs"][0], "group": unit.group, "prefix": unit.prefix}
            self._put("pairs", f"{unit.group}-{unit.prefix:04d}", [record])
        elif kind == "ResolveWork":
            record = next(row for row in self.records["groups"] if row["kind"] == unit.stage.kind)
            record = {**record, "group": unit.group}
            self._put("groups", unit.group, [record])
        elif kind == "DecideWork":
            index = unit.shard.index
            record = self.records["decisions"][0]
            record = {**record, "shard": index, "data": record["data"].replace("00000000", f"{index:08d}")}
            self._put(
                "sketches",
                f"{unit.work.run}-{index:08d}",
                [{**row, "shard": index} for row in self.records["sketches"]],
            )
            self._put("decisions", f"{unit.work.run}-{index:08d}", [record])
        else:
            record = {**self.records["written"][0], "part": unit.part}
            self._put("written", f"{unit.work.run}-{unit.part:05d}", [record])
        return record


def real_run(folder: Path) -> tuple[Any, dict[str, list[dict[str, Any]]]]:
    """The plan and the records of the `fineweb` recipe over one file of this Python's manual."""
    from importlib.resources import files
    from pydoc_data.topics import topics

    import pyarrow as pa
    import pyarrow.parquet as pq
    import yaml

    from pipelines import Workspace
    from pipelines.planning.resolve import resolve

    (folder / "one").mkdir(exist_ok=True)
    texts = [" ".join(text.split()) for text in list(topics.values())[:60]]
    numbers = [str(number) for number in range(len(texts))]
    urls = [f"https://docs.example/{number}" for number in numbers]
    if not (folder / "one/0.parquet").exists():
        pq.write_table(pa.table({"text": texts, "id": numbers, "url": urls}), folder / "one/0.parquet")
    recipe = yaml.safe_load((files("pipelines") / "recipes/fineweb.yaml").read_text())
    recipe["input"]["path"] = str(folder / "one/*.parquet")
    workspace = Workspace(folder / "one-ws")
    result = workspace.run(recipe, executor="local", workers=1)
    assert result.outcome in ("done", "nothing-to-do"), result.failures
    plan = resolve(workspace.check(recipe), workspace.manifest).plan
    return plan, {kind: workspace.manifest.read(kind).drop_columns(["_part"]).to_pylist() for kind in RECORDED}


def many_shards(plan: Any, count: int, to_a_file: int) -> Any:
    """The same plan for so many shards, each as the plan's own, of files that are not there."""
    import xxhash

    one = plan.shards[0]
    shards = tuple(
        replace(
            one,
            index=number,
            file=number // to_a_file,
            path=f"/data/crawl/CC-MAIN-2024-10/{number // to_a_file:07}.parquet",
            fingerprint=xxhash.xxh3_128_hexdigest(str(number // to_a_file).encode()),
            row_start=number % to_a_file * one.rows,
        )
        for number in range(count)
    )
    return replace(plan, shards=shards)


def phases_child(folder: Path, shards: float, to_a_file: float) -> None:
    """Run all phases twice, as a fresh run and as one that finds everything done."""
    from curation.store import open_store
    from pipelines.running.run import _Invocation

    count = int(shards)
    plan, records = real_run(folder)
    plan = many_shards(plan, count, int(to_a_file))
    store = open_store(folder / f"ws-{os.getpid()}")
    phases: dict[str, list[float]] = {}
    memory = {}
    units: dict[str, list[float]] = {}
    for attempt in ("first", "again"):
        answers = Answers(store, records, plan.shards[0])
        invocation = _Invocation(plan, store, lambda: answers, lambda event: None)  # noqa: B023
        gc.collect()
        base = resident()

        def phase(name: str, do: Any, answers: Answers = answers, attempt: str = attempt) -> Any:
            answers.asked = []
            cpu, wall, away = time.thread_time() - answers.away[0], time.perf_counter(), answers.away[1]
            value = do()
            end = time.thread_time() - answers.away[0]
            wall = time.perf_counter() - wall - (answers.away[1] - away)
            begin, done = (answers.asked[0], answers.asked[1]) if answers.asked else (end, end)
            row = [begin - cpu, done - begin, end - done, end - cpu, wall]
            phases[f"{attempt}, {name}"] = [seconds / count * 1e3 for seconds in row]
            return value

        phase("announce", invocation._announce)
        for part in plan.passes:
            phase(f"score {part.number}", lambda part=part: invocation._score(part))  # noqa: B023
            for stage in part.barriers:
                phase(f"group {stage.id}", lambda stage=stage: invocation._group(stage))  # noqa: B023
        decided = phase("decide", invocation._decide)
        phase("write", lambda: invocation._write(decided))  # noqa: B023
        phase("end", lambda: invocation._end("done"))  # noqa: B023
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        memory[attempt] = (peak - base) / count
        units = units or {
            name: [statistics.median(column) for column in zip(*seen, strict=True)]  # type: ignore[call-overload]
            for name, seen in answers.units.items()
        }
    shared = len(pickle.dumps(invocation.work))
    shutil.rmtree(store.root)
    print(
        json.dumps(
            {
                "phases": phases,
                "units": units,
                "memory": memory["first"],
                "again_memory": memory["again"],
                "shared_bytes": shared,
            }
        )
    )


def resident() -> int:
    """Resident memory of this process in KB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


def submitting_child(folder: Path, rounds: float) -> None:
    """What Ray takes of the driver's thread for one unit: to hand it over, to fetch what came of it, to wait."""
    from curation.flow.units import ScoreWork
    from curation.store import open_store
    from pipelines.running.run import _Invocation
    from workers.local import LocalExecutor
    from workers.on_ray import ray  # with the token that `workers` asks for

    plan, _ = real_run(folder)
    plan = many_shards(plan, 1000, 1)
    invocation = _Invocation(plan, open_store(folder / "one-ws"), lambda: LocalExecutor(1), lambda event: None)
    units = [ScoreWork(at, 0) for at in invocation._shards()]
    ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="warning", log_to_driver=False)

    @ray.remote(num_cpus=1, max_retries=0)
    def nothing(unit: Any, careful: bool, wanted: str) -> Any:
        return {"rows": 1, "alive": 1, "by_step": {"input": 1}, "seconds": 0.1}

    found: dict[str, list[list[float]]] = {}

    def timed(name: str, count: int, do: Any) -> Any:
        cpu, wall = time.thread_time(), time.perf_counter()
        value = do()
        row = [(time.thread_time() - cpu) / count * 1e3, (time.perf_counter() - wall) / count * 1e3]
        found.setdefault(name, []).append(row)
        return value

    ray.get([nothing.remote(units[0], False, "any") for _ in range(20)])
    for _ in range(int(rounds)):
        waiting = timed("hand a unit over", 1000, lambda: [nothing.remote(unit, False, "any") for unit in units])
        ray.wait(waiting, num_returns=len(waiting))
        timed("fetch what came of it", 1000, lambda waiting=waiting: [ray.get(item) for item in waiting])
    never = [nothing.options(resources={"never": 1}).remote(1, False, "any") for _ in range(max(IN_FLIGHT))]
    for count in IN_FLIGHT:
        for _ in range(5):
            some = [ray.put(1), *never[:count]]

            def wait(some: list[Any] = some) -> None:
                _, rest = ray.wait(some, num_returns=1, timeout=1)
                ray.wait(rest, num_returns=len(rest), timeout=0)

            timed(f"wait, {count:,} in flight", 1, wait)
    ray.shutdown()
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in found.items()}
    print(json.dumps(medians))


def resolving_child(folder: Path, files: float, rounds: float) -> None:
    """Find, read and remember files that were never seen, and then find them again."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pipelines import Workspace
    from pipelines.planning.inputs import record_inputs
    from pipelines.planning.resolve import resolve
    from pipelines.recipe.load import parse

    (folder / "many").mkdir(exist_ok=True)
    for number in range(int(files)):
        pq.write_table(pa.table({"text": [f"file {number}"]}), folder / "many" / f"{number:06}.parquet")
    time.sleep(2.5)  # a file that changed just now would be read again
    loaded = parse("{name: many, input: {path: many/*.parquet}, stages: [dedup: exact]}", folder)
    found: list[dict[str, list[float]]] = []
    for number in range(int(rounds)):
        found.append({})
        for name in ("first", "again"):
            workspace = Workspace(folder / f"many-ws-{number}")
            workspace.create()
            cpu, wall = time.thread_time(), time.perf_counter()
            record_inputs(workspace.manifest, resolve(loaded, workspace.manifest).fresh)
            cpu, wall = time.thread_time() - cpu, time.perf_counter() - wall
            found[-1][name] = [cpu / files * 1e3, wall / files * 1e3]
    print(json.dumps(_medians(found)))


def digesting_child(folder: Path, rounds: float) -> None:
    from curation.store import digest

    path = folder / "bytes"
    path.write_bytes(os.urandom(1 << 20) * 256)
    speeds = []
    for _ in range(int(rounds)):
        began = time.thread_time()
        digest(path)
        speeds.append(path.stat().st_size / 1e9 / (time.thread_time() - began))
    print(json.dumps(statistics.median(speeds)))


# --- simulate --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Phase:
    """So many units, and what each costs the driver and a worker, in seconds."""

    name: str
    units: int
    work: float
    """Mean of a worker's seconds."""
    tail: float = 0.0
    """Sigma of their logarithm; 0 for constant work."""
    submit: float = 0.0
    collect: float = 0.0
    wait: float = 0.0
    """Each time that the driver asks what has ended."""
    wait_each: float = 0.0
    """The same for each unit in flight."""
    before: float = 0.0
    """Of the driver alone, while no worker has anything to do."""
    after: float = 0.0


@dataclass(frozen=True)
class Cluster:
    """Machines that come up one after another, are lost now and then, and come back."""

    nodes: int
    per_node: int = 16
    start_up: float = 0.0
    """Seconds until a node is up, drawn evenly up to twice this, at the beginning and after a loss."""
    mtbf: float = float("inf")
    """Seconds between two losses of one node, on average."""
    notice: float = 13.0
    """Seconds until a loss is noticed."""


@dataclass
class Simulated:
    """What a simulated run came to, in seconds."""

    wall: float = 0.0
    worked: float = 0.0
    wasted: float = 0.0
    driver: float = 0.0
    losses: int = 0
    done: int = 0
    walls: dict[str, float] = field(default_factory=dict)

    def utilisation(self, cluster: Cluster) -> float:
        """Share of all workers' time that went into units that were done."""
        return self.worked / (self.wall * cluster.nodes * cluster.per_node)


FINISH, LOSS, UP, AGAIN = range(4)


class Simulation:
    """The executor's loop over a cluster: hand over until two units a worker are in flight, wait, take what ended."""

    def __init__(self, cluster: Cluster, seed: int = 0) -> None:
        self.cluster = cluster
        self.draw = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.now = 0.0
        """The driver's clock."""
        self.result = Simulated()
        self.events: list[tuple[float, int, int, int, int]] = []
        """Time, kind, then of FINISH slot, unit and the node's life; of LOSS node; of UP slot; of AGAIN unit."""
        self.life = [0] * cluster.nodes
        self.free: list[int] = []
        self.queue: deque[tuple[int, float]] = deque()
        """Units that were handed over and have no worker yet, with when."""
        self.running: dict[int, tuple[int, float]] = {}
        """By slot: unit, and since when."""
        self.ended: list[int] = []
        self.again: list[int] = []
        for node in range(cluster.nodes):
            self._come_up(node, 0.0)
            if cluster.mtbf < float("inf"):
                self._push(self.draw.expovariate(1 / cluster.mtbf), LOSS, node)

    def run(self, phases: Iterable[Phase]) -> Simulated:
        for phase in phases:
            began = self.now
            self._run_phase(phase)
            self.result.walls[phase.name] = self.now - began
        self.result.wall = self.now
        return self.result

    def _run_phase(self, phase: Phase) -> None:
        if phase.tail:
            sigma = phase.tail
            work = phase.work * np.exp(self.numbers.normal(-(sigma**2) / 2, sigma, phase.units))
            self.work = work.tolist()
        else:
            self.work = [phase.work] * phase.units
        self._spend(phase.before)
        limit = 2 * self.cluster.nodes * self.cluster.per_node
        following = flying = 0
        while True:
            while flying < limit and (self.again or following < phase.units):
                if self.again:
                    unit = self.again.pop()
                else:
                    unit, following = following, following + 1
                self._spend(phase.submit)
                flying += 1
                self._begin(unit)
            if not flying:
                break
            self._advance()
            self._spend(phase.wait + phase.wait_each * flying)
            for _ in self.ended:
                self._spend(phase.collect)
            flying -= len(self.ended) + len(self.again)
            self.result.done += len(self.ended)
            self.ended = []
        self._spend(phase.after)

    def _spend(self, seconds: float) -> None:
        self.now += seconds
        self.result.driver += seconds

    def _begin(self, unit: int) -> None:
        """Hand a unit to Ray."""
        if self.free:
            self._start(self.free.pop(), unit, self.now)
        else:
            self.queue.append((unit, self.now))

    def _start(self, slot: int, unit: int, at: float) -> None:
        self.running[slot] = unit, at
        self._push(at + self.work[unit], FINISH, slot, unit, self.life[slot // self.cluster.per_node])

    def _advance(self) -> None:
        """Let happen what happens by the driver's clock; where nothing has ended by then, wait for the first."""
        while self.events and (self.events[0][0] <= self.now or not (self.ended or self.again)):
            at, kind, first, unit, life = heapq.heappop(self.events)
            if kind == FINISH:
                if life != self.life[first // self.cluster.per_node]:
                    continue
                self.result.worked += at - self.running.pop(first)[1]
                self.ended.append(unit)
                self.now = max(self.now, at)
                self._next(first, at)
            elif kind == UP:
                self._next(first, at)
            elif kind == AGAIN:
                self.again.append(unit)
                self.now = max(self.now, at)
            else:
                self._lose(first, at)

    def _next(self, slot: int, at: float) -> None:
        if self.queue:
            unit, handed = self.queue.popleft()
            self._start(slot, unit, max(at, handed))
        else:
            self.free.append(slot)

    def _lose(self, node: int, at: float) -> None:
        self.result.losses += 1
        self.life[node] += 1
        slots = range(node * self.cluster.per_node, (node + 1) * self.cluster.per_node)
        self.free = [slot for slot in self.free if slot not in slots]
        self.events = [event for event in self.events if not (event[1] == UP and event[2] in slots)]
        heapq.heapify(self.events)
        for slot in slots:
            if slot in self.running:
                unit, since = self.running.pop(slot)
                self.result.wasted += max(0.0, at - since)  # it may have been on its way only
                self._push(at + self.cluster.notice, AGAIN, slot, unit)
        self._come_up(node, at + self.cluster.notice)
        self._push(at + self.draw.expovariate(1 / self.cluster.mtbf), LOSS, node)

    def _come_up(self, node: int, at: float) -> None:
        up = at + self.draw.uniform(0, 2 * self.cluster.start_up)
        for slot in range(node * self.cluster.per_node, (node + 1) * self.cluster.per_node):
            self._push(up, UP, slot)

    def _push(self, at: float, kind: int, first: int, unit: int = 0, life: int = 0) -> None:
        heapq.heappush(self.events, (at, kind, first, unit, life))


WORK = {"score 0": 18.0, "group exact": 0.5, "group minhash": 1.0, "score 1": 1.5, "decide": 1.0, "write": 2.0}
"""Seconds of one worker for a shard of 256 MB, 24 in all: 1 GB took 94 seconds of one core (`benchmarks/corpus.py`)."""
TAIL = 0.8
"""One unit in a hundred takes 4.7 times the mean."""


def phases_of(costs: dict[str, Any], shards: int) -> list[Phase]:
    """A fresh run over so many shards at the costs that `driver` measured."""
    ray = {name: cpu / 1e3 for name, (cpu, _) in costs["ray"].items()}
    few, many = (ray[f"wait, {count:,} in flight"] for count in (min(IN_FLIGHT), max(IN_FLIGHT)))
    made = []
    for name, row in costs["phases"].items():
        attempt, phase = name.split(", ", 1)
        if attempt != "first":
            continue
        before, each, after = (value / 1e3 * shards for value in row[:3])
        units = shards if phase in WORK else 0
        made.append(
            Phase(
                phase,
                units,
                WORK.get(phase, 0.0),
                TAIL,
                submit=ray["hand a unit over"] + (each / units if units else 0.0),
                collect=ray["fetch what came of it"],
                wait=few,
                wait_each=(many - few) / max(IN_FLIGHT),
                before=before,
                after=after + (0.0 if units else each),
            )
        )
    return made


def simulate(folder: Path, chosen: argparse.Namespace) -> None:
    """Print hours, utilisation and the driver's share for 1 to 1,000 nodes, and where the driver is the limit."""
    shards = int(chosen.million * 1e6)
    found = {path.stem: json.loads(path.read_text()) for path in chosen.costs or ()}
    if not found:
        chosen.shards, chosen.into = chosen.shards or [1_000], None
        found["here"] = driver(folder, chosen)
    work = sum(WORK.values())
    print(f"{shards:,} shards of {work:g} s of work (sigma {TAIL}), 16 workers a node, up after 60 s, MTBF 1,000 h")
    for name, costs in found.items():
        phases = phases_of(costs, shards)
        alone = sum(p.before + p.after + p.units * (p.submit + p.collect) for p in phases)
        slowest = max((phase for phase in phases if phase.units), key=lambda phase: phase.submit + phase.collect)
        print(
            f"{name}: {alone / shards * 1e3:.2f} ms of the driver a shard, at most {shards / alone:,.0f} shards/s;"
            f" while units run at least {1 / (slowest.submit + slowest.collect):,.0f} units/s"
        )
        columns = {"nodes": 8, "hours": 9, "utilisation": 13, "driver busy": 13, "shards/s": 10, "lost": 6, "again": 9}
        print("".join(f"{column:>{width}}" for column, width in columns.items()))
        for nodes in (1, 10, 100, 1_000):
            cluster = Cluster(nodes, start_up=60.0, mtbf=1_000 * 3600.0)
            result = Simulation(cluster, seed=7).run(phases)
            print(
                f"  {nodes:>6,}{result.wall / 3600:>9.2f}{result.utilisation(cluster):>13.1%}"
                f"{result.driver / result.wall:>13.1%}{shards / result.wall:>10,.0f}{result.losses:>6}"
                f"{result.wasted / result.worked:>9.3%}",
                flush=True,
            )
    print("left out: fingerprinting the input, pairs and clusters of a dedup, reading ids, the dataset card")


SECTIONS = {"workers": workers, "driver": driver, "simulate": simulate}
CHILDREN = {
    "threads": threads_child,
    "ray": ray_child,
    "phases": phases_child,
    "submitting": submitting_child,
    "resolving": resolving_child,
    "digesting": digesting_child,
}

if __name__ == "__main__":
    main()
