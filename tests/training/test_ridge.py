"""The head's optimum is the known one, whatever the shift of the data."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from curation.training import ridge


@pytest.mark.parametrize("l2", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_the_optimum_equals_scikit_learns(l2: float, shift: float) -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(300, 40)) + shift
    y = X @ random.normal(size=40) + random.normal(size=300) + 7
    head = ridge.fit(X, y, l2)
    reference = Ridge(alpha=l2, solver="cholesky").fit(X, y)
    np.testing.assert_allclose(head.weight, reference.coef_, atol=1e-6)
    assert head.bias == pytest.approx(reference.intercept_, abs=1e-5)


def test_what_cannot_be_fitted_is_refused() -> None:
    X = np.ones((3, 2))
    with pytest.raises(ValueError, match="above 0"):
        ridge.fit(X, np.ones(3), 0)
    with pytest.raises(ValueError, match="NaN"):
        ridge.fit(X, np.array([1, 2, np.nan]), 1.0)
    assert ridge.fit(X, np.ones(3), 1.0).bias == pytest.approx(1)
