"""What tutorials and how-tos tell people to type does what they say: each page is run, in a folder of its own.

Pages hold blocks of `console`, in which a line that begins with `$ ` is a command, and files: a block after a line with
nothing but the file's name. `<!-- skip: REASON -->` before a block says why it cannot be run here.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cluster import MARK, RayCluster
from ports import free_port

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("tutorials/*.md"), *DOCS.glob("how-to/*.md")])
EVERY_PAGE = sorted([*PAGES, *DOCS.glob("*.md"), *DOCS.glob("explanation/*.md")])
README = ROOT / "README.md"
BLOCK = re.compile(
    r"(?:<!-- skip: (?P<skip>[^>]+) -->\n)?(?:`(?P<file>[\w./-]+)`:\n\n)?```(?P<language>\w+)\n(?P<text>.*?)```",
    re.DOTALL,
)
PORTS = ("6379", "8265")
"""That pages name, and that another on this machine may have."""


class Block(NamedTuple):
    language: str
    text: str
    file: str | None
    skip: str | None


def blocks(page: Path) -> list[Block]:
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(one["language"], one["text"], one["file"], one["skip"]) for one in found]


def commands(block: Block) -> Iterator[str]:
    """Without their prompts; a line that ends in a backslash goes on."""
    for line in block.text.replace("\\\n", "").splitlines():
        if line.startswith("$ "):
            yield line.removeprefix("$ ")


def script(page: Path) -> str:
    """A page as a shell script: files are written where they stand, commands run in order, a failure ends it."""
    lines = ["set -euo pipefail"]
    for block in blocks(page):
        if block.file is not None:
            lines.append(f"cat > {shlex.quote(block.file)} <<'END-OF-{block.file}'\n{block.text}END-OF-{block.file}")
        elif block.language == "console" and block.skip is None:
            for command in commands(block):
                lines += [f"echo {shlex.quote('$ ' + command)} >&2", command]
    return "\n".join(lines) + "\n"


def sixty_seconds() -> str:
    """What the front page tells a newcomer to type, on text that the engine brings."""
    part = README.read_text(encoding="utf-8").partition("\n## Sixty seconds\n")[2]
    [first, *_] = [block for block in BLOCK.finditer(part) if block["language"] == "sh"]
    return "set -euo pipefail\ncurate demo web --into corpus --megabytes 0.5\n" + first["text"]


@pytest.mark.long
@pytest.mark.parametrize(
    "page", [README, *(page for page in PAGES if "echo " in script(page))], ids=lambda page: page.stem
)
def test_a_page_runs_as_it_stands(page: Path, tmp_path: Path) -> None:
    here, folder = tmp_path / "bin", tmp_path / "page"
    here.mkdir()
    folder.mkdir()
    (here / "curate").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m pipelines.cli "$@"\n')
    (here / "curate").chmod(0o755)
    told = sixty_seconds() if page == README else script(page)
    for port in PORTS:
        told = re.sub(rf"(?<![\w.]){port}\b", str(free_port()), told)
    mark = f"page-{os.getpid()}-{page.stem}"
    ours = ("RAY_", "CURATION_W", "CURATION_REPORT")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    path = f"{here}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment |= {"PATH": path, "PYTHONPATH": str(ROOT), MARK: mark, "RAY_TMPDIR": "/tmp", "NO_COLOR": "1"}
    try:
        done = subprocess.run(
            ["bash", "-c", told], cwd=folder, env=environment, capture_output=True, text=True, timeout=500
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    finally:
        for process in RayCluster("", tmp_path, mark, tmp_path).processes():
            if process.pid != os.getpid():
                process.kill()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_of_commands_are_commands_and_what_is_skipped_says_why(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# ")
    for block in blocks(page):
        if block.language == "console":
            assert list(commands(block)), block.text
            assert all(line.startswith("$ ") for line in block.text.replace("\\\n", "").splitlines() if line), (
                block.text
            )
        assert block.skip is None or len(block.skip) > 5
    assert text.count("<!-- skip") == sum(block.skip is not None for block in blocks(page))


@pytest.mark.parametrize("page", [*EVERY_PAGE, README], ids=lambda page: page.stem)
def test_every_command_and_option_that_is_named_exists(page: Path) -> None:
    known = every_command()
    shown = [command for block in blocks(page) if block.language == "console" for command in commands(block)]
    shown += re.findall(r"^curate .+$", sixty_seconds(), re.MULTILINE) if page == README else []
    inline = re.findall(r"`(curate [^`\n]+)`", page.read_text(encoding="utf-8"))
    for line in [*shown, *inline]:
        for part in re.split(r"[|;]|\$\(", line):
            words = part.split("#")[0].replace('"', " ").replace("'", " ").split()
            if words[:1] != ["curate"] or len(words) < 2 or words[1].startswith("-") or words[1].isupper():
                continue
            name = next((n for n in (" ".join(words[:3]), " ".join(words[:2])) if n in known), None)
            assert name is not None or any(n.startswith(f"curate {words[1]} ") for n in known), line
            if name is not None:
                options = {option for item in known[name].params for option in [*item.opts, *item.secondary_opts]}
                given = {word.partition("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)} - {"--help", "-h"}
                assert given <= options, (line, given - options)


def test_the_front_page_is_one_page() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    assert len(re.findall(r"^curate ", sixty_seconds(), re.MULTILINE)) <= 5 + 1, "at most five commands, and the text"
    drawn = (ROOT / re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)[0]).read_text(encoding="utf-8")
    assert "curate" in drawn
    assert not re.findall(r"""(?:url\(|href=|src=)["']?https?:""", drawn), "nothing is fetched to show it"


def every_command() -> dict[str, Any]:
    return dict(generator().commands())


def generator() -> Any:
    """The script that writes the reference; docs/ is no package."""
    sys.path.insert(0, str(DOCS))
    try:
        import generate
    finally:
        sys.path.remove(str(DOCS))
    return generate
