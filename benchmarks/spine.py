"""What the spine itself costs: a trivial scorer through every layer, beside a plain pyarrow loop over the same files.

    python benchmarks/spine.py                      500 MB in 20 shards, ratio to the peer
    python benchmarks/spine.py --memory             peak memory at 100 MB and at 1 GB

The peer reads each shard, computes the same column, writes it as Parquet, reads the shard again and writes the rows
that pass as zstd Parquet: the passes that a score, a decision and a dataset need, without resume, manifest or statuses.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SCORER = '''
import pyarrow as pa, pyarrow.compute as pc
from curation.scorers.base import Scorer

class Length(Scorer):
    """Bytes of text."""
    kind = "length"
    @property
    def fields(self):
        return [pa.field("bytes", pa.int64())]
    def score(self, batch):
        return pa.record_batch({"bytes": pc.binary_length(batch.column("text")).cast(pa.int64())})
'''
KEEP = 700
"""Bytes that a document must have: about two in three do, so that the smallest corpus fills a row group."""
RECIPE = """
name: spine
input: {{path: in/*.parquet}}
stages:
  - scorer: length
    keep: length.bytes > {keep}
output: {{columns: [text, id]}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--shards", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        child(Path(chosen.child), chosen.workers)
        return
    folder = Path(tempfile.mkdtemp(prefix="spine-"))
    try:
        install_scorer(folder)
        if chosen.memory:
            memory(folder, chosen.workers)
        else:
            speed(folder, chosen)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def speed(folder: Path, chosen: argparse.Namespace) -> None:
    """Print seconds and MB/s of both, and their ratio, for each round and as medians."""
    size = corpus(folder / "in", chosen.megabytes, chosen.shards)
    print(f"{size / 1e6:.0f} MB of text, {chosen.shards} shards, {chosen.workers} workers on {os.cpu_count()} cores")
    print(f"{'':12}{'peer (s)':>10}{'ray (s)':>10}{'ratio':>8}{'again (s)':>11}{'ray start (s)':>15}")
    rows = []
    for number in range(chosen.rounds):
        began = time.monotonic()
        peer(folder / "in", folder / f"peer{number}")
        plain = time.monotonic() - began
        workspace = folder / f"ws{number}"
        first = run_child(workspace, chosen.workers)
        again = run_child(workspace, chosen.workers)
        rows.append((plain, first["flow"], again["total"], first["start"]))
        print(
            f"round {number + 1:<6}{plain:>10.2f}{first['flow']:>10.2f}{first['flow'] / plain:>8.2f}"
            f"{again['total']:>11.2f}{first['start']:>15.2f}"
        )
        same(folder / f"peer{number}", workspace)
        shutil.rmtree(workspace)
        shutil.rmtree(folder / f"peer{number}")
    middle = [float(np.median([row[place] for row in rows])) for place in range(4)]
    print(
        f"{'median':<12}{middle[0]:>10.2f}{middle[1]:>10.2f}{middle[1] / middle[0]:>8.2f}"
        f"{middle[2]:>11.2f}{middle[3]:>15.2f}"
    )
    print(f"{'MB/s':<12}{size / 1e6 / middle[0]:>10.0f}{size / 1e6 / middle[1]:>10.0f}")
    print(
        "ray (s): from Ray being up to the dataset published; again (s): the finished run, run again, without imports"
    )


def memory(folder: Path, workers: int) -> None:
    """Print peak resident memory of the driver and of the largest worker at two sizes."""
    print(f"{'text':>8}{'driver (MB)':>13}{'worker (MB)':>13}")
    peaks = []
    for megabytes, shards in ((100, 4), (1000, 40)):
        shutil.rmtree(folder / "in", ignore_errors=True)
        corpus(folder / "in", megabytes, shards)
        found = run_child(folder / f"ws{megabytes}", workers)
        peaks.append(found)
        print(f"{megabytes:>5} MB{found['driver']:>13.0f}{found['worker']:>13.0f}")
        shutil.rmtree(folder / f"ws{megabytes}")
    for name in ("driver", "worker"):
        print(f"{name}: {peaks[1][name] / peaks[0][name] - 1:+.1%} from 100 MB to 1 GB")


def corpus(folder: Path, megabytes: int, shards: int) -> int:
    """Uneven shards of words drawn from a vocabulary: zstd Parquet with text and id. Returns bytes of text."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(7)
    words = np.array(
        ["".join(random.choice(list("abcdefghijklmnopqrstuvwxyz"), size)) for size in random.integers(2, 11, 5000)]
    )
    shares = random.uniform(0.5, 1.5, shards)
    shares /= shares.sum()
    total = 0
    for number, share in enumerate(shares):
        rows = max(1, int(share * megabytes * 1e6 / 1180))
        lengths = random.integers(20, 320, rows)
        picked = words[random.integers(0, len(words), int(lengths.sum()))]
        ends = np.cumsum(lengths)
        texts = [" ".join(picked[end - size : end]) for size, end in zip(lengths, ends, strict=True)]
        table = pa.table({"text": texts, "id": [f"{number}-{row}" for row in range(rows)]})
        total += pc.sum(pc.binary_length(table.column("text"))).as_py()
        pq.write_table(table, folder / f"{number:03}.parquet", compression="zstd", row_group_size=8192)
    return total


def peer(source: Path, target: Path) -> None:
    """The plain loop."""
    target.mkdir()
    for path in sorted(source.glob("*.parquet")):
        with pq.ParquetWriter(
            target / f"{path.stem}.scores", pa.schema([("row", pa.int64()), ("bytes", pa.int64())])
        ) as scores:
            row = 0
            for batch in pq.ParquetFile(path).iter_batches(columns=["text"], batch_size=16_384):
                size = pc.binary_length(batch.column("text")).cast(pa.int64())
                scores.write_table(pa.table({"row": np.arange(row, row + len(batch)), "bytes": size}))
                row += len(batch)
    for path in sorted(source.glob("*.parquet")):
        keep = pc.greater(pq.read_table(target / f"{path.stem}.scores", columns=["bytes"]).column("bytes"), KEEP)
        file = pq.ParquetFile(path)
        with pq.ParquetWriter(target / path.name, file.schema_arrow, compression="zstd", compression_level=3) as writer:
            row = 0
            for batch in file.iter_batches(batch_size=16_384):
                writer.write_table(pa.Table.from_batches([batch.filter(keep.slice(row, len(batch)).combine_chunks())]))
                row += len(batch)


def same(plain: Path, workspace: Path) -> None:
    """Both kept the same documents."""
    ours = pa.concat_tables(
        [pq.read_table(path, columns=["id"]) for path in sorted(workspace.glob("datasets/spine/latest/data/*.parquet"))]
    ).column("id")
    theirs = pa.concat_tables([pq.read_table(path, columns=["id"]) for path in sorted(plain.glob("*.parquet"))]).column(
        "id"
    )
    assert ours.to_pylist() == theirs.to_pylist()


def install_scorer(folder: Path) -> None:
    """A package with one scorer, found through its entry point, as anybody's would be."""
    site = folder / "site"
    info = site / "spine_length-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "spine_length.py").write_text(SCORER)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: spine-length\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[curation.scorers]\nlength = spine_length:Length\n")
    (folder / "recipe.yaml").write_text(RECIPE.format(keep=KEEP))


def run_child(workspace: Path, workers: int) -> dict[str, float]:
    """One invocation in a process of its own."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{workspace.parent / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    command = [sys.executable, __file__, "--child", str(workspace), "--workers", str(workers)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return {name: float(value) for name, value in (pair.split("=") for pair in done.stdout.split())}


def child(workspace: Path, workers: int) -> None:
    from pipelines import Workspace

    times: dict[str, float] = {}

    def report(event: object) -> None:
        times.setdefault(type(event).__name__, time.monotonic())

    watch = Peaks()
    began = time.monotonic()
    result = Workspace(workspace).run(workspace.parent / "recipe.yaml", executor="ray", workers=workers, report=report)
    total = time.monotonic() - began
    watch.stop()
    assert result.outcome in ("done", "nothing-to-do"), result.failures
    up = times.get("RunStarted", began)
    flow = total - (up - began) if "RunStarted" in times else total
    print(f"total={total} start={up - began} flow={flow} driver={watch.driver} worker={watch.worker}")


class Peaks:
    """Peak resident memory in MB, shared object-store pages left out, of this process and of the largest worker."""

    def __init__(self) -> None:
        self.driver = self.worker = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        mine = os.getpid()
        while not self._stop.wait(0.1):
            self.driver = max(self.driver, _private(mine))
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit() and int(entry.name) != mine:
                    try:
                        title = (entry / "cmdline").read_bytes()
                    except OSError:
                        continue
                    if title.startswith(b"ray::") and b"IDLE" not in title[:12]:
                        self.worker = max(self.worker, _private(int(entry.name)))


def _private(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    facts = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("RssAnon", "RssFile"))}
    return sum(int(value) for value in facts.values()) / 1024


if __name__ == "__main__":
    main()
