"""A recipe's form as JSON Schema, for editors."""

from __future__ import annotations

from typing import Any

from curation import registry
from curation.scorers.turns import RULES
from pipelines.recipe.describe import common_keys, docstrings
from schemas.recipe import FAMILIES, Errors, Input, Output, Recipe, Resources


def json_schema() -> dict[str, Any]:
    """JSON Schema of a recipe file, with every stage kind that is installed and its settings."""
    schema = Recipe.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    for model in (Input, Output, Errors, Resources):
        _explain(definitions.setdefault(model.__name__, model.model_json_schema()), model)
    _explain(schema, Recipe)
    definitions.pop("Stage", None)
    choices = []
    for family in FAMILIES:
        for kind in registry.kinds(family):
            name = f"{family}.{kind}"
            definitions[name] = _stage_schema(family, kind, definitions)
            choices.append({"$ref": f"#/$defs/{name}"})
    what = "What documents go through, in order."
    schema["properties"]["stages"] = {"type": "array", "default": [], "items": {"oneOf": choices}, "description": what}
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema


def _explain(schema: dict[str, Any], model: Any) -> None:
    """Give each property the text that stands below it in the code."""
    for name, text in docstrings(model).items():
        if name in schema.get("properties", {}):
            schema["properties"][name].setdefault("description", text)


def _stage_schema(family: str, kind: str, definitions: dict[str, Any]) -> dict[str, Any]:
    common: dict[str, Any] = {
        family: {"const": kind},
        "id": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "default": kind.replace("-", "_")},
        "keep": {"type": "string"},
    }
    if family == "scorer":
        common["turns"] = {"enum": list(RULES)}
    common["resources"] = {"$ref": "#/$defs/Resources"}
    for key in common_keys(family, kind):
        common[key.key]["description"] = key.meaning
    try:
        cls = registry.find(family, kind)
    except ImportError:  # what it needs is not installed, or it is broken: an editor should still accept it
        return {"type": "object", "properties": common, "required": [family]}
    settings_schema = cls.Settings.model_json_schema(ref_template=f"#/$defs/{family}.{kind}.{{model}}")
    _explain(settings_schema, cls.Settings)
    for name, definition in settings_schema.pop("$defs", {}).items():
        definitions[f"{family}.{kind}.{name}"] = definition
    stage: dict[str, Any] = {
        "type": "object",
        "properties": {**common, **settings_schema.get("properties", {})},
        "required": [family, *settings_schema.get("required", [])],
        "additionalProperties": False,
    }
    summary = (cls.__doc__ or "").strip().split("\n\n")[0]
    return {"description": " ".join(summary.split()), **stage} if summary else stage
