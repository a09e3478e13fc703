"""Units of work of a weak-to-strong run: one that is committed is found by its key, any other is made and committed.

A key names all that decides what a unit makes, so runs share units, and what a unit stores has its content's name.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from curation.flow import Failure
from curation.flow.faults import trace_of, unforeseen
from curation.manifest.parts import Manifest, now, part_name
from curation.models.locate import ModelError
from curation.plugins import kind_of
from curation.store import DamagedFileError, Store, Written, digest
from curation.store.seal import CHANGED, GONE
from curation.weak_to_strong.students.base import Student
from curation.weak_to_strong.supervisors.base import Supervisor
from schemas.errors import CurationError, Refusal, advice

Record = dict[str, Any]
"""A row of the manifest's `weak_units`."""
_NETWORK = threading.Lock()
"""One network at a time: torch's threads and switches are the process's."""


@dataclass(frozen=True)
class UnitOutput:
    """What a unit made, stored but not committed."""

    data: Written
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON."""
    files: tuple[str, ...] = ()
    """Names of what is stored beside the data."""


@dataclass(frozen=True)
class MemberFailure(Failure):
    """A supervisor or student cannot be used, which the run goes on without."""


@dataclass(frozen=True, eq=False)
class Unit:
    """A piece of work that performs itself (`curation.flow.perform`)."""

    kind: str
    name: str
    key: str
    make: Callable[[], UnitOutput]
    store: UnitStore
    seed: int | None = None
    part: str = ""
    members: tuple[str, ...] = ()
    """Titles of the supervisors and students that cannot do without it; where there are none, the run cannot."""
    heavy: bool = False
    """Whether it runs a network."""

    @property
    def title(self) -> str:
        seed = "" if self.seed is None else f" seed {self.seed}"
        return f"{self.kind} {self.name}{seed} {self.part}".strip()

    def perform(self) -> Record | MemberFailure:
        """The unit's record. Raises what is no member's fault: of a machine, or where the unit has no member."""
        try:
            return self.store.find(self.key) or self._commit()
        except (OSError, MemoryError, DamagedFileError):
            raise
        except Exception as failure:
            if not self.members:
                raise
            return self._member_failure(failure)

    def _commit(self) -> Record:
        began = time.monotonic()
        with _NETWORK if self.heavy else nullcontext():
            output = self.make()
        return self.store.commit(
            self.key,
            {
                "kind": self.kind,
                "name": self.name,
                "seed": self.seed,
                "part": self.part,
                "data": output.data.name,
                "files": list(output.files),
                "content": output.data.content,
                "bytes": output.data.bytes,
                "facts": json.dumps(output.facts, sort_keys=True),
                "seconds": time.monotonic() - began,
            },
        )

    def _member_failure(self, failure: Exception) -> MemberFailure:
        verb = "is" if len(self.members) == 1 else "are"
        left_out = f"{' and '.join(self.members)} {verb} left out, the others go on"
        trace = trace_of(failure)
        if isinstance(failure, CurationError):
            message, hint = failure.findings[0].message, failure.findings[0].hint
        elif isinstance(failure, Refusal | ModelError):
            message, hint = advice(failure)
        elif isinstance(failure, ValueError) and not isinstance(failure, pa.ArrowException | UnicodeError):
            message, hint = advice(failure)
            message = f"{kind_of(failure)}: {message}"
        else:  # its message may be a document's text
            return MemberFailure("R003", unforeseen(failure, self.title, ()).message, left_out, trace)
        return MemberFailure("R003", f"{self.title}: {message}", f"{hint}; {left_out}" if hint else left_out, trace)


class UnitStore:
    """Where units of a run find what is committed, and keep what they make."""

    def __init__(self, store: Store, run: str) -> None:
        self.store = store
        self.run = run
        self.manifest = Manifest(store)

    def find(self, key: str) -> Record | None:
        """A unit's record; None too where a file of it is gone or damaged, which is set aside: it is made again."""
        table = self.manifest.get("weak_units", key)
        if table is None:
            return None
        record = dict(table.to_pylist()[0])
        for name in (record["data"], *record["files"]):
            try:
                self.store.check(name, record["content"] if name == record["data"] else None)
            except DamagedFileError:
                self._set_aside(key, name)
                return None
        return record

    def _set_aside(self, key: str, damaged: str) -> None:
        self.store.set_aside(damaged)
        self.store.set_aside(part_name("weak_units", key))
        for compacted in self.store.names("manifest/compacted/weak_units"):
            self.store.remove(f"manifest/compacted/weak_units/{compacted}")
        self.manifest = Manifest(self.store)

    def commit(self, key: str, facts: Mapping[str, Any]) -> Record:
        """Commit a unit; where somebody was first, theirs counts."""
        record = {"unit": key, "run": self.run, **facts, "created_at": now()}
        if not self.manifest.commit("weak_units", key, [record]):
            return self.find(key) or record
        return record

    def put(self, folder: str, suffix: str, produce: Callable[[Path], Any]) -> Written:
        """Store the file that `produce` fills, under its content's name."""
        with scratch() as here:
            path = here / "data"
            produce(path)
            content = digest(path)
            written = Written(path.stat().st_size, content, f"weak_to_strong/{folder}/{content}{suffix}")
            if self.store.content(written.name) != content:
                self.store.write(written.name, lambda temporary: shutil.copyfile(path, temporary))
        return written

    def put_tensors(self, tensors: Mapping[str, NDArray[Any]]) -> Written:
        """Store arrays in one file."""
        from safetensors.numpy import save

        data = save({name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)})
        return self.put("units", ".safetensors", lambda path: path.write_bytes(data))

    def tensors(self, record: Record) -> dict[str, NDArray[Any]]:
        """Arrays that `put_tensors` stored. Raises DamagedFileError."""
        from safetensors.numpy import load

        name = record["data"]
        try:
            data = self.store.read(name)
        except FileNotFoundError:
            raise DamagedFileError(self.store.root, name, GONE) from None
        if xxhash.xxh3_128_hexdigest(data) != record["content"]:
            raise DamagedFileError(self.store.root, name, CHANGED)
        return dict(load(data))


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder of this machine, gone afterwards. Not the workspace's: `curate gc` sweeps what no commit names there."""
    with tempfile.TemporaryDirectory(prefix="curation-") as folder:
        yield Path(folder)


def hashed(values: NDArray[Any]) -> str:
    """XXH3-128 of an array's bytes."""
    return xxhash.xxh3_128_hexdigest(np.ascontiguousarray(values).data)


def member_identity(member: Supervisor | Student) -> list[Any]:
    """What decides a member's answers beside its rows; not its name."""
    operational = {"seeds"} if isinstance(member, Student) else set()
    settings = member.settings.model_dump(mode="json", exclude=operational)
    return [member.kind, member.version, settings, member.identity()]
