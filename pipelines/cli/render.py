"""Printing for people and for pipes: findings and talk to stderr, data to stdout."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

from curation.escape import terminal
from pipelines.cli.spared import refuse_spared
from pipelines.cli.stdout import text_file
from pipelines.streams import coloured, plain, writable
from schemas.errors import CurationError, Finding

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_BOLD, _RED, _BLUE, _CYAN, _RESET = "\x1b[1m", "\x1b[1;31m", "\x1b[1;34m", "\x1b[1;36m", "\x1b[0m"
_OF_VERDICT = {"kept": "\x1b[32m", "passed": "\x1b[32m", "dropped": "\x1b[33m", "errored": "\x1b[31m"}
_GREEN = "\x1b[32m"


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


def put_verdicts(lines: Iterable[str], stream: TextIO | None = None, fit: bool = True) -> None:
    """Data, on stdout: what became of documents, folded between words on a terminal, verdicts in their colours."""
    stream = sys.stdout if stream is None else stream
    from pipelines.tables import sentences, width_of

    width, colour = width_of(stream) or 0, coloured(stream)
    for line in map(terminal, lines):
        values = _VALUES.match(line)
        indent = len(values[0]) if values and len(values[0]) < width // 2 else 4
        for piece in sentences(line, stream, " " * indent) if fit else [line]:
            stream.write((_VERDICT.sub(_painted, piece, count=1) if colour else piece) + "\n")
    stream.flush()


_VALUES = re.compile(r"  \S+ +(?:passed|dropped|errored) +")
_VERDICT = re.compile(r"^(|  \S+ +|---.*  )(kept|passed|dropped|errored)\b")


def _painted(found: re.Match[str]) -> str:
    return f"{found[1]}{_OF_VERDICT[found[2]]}{found[2]}{_RESET}"


def tell_text(text: str, stream: TextIO | None = None, end: str = "\n") -> None:
    """Talk of several lines, on stderr."""
    stream = sys.stderr if stream is None else stream
    stream.write(terminal(text, lines=True) + end)
    stream.flush()


def tell_diff(lines: Iterable[str], stream: TextIO | None = None) -> None:
    """Lines of a unified diff, on stdout; on a terminal what is gone is red, and what is new green."""
    stream = sys.stdout if stream is None else stream
    colours = {"+": _GREEN, "-": _RED, "@": _CYAN} if coloured(stream) else {}
    for line in lines:
        colour = colours.get(line[:1])
        stream.write(f"{colour}{terminal(line)}{_RESET}\n" if colour else f"{terminal(line)}\n")
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


def put_escaped(text: str) -> None:
    """Text on stdout of which every piece went through `terminal` already, with colours between them."""
    sys.stdout.write(text)


def put_markdown(text: str, stream: TextIO | None = None) -> None:
    """Data in Markdown: as it is to a pipe or a file, as a person reads it on a terminal."""
    stream = sys.stdout if stream is None else stream
    if not stream.isatty() or text.startswith("{"):
        put_text(text, stream)
        return
    from pipelines.tables import width_of
    from pipelines.tables.markdown import readable

    writable(stream)
    stream.write("".join(f"{line}\n" for line in readable(text, width_of(stream), coloured(stream))))
    stream.flush()


def put_json(value: Any, indent: int | None = None, stream: TextIO | None = None) -> None:
    """A value as JSON, on stdout."""
    stream = sys.stdout if stream is None else stream
    stream.write(json.dumps(plain(value), indent=indent, allow_nan=False) + "\n")
    stream.flush()


ENDINGS = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".md": "markdown",
    ".parquet": "parquet",
    ".txt": "table",
}
"""What `--output` writes where no format is given."""


def format_of(format: StrEnum | None, output: Path | None, default: str = "table") -> str:
    """What was asked for; raises C004 for a file whose ending says nothing."""
    if format is not None:
        return str(format.value)
    if output is None:
        return default
    if output.suffix.lower() not in ENDINGS:
        known = f"endings that say it: {', '.join(ENDINGS)}; or say it by -f"
        raise CurationError(Finding("C004", f"--output {output}: which format?", known))
    return ENDINGS[output.suffix.lower()]


def put_table(
    table: Any, format: StrEnum | None, output: Path | None = None, wide: bool = False, layout: str | None = None
) -> None:
    """An Arrow table or reader, on stdout or in a file: see `pipelines.tables.print_table`. `layout` is the name of one
    in `pipelines.cli.layouts`."""
    from pipelines.cli.layouts import LAYOUTS  # this and the next bring Arrow
    from pipelines.tables import print_table

    chosen = format_of(format, output)
    with writing_to(output) as stream:
        print_table(table, chosen, stream, LAYOUTS[layout] if layout else None, wide, output is None)


@contextmanager
def writing_to(output: Path | None) -> Iterator[TextIO]:
    """stdout, or a file that is there only once it is whole: what was there before stays until then. A link stays one;
    a pipe or a device is written as it is."""
    if output is None:
        yield sys.stdout
        return
    target, name = output.resolve(), None
    refuse_spared(output, target)
    try:
        with _faults_of(output):
            if output.exists() and not output.is_file():  # a pipe of a shell is there by its name, and leads nowhere
                handle = os.open(output, os.O_WRONLY | os.O_TRUNC)
            else:
                handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with text_file(handle, str(output)) as stream:
            yield stream  # what fails here may be what is read: it tells itself
        if name is not None:
            mask = os.umask(0)
            os.umask(mask)
            with _faults_of(output):
                os.chmod(name, 0o666 & ~mask)  # as any other new file
                os.replace(name, target)
    finally:
        if name is not None:
            with suppress(FileNotFoundError):
                os.unlink(name)
    tell(f"written: {output}")


@contextmanager
def _faults_of(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        hint = "name a file in a folder that can be written to"
        raise CurationError(Finding("C004", f"--output {output}: {failure.strerror or failure}", hint)) from None


def put_log(text: str, stream: TextIO) -> None:
    """A piece of another process's log: its colours are left out, its bars stand one below the other."""
    stream.write(terminal(_COLOUR.sub("", text).replace("\r", "\n"), lines=True))
    stream.flush()


def counted(number: int, noun: str) -> str:
    """`1 shard`, `2,000 shards`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
