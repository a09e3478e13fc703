"""Text that nobody wrote for these tests: the Python manual that the standard library carries, and web pages where the
development data lies beside the checkout."""

from __future__ import annotations

from pathlib import Path
from pydoc_data.topics import topics

import pyarrow.parquet as pq

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pages(most: int = 200) -> list[str]:
    """Pages of the manual; of 200, half are from the web where there are any."""
    manual = list(topics.values())
    path = DATA / "web_samples.parquet"
    web = pq.read_table(path, columns=["text"])["text"].to_pylist()[::2] if path.exists() else []
    return [*web[: most // 2], *manual][:most]
