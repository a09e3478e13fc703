"""All about the project stands in pyproject.toml. Here is only what cannot be said there."""

from pathlib import Path
from shutil import copyfile, rmtree

from setuptools import setup
from setuptools.command.build_py import build_py


class FreshBuild(build_py):
    """Into empty folders: setuptools would pack all that earlier builds left in them. With the page of error codes."""

    def run(self) -> None:
        if not self.editable_mode:
            for folder in (self.build_lib, self.get_finalized_command("bdist").bdist_base):
                rmtree(folder, ignore_errors=True)
        super().run()
        if not self.editable_mode:  # the page of error codes, for `curate error`: it stands in one place
            copyfile(Path("docs", "errors.md"), Path(self.build_lib, "schemas", "errors.md"))


setup(cmdclass={"build_py": FreshBuild})
