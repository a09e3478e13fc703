"""What `dedup: minhash` drops, what is lost by it, and what the walk costs.

    python benchmarks/dedup.py [table] [recall] [scale] [--documents 1000000]      table and recall unless named

table: `verify` and `contains` on real sets: drops, licences that are gone, and the share of what was dropped that
    stands in no document which stays; beside `connect: components`, with its drops through chains.
recall: drops against a walk over the true Jaccard similarities of all pairs, beside components, and beside datatrove
    where the peers' environment is there (`make peers`).
scale: seconds of resolving with `connect: components` and with `connect: keeper`, in one process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from curation import parquet
from curation.dedup.minhash import MinHash, MinHashSettings
from curation.duplicates.candidates import candidate_pairs
from curation.duplicates.evidence import evidence_of
from curation.duplicates.grams import Grams, grams_of, losses
from curation.duplicates.keepers import Walk, oriented
from curation.flow.clusters import Clusters, Comparison, connect
from curation.flow.deduplicate import resolve_duplicates
from curation.flow.units import ResolveWork, ShardWork, Work
from curation.formats.columns import Columns
from curation.plan import StagePlan, StageSpec, Step
from curation.scorers.base import Context
from curation.sources import Shard
from curation.text.arrow import buffers

DATA = Path(__file__).parents[2] / "shared" / "data"
PEERS = Path(__file__).parents[1] / ".venv-peers" / "bin" / "python"
SETS = {
    "rust_book_editions": ("text",),
    "spdx_licenses": ("text",),
    "pep_versions": ("text",),
    "dolly_3k": ("instruction", "output"),
}
VERIFY, CONTAINS = (0.7, 0.75, 0.8, 0.9), (0.0, 0.8, 0.9, 0.95, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[[], "table", "recall", "scale"])
    parser.add_argument("--documents", type=int, nargs="+", default=[1_000_000])
    chosen = parser.parse_args()
    what = chosen.what or ["table", "recall"]
    if not DATA.exists() and set(what) - {"scale"}:
        print(f"{DATA} is not here: there is nothing to compare with")
        what = [name for name in what if name == "scale"]
    if "table" in what:
        table()
    if "recall" in what:
        for name in ("rust_book_editions", "spdx_licenses", "pep_versions"):
            recall(name)
    if "scale" in what:
        for documents in (10_000, *chosen.documents):  # the first compiles
            scale(documents)


@dataclass
class Texts:
    """A set of texts, and what is known of them before any setting."""

    evidence: np.ndarray
    size: np.ndarray
    said: Grams
    a: np.ndarray
    b: np.ndarray

    @classmethod
    def of(cls, text: pa.LargeStringArray) -> Texts:
        stage = MinHash(MinHashSettings(), Context(DATA))
        values, _ = evidence_of(text, stage.ngram, 14 * 8)
        evidence = np.ascontiguousarray(values.astype("<u4")).view(np.uint8)
        keys = stage.buckets(evidence)
        a, b = candidate_pairs(keys.ravel(), np.repeat(np.arange(len(text)), keys.shape[1]), stage.members)
        return cls(evidence, np.diff(buffers(text)[0]), grams_of(text), a, b)

    def resolve(self, **settings: object) -> Clusters:
        stage = MinHash(MinHashSettings.model_validate(settings), Context(DATA))
        comparison = Comparison(stage, self.evidence, self.said)
        a, b = oriented(self.rank, self.a, self.b)
        return connect(comparison, comparison.verified(a, b, comparison.estimate(a, b)), self.rank)

    @property
    def rank(self) -> np.ndarray:
        order = np.lexsort((np.arange(len(self.size)), -self.size))
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        return rank

    def loss(self, found: Clusters) -> np.ndarray:
        loss = losses(self.said.offsets, self.said.grams, found.label, found.dropped)
        return np.asarray(loss[found.dropped])

    def estimated(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return Comparison(MinHash(MinHashSettings(), Context(DATA)), self.evidence).estimate(first, second)


def texts(name: str, columns: Sequence[str] = ("text",)) -> pa.LargeStringArray:
    from curation.flow.texts import joint_text

    table = parquet.read(DATA / f"{name}.parquet", list(columns))
    return joint_text([column.combine_chunks().cast(pa.large_string()) for column in table.columns])


def table() -> None:
    licences = np.array(parquet.read(DATA / "spdx_licenses.parquet", ["id"])["id"].to_pylist())
    for name, columns in SETS.items():
        known = Texts.of(texts(name, columns))
        print(f"\n== {name}: {len(known.size):,} documents, the longest survives")
        head = f"{'connect':>10} {'verify':>6} {'contains':>8} {'dropped':>8} {'by chains':>9} {'mean loss':>9}"
        print(
            f"{head} {'lost, as documents':>18} {'lose over 5 %':>13}" + ("  licences gone" if "spdx" in name else "")
        )
        for how, verify, contains in [
            ("components", 0.75, 0.0),
            *(("keeper", verify, contains) for verify in VERIFY for contains in CONTAINS),
        ]:
            found = known.resolve(connect=how, verify=verify, contains=contains)
            gone = np.flatnonzero(found.dropped)
            chains = int((known.estimated(gone, found.twin[gone]) < verify).sum())
            loss = known.loss(found)
            line = (
                f"{how:>10} {verify:6} {contains:8} {len(gone):8,} {chains:9,} {loss.mean() if len(gone) else 0:9.2%}"
            )
            line += f" {loss.sum():18.2f} {(loss > 0.05).sum():13,}"
            if "spdx" in name:
                line += f"  {len(set(licences)) - len(set(licences[~found.dropped])):,} of {len(set(licences))}"
            print(line)


def recall(name: str) -> None:
    """Drops beside those of a walk over true similarities, in which every pair is compared."""
    sys.path.insert(0, str(Path(__file__).parent))
    from accuracy import true_pairs

    text = texts(name)
    known = Texts.of(text)
    a, b, jaccard = true_pairs(text)
    true = dict(zip(zip(a.tolist(), b.tolist(), strict=True), jaccard.tolist(), strict=True))
    print(
        f"\n== {name}: {len(text):,} documents; precision: drops with a true twin that stays; recall: of the documents"
    )
    print("that have one, those dropped; both by Jaccard similarity of all pairs")
    print(f"{'verify':>6} {'method':>22} {'dropped':>8} {'brute force':>11} {'precision':>9} {'recall':>7}")
    for verify in (0.7, 0.8, 0.9):
        near = jaccard >= verify
        worse, better = oriented(known.rank, a[near], b[near])
        brute, _ = Walk(known.rank).take(worse, better, jaccard[near], np.full(near.sum(), np.nan))
        methods = {
            "keeper": known.resolve(verify=verify, contains=0.0).dropped,
            "keeper, exact": _exact(known, text, verify),
            "components": known.resolve(verify=verify, contains=0.0, connect="components").dropped,
        }
        peer = _datatrove(name, len(text), verify)
        if peer is not None:
            methods["datatrove"] = peer
        for method, dropped in methods.items():
            twin = np.zeros(len(text), bool)  # whether something that stays is truly near
            for one, other in zip(a[near], b[near], strict=True):
                twin[one] |= not dropped[other]
                twin[other] |= not dropped[one]
            right = (dropped & twin).sum()
            # Of documents that stay and have a near one that stays, one would go.
            needless = _needless(worse, better, known.rank, dropped)
            print(
                f"{verify:6} {method:>22} {dropped.sum():8,} {(brute != np.arange(len(text))).sum():11,}"
                f" {right / max(1, dropped.sum()):9.3f} {right / max(1, right + needless):7.3f}"
            )
    if not PEERS.exists():
        print("datatrove is not here: `make peers` installs it")
    del true


def _exact(known: Texts, text: pa.LargeStringArray, verify: float) -> np.ndarray:
    stage = MinHash(MinHashSettings(verify=verify, contains=0.0, exact=True), Context(DATA))
    comparison = Comparison(stage, known.evidence, known.said, grams_of(text, stage.ngram))
    a, b = oriented(known.rank, known.a, known.b)
    estimate = comparison.estimate(a, b)
    near = estimate >= verify - stage.margin
    return connect(comparison, comparison.verified(a[near], b[near], estimate[near]), known.rank).dropped


def _needless(worse: np.ndarray, better: np.ndarray, rank: np.ndarray, dropped: np.ndarray) -> int:
    """How many documents a walk over the true pairs would still drop of those that stay."""
    both = ~dropped[worse] & ~dropped[better]
    twin, _ = Walk(rank).take(worse[both], better[both], np.ones(both.sum()), np.full(both.sum(), np.nan))
    return int((twin != np.arange(len(rank))).sum())


def _datatrove(name: str, rows: int, verify: float) -> np.ndarray | None:
    """What datatrove's four minhash blocks remove; they do not verify, so one answer serves every threshold."""
    if not PEERS.exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        command = [str(PEERS), str(Path(__file__).with_name("dedup_peers.py")), str(DATA / f"{name}.parquet"), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    dropped = np.ones(rows, bool)
    dropped[[int(row) for row in done.stdout.splitlines()[-1].split()]] = False
    return dropped


SHARD = 250_000


class Unread(MinHash):
    """Without its texts: what is timed is verifying, connecting, and naming who stays."""

    contains = 0.0  # type: ignore[assignment]
    equal = True  # type: ignore[assignment]


def scale(documents: int) -> None:
    """Clusters of 3 to 40 documents among as many that resemble nothing; each is the one before it with an eighth of
    its signature redrawn, so that there are chains. Their signatures lie in score parts, as those of a run do."""
    with tempfile.TemporaryDirectory(prefix="dedup-") as folder:
        seconds = {how: _resolve(Path(folder), documents, how) for how in ("components", "keeper")}
    print(f"{'':>12} keeper takes {seconds['keeper'] / seconds['components']:.2f} times as long")


def _resolve(folder: Path, documents: int, how: str) -> float:
    """CPU seconds of resolving, the best of as many as a million documents are quick enough for."""
    task = _task(folder, documents, how)
    stage = Unread(MinHashSettings(connect=how), Context(folder))
    seconds = []
    for turn in range(3 if documents <= 1_000_000 else 1):
        began = time.process_time()
        found = resolve_duplicates(task, stage, {}, str(turn))
        seconds.append(time.process_time() - began)
        chained = json.loads(found["report"])["chained"]
        print(
            f"{documents:>12,} documents  {how:>10} {seconds[-1]:7.2f} s of CPU  {found['dropped']:,} dropped,"
            f" {chained:,} of them by chains alone",
            flush=True,
        )
    return min(seconds)


def _task(folder: Path, documents: int, how: str) -> ResolveWork:
    """A dedup that waits to be resolved, in a workspace in `folder`."""
    stage = MinHash(MinHashSettings(connect=how), Context(folder))
    sketch = stage.requires()["sketch"]
    spec = StageSpec("minhash", "dedup", "minhash")
    step = Step("minhash/sketch", spec, ("sketch",), "sketch", tuple(sketch.fields))
    plan = StagePlan(0, spec, stage.version, None, how, (step,), tuple(stage.fields))
    nothing = pa.schema([])
    work = Work(str(folder), "run", how, Columns.of({}), (plan,), nothing, nothing, (), 1, "here")
    shards, entrants = [], []
    for index, start in enumerate(range(0, documents, SHARD)):
        rows = min(SHARD, documents - start)
        shard = Shard(index, index, f"{index}.parquet", "", "parquet", 0, 0, 0, 0, (rows,), 0)
        shards.append(ShardWork(work, shard, {"sketch": [f"{index}-scores.parquet"]}))
        entrants.append({"data": f"{index}-entrants.parquet", "rows": rows})
    if not (folder / "pairs.parquet").exists():
        _signatures(folder, documents, stage)
    return ResolveWork(work, plan, "group", tuple(shards), tuple(entrants), ("pairs.parquet",))


def _signatures(folder: Path, documents: int, stage: MinHash) -> None:
    random = np.random.default_rng(3)
    width = 14 * 8
    keys = []
    for index, start in enumerate(range(0, documents, SHARD)):
        rows = min(SHARD, documents - start)
        block = random.integers(0, 2**32, (rows, width), dtype=np.uint32)
        at = 0
        while at < rows // 2:
            size = int(min(2 + random.geometric(0.25), 40, rows - at))
            for place in range(at + 1, at + size):
                block[place] = np.where(random.random(width) < 0.125, block[place], block[place - 1])
            at += size
        evidence = pa.FixedSizeBinaryArray.from_buffers(pa.binary(4 * width), rows, [None, pa.py_buffer(block)])
        place = pa.array(np.arange(rows))
        parquet.write(pa.table({"row": place, "evidence": evidence}), folder / f"{index}-scores.parquet")
        size = pa.array(random.integers(500, 20_000, rows))
        parquet.write(pa.table({"row": place, "bytes": size}), folder / f"{index}-entrants.parquet")
        keys.append(stage.buckets(block.view(np.uint8)))
    joined = np.concatenate(keys)
    a, b = candidate_pairs(joined.ravel(), np.repeat(np.arange(documents), joined.shape[1]), stage.members)
    parquet.write(pa.table({"a": a, "b": b}), folder / "pairs.parquet")


if __name__ == "__main__":
    main()
