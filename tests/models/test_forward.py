"""Passes for CUDA, as far as a CPU can tell: bounds, buckets, and the call of torch's variable-length attention."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.models.encoder import Encoder
from curation.models.forward import SHORTEST, Packed, filled_bounds, has_varlen
from curation.models.sequences import framed

SENTENCE = "A tide gauge records the height of the sea against a mark on land, hour after hour, for decades. "
TEXTS = [SENTENCE * n for n in (1, 2, 9, 1, 30, 5, 5, 5)] + ["", "a", "sea"] * 3


@given(st.lists(st.integers(1, 128), max_size=40), st.sampled_from([128, 200, 256]))
def test_bounds_cover_the_pack_with_sequences_of_bounded_length(lengths: list[int], longest: int) -> None:
    size, most = 8192, 8192 // SHORTEST
    starts = np.cumsum([0, *lengths])[:-1] if lengths else np.zeros(0, np.int64)
    bounds = filled_bounds(starts, sum(lengths), size, longest, most)
    assert bounds.dtype == np.int32
    assert len(bounds) == most + 1
    assert bounds[: len(lengths)].tolist() == starts.tolist()
    assert (np.diff(bounds) >= 0).all()
    assert np.diff(bounds).max() <= longest
    assert bounds[-1] == size


@pytest.mark.long
@pytest.mark.skipif(not has_varlen(), reason="this torch has no variable-length attention")
@pytest.mark.parametrize("size", [512, 1024])
def test_with_variable_length_attention_the_vectors_are_the_same(
    size: int, fp32: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel itself is torch's and runs on CUDA only; a plain one in its place shows what is asked of it."""
    import torch

    asked: list[tuple[int, int]] = []

    def plain(
        query: Any, key: Any, value: Any, cu_seq_q: Any, cu_seq_k: Any, max_q: int, max_k: int, *, scale: float,
        window_size: tuple[int, int], enable_gqa: bool,
    ) -> Any:  # fmt: skip
        assert (max_q, window_size, enable_gqa) == (max_k, (-1, -1), False)
        assert cu_seq_q.dtype == torch.int32
        assert int(cu_seq_q.diff().max()) <= max_q
        asked.append((len(cu_seq_q), max_q))
        out = torch.full_like(query, float("nan"))
        bounds = cu_seq_q.tolist()
        for begin, end in pairwise(bounds):
            if begin < end:
                q, k, v = (states[begin:end].transpose(0, 1)[None] for states in (query, key, value))
                attended = torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=scale)
                out[begin:end] = attended[0].transpose(0, 1)
        return out

    expected = fp32.encode(TEXTS).vectors
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", plain)
    forward = fp32._forward
    assert isinstance(forward, Packed)
    varlen = Packed(forward.body, "cpu", size, 256, fp32.meter, causal=False, segments=forward.segments, varlen=True)
    monkeypatch.setattr(fp32, "_forward", varlen)
    np.testing.assert_allclose(fp32.encode(TEXTS).vectors, expected, atol=1e-5)
    assert {places for places, _ in asked} == {size // SHORTEST + 1}, "every pass has the same number of sequences"
    assert {longest for _, longest in asked} == {128, 256}
    rows = np.arange(len(TEXTS))
    ids = framed(fp32.ids(pa.array(TEXTS, pa.large_string())), fp32.frame(), 256).sequences
    assert sorted(row for states in varlen.run(ids) for row in states.rows) == rows.tolist()


@pytest.mark.skipif(not has_varlen(), reason="this torch has no variable-length attention")
@pytest.mark.parametrize(("heads", "causal"), [(4, False), (2, True)])
def test_torchs_variable_length_attention_takes_what_it_is_given(heads: int, causal: bool) -> None:
    """By its own rules for shapes and types, which it checks without a GPU."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    from curation.models.forward import _attend

    with FakeTensorMode():
        query, key, value = (
            torch.empty(1, count, 4096, 32, dtype=torch.bfloat16, device="meta") for count in (4, heads, heads)
        )
        bounds = torch.zeros(257, dtype=torch.int32, device="meta")
        out, _ = _attend(None, query, key, value, None, 0.2, bounds=bounds, causal=causal, longest=512)
    assert out.shape == (1, 4096, 4, 32)
    assert out.dtype == torch.bfloat16
