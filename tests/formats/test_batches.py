"""Every row once an epoch, in an order that neither ranks nor restarts change."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.utils.data import DataLoader

from curation import parquet
from curation.formats import shuffle
from curation.formats.batches import Batches, order
from curation.store.dataset import file_name
from pipelines.dataset import Dataset
from schemas.errors import CurationError

ROWS = 1000


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("published")
    (folder / "data").mkdir()
    n = np.arange(ROWS)
    table = pa.table(
        {
            "n": n,
            "text": [f"text {k} " + "x" * (k % 50) for k in range(ROWS)],
            "score": pa.array((n / 7).astype(np.float32)),
            "maybe": pa.array([None if k % 9 == 0 else k for k in range(ROWS)]),
            "good": pa.array(n % 2 == 0),
            "vector": pa.array([[k, k + 0.5] for k in range(ROWS)], pa.list_(pa.float32(), 2)),
        }
    )
    for part in range(3):
        rows = table.slice(part * 400, 400)
        parquet.write(rows, folder / file_name(part, 3), row_group_size=150)
    return Dataset(folder)


def numbers(batches: Any) -> list[int]:
    return [n for batch in batches for n in batch["n"].tolist()]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 1000])
def test_the_order_is_a_permutation_that_seed_and_epoch_decide(count: int) -> None:
    rows = np.arange(count)
    plain = order(rows, count, 0, 0)
    assert sorted(plain.tolist()) == list(range(count))
    assert plain.tolist() == [order(rows[k : k + 1], count, 0, 0)[0] for k in range(count)]
    if count == 1000:
        assert abs(np.corrcoef(plain, rows)[0, 1]) < 0.1
        for seed, epoch in ((1, 0), (0, 1)):
            assert abs(np.corrcoef(plain, order(rows, count, seed, epoch))[0, 1]) < 0.1


def test_each_row_comes_once_an_epoch_and_another_epoch_has_another_order(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = dataset.to_torch(["n"], batch_size=64, seed=3)
    assert len(batches) == 16
    first, second = numbers(batches), numbers(batches)
    assert sorted(first) == sorted(second) == list(range(ROWS))
    assert first != second
    monkeypatch.setattr(shuffle, "BUCKET_BYTES", 500)
    assert numbers(dataset.to_torch(["n"], batch_size=7, seed=3)) == first


@pytest.mark.parametrize(("ranks", "size"), [(1, 10), (3, 32), (7, 1), (4, 250), (1500, 1)])
def test_ranks_share_the_order(dataset: Dataset, ranks: int, size: int) -> None:
    whole = numbers(dataset.to_torch(["n"], batch_size=ROWS, seed=5))
    shown = range(0, ranks, max(1, ranks // 8))
    shares = {rank: dataset.to_torch(["n"], batch_size=size, seed=5, rank=rank, world_size=ranks) for rank in shown}
    for rank, share in shares.items():
        taken = [batch["n"].tolist() for batch in share]
        assert [n for batch in taken for n in batch] == whole[rank::ranks]
        assert len(taken) == len(share)


def test_a_state_goes_on_with_another_number_of_ranks_and_another_size(dataset: Dataset) -> None:
    whole = numbers(dataset.to_torch(["n"], batch_size=ROWS, seed=2))
    taken: list[int] = []
    states = []
    for rank in range(3):
        batches = dataset.to_torch(["n"], batch_size=20, seed=2, rank=rank, world_size=3)
        going = iter(batches)
        taken += [n for _ in range(4) for n in next(going)["n"].tolist()]
        states.append(batches.state_dict())
    assert states == [{"seed": 2, "epoch": 0, "rows": 240, "of": ROWS}] * 3
    assert sorted(taken) == sorted(whole[:240])
    rest: list[int] = []
    for rank in range(2):
        batches = dataset.to_torch(["n"], batch_size=33, rank=rank, world_size=2)
        batches.load_state_dict(states[0])
        assert batches.state_dict() == states[0]
        rest += numbers(batches)
        assert batches.state_dict() == {"seed": 2, "epoch": 1, "rows": 0, "of": ROWS}
    assert sorted(taken + rest) == list(range(ROWS))
    with pytest.raises(CurationError, match="C004"):
        batches.load_state_dict({"seed": 2, "epoch": 0, "rows": 1, "of": 5})


def test_whole_batches_alone_are_as_many_on_each_rank(dataset: Dataset) -> None:
    taken = []
    for rank in range(3):
        batches = dataset.to_torch(["n"], batch_size=30, rank=rank, world_size=3, drop_last=True)
        sizes = [len(batch["n"]) for batch in batches]
        assert sizes == [30] * 11 == [30] * len(batches)
        taken += numbers(dataset.to_torch(["n"], batch_size=30, rank=rank, world_size=3, drop_last=True))
    assert len(set(taken)) == len(taken) == 990


def test_columns_are_tensors_or_lists(dataset: Dataset) -> None:
    batch = next(iter(dataset.to_torch(batch_size=200)))
    n = batch["n"]
    assert n.dtype == torch.int64
    assert [text.split()[1] for text in batch["text"]] == [str(k) for k in n.tolist()]
    assert torch.equal(batch["score"], (n / 7).to(torch.float32))
    assert torch.equal(batch["good"], n % 2 == 0)
    assert torch.equal(batch["vector"], torch.stack([n, n + 0.5], 1).to(torch.float32))
    assert torch.equal(torch.isnan(batch["maybe"]), n % 9 == 0)
    assert torch.equal(batch["maybe"][n % 9 != 0], n[n % 9 != 0].to(torch.float64))
    assert type(batch["maybe"]) is type(n)


def test_workers_of_a_loader_share_the_rows(dataset: Dataset) -> None:
    batches = dataset.to_torch(["n"], batch_size=100)
    assert isinstance(batches, Batches)
    loaded = numbers(DataLoader(batches, batch_size=None, num_workers=2))
    assert sorted(loaded) == list(range(ROWS))


def epoch_by_workers(batches: Batches, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What two workers of a DataLoader give, each a copy that goes with the epoch."""
    taken = []
    for worker in range(2):
        info = SimpleNamespace(num_workers=2, id=worker)
        monkeypatch.setattr("curation.formats.batches.get_worker_info", lambda info=info: info)
        taken += numbers(copy.copy(batches))
    return taken


