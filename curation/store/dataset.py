"""What the files of a published dataset are called: Hugging Face's layout, and that of earlier versions."""

from __future__ import annotations

from dataclasses import dataclass

from curation.store.base import Store

FOLDER = "data"
PATTERN = f"{FOLDER}/train-*.parquet"
"""All of them, in the folder of a dataset."""
EARLIER = ("part", "labels")
"""How the files of earlier versions begin, which lie beside the card: of a run's dataset, and of weak labels."""


def file_name(part: int, files: int) -> str:
    """Name of one of `files` files, in the dataset's folder; their order is that of their names."""
    return f"{FOLDER}/train-{part:05d}-of-{files:05d}.parquet"


@dataclass(frozen=True)
class DatasetFiles:
    """The Parquet files that are in a dataset's folder."""

    sizes: dict[str, int]
    """Bytes by name in the folder, in the dataset's order."""
    earlier: str = ""
    """Where an earlier version published it, how its files begin (`EARLIER`)."""

    @classmethod
    def of(cls, store: Store, folder: str) -> DatasetFiles:
        inside = store.sizes(f"{folder}/{FOLDER}").items()
        sizes = {f"{FOLDER}/{name}": size for name, size in sorted(inside) if _is_data(name, "train")}
        if sizes:
            return cls(sizes)
        beside = sorted(store.sizes(folder).items())
        for begin in EARLIER:
            sizes = {name: size for name, size in beside if _is_data(name, begin)}
            if sizes:
                return cls(sizes, begin)
        return cls({})

    @property
    def pattern(self) -> str:
        return f"{self.earlier}-*.parquet" if self.earlier else PATTERN

    def name(self, part: int, files: int) -> str:
        """What a file is called, be it there or not."""
        return f"{self.earlier}-{part:05d}.parquet" if self.earlier else file_name(part, files)


def _is_data(name: str, begin: str) -> bool:
    """Files that other tools leave beside the data are none of it."""
    return name.startswith(f"{begin}-") and name.endswith(".parquet")
