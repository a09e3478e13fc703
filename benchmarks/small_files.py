"""What many small files cost: a run over N files of k documents, then `plan`, a second threshold and `gc`.

    python benchmarks/small_files.py                      400 files of 100 documents, locally
    python benchmarks/small_files.py --files 2000 --documents 5 --minhash
    python benchmarks/small_files.py --executor ray

Each step is a process of its own. Prints wall and CPU seconds (user and system, children included) and milliseconds a
file of each, by phase for runs, and how many files lie in the workspace after it.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

RECIPE = """
name: small
input: {{path: in/*.parquet}}
workspace: work
stages:
  - scorer: rules
    id: quality
    profile: gopher-quality@datatrove
    keep: {keep}
  - dedup: exact
{minhash}  - id: best
    select: top
    by: quality.mean_word_length
    fraction: 0.5
output: {{columns: [text]}}
"""
MINHASH = "  - id: near\n    dedup: minhash\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--documents", type=int, default=100, help="of each file")
    parser.add_argument("--minhash", action="store_true", help="with a MinHash dedup")
    parser.add_argument("--executor", default="local", choices=["local", "ray"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", nargs="*", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--profile", action="store_true", help="functions that took longest of the first run")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        child(chosen)
        return
    folder = Path(tempfile.mkdtemp(prefix="small-files-"))
    try:
        corpus(folder / "in", chosen.files, chosen.documents)
        for name, keep in (("recipe", "quality.words > 20"), ("second", "quality.words > 40")):
            text = RECIPE.format(keep=keep, minhash=MINHASH if chosen.minhash else "")
            (folder / f"{name}.yaml").write_text(text)
        print(f"{chosen.files} files of {chosen.documents} documents, {chosen.executor}, {chosen.workers} workers")
        for step in chosen.steps:
            measured(step, folder, chosen)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def corpus(folder: Path, files: int, documents: int) -> None:
    """Files of made-up English; every tenth document is one of an earlier file with a word changed."""
    folder.mkdir(parents=True)
    draw = random.Random(7)
    words = ["the", "of", "and", "to", "that", "with", "have", "be", *(f"word{number}" for number in range(4000))]
    earlier: list[str] = []
    for number in range(files):
        texts = []
        for _ in range(documents):
            if earlier and draw.random() < 0.1:
                text = f"{draw.choice(earlier)} again"
            else:
                text = " ".join(draw.choices(words, k=draw.randint(10, 120)))
            texts.append(text)
        earlier = (earlier + texts[:2])[-1000:]
        pq.write_table(pa.table({"text": texts}), folder / f"{number:06d}.parquet")


def measured(step: str, folder: Path, chosen: argparse.Namespace) -> None:
    began, before = time.monotonic(), _cpu()
    options = ["--child", step, "--executor", chosen.executor, "--workers", str(chosen.workers)]
    options += ["--profile"] if chosen.profile and step == "run" else []
    subprocess.run([sys.executable, __file__, *options], cwd=folder, check=True)
    wall, cpu = time.monotonic() - began, _cpu() - before
    count = sum(len(names) for _, _, names in os.walk(folder / "work"))
    each = 1000 / chosen.files
    print(
        f"{step:18} {wall:7.2f} s wall {cpu:7.2f} s CPU {wall * each:7.2f} ms wall a file {cpu * each:7.2f} ms CPU a"
        f" file; {count:,} files in the workspace, {count / chosen.files:.2f} an input",
        flush=True,
    )


def child(chosen: argparse.Namespace) -> None:
    if chosen.profile:
        import cProfile
        import pstats

        with cProfile.Profile() as profile:
            STEPS[chosen.child](chosen)
        pstats.Stats(profile).sort_stats("cumulative").print_stats(60)
    else:
        STEPS[chosen.child](chosen)


def run(chosen: argparse.Namespace, recipe: str = "recipe.yaml") -> None:
    from curation_engine import Workspace
    from pipelines.running.events import PhaseEnded, PhaseStarted

    since = [time.monotonic(), _own()]

    def report(event: object) -> None:
        if isinstance(event, PhaseStarted):
            since[:] = time.monotonic(), _own()
        elif isinstance(event, PhaseEnded):
            print(f"    {event.name:44} {time.monotonic() - since[0]:7.2f} s wall {_own() - since[1]:7.2f} s CPU")

    began, before = time.monotonic(), _own()
    Workspace("work").run(recipe, executor=chosen.executor, workers=chosen.workers, report=report)
    print(f"    {'in all, without the start':44} {time.monotonic() - began:7.2f} s wall {_own() - before:7.2f} s CPU")


def plan(chosen: argparse.Namespace) -> None:
    from curation_engine import Workspace

    began, before = time.monotonic(), _own()
    Workspace("work").plan("recipe.yaml")
    print(f"    {'without the start':44} {time.monotonic() - began:7.2f} s wall {_own() - before:7.2f} s CPU")


def second(chosen: argparse.Namespace) -> None:
    run(chosen, "second.yaml")


def sweep(chosen: argparse.Namespace) -> None:
    from curation_engine import Workspace

    began, before = time.monotonic(), _own()
    Workspace("work").gc()
    print(f"    {'without the start':44} {time.monotonic() - began:7.2f} s wall {_own() - before:7.2f} s CPU")


def _own() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


STEPS = {"plan first": plan, "run": run, "plan": plan, "again": run, "second": second, "gc": sweep}

if __name__ == "__main__":
    main()
