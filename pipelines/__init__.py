"""Recipe, plan, run, command line, demo: the top layer. `Workspace` is the Python API.

>>> from curation_engine import Workspace
>>> workspace = Workspace("ws")
>>> workspace.run("recipe.yaml")

Importing this costs nothing: `Workspace`, which brings Arrow, is fetched when it is asked for.
"""

from typing import TYPE_CHECKING, Any

from curation_engine_start import refuse_others

if TYPE_CHECKING:
    from pipelines.workspace import Workspace

refuse_others("schemas", "curation", "workers")  # first see that what is imported from here is ours

__all__ = ["Workspace"]


def __getattr__(name: str) -> Any:
    if name != "Workspace":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from pipelines.workspace import Workspace

    return Workspace
