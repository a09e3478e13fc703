"""Compiled kernels over Arrow string buffers: no Python object per document. Imports numpy, pyarrow and, once one
is called, numba.

Kernels are compiled once and cached in the user's cache folder, under a name that holds the hash of all their sources:
numba itself looks only at the file of the outermost function, and would run old code after a change in an inlined one.
"""

import hashlib
import os
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from curation.progress import listen_to_numba


def _cache_kernels() -> None:
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    sources = sorted(Path(__file__).parents[1].glob("**/*.py"))
    kernels = [data for data in (source.read_bytes() for source in sources) if b"njit" in data]
    digest = hashlib.blake2b(b"".join(kernels), digest_size=8).hexdigest()
    for base in (os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", tempfile.gettempdir()):
        folder = Path(base, "curation-engine", f"kernels-{digest}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            os.environ["NUMBA_CACHE_DIR"] = str(folder)
            if "numba" in sys.modules:
                sys.modules["numba"].config.CACHE_DIR = str(folder)
            return


@cache
def load_numba() -> Any:
    """The module numba, whose time of compiling counts from now on. A process calls this before it starts threads that
    run kernels: two that import numba at once may wait in it for ever."""
    _cache_kernels()
    import numba
    from numba.core import event

    global _timing
    _timing = event.TimingListener()
    event.register("numba:compile", _timing)
    listen_to_numba()
    return numba


def seconds_compiling() -> float:
    """How long this process has compiled kernels; what is under way does not count yet."""
    return float(_timing.duration) if _timing is not None and _timing.done else 0.0


_timing: Any = None
