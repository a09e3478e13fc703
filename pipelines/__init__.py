"""Recipe, plan, run, command line, demo: the top layer. `Workspace` is the Python API.

>>> from pipelines import Workspace
>>> workspace = Workspace("ws")
>>> workspace.run("recipe.yaml")
"""

from pipelines.workspace import Workspace

__all__ = ["Workspace"]
