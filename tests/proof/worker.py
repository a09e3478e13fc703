"""What runs inside the code under proof, whichever commit that is: `python worker.py TASK.json`, with it on PYTHONPATH.

It knows of the engine only what no redesign may change: the entry point `curate`, `pipelines.Workspace`, the views.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

COUNTS = ("run", "outcome", "rows", "kept", "dropped", "errored", "scored", "reused")


class Judge(BaseHTTPRequestHandler):
    """A service that rates by a hash of what it is asked, reached as a proxy: so recipes name one address for ever."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["content-length"]))
        rating = hashlib.sha256(asked).digest()[0] % 6
        usage = {"prompt_tokens": len(asked) // 4, "completion_tokens": 1}
        data = json.dumps({"choices": [{"message": {"content": str(rating)}}], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


def entry(code: Path) -> Callable[[], None]:
    """What `curate` starts in this code."""
    project = tomllib.loads((code / "pyproject.toml").read_text(encoding="utf-8"))
    module, _, name = project["project"]["scripts"]["curate"].partition(":")
    return getattr(import_module(module), name)  # type: ignore[no-any-return]


def run(root: str, kind: str, path: str) -> dict[str, Any]:
    """Curate, or teach, and say what it came to."""
    from pipelines import Workspace

    workspace = Workspace(root)
    if kind == "weak-to-strong":
        result: Any = workspace.weak_to_strong(path, workers=1)
    else:
        result = workspace.run(path, executor="local", workers=1)
    failures = [f"{name}: {failure.code} {failure.message} {failure.hint}" for name, failure in result.failures]
    steps = dict(sorted(getattr(result, "steps", {}).items()))
    return {name: getattr(result, name, None) for name in COUNTS} | {"steps": steps, "failures": failures}


def printed(main: Callable[[], None], *arguments: str) -> str:
    """What a command writes to file descriptor 1."""
    given = sys.argv, sys.stdout, sys.stderr
    sys.stdout.flush()
    kept = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        try:
            sys.argv = ["curate", *arguments]
            with contextlib.suppress(SystemExit):
                main()
            sys.stdout.flush()
        finally:
            sys.argv, sys.stdout, sys.stderr = given
            os.dup2(kept, 1)
            os.close(kept)
        file.seek(0)
        return file.read().decode()


def helps(main: Callable[[], None]) -> dict[str, str]:
    """`--help` of every command, by its name, groups' own too."""
    found: dict[str, str] = {}
    waiting: list[list[str]] = [[]]
    while waiting:
        command = waiting.pop()
        text = printed(main, *command, "--help")
        found[" ".join(["curate", *command])] = text
        for heading, listed in re.findall(r"^(\w+):\n((?:  .*\n)+)", text, re.MULTILINE):  # commands stand in groups
            if heading not in ("Arguments", "Options", "Examples"):
                waiting += [[*command, name] for name in re.findall(r"^  ([a-z][a-z-]*)(?:  |$)", listed, re.MULTILINE)]
    return found


def views(root: str) -> dict[str, Any]:
    """Columns and rows of every view, of the run that a user would be shown."""
    from pipelines import Workspace

    workspace = Workspace(root)
    listed = workspace.sql(
        "SELECT table_name, list([column_name, data_type] ORDER BY column_index) AS columns FROM duckdb_columns()"
        " WHERE table_name IN (SELECT view_name FROM duckdb_views() WHERE NOT internal AND view_name[1] != '_')"
        " GROUP BY ALL ORDER BY ALL"
    ).to_pylist()
    return {
        view["table_name"]: {
            "columns": view["columns"],
            "rows": workspace.sql(f"SELECT * FROM {view['table_name']}").to_pylist(),
        }
        for view in listed
    }


def main() -> None:
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    code = Path(task["code"])
    import pipelines

    assert pipelines.__file__ is not None
    if not Path(pipelines.__file__).resolve().is_relative_to(code.resolve()):
        sys.exit(f"the code of {pipelines.__file__} would be run, not that of {code}")
    service = ThreadingHTTPServer(("127.0.0.1", 0), Judge)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    os.environ["http_proxy"] = f"http://127.0.0.1:{service.server_address[1]}"
    began = time.process_time()
    facts: dict[str, Any] = {"runs": {}, "views": {}}
    for root, kind, path in task["runs"]:
        facts["runs"][Path(path).stem] = run(root, kind, path)
    for root in task["views"]:
        facts["views"][Path(root).name] = views(root)
    if task["help"]:
        facts["help"] = helps(entry(code))
    facts["cpu_seconds"] = time.process_time() - began
    Path(task["facts"]).write_text(json.dumps(facts, default=str, sort_keys=True), encoding="utf-8")


if __name__ == "__main__":
    main()
