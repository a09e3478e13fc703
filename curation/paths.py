"""Paths as users write them: `~`, and names that are no text."""

from __future__ import annotations

import os
import re
from pathlib import Path

from schemas.errors import CurationError, Finding


def expanded(path: str | Path) -> Path:
    """The path with `~` and `~name` in place. Raises CurationError C051 where there is no such user or no home."""
    if "\0" in str(path):
        raise CurationError(Finding("C051", f"{str(path)!r}: no path has a NUL character", "write it without"))
    try:
        return Path(path).expanduser()
    except RuntimeError:
        user = Path(path).parts[0]
        what = "this user has no home folder" if user == "~" else f"there is no user '{user[1:]}' here"
        hint = f"write the folder in full; for one that is called so: ./{printable(path)}"
        raise CurationError(Finding("C051", f"{printable(path)}: {what}", hint)) from None


def absolute(path: str) -> str:
    """Without `.`, `..`, and doubled slashes; `..` behind a link to a folder leads where the system follows it to."""
    plain = os.path.abspath(path)
    if ".." not in path.split("/"):
        return plain
    *_, last = re.finditer(r"(?:^|/)\.\.(?=/|$)", path)
    followed = os.path.normpath(f"{os.path.realpath(path[: last.end()])}/{path[last.end() :]}")
    return plain if os.path.realpath(plain) == os.path.realpath(followed) else followed


def is_text(path: str | Path) -> bool:
    """Whether a path's bytes are UTF-8. Others cannot be recorded, nor asked for in SQL."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(path: str | Path) -> str:
    """A path for a message: bytes that are no UTF-8 as escapes."""
    return str(path) if is_text(path) else os.fsencode(path).decode("utf-8", "backslashreplace")


def require_text(path: str | Path, what: str) -> None:
    """Raise CurationError C051 for a path whose bytes are not UTF-8, or with a NUL."""
    expanded(path)
    if not is_text(path):
        raise CurationError(no_text(path, what))


def no_text(path: str | Path, what: str) -> Finding:
    return Finding(
        "C051", f"the path of {what}, {printable(path)}, is not UTF-8", "rename it: paths are recorded as text"
    )
