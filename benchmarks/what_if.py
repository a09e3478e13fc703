"""What `curate what-if` and `curate diff` take on a run of many documents: wall and CPU time of the whole command.

    python benchmarks/what_if.py                    a million documents
    python benchmarks/what_if.py --rows 10000000    ten million; making them takes some minutes

The documents are one word each, with three columns of numbers that stages import as scores. Each gate drops one in
ten; a second run with a looser first gate has scored a little more than the first one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.workspace import Workspace

SHARD = 250_000
RECIPE = """
name: {name}
input: {{path: in/*.parquet, columns: {{text: text, a: a, b: b, c: c}}}}
stages:
  - {{scorer: imported, id: first, column: a, keep: first.score >= {first}}}
  - {{scorer: imported, id: second, column: b, keep: second.score >= 0.1}}
  - {{scorer: imported, id: third, column: c, keep: third.score >= 0.1}}
output: {{columns: [text]}}
"""
COMMANDS = {
    "stricter": ["what-if", "first.score >= 0.3", "--run", "strict"],
    "of two stages": ["what-if", "first.score >= 0.3", "third.score >= 0.5", "--run", "strict"],
    "looser, to score first": ["what-if", "second.score >= 0.05", "--run", "loose"],
    "looser, scored by another run": ["what-if", "first.score >= 0.05", "--run", "strict"],
    "diff": ["diff", "loose", "strict"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--workspace", type=Path, help="Keep what is made here, and take it the next time.")
    chosen = parser.parse_args()
    for rows in chosen.rows:
        with tempfile.TemporaryDirectory(prefix="what-if-") as temporary:
            folder = (chosen.workspace or Path(temporary)) / str(rows)
            if not folder.exists():
                began = time.perf_counter()
                make(folder, rows)
                print(f"{rows:,} documents curated twice in {time.perf_counter() - began:.0f} s", flush=True)
            for name, words in COMMANDS.items():
                wall, cpu, peak = measured([*words, "-w", str(folder / "ws"), "-f", "json"])
                print(f"  {name:30} {wall:6.2f} s  CPU {cpu:5.2f} s  peak {peak:5.0f} MB", flush=True)


def make(folder: Path, rows: int) -> None:
    (folder / "in").mkdir(parents=True)
    chance = np.random.default_rng(0)
    for number in range(0, rows, SHARD):
        count = min(SHARD, rows - number)
        texts = pa.array(np.arange(number, number + count)).cast(pa.string())
        scores = {name: chance.random(count) for name in "abc"}
        pq.write_table(pa.table({"text": texts, **scores}), folder / "in" / f"{number:09d}.parquet")
    workspace = Workspace(folder / "ws")
    for name, first in (("strict", 0.1), ("loose", 0.05)):
        recipe = folder / f"{name}.yaml"
        recipe.write_text(RECIPE.format(name=name, first=first))
        result = workspace.run(recipe, executor="local", label=name)
        assert result.outcome == "done", result.failures


def measured(words: list[str]) -> tuple[float, float, float]:
    """Best wall and CPU seconds of three, and peak MB of memory."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        child = subprocess.Popen([sys.executable, "-m", "pipelines.cli", *words], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        if status:
            sys.exit(f"{words} ended with {os.waitstatus_to_exitcode(status)}")
        times.append((wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024))
    return min(wall for wall, _, _ in times), min(cpu for _, cpu, _ in times), max(peak for _, _, peak in times)


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parents[1])
    main()
