"""When a service is asked again: after which answers, and how long to wait before."""

from __future__ import annotations

import random

AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)
"""HTTP statuses after which the same request may succeed. S3 answers 409 where two create one key at once."""
_random = random.SystemRandom()


def pause(attempt: int, first: float, most: float) -> float:
    """Seconds to wait after try number `attempt`, from 0: `first`, doubled with each further one, at most `most`; each
    time between half of it and all, so that those who failed together do not ask together again."""
    return _random.uniform(0.5, 1.0) * min(first * 2.0**attempt, most)
