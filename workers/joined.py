"""A Ray cluster that runs already: joined by its address, or found joined by this process, and then left as it was."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

import ray

from schemas.errors import CurationError, Finding
from workers.interrupt import held
from workers.ray_private import no_handlers

ANSWER_SECONDS = 10.0
"""How long a head may take to accept a connection; Ray itself would ask for two minutes."""
TOKEN = (
    "set RAY_AUTH_MODE=token, and the cluster's token in RAY_AUTH_TOKEN, or in a file that RAY_AUTH_TOKEN_PATH names"
)


class JoinedCluster:
    """Joins a cluster by the address of its head, host:port or auto. Raises C035 where that does not answer, C061 where
    this process has joined another one before.

    >>> cluster = JoinedCluster("10.0.0.1:6379")
    >>> cluster.stop()
    """

    alive = True

    def __init__(self, address: str) -> None:
        self.address = address
        self._ours = not ray.is_initialized()
        if not self._ours:
            current = _initialised()
            if not _same(address, current):
                raise CurationError(
                    Finding(
                        "C061",
                        f"Ray is initialised in this process, on the cluster at {current}, and the run is to be on "
                        f"{_named(address)}",
                        f"name that cluster: address={current}; or leave it first: ray.shutdown()",
                    )
                )
            return
        _reachable(address)
        folder = os.getcwd()
        try:
            with held(), no_handlers():
                ray.init(address=address, logging_level="warning", log_to_driver=False)
        except Exception as failure:
            raise CurationError(_refusal(address, failure)) from failure
        finally:
            os.chdir(folder)  # a job's driver is moved, and its recipe's files are named from here

    def stop(self) -> None:
        """Leave the cluster, where nobody was on it before us."""
        if self._ours:
            with held():
                ray.shutdown()


def _initialised() -> str:
    """The head's address of the cluster that this process is on."""
    if ray.util.client.ray.is_connected():
        return "a Ray Client's"
    return str(ray.get_runtime_context().gcs_address)


def _same(address: str, current: str) -> bool:
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or current
    return address == current or bool(_endpoints(address) & _endpoints(current))


def _endpoints(address: str) -> set[tuple[str, str]]:
    """IP addresses and port; those of this machine have one name."""
    host, _, port = address.rpartition(":")
    try:
        addresses = {str(info[4][0]) for info in socket.getaddrinfo(host.strip("[]"), None)}
    except OSError:
        return set()
    own = ray.util.get_node_ip_address()
    return {("here" if ip == own or ip.startswith("127.") or ip == "::1" else ip, port) for ip in addresses}


def _named(address: str) -> str:
    there = os.environ.get("RAY_ADDRESS")
    return f"{there} (of RAY_ADDRESS)" if address == "auto" and there else address


def _reachable(address: str) -> None:
    """Raise C035 for an address of another kind, and for one where nothing listens."""
    name = _named(address)
    target = os.environ.get("RAY_ADDRESS") or address if address == "auto" else address
    if target == "auto":
        return  # Ray looks for a cluster on this machine, and says at once where there is none
    parts = urlsplit(target if "://" in target else f"//{target}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if parts.scheme or not host or not port:
        hint = f"write the head's own address, {host or 'HEAD'}:6379 unless it was given another port"
        if parts.scheme in ("http", "https"):
            hint += "; to send a job to its dashboard: curate submit"
        raise CurationError(Finding("C035", f"{name} is not the address of a Ray cluster", hint))
    try:
        socket.create_connection((host, port), ANSWER_SECONDS).close()
    except OSError as failure:
        reason = failure.strerror or str(failure) or type(failure).__name__
        hint = "is the head up, and is this its own port, 6379 unless it was given another?"
        raise CurationError(Finding("C035", f"Ray cluster at {name} did not answer: {reason}", hint)) from failure


def _refusal(address: str, failure: Exception) -> Finding:
    reason = _first_line(failure)
    text = f"{type(failure).__name__} {failure}".lower()
    if "auth" in text or "token" in text:
        mode = os.environ.get("RAY_AUTH_MODE")
        there = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
        if mode == "token" and not there and "invalid" not in text:
            reason = "it asks for a token, and there is none here"
        elif mode == "token":
            reason = "it refuses the token"
        else:
            reason = f"it asks for a token, and RAY_AUTH_MODE is {mode}"
        return Finding("C035", f"Ray cluster at {_named(address)} was not joined: {reason}", TOKEN)
    hint = f"something listens there: is it a Ray head of version {ray.__version__}, and has it this token? {TOKEN}"
    return Finding("C035", f"Ray cluster at {_named(address)} did not answer: {reason}", hint)


def _first_line(failure: Exception) -> str:
    return (str(failure).strip() or type(failure).__name__).splitlines()[0]
