"""What a network runs on: device, number format, threads, weights. Imports torch only in functions that need it."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from threading import Condition
from typing import Any, Literal

from curation.models.locate import LocatedModel, ModelError

Device = Literal["cpu", "cuda"]
Dtype = Literal["bf16", "fp32"]

THREADS = 2
"""CPU threads of a forward pass: a constant, because a count taken from the machine would be one more thing that a
score depends on."""

PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "A10": 125e12}
"""Dense bf16 FLOP/s by a part of the card's name, from the makers' data sheets (SXM where there are several)."""


def best_device() -> Device:
    """The environment's CURATION_DEVICE; else "cuda" where driver, visible devices and torch's build all allow it.

    Imports no torch. The machine that plans a run decides for the cluster, so on one whose head has no GPU say
    CURATION_DEVICE=cuda.
    """
    chosen = os.environ.get("CURATION_DEVICE")
    if chosen in ("cpu", "cuda"):
        return chosen  # type: ignore[return-value]
    if chosen:
        raise ModelError(f"CURATION_DEVICE is {chosen!r}", hint="cpu or cuda")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible in ("", "-1") or not Path("/proc/driver/nvidia/version").exists():
        return "cpu"
    return "cpu" if metadata.version("torch").endswith("+cpu") else "cuda"


def best_dtype(device: Device) -> Dtype:
    """bf16 on CUDA and on CPUs that multiply it natively (avx512_bf16, amx_bf16, Arm's bf16), else fp32."""
    if device == "cuda":
        return "bf16"
    cpuinfo = Path("/proc/cpuinfo")
    if platform.system() != "Linux" or not cpuinfo.exists():
        return "fp32"
    for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, flags = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return "bf16" if {"avx512_bf16", "amx_bf16", "bf16"} & set(flags.split()) else "fp32"
    return "fp32"


def cards() -> list[str]:
    """Names of this machine's GPUs, by the kernel driver."""
    names = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        lines = dict(line.partition(":")[::2] for line in path.read_text().splitlines())
        names.append(lines.get("Model", "unknown").strip())
    return names


@cache
def peak_flops(device: Device, dtype: Dtype) -> float | None:
    """FLOP/s of matrix products at best: of a GPU by its data sheet, None for an unknown one; of a CPU measured once,
    by the best of ten products of 1024 x 1024 matrices on `THREADS` threads (a fifth of a second)."""
    import torch

    if device == "cuda":
        name = torch.cuda.get_device_name()
        return next((peak for part, peak in PEAKS.items() if part in name), None) if dtype == "bf16" else None
    from time import perf_counter

    size = 1024
    square = torch.ones(size, size, dtype=torch.bfloat16 if dtype == "bf16" else torch.float32)
    best = float("inf")
    with threads(THREADS):
        for _ in range(10):
            began = perf_counter()
            torch.mm(square, square)
            best = min(best, perf_counter() - began)
    return 2 * size**3 / best


def open_network(
    auto: Any,
    model: LocatedModel,
    device: Device,
    dtype: Dtype,
    attention: str,
    wanted: str,
    optional: Callable[[str], bool] = lambda key: False,
) -> Any:
    """The model's network through `auto`, a transformers Auto class. Weights may lack keys that are `optional` only.

    Raises ModelError: weights that do not fit config.json, an architecture without that attention, no CUDA device.
    """
    import torch
    from transformers.utils import logging

    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError(
            "no CUDA device for torch in this process", hint="give the actor a GPU, or CURATION_DEVICE=cpu"
        )
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        network, report = auto.from_pretrained(
            model.folder,
            dtype=torch.bfloat16 if dtype == "bf16" else torch.float32,
            attn_implementation=attention,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{model.address} does not load: {reason}", hint=f"is it {wanted} in safetensors?") from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
    # transformers fills what is missing with random numbers and only warns.
    missing = sorted(key for key in report["missing_keys"] if not optional(key))
    if missing:
        raise ModelError(
            f"{model.address}: {len(missing)} weights are missing, among them {missing[0]}",
            hint="config.json and model.safetensors are of different models",
        )
    return network.eval().to(device)


_turn = Condition()
_waiting = 0
_exact = 0
"""How many threads make fp32 products that must be fp32; -1 while one makes them from bf16 factors: torch's switch is
one for the whole process."""


@contextmanager
def exact_products() -> Iterator[None]:
    """Around whatever multiplies fp32 matrices on a CPU: waits while another thread has switched that to bf16 factors.

    Even bf16 networks do, for the angles of rotary positions.
    """
    global _exact, _waiting
    with _turn:
        _waiting += 1
        _turn.wait_for(lambda: _exact >= 0)
        _waiting -= 1
        _exact += 1
    try:
        yield
    finally:
        with _turn:
            _exact -= 1
            _turn.notify_all()


@contextmanager
def bf16_products() -> Iterator[None]:
    """Products of fp32 matrices on a CPU from their factors in bf16, summed and returned in fp32.

    For factors that bf16 holds exactly, such as a bf16 network's states and weights, the products are exact; on CPUs
    with such instructions they take a third of the time. torch has no product of bf16 matrices with an fp32 result on
    the CPU but this. Not to be entered inside `exact_products`.
    """
    global _exact
    import torch

    with _turn:
        _turn.wait_for(lambda: _exact == 0 and not _waiting)
        _exact = -1
    switch: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before, switch.fp32_precision = switch.fp32_precision, "bf16"
    try:
        yield
    finally:
        switch.fp32_precision = before
        with _turn:
            _exact = 0
            _turn.notify_all()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Run with `count` torch threads: a global of the process, so it is put back."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
