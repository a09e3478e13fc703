"""Actors of one model: as many as are kept busy, between the bounds that the recipe sets."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import ray

from curation.plan import Step
from workers import shared_kv
from workers.cluster import SAY_EVERY, ResourceRequest

BUSY = 0.7
"""Share of its time that an actor works from which another would help."""
REFRESH_SECONDS = 5.0
"""How long a task goes by the list of actors that it read."""


class Pool:
    """The actors that hold one step's model. Kept by the driver; tasks find their names in the shared store."""

    def __init__(
        self,
        step: Step,
        request: ResourceRequest,
        bounds: tuple[int, int | None],
        start: Callable[[str], Any],
        room: Callable[[], bool],
        tell: Callable[[str], None],
        idle_seconds: float,
    ) -> None:
        self.step = step
        self.request = request
        self.least, self.most = bounds
        self.members: dict[str, Any] = {}
        self._start = start
        self._room = room
        self._tell = tell
        self._idle_seconds = idle_seconds
        self._number = 0
        self._asked: dict[Any, str] = {}
        self._last: dict[str, tuple[float, float]] = {}
        """By member: seconds it had worked, by its own clock, when it last said."""
        self._share: dict[str, float] = {}
        self._tokens: dict[str, int] = {}
        self._scored: dict[str, float] = {}
        self._leaving: dict[str, tuple[Any, float]] = {}
        self._idle_since: float | None = None
        self._heard = time.monotonic()

    @property
    def tokens(self) -> int:
        """That its actors have read."""
        return sum(self._tokens.values())

    @property
    def scored(self) -> float:
        """Documents of their batches at hand that they have done."""
        return sum(self._scored.get(name, 0.0) for name in self.members)

    def fill(self) -> None:
        """Have at least the least."""
        while len(self.members) < self.least:
            self._add()
        self._publish()

    def close(self) -> None:
        for handle in [*self.members.values(), *(handle for handle, _ in self._leaving.values())]:
            ray.kill(handle)
        shared_kv.erase(pool_key(self.step))
        self.members.clear()
        self._leaving.clear()

    def autoscale(self, flying: int) -> None:
        """Grow while all are busy and there are more units than actors, shrink when one would do without another."""
        now = time.monotonic()
        self._listen(now)
        self._let_go(now)
        shares = [self._share.get(name) for name in self.members]
        measured = [share for share in shares if share is not None]
        if len(measured) == len(shares):
            if min(measured) >= BUSY and flying > len(measured):
                self._grow(min(flying, 2 * len(measured)) - len(measured))
            spare = sum(measured) < BUSY * (len(measured) - 1)
            self._idle_since = (self._idle_since or now) if spare else None
            if self._idle_since is not None and now - self._idle_since >= self._idle_seconds:
                self._retire(now)
        for name in self.members:
            if name not in self._asked.values():
                self._asked[self.members[name].load.remote()] = name

    def _listen(self, now: float) -> None:
        if self._asked:
            done, _ = ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0)
            for reference in done:
                name = self._asked.pop(reference)
                try:
                    busy, clock, self._tokens[name], self._scored[name] = ray.get(reference)
                except ray.exceptions.RayError:  # restarting: asked again, from a clock that begins anew
                    self._last.pop(name, None)
                    self._share.pop(name, None)
                    continue
                self._heard = now
                before = self._last.get(name)
                if before is not None and clock > before[1]:
                    self._share[name] = (busy - before[0]) / (clock - before[1])
                self._last[name] = busy, clock
        if now - self._heard > SAY_EVERY:
            self._heard = now
            waiting = len(self.members) - len(self._share) or "all"
            who = f"stage '{self.step.name}': {waiting} of {len(self.members)} actors, {self.request} each,"
            self._tell(f"{who} do not answer: they load the model, or wait for room")

    def _grow(self, wanted: int) -> None:
        for _ in range(wanted):
            if self.most is not None and len(self.members) >= self.most:
                break
            if not self._room():
                break
            self._add()
            if self.request.cpus or self.request.gpus:
                break  # what is free is known only when the last one has its place
        self._publish()

    def _retire(self, now: float) -> None:
        self._idle_since = None
        if len(self.members) > self.least:
            name, handle = self.members.popitem()
            self._share.pop(name, None)
            self._last.pop(name, None)
            self._leaving[name] = handle, now
            self._publish()

    def _let_go(self, now: float) -> None:
        """End actors that no task can name any more. A batch that one still has is simply sent to another."""
        for name, (handle, left) in list(self._leaving.items()):
            if now - left > 2 * REFRESH_SECONDS:
                ray.kill(handle)
                del self._leaving[name]

    def _add(self) -> None:
        name = f"{self.step.actor[:12]}-{self._number}"
        self._number += 1
        self.members[name] = self._start(name)

    def _publish(self) -> None:
        shared_kv.write(pool_key(self.step), json.dumps(list(self.members)))


def pool_key(step: Step) -> str:
    """Where in the shared store the names of a step's actors stand."""
    return f"pool/{step.actor}"
