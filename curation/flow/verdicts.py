"""What a resolved dataset-wide stage says about the rows of one shard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class StageVerdicts:
    """What a dataset-wide stage said about the rows of one shard."""

    struct: pa.StructArray
    drop: np.ndarray
    """bool [n]: what the stage drops by itself."""
    reason: str | np.ndarray
    """Of all, or [n]."""
    score: np.ndarray
    threshold: float | np.ndarray | None
    """Of each row, or one for all."""
    twins: dict[str, np.ndarray]
    """Columns of `schemas.manifest.TWIN`; rows of -1 and NaN where there is none."""
