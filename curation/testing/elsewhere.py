"""C4 in another process: the same class, settings and documents, and another salt of `hash`."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import reduce
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from curation.scorers.base import Scorer
from curation.testing.rows import Document, require, require_same, rows_of

_answering = False
"""Whether this is the other process: a script that checks its scorer when it is imported would start a third."""


def check_elsewhere(scorer: Scorer, documents: Sequence[Document]) -> None:
    """C4 in another process, where `hash` is salted otherwise. Of a class that stands in no file or inside a function
    nothing can be said: no other process could have it."""
    cls = type(scorer)
    if _answering:
        return
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if file is None or "<locals>" in cls.__qualname__:
        return
    settings = scorer.settings.model_dump_json()
    with tempfile.TemporaryDirectory() as folder:
        given, results = Path(folder) / "given", Path(folder) / "made"
        given.write_bytes(
            pickle.dumps([cls.__module__, file, cls.__qualname__, settings, scorer.context, [*map(dict, documents)]])
        )
        salt = {"PYTHONHASHSEED": "4711", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [
            sys.executable,
            "-c",
            "from curation.testing.elsewhere import answer; answer()",
            str(given),
            str(results),
        ]
        done = subprocess.run(command, env=os.environ | salt, capture_output=True, text=True)
        why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        require(done.returncode == 0, f"C4: another process cannot score: {why}")
        rows = pickle.loads(results.read_bytes())
    require_same("C4: by another process", range(len(documents)), rows, rows_of(scorer, documents))


def answer() -> None:
    """What `check_elsewhere` runs in the other process: its arguments are two files."""
    global _answering
    _answering = True
    given, results = map(Path, sys.argv[-2:])
    name, file, path, settings, context, documents = pickle.loads(given.read_bytes())
    try:
        module: Any = None if name == "__main__" else import_module(name)
    except ImportError:
        module = None
    if module is None:  # a script, or a test that its runner imported under a name of its own
        spec = spec_from_file_location("module_of_the_scorer", file)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    cls = reduce(getattr, path.split("."), module)
    scorer = cls(cls.Settings.model_validate_json(settings), context)
    results.write_bytes(pickle.dumps(rows_of(scorer, documents)))
