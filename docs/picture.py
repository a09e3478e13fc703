"""Draws docs/pictures/terminal.svg: a real run of the first tutorial's recipe, as a terminal shows it.

    python docs/picture.py        # a minute; run it again where the command line prints something else

No font and no picture is fetched when the drawing is shown.
"""

from __future__ import annotations

import io
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import termios
from fcntl import ioctl
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tutorials" / "web-text.md"
PICTURE = ROOT / "docs" / "pictures" / "terminal.svg"
COLUMNS = 92
PREPARED = "curate demo web --into corpus --megabytes 1"
DUPLICATE = "curate sql \"SELECT doc_id FROM drops WHERE stage = 'minhash' LIMIT 1\" -f csv -w ws"
SHOWN = (
    "curate run recipe.yaml -w ws",
    'curate what-if "language.prob > 0.8" -w ws',
    "curate explain {duplicate} -w ws",
)


def main() -> int:
    """Run the commands in a folder of their own, and write the picture."""
    page = PAGE.read_text(encoding="utf-8")
    recipe = re.search(r"^`recipe.yaml`:\n\n```yaml\n(.*?)```", page, re.MULTILINE | re.DOTALL)
    assert recipe is not None
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "recipe.yaml").write_text(recipe[1], encoding="utf-8")
        (folder / "curate").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m pipelines.cli "$@"\n')
        (folder / "curate").chmod(0o755)
        in_terminal(PREPARED, folder)
        for command in SHOWN:
            if "{" in command:
                command = command.format(duplicate=in_terminal(DUPLICATE, folder).split()[-1])
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            console.print(Text.from_ansi(settled(in_terminal(command, folder)).replace(str(folder), "~/try").strip()))
            console.print()
    PICTURE.parent.mkdir(exist_ok=True)
    form = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace("Fira Code, ", "")
    PICTURE.write_text(console.export_svg(title="curate", code_format=form), encoding="utf-8")
    return 0


def in_terminal(command: str, folder: Path) -> str:
    """What a command writes where it believes itself on a terminal of COLUMNS."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    environment |= {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    process = subprocess.Popen(
        ["bash", "-c", command], cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the last writer has gone
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    if process.wait():
        raise SystemExit(f"{command} ended with {process.returncode}:\n{b''.join(parts).decode()}")
    return b"".join(parts).decode()


def settled(written: str) -> str:
    """The screen at the end: bars that were drawn over are gone. Knows what `curate` writes: lines, colours, carriage
    returns, lines erased, the cursor up."""
    lines, row = [""], 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r\n|\n|\r|[^\x1b\r\n]+", written):
        if token in ("\r\n", "\n"):
            row += 1
            if row == len(lines):
                lines.append("")
        elif token == "\r":
            if not re.search(r"\S", re.sub(r"\x1b\[[0-9;]*m", "", lines[row])):
                lines[row] = ""
            else:
                lines[row] += "\r"
        elif token.startswith("\x1b[") and token[-1] == "K":
            lines[row] = ""
        elif token.startswith("\x1b[") and token[-1] == "A":
            row = max(0, row - int(re.sub(r"\D", "", token) or 1))
        elif token.startswith("\x1b[") and token[-1] != "m":
            continue
        else:
            lines[row] = token if lines[row].endswith("\r") else lines[row] + token
    return "\n".join(line.rstrip("\r") for line in lines)


if __name__ == "__main__":
    sys.exit(main())
