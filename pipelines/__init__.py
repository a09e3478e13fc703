"""Recipe, plan, run, command line, demo: the top layer. `Workspace` is the Python API.

>>> from curation_engine import Workspace
>>> workspace = Workspace("ws")
>>> workspace.run("recipe.yaml")
"""

from curation_engine_start import refuse_others

refuse_others("schemas", "curation", "workers")

from pipelines.workspace import Workspace  # noqa: E402 - first see that what it imports is ours

__all__ = ["Workspace"]
