"""A few bytes by key in Ray's control store, seen by all processes of one driver: too few for an actor."""

from __future__ import annotations

import ray
from ray.experimental import internal_kv

NAMESPACE = b"curation"


def write(key: str, value: str) -> None:
    """Put a value; it is there for every reader once this returns."""
    internal_kv._internal_kv_put(_key(key), value.encode(), overwrite=True, namespace=NAMESPACE)


def read(key: str) -> str | None:
    """The value, or None where nobody put one."""
    found = internal_kv._internal_kv_get(_key(key), namespace=NAMESPACE)
    return None if found is None else found.decode()


def erase(key: str) -> None:
    """Take a value away; nothing where there is none."""
    internal_kv._internal_kv_del(_key(key), namespace=NAMESPACE)


def _key(key: str) -> bytes:
    return f"{ray.get_runtime_context().get_job_id()}/{key}".encode()
