"""The label file of one seed: a row a document, with all that was voted on it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.weak_to_strong.crossfit import QUARANTINED
from curation.weak_to_strong.label_model import ABSTAIN
from curation.weak_to_strong.labels import Evidence, Labels
from pipelines.weak_to_strong.data import Data
from schemas.weak_to_strong import QUARANTINED as SET_ASIDE
from schemas.weak_to_strong import SPLITS


def label_table(labels: Labels, evidence: Evidence, data: Data, classes: tuple[str, ...]) -> pa.Table:
    """Labels and evidence of all rows, in the order of the input."""
    names = [*SPLITS, SET_ASIDE, "blank"]
    split = np.where(
        evidence.split >= 0,
        evidence.split,
        np.where(evidence.split == QUARANTINED, len(SPLITS), len(SPLITS) + 1),
    )
    named = pa.array(classes, pa.string())
    none = labels.hard == ABSTAIN
    chosen = np.where(none[:, None], False, labels.sets)
    sets = pa.ListArray.from_arrays(
        pa.array(np.append(0, np.cumsum(chosen.sum(axis=1))), pa.int32()),
        named.take(pa.array(np.nonzero(chosen)[1])),
        mask=pa.array(none),
    )
    votes = [
        pa.DictionaryArray.from_arrays(pa.array(column, mask=column == ABSTAIN), named) for column in evidence.votes.T
    ]
    return pa.table(
        {
            "file": pa.array(data.file),
            "row": pa.array(data.row),
            "id": data.ids,
            "split": pa.DictionaryArray.from_arrays(pa.array(split.astype(np.int8)), pa.array(names)),
            "soft_label": _lists(labels.soft, evidence.split < 0),
            "hard_label": pa.DictionaryArray.from_arrays(pa.array(labels.hard, mask=none), named),
            "confidence": pa.array(labels.confidence, mask=none),
            "margin": pa.array(labels.margin, mask=none),
            "entropy": pa.array(labels.entropy, mask=none),
            "agreement": pa.array(labels.agreement, mask=none),
            "automatic": pa.array(labels.automatic),
            "conformal_set": sets,
            "abstain": pa.array(none),
            "weight": pa.array(np.where(none, 0, 1).astype(np.float32)),
            "votes": pa.StructArray.from_arrays(votes, list(evidence.names)),
            "probabilities": _probabilities(evidence),
        }
    )


def _probabilities(evidence: Evidence) -> pa.Array:
    """Of each voter that gives some; nulls where all of them only name classes."""
    given = [index for index in range(len(evidence.names)) if not _is_sure(evidence.p[:, index])]
    if not given:
        return pa.nulls(len(evidence.votes), pa.string())
    columns = [_lists(evidence.p[:, index], evidence.votes[:, index] == ABSTAIN) for index in given]
    return pa.StructArray.from_arrays(columns, [evidence.names[index] for index in given])


def _is_sure(p: NDArray[np.float32]) -> bool:
    """Whether a voter gave classes only."""
    return bool(((p == 0) | (p == 1) | np.isnan(p)).all())


def _lists(p: NDArray[np.float32], missing: NDArray[np.bool_]) -> pa.ListArray:
    """[n, k] as lists, null where it is missing."""
    counts = np.where(missing, 0, p.shape[1])
    offsets = pa.array(np.append(0, np.cumsum(counts)), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(p[~missing].ravel()), mask=pa.array(missing))
