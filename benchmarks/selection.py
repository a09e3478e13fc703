"""Selections of 2,000 of 50,000 vectors, beside a plain NumPy greedy and a public submodular library.

    python benchmarks/selection.py                       every section
    python benchmarks/selection.py k-center              one of them: k-center, facility-location, target-match, peers
    python benchmarks/selection.py facility-location --rows 10000 --count 500

Vectors are drawn around 500 centres, 384 dimensions, as embeddings lie. Peers run in the same process, apricot in the
environment that `make peers` builds. Each section runs in a process of its own, so that peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from curation.selection.base import Budget
from curation.selection.vectors import Vectors, exact

ROWS, WIDTH, COUNT = 50_000, 384, 2_000
PEER_ROWS, PEER_COUNT = 5_000, 200
PEER_PYTHON = Path(".venv-peers/bin/python")
PEER = """
import json, sys, time
import numpy as np, apricot
vectors = np.load(sys.argv[1])
count = int(sys.argv[2])
matrix = np.maximum(vectors.astype(np.float64) @ vectors.T.astype(np.float64), 0)
model = lambda: apricot.FacilityLocationSelection(count, metric="precomputed", optimizer="lazy")
apricot.FacilityLocationSelection(2, metric="precomputed", optimizer="lazy").fit(matrix[:50, :50])
began = time.perf_counter()
found = model().fit(matrix)
print(json.dumps({"seconds": time.perf_counter() - began, "picks": found.ranking.tolist()}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], default=[])
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.here:
        SECTIONS[chosen.sections[0]](chosen.rows, chosen.count)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"peak memory {peak:.2f} GB (aim: under 4)")
        return
    for name in chosen.sections or SECTIONS:
        print(f"== {name}: load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
        own = ["--rows", str(chosen.rows), "--count", str(chosen.count)]
        subprocess.run([sys.executable, __file__, name, *own, "--here"], check=True)


def points(rows: int) -> Vectors:
    draw = np.random.default_rng(0)
    centres = draw.standard_normal((500, WIDTH)).astype(np.float32)
    noise = draw.standard_normal((rows, WIDTH)).astype(np.float32)
    return exact(centres[draw.integers(0, 500, rows)] + 0.7 * noise)


def k_center(rows: int, count: int) -> None:
    from curation.selection.greedy import k_center

    vectors = points(rows)
    k_center(vectors[:100], 0, Budget.rows(100, 5))  # compiled
    wall, cpu, ours = _timed(lambda: k_center(vectors, 0, Budget.rows(rows, count)))
    print(f"ours: {wall:.1f} s, {cpu:.1f} s of CPU (aim: under 60); radius {np.nanmax(ours.left):.4f}")
    gigabytes = rows * WIDTH * 4 * count / 1e9
    print(
        f"  reads {gigabytes:.0f} GB of vectors: {gigabytes / wall:.1f} GB/s; a copy of them: {_copying(vectors):.1f}"
    )
    some = max(1, count // 20)

    def plain() -> list[int]:
        norm = (vectors.astype(np.float64) ** 2).sum(axis=1)
        near = np.full(rows, np.inf)
        picked = [0]
        for _ in range(some - 1):
            centre = picked[-1]
            near = np.minimum(near, norm + norm[centre] - 2 * (vectors @ vectors[centre]))
            picked.append(int(near.argmax()))
        return picked

    wall_plain, _, picked = _timed(plain)
    same = sum(a == b for a, b in zip(picked, ours.rows, strict=False))
    each, each_plain = wall / count, wall_plain / some
    print(f"NumPy, fp32, {some} picks: {wall_plain:.1f} s, {each_plain / each:.2f}× ours a pick; {same} picks the same")


def facility_location(rows: int, count: int) -> None:
    from curation.selection.greedy import facility_location_sparse
    from curation.selection.neighbours import neighbours

    vectors = points(rows)
    facility_location_sparse(*neighbours(vectors[:100], 5), Budget.rows(100, 5))
    wall, cpu, found = _timed(lambda: neighbours(vectors, 64))
    flops = 2 * rows * rows * WIDTH
    print(f"64 neighbours: {wall:.1f} s, {cpu:.1f} s of CPU, {flops / wall / 1e9:.0f} GFLOP/s in float64", flush=True)
    print(f"  a product of matrices by itself: {_multiplying(vectors):.0f} GFLOP/s")
    greedy, cpu, ours = _timed(lambda: facility_location_sparse(*found, Budget.rows(rows, count)))
    print(f"lazy greedy over them: {greedy:.1f} s, {cpu:.1f} s of CPU; together {wall + greedy:.1f} (aim: under 180)")
    naive, _, plain = _timed(lambda: facility_location_sparse(*found, Budget.rows(rows, 50), lazy=False))
    same = plain.rows.tolist() == ours.rows[:50].tolist()
    print(
        f"naive greedy, 50 picks: {naive:.1f} s, {naive / 50 / (greedy / count):.0f}× ours a pick; same picks: {same}"
    )
    every = vectors[:: max(1, rows // 5000)].astype(np.float64)
    random = np.random.default_rng(0).choice(rows, len(ours.rows), replace=False)
    for name, chosen in (("facility location", ours.rows), ("random", random)):
        value = np.maximum(every @ vectors[chosen].astype(np.float64).T, 0).max(axis=1).mean()
        print(f"mean similarity of a row to the nearest chosen one, {name}: {value:.4f}")


def target_match(rows: int, count: int) -> None:
    from curation.selection.round_robin import round_robin

    vectors, targets = points(rows), points(100)
    wall, cpu, found = _timed(lambda: round_robin(vectors, targets, Budget.rows(rows, count)))
    print(f"{len(found.rows):,} rows for {len(targets)} targets: {wall:.1f} s, {cpu:.1f} s of CPU")


def peers(rows: int, count: int) -> None:
    """Dense, where the peer can follow."""
    from curation.selection.greedy import facility_location
    from curation.selection.neighbours import dense

    rows, count = min(rows, PEER_ROWS), min(count, PEER_COUNT)
    vectors = points(rows)
    facility_location(dense(vectors[:100]), Budget.rows(100, 5))
    similarity = dense(vectors)
    wall, _, ours = _timed(lambda: facility_location(similarity, Budget.rows(rows, count)))
    print(f"{count} of {rows:,}, all similarities given. ours: {wall:.3f} s")
    wide = similarity.astype(np.float64)

    def plain() -> list[int]:
        covered, picked = np.zeros(rows), []
        for _ in range(count):
            gains = np.maximum(wide - covered[:, None], 0).sum(axis=0)
            gains[picked] = -1
            picked.append(int(gains.argmax()))
            covered = np.maximum(covered, wide[:, picked[-1]])
        return picked

    few = max(1, count // 10)
    count, whole = few, count
    naive, _, picked = _timed(plain)
    same = picked == ours.rows[:few].tolist()
    print(f"NumPy, {few} picks: {naive:.1f} s, {naive / few / (wall / whole):.0f}× ours a pick; same picks: {same}")
    if not PEER_PYTHON.exists():
        print("apricot: not installed; `make peers` does")
        return
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "vectors.npy", vectors)
        command = [PEER_PYTHON, "-c", PEER, Path(folder) / "vectors.npy", str(whole)]
        said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    same = sum(a == b for a, b in zip(said["picks"], ours.rows, strict=True))
    print(f"apricot, lazy: {said['seconds']:.2f} s, {said['seconds'] / wall:.0f}× ours; {same} picks the same")


def _timed(work):  # type: ignore[no-untyped-def]
    """Seconds on the clock, seconds of CPU, and what came of it."""
    began, spent = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - began, time.process_time() - spent, result


def _copying(vectors: Vectors) -> float:
    target = np.empty_like(vectors)
    best = min(_timed(lambda: np.copyto(target, vectors))[0] for _ in range(5))
    return vectors.nbytes / best / 1e9


def _multiplying(vectors: Vectors) -> float:
    wide = vectors[:4096].astype(np.float64)
    best = min(_timed(lambda: wide @ wide.T)[0] for _ in range(3))
    return 2 * len(wide) ** 2 * WIDTH / best / 1e9


SECTIONS = {
    "k-center": k_center,
    "facility-location": facility_location,
    "target-match": target_match,
    "peers": peers,
}


if __name__ == "__main__":
    main()
