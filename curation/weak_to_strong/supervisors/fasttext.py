"""A fastText classifier, trained here from gold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.training import fasttext
from curation.weak_to_strong.supervisors.base import Inputs, Learning, absent


class FastTextSupervisor(Learning):
    """Probabilities of the labels; of a text that shares no word with what was learned, the classes' shares there."""

    kind = "fasttext"

    def fit_predict(self, train: Inputs, y: NDArray[np.int8], to_predict: Inputs) -> NDArray[np.floating[Any]]:
        absent(y, self.classes)
        options = fasttext.Options(**self.settings.model_dump(exclude={"rows"}))
        names = [str(place) for place in range(len(self.classes))]
        model = fasttext.opened(fasttext.train(train, y.astype(np.int32), names, options))
        predicted = model.predict(to_predict, len(names))
        p = np.zeros((len(to_predict), len(names)))
        code = np.array([int(label) for label in model.labels])
        ranked = predicted.labels >= 0
        rows = np.broadcast_to(np.arange(len(to_predict))[:, None], ranked.shape)
        p[rows[ranked], code[predicted.labels[ranked]]] = predicted.probs[ranked]
        p[~ranked.any(axis=1)] = np.bincount(y, minlength=len(names)) / len(y)
        return np.asarray(p / p.sum(axis=1, keepdims=True))
