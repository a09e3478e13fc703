"""Products of fp32 matrices from bf16 factors are exact where the factors are, and nobody else's products change."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from curation.models.devices import bf16_products, exact_products, peak_flops


def matrices(seed: int, exact: bool) -> tuple[object, object]:
    import torch

    torch.manual_seed(seed)
    a, b = torch.randn(64, 96), torch.randn(96, 160)
    return (a.bfloat16().float(), b.bfloat16().float()) if exact else (a, b)


def test_of_bf16_numbers_the_products_are_those_of_float64_up_to_the_sums_rounding() -> None:
    import torch

    a, b = matrices(0, exact=True)
    with bf16_products():
        found = torch.mm(a, b)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), (a.double() @ b.double()).numpy(), atol=2e-5)


def test_while_one_thread_multiplies_so_no_other_does_unawares() -> None:
    import torch

    a, b = matrices(1, exact=False)
    with exact_products():
        expected = torch.mm(a, b)
    stop = threading.Event()
    found = []

    def switch() -> None:
        while not stop.is_set():
            with bf16_products():
                torch.mm(a, b)

    other = threading.Thread(target=switch)
    other.start()
    try:
        for _ in range(200):
            with exact_products():
                found.append(torch.equal(torch.mm(a, b), expected))
    finally:
        stop.set()
        other.join()
    assert all(found)
    assert torch.equal(torch.mm(a, b), expected), "the switch is back where it was"


def test_the_switch_goes_back_when_something_breaks() -> None:
    import torch

    before = torch.backends.mkldnn.matmul.fp32_precision
    with pytest.raises(RuntimeError), bf16_products():
        raise RuntimeError
    assert torch.backends.mkldnn.matmul.fp32_precision == before
    with exact_products(), exact_products():
        pass


def test_the_peak_is_a_measurement() -> None:
    assert 1e9 < (peak_flops("cpu", "fp32") or 0) < 1e14
