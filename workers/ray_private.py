"""Every private name of Ray that the engine leans on, so that an upgrade touches one file. Tests tell when one goes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.experimental import internal_kv


def silence_worker_logs() -> None:
    """What Ray says of a lost worker it prints to stdout, whatever `log_to_driver` is, and stdout is for data."""
    ray._private.worker._worker_logs_enabled = False


def available_by_node() -> dict[str, dict[str, float]]:
    """What is free on each machine, by node id."""
    return ray._private.state.available_resources_per_node()  # type: ignore[no-any-return]


def autoscaler_limits() -> dict[str, float] | None:
    """The most that an autoscaler would bring the cluster to; None without one."""
    return ray._private.state.state.get_max_resources_from_cluster_config()  # type: ignore[no-any-return]


def kv_put(key: bytes, value: bytes, namespace: bytes) -> None:
    """Put a value into Ray's control store."""
    internal_kv._internal_kv_put(key, value, overwrite=True, namespace=namespace)


def kv_get(key: bytes, namespace: bytes) -> bytes | None:
    """A value of Ray's control store."""
    return internal_kv._internal_kv_get(key, namespace=namespace)  # type: ignore[no-any-return]


def kv_delete(key: bytes, namespace: bytes) -> None:
    """Remove a value from Ray's control store; nothing where there is none."""
    internal_kv._internal_kv_del(key, namespace=namespace)


@contextmanager
def own_sessions(
    variables: dict[str, str], before_start: Callable[[], None], started: Callable[[subprocess.Popen[bytes]], None]
) -> Iterator[None]:
    """Ray starts its processes meanwhile in sessions of their own, with these environment variables, and killed rather
    than asked to end. `before_start` runs in each before it becomes Ray's; `started` is told of each."""
    services = ray._private.services
    original = services.ConsolePopen

    class Apart(original):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any, preexec_fn: Any, env: dict[str, str], **options: Any) -> None:
            def prepare() -> None:
                preexec_fn()
                before_start()

            super().__init__(
                *arguments, preexec_fn=prepare, env={**env, **variables}, start_new_session=True, **options
            )
            started(self)

        def terminate(self) -> None:
            self.kill()

    services.ConsolePopen = Apart
    try:
        yield
    finally:
        services.ConsolePopen = original


@contextmanager
def no_handlers() -> Iterator[None]:
    """Ray would take SIGTERM for itself, and end the process; ours drains."""
    utils = ray._private.utils
    original, utils.set_sigterm_handler = utils.set_sigterm_handler, lambda handler: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = original


@contextmanager
def on_loopback() -> Iterator[None]:
    """Ray binds every port to 127.0.0.1 meanwhile, as it does on macOS."""
    constants = ray._private.ray_constants
    original, constants.ENABLE_RAY_CLUSTER = constants.ENABLE_RAY_CLUSTER, False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = original
