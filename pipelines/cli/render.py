"""Printing for people and for pipes: findings and talk to stderr, data to stdout."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from curation.escape import terminal
from pipelines.tables import coloured, plain, writable
from schemas.errors import Finding

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_BOLD, _RED, _BLUE, _CYAN, _RESET = "\x1b[1m", "\x1b[1;31m", "\x1b[1;34m", "\x1b[1;36m", "\x1b[0m"


def print_findings(findings: Iterable[Finding], stream: TextIO | None = None) -> None:
    """Print findings, a blank line between them:

        error[C003]: stage 'quality': unknown key 'min_scor'
          --> recipe.yaml:12
           |
        12 |     min_scor: 0.5
           |     ^^^^^^^^

        hint: did you mean 'min_score'?

    An excerpt may have a second line, with carets under the first. Colour on terminals only, and never with NO_COLOR;
    it repeats what the words say.
    """
    stream = sys.stderr if stream is None else stream
    writable(stream)
    colour = coloured(stream)
    for index, finding in enumerate(findings):
        if index:
            stream.write("\n")
        stream.write("\n".join(_finding_lines(finding, colour)) + "\n")
    stream.flush()


def _finding_lines(finding: Finding, colour: bool) -> Iterator[str]:
    def paint(text: str, code: str) -> str:
        return f"{code}{text}{_RESET}" if colour else text

    message = terminal(finding.message)
    yield f"{paint(f'error[{finding.code}]', _RED)}: {paint(message, _BOLD)}"
    number = str(finding.line) if finding.line is not None else ""
    margin = " " * len(number)
    if finding.file is not None:
        place = finding.file if finding.line is None else f"{finding.file}:{finding.line}"
        yield f"{margin or ' '}{paint('-->', _BLUE)} {terminal(place)}"
    if finding.excerpt:
        source, *carets = finding.excerpt.replace("\t", "    ").split("\n")
        bar = paint("|", _BLUE)
        yield f"{margin} {bar}"
        yield f"{paint(number, _BLUE)} {bar} {terminal(source)}"
        for caret in carets[:1]:
            yield f"{margin} {bar} {paint(terminal(caret), _RED)}"
    if finding.hint:
        yield ""
        yield f"{paint('hint', _CYAN)}: {terminal(finding.hint)}"


def tell(*lines: str, stream: TextIO | None = None) -> None:
    """Talk, on stderr: each argument is one line, whatever stands in it."""
    stream = sys.stderr if stream is None else stream
    stream.write("".join(f"{terminal(line)}\n" for line in lines))
    stream.flush()


def tell_text(text: str, stream: TextIO | None = None, end: str = "\n") -> None:
    """Talk of several lines, on stderr."""
    stream = sys.stderr if stream is None else stream
    stream.write(terminal(text, lines=True) + end)
    stream.flush()


def put(*lines: str, stream: TextIO | None = None) -> None:
    """Data, on stdout: names of folders and jobs, one a line. Exact to a pipe; on a terminal none of it acts."""
    stream = sys.stdout if stream is None else stream
    stream.write("".join(f"{terminal(line) if stream.isatty() else line}\n" for line in lines))
    stream.flush()


def put_text(text: str, stream: TextIO | None = None) -> None:
    """Data of several lines, on stdout: a file that is printed. Exact to a pipe; on a terminal none of it acts."""
    stream = sys.stdout if stream is None else stream
    stream.write(terminal(text, lines=True) if stream.isatty() else text)
    stream.flush()


def put_json(value: Any, indent: int | None = None) -> None:
    """A value as JSON, on stdout."""
    sys.stdout.write(json.dumps(plain(value), indent=indent, allow_nan=False) + "\n")
    sys.stdout.flush()


def put_log(text: str, stream: TextIO) -> None:
    """A piece of another process's log: its colours are left out, its bars stand one below the other."""
    stream.write(terminal(_COLOUR.sub("", text).replace("\r", "\n"), lines=True))
    stream.flush()


def counted(number: int, noun: str) -> str:
    """`1 shard`, `2,000 shards`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
