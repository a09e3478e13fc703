"""The page and its assets: files that lie in the wheel, and no address leads to any other."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

KINDS = {"js": "text/javascript", "css": "text/css"}
PLAIN = {"app.js": b"", "app.css": b""}
"""Where the package was built without its front end: the page then says so."""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>curate</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/assets/{css}">
</head>
<body>
<div id="page"><noscript>This page needs JavaScript; `curate report` writes the same without a server.</noscript></div>
<script type="module" src="/assets/{js}"></script>
</body>
</html>
"""


@dataclass(frozen=True)
class Asset:
    content: bytes
    type: str


@lru_cache(maxsize=1)
def assets() -> dict[str, Asset]:
    """By name, which holds a hash of the content: a browser may keep it for ever."""
    return {_name(name, content): Asset(content, KINDS[name.rpartition(".")[2]]) for name, content in _files().items()}


@lru_cache(maxsize=1)
def page() -> str:
    by_name = {name: _name(name, content) for name, content in _files().items()}
    return PAGE.format(js=by_name["app.js"], css=by_name["app.css"])


def _files() -> dict[str, bytes]:
    try:
        folder = files("pipelines.pages").joinpath("assets")
        return {name: folder.joinpath(name).read_bytes() for name in PLAIN}
    except (ModuleNotFoundError, FileNotFoundError):
        return PLAIN


def _name(name: str, content: bytes) -> str:
    stem, _, kind = name.rpartition(".")
    return f"{stem}-{hashlib.sha256(content).hexdigest()[:16]}.{kind}"
