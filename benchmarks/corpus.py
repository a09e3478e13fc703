"""A whole curation of web-like text on this machine: language, all rules, exact and near duplicates, write.

    python benchmarks/corpus.py                     100 MB, then 1 GB: MB/s and peak memory of each
    python benchmarks/corpus.py --megabytes 100

Documents are paragraphs of this Python environment's documentation, drawn anew; one in twenty is an exact copy, one in
twenty a copy with a few words changed. No gate drops anything before the duplicates, so every stage reads every byte.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

RECIPE = """
name: corpus
input: {path: in/*.parquet, columns: {text: text, id: id}}
stages:
  - scorer: language
  - {scorer: rules, id: quality, profile: gopher-quality@datatrove}
  - {scorer: rules, id: repetition, profile: gopher-repetition@datatrove}
  - {scorer: rules, id: fineweb, profile: fineweb-code}
  - {transform: remove-lines, id: c4, profile: c4@datatrove}
  - dedup: exact
  - dedup: minhash
output: {columns: [text, id, language.lang]}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--executor", choices=["local", "ray"], default="local")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        child(Path(chosen.child), chosen.executor, chosen.workers)
        return
    folder = Path(tempfile.mkdtemp(prefix="corpus-"))
    try:
        print(f"{chosen.executor}, {chosen.workers} workers on {os.cpu_count()} cores")
        print(f"{'text':>8} {'documents':>10} {'kept':>9} {'seconds':>8} {'MB/s':>6} {'peak memory':>12}")
        peaks = []
        for megabytes in chosen.megabytes:
            facts = one(folder / str(megabytes), megabytes, chosen)
            peaks.append(facts["peak"])
            print(
                f"{megabytes:>5} MB {facts['rows']:>10} {facts['kept']:>9} {facts['seconds']:>8.1f}"
                f" {megabytes / facts['seconds']:>6.1f} {facts['peak']:>9.0f} MB"
            )
            for name, seconds in facts["steps"]:
                print(f"{'':9}{name:28}{seconds:>8.1f} s of CPU, {megabytes / max(seconds, 1e-9):>6.0f} MB/s")
        if len(peaks) > 1:
            print(f"peak memory: {peaks[-1] / peaks[0] - 1:+.1%} from the first to the last")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def one(folder: Path, megabytes: int, chosen: argparse.Namespace) -> dict[str, object]:
    corpus(folder / "in", megabytes)
    (folder / "recipe.yaml").write_text(RECIPE)
    command = [sys.executable, __file__, "--child", str(folder), "--workers", str(chosen.workers)]
    done = subprocess.run(
        [*command, "--executor", chosen.executor], capture_output=True, text=True, check=False, cwd=folder
    )
    shutil.rmtree(folder)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def child(folder: Path, executor: str, workers: int) -> None:
    from pipelines import Workspace

    workspace = Workspace(folder / "ws")
    began = time.monotonic()
    result = workspace.run(folder / "recipe.yaml", executor=executor, workers=workers)
    seconds = time.monotonic() - began
    assert result.outcome == "done", result.failures
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "rows": result.kept + result.dropped + result.errored,
                "kept": result.kept,
                "seconds": seconds,
                "peak": own,
                "steps": step_seconds(folder / "ws"),
            }
        )
    )


def step_seconds(workspace: Path) -> list[tuple[str, float]]:
    """CPU-bound seconds of each step over all shards, from the commit records."""
    tables = [pq.read_table(path, columns=["step", "seconds"]) for path in workspace.glob("manifest/parts/scores/*")]
    total: dict[str, float] = {}
    for row in pa.concat_tables(tables).to_pylist():
        total[row["step"]] = total.get(row["step"], 0.0) + row["seconds"]
    return list(total.items())


def corpus(folder: Path, megabytes: int) -> None:
    """Shards of about 25 MB of text."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(11)
    paragraphs = source()
    written = number = shard = 0
    earlier: list[str] = []
    while written < megabytes * 1e6:
        texts: list[str] = []
        size = 0
        while size < min(25e6, megabytes * 1e6 - written):
            kind = random.random()
            if kind < 0.05 and earlier:
                text = earlier[random.integers(len(earlier))]
            elif kind < 0.1 and earlier:
                words = earlier[random.integers(len(earlier))].split(" ")
                for _ in range(3):
                    words[random.integers(len(words))] = "elsewhere"
                text = " ".join(words)
            else:
                picked = random.integers(0, len(paragraphs), random.integers(3, 30))
                text = "\n\n".join(paragraphs[place] for place in picked)
                if len(earlier) < 20_000:
                    earlier.append(text)
            texts.append(text)
            size += len(text.encode())
        table = pa.table({"text": texts, "id": [f"{number + row}" for row in range(len(texts))]})
        pq.write_table(table, folder / f"{shard:03}.parquet", compression="zstd", row_group_size=4096)
        number += len(texts)
        written += size
        shard += 1


def source() -> list[str]:
    from pipelines.corpora.environment import environment_roots, harvest

    found: set[str] = set()
    for part in harvest(environment_roots()):
        for document in part.documents:
            found.update(text for text in document.text.split("\n\n") if 40 < len(text) < 2000)
        if len(found) > 150_000:
            break
    return sorted(found)


if __name__ == "__main__":
    main()