def test_set_epoch_gives_workers_another_order_and_after_a_resume_whole_epochs(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = dataset.to_torch(["n"], batch_size=100)
    epochs = []
    for epoch in range(2):
        batches.set_epoch(epoch)
        epochs.append(epoch_by_workers(batches, monkeypatch))
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(ROWS))
    batches.load_state_dict({"seed": 0, "epoch": 1, "rows": 400, "of": ROWS})
    batches.set_epoch(1)
    assert len(epoch_by_workers(batches, monkeypatch)) == ROWS - 400
    batches.set_epoch(2)
    assert batches.state_dict() == {"seed": 0, "epoch": 2, "rows": 0, "of": ROWS}
    assert sorted(epoch_by_workers(batches, monkeypatch)) == list(range(ROWS))


@pytest.mark.parametrize(
    "wrong", [{"columns": ["m"]}, {"columns": []}, {"batch_size": 0}, {"rank": 2, "world_size": 2}]
)
def test_what_cannot_be_is_refused(dataset: Dataset, wrong: dict[str, Any]) -> None:
    with pytest.raises(CurationError, match="C004"):
        dataset.to_torch(**wrong)


def test_nothing_is_left_on_the_disk(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    going = iter(dataset.to_torch(["n"], batch_size=10))
    next(going)
    assert list(tmp_path.iterdir())
    del going
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_dataset_is_told(tmp_path: Path) -> None:
    with pytest.raises(CurationError, match="C032"):
        len(Dataset(tmp_path))
    (tmp_path / "labels-00000.parquet").touch()  # as earlier versions published weak labels
    assert Dataset(tmp_path).files == [tmp_path / "labels-00000.parquet"]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train-00000-of-00001.parquet.crc").touch()  # what other tools leave is none of it
    assert Dataset(tmp_path).files == [tmp_path / "labels-00000.parquet"]


def test_a_dataset_is_shown_without_its_files_being_counted_and_where_they_are_gone(
    dataset: Dataset, tmp_path: Path
) -> None:
    assert repr(Dataset(tmp_path)) == f"Dataset({str(tmp_path)!r})"
    shown = Dataset(dataset.path)
    assert repr(shown) == f"Dataset({str(dataset.path)!r}: n, text, score, maybe, good, vector)"
    assert "_metadata" not in vars(shown)
