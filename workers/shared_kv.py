"""A few bytes by key in Ray's control store, seen by all processes of one driver: too few for an actor."""

from __future__ import annotations

import ray

from workers.ray_private import kv_delete, kv_get, kv_put

NAMESPACE = b"curation"


def write(key: str, value: str) -> None:
    """Put a value; it is there for every reader once this returns."""
    kv_put(_key(key), value.encode(), NAMESPACE)


def read(key: str) -> str | None:
    """The value, or None where nobody put one."""
    value = kv_get(_key(key), NAMESPACE)
    return None if value is None else value.decode()


def erase(key: str) -> None:
    """Take a value away; nothing where there is none."""
    kv_delete(_key(key), NAMESPACE)


def _key(key: str) -> bytes:
    return f"{ray.get_runtime_context().get_job_id()}/{key}".encode()
