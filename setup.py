"""All about the project stands in pyproject.toml. Here is only what cannot be said there."""

from shutil import rmtree

from setuptools import setup
from setuptools.command.build_py import build_py


class FreshBuild(build_py):
    """Into an empty folder: setuptools would pack all that earlier builds left in it."""

    def run(self) -> None:
        rmtree(self.build_lib, ignore_errors=True)
        super().run()


setup(cmdclass={"build_py": FreshBuild})
