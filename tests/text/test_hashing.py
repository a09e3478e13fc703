"""XXH64 is XXH64, for every length and seed; the mix is the published one."""

from __future__ import annotations

import numpy as np
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.text.hashing import hash_spans, mix64, xxh64


@given(st.binary(max_size=200), st.integers(0, 2**64 - 1), st.integers(0, 40), st.integers(0, 40))
@settings(deadline=None)
def test_xxh64_equals_the_xxhash_package(data: bytes, seed: int, before: int, after: int) -> None:
    buffer = np.frombuffer(b"\xff" * before + data + b"\xaa" * after, dtype=np.uint8)
    got = xxh64(buffer, before, before + len(data), np.uint64(seed))
    assert int(got) == xxhash.xxh64_intdigest(data, seed)


def test_every_length_around_the_block_borders() -> None:
    data = np.random.default_rng(3).integers(0, 256, 300, dtype=np.uint8)
    for length in range(300):
        for seed in (0, 1, 2**64 - 1):
            assert int(xxh64(data, 0, length, np.uint64(seed))) == xxhash.xxh64_intdigest(data[:length].tobytes(), seed)


def test_spans_are_hashed_each_on_its_own() -> None:
    texts = ["", "a", "naïve", "x" * 1000]
    data = "".join(texts).encode()
    ends = np.cumsum([len(t.encode()) for t in texts]).astype(np.int64)
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    got = hash_spans(np.frombuffer(data, np.uint8), starts, ends, np.uint64(7))
    assert got.dtype == np.uint64
    assert got.tolist() == [xxhash.xxh64_intdigest(t.encode(), 7) for t in texts]


def test_mix64_gives_the_published_splitmix64_sequence() -> None:
    # First outputs of splitmix64 with seed 1234567, as listed on Rosetta Code, "Pseudo-random numbers/Splitmix64".
    golden = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    gamma = 0x9E3779B97F4A7C15
    states = [(1234567 + gamma * (i + 1)) % 2**64 for i in range(5)]
    assert [int(mix64(np.uint64(s))) for s in states] == golden
