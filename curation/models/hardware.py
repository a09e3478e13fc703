"""The class of hardware and software within which a model gives the same bits: one line of text in every record.

`x86_64-avx2-avx512f; torch 2.9.1, transformers 4.57.3, tokenizers 0.22.1, numba 0.62.1`: the processor with what
multiplies matrices in it, GPUs where models run on them, then the libraries. Records of what needs no model have the
first part only, as have all those that were made before the libraries were recorded.
"""

from __future__ import annotations

import platform
import re
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from curation.models.devices import best_device, cards

INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")
LIBRARIES = ("torch", "transformers", "tokenizers", "numba")
_CUDA = re.compile(r"^(?:cuda|hip)\b[^=\n]*= *'([^']+)'", re.MULTILINE)


def hardware() -> str:
    """Of this process."""
    return _hardware(best_device())


@cache
def _hardware(device: str) -> str:
    flags: set[str] = set()
    info = Path("/proc/cpuinfo")
    if info.exists():
        line = next((line for line in info.read_text().splitlines() if line.startswith(("flags", "Features"))), "")
        flags = set(line.split())
    gpus = sorted({card.replace(" ", "_") for card in cards()}) if device == "cuda" else []
    machine = "-".join([platform.machine(), *(flag for flag in INSTRUCTIONS if flag in flags), *gpus])
    versions = {name: _version(name) for name in LIBRARIES}
    if device == "cuda":
        versions |= _cuda()
    return f"{machine}; {', '.join(f'{name} {version}' for name, version in versions.items())}"


def of_step(line: str, heavy: bool) -> str:
    """What the record of a step says: the libraries only where it runs a model."""
    return line if heavy else line.partition(";")[0]


def difference(theirs: str, ours: str) -> tuple[str, str] | None:
    """What sets two classes apart, of each in words; None where nothing does that both of them name."""
    (their_machine, _, their_rest), (our_machine, _, our_rest) = theirs.partition(";"), ours.partition(";")
    if their_machine != our_machine:
        return their_machine, our_machine
    if not their_rest or not our_rest:
        return None
    before, now = _named(their_rest), _named(our_rest)
    other = [name for name in dict.fromkeys((*before, *now)) if before.get(name) != now.get(name)]
    if not other:
        return None
    theirs, mine = (", ".join(f"{name} {side.get(name, 'none')}" for name in other) for side in (before, now))
    return theirs, mine


def says_libraries(line: str) -> bool:
    """Whether a record was made since the libraries are recorded."""
    return ";" in line


def _named(rest: str) -> dict[str, str]:
    return {name: version for name, _, version in (part.strip().partition(" ") for part in rest.split(","))}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


def _cuda() -> dict[str, str]:
    """The CUDA that torch was built for, and the libraries of it that are installed beside; imports no torch."""
    versions = {}
    spec = find_spec("torch")
    file = Path(spec.origin).parent / "version.py" if spec and spec.origin else None
    if file and file.is_file() and (built := _CUDA.search(file.read_text(encoding="utf-8"))):
        versions["cuda"] = built[1]
    for item in metadata.distributions():
        name = str(item.metadata["Name"] or "").lower().replace("_", "-")
        if re.match(r"nvidia-(cublas|cudnn)", name):
            versions[name] = item.version
    return dict(sorted(versions.items()))
