"""What it takes to look at a run of many documents: its report as data, in wall and CPU seconds, MB and peak memory.

    python benchmarks/look.py                    a million documents; making them takes some minutes
    python benchmarks/look.py --rows 100000

The documents are paragraphs of Python's manual, put together anew, one in twenty an exact copy. Rules measure them, two
more scores come with the data, gates drop about half, copies go, and a selection
takes the better half of the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.workspace import Workspace

SHARD = 125_000
LIMITS = {"seconds": 30.0, "megabytes": 4.0}
"""Of a million documents."""
RECIPE = """
name: look
input: {path: {manual: in/manual-*.parquet, web: in/web-*.parquet}, columns: {text: text, id: url, a: a, b: b}}
stages:
  - {scorer: rules, id: gopher, profile: gopher-quality@datatrove, keep: gopher.words >= 20 and gopher.stop_words >= 2}
  - {scorer: imported, id: first, column: a, keep: first.score >= 0.3}
  - {scorer: imported, id: second, column: b, keep: second.score BETWEEN -1.5 AND 1.5}
  - {transform: redact-pii}
  - dedup: exact
  - {select: top, by: first.score, fraction: 0.5}
output: {columns: [text, id]}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--workspace", type=Path, help="Keep what is made here, and take it the next time.")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        report(*map(Path, chosen.child))
        return
    for rows in chosen.rows:
        with tempfile.TemporaryDirectory(prefix="look-") as temporary:
            folder = (chosen.workspace or Path(temporary)) / str(rows)
            if not folder.exists():
                began = time.perf_counter()
                make(folder, rows)
                print(f"{rows:,} documents curated in {time.perf_counter() - began:.0f} s", flush=True)
            for name, look in LOOKS.items():
                print(f"  {name:10} {look(folder)}", flush=True)


def make(folder: Path, rows: int) -> None:
    (folder / "in").mkdir(parents=True)
    chance = np.random.default_rng(0)
    paragraphs = [p for text in topics.values() for p in (" ".join(q.split()) for q in text.split("\n\n")) if p]
    shard = min(SHARD, -(-rows // 8))
    for number in range(0, rows, shard):
        count = min(shard, rows - number)
        first, second = chance.integers(0, len(paragraphs), (2, count)).tolist()
        texts = [f"{paragraphs[i]} {number + n} by jo{n}@example.org\n{paragraphs[j]}" for n, (i, j) in
                 enumerate(zip(first, second, strict=True))]  # fmt: skip
        for copy in chance.integers(0, count, count // 20).tolist():
            texts[copy] = texts[copy // 2]
        urls = [f"https://site{n % 97}.example/{number + n}" for n in range(count)]
        scores = {"a": chance.beta(4, 2, count), "b": chance.normal(0, 1, count)}
        name = f"{'manual' if number < rows / 4 else 'web'}-{number:09d}.parquet"
        pq.write_table(pa.table({"text": texts, "url": urls, **scores}), folder / "in" / name, row_group_size=10_000)
    (folder / "recipe.yaml").write_text(RECIPE)
    result = Workspace(folder / "ws").run(folder / "recipe.yaml", executor="local")
    assert result.outcome == "done", result.failures


def report(workspace: Path, into: Path) -> None:
    from pipelines.charts.report import report_data

    into.write_text(json.dumps(report_data(Workspace(workspace).manifest), allow_nan=False, separators=(",", ":")))


def measure_report(folder: Path) -> str:
    """In a process of its own, everything imported anew."""
    into = folder / "report.json"
    began = time.perf_counter()
    child = subprocess.Popen([sys.executable, __file__, "--child", str(folder / "ws"), str(into)])
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - began
    if status:
        sys.exit(f"the report ended with {os.waitstatus_to_exitcode(status)}")
    cpu, size = usage.ru_utime + usage.ru_stime, into.stat().st_size / 1e6
    within = cpu <= LIMITS["seconds"] and size <= LIMITS["megabytes"]
    told = f"{wall:6.2f} s  CPU {cpu:6.2f} s  {size:5.2f} MB  peak {usage.ru_maxrss / 1024:5.0f} MB"
    return told + ("" if within or int(folder.name) > 1_000_000 else "  MORE THAN IT MAY TAKE")


LOOKS = {"report": measure_report}
"""What is measured on a run's folder, by name."""


if __name__ == "__main__":
    main()
