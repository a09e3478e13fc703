"""A document by the path of its file: recorded once, and spelled by people in many ways."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from curation.paths import absolute, expanded, is_text
from curation.store import is_url
from schemas.errors import CurationError


def spelled(path: str, bases: Iterable[str | Path] = ()) -> list[str]:
    """How a path may be recorded, the likeliest first: as it is given, from the current folder, from `bases`, and with
    links followed. None for a path that cannot be any."""
    path = re.sub(r"^(file|local)://(?=/)", "", path.strip())
    if is_url(path):
        scheme, _, rest = path.partition("://")
        inside = re.sub(r"/(\./)+", "/", f"/{rest}")[1:]
        return list(dict.fromkeys([path, f"{scheme}://{inside}", f"{scheme.replace('s3a', 's3')}://{inside}"]))
    try:
        given_path = str(expanded(path))
    except CurationError:  # `~nobody`, which may be a folder's name
        given_path = path
    there = [absolute(os.path.join(base, given_path)) for base in (os.getcwd(), *bases)]
    found = [path, *there, *(os.path.realpath(name) for name in there if os.path.lexists(name))]
    return [name for name in dict.fromkeys(found) if is_text(name)]


def ending(path: str) -> str:
    """What a recorded path ends in, if it is this one seen from another folder: without `.` and leading `..`."""
    parts = os.path.normpath(path.partition("://")[2] or path).split("/")
    while parts and parts[0] in ("..", ".", ""):
        parts.pop(0)
    return "/".join(parts)


def same_file(path: str, recorded: Iterable[str], bases: Iterable[str | Path] = ()) -> list[str]:
    """Those of the recorded paths that lead to the file that `path` leads to, by links of either kind."""
    wanted = set()
    for name in spelled(path, bases):
        if not is_url(name) and os.path.isfile(name):
            status = os.stat(name)
            wanted.add((status.st_dev, status.st_ino))
    result = []
    for name in recorded if wanted else ():
        try:
            status = os.stat(name)
        except (OSError, ValueError):
            continue
        if (status.st_dev, status.st_ino) in wanted:
            result.append(name)
    return result
