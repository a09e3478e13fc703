"""What `make pages` has built: small, what the sources give, and with the licences of what is in it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "pipelines" / "pages"
ASSETS = PAGES / "assets"
BUILT = ["LICENCES.txt", "app.css", "app.js", "report.css", "report.js"]


def test_the_assets_are_small_and_all_there() -> None:
    assert sorted(path.name for path in ASSETS.iterdir()) == BUILT
    assert sum(path.stat().st_size for path in ASSETS.iterdir()) < 1_000_000


def test_versions_are_exact_and_every_bundled_package_has_its_licence() -> None:
    package = json.loads((PAGES / "package.json").read_text())
    asked = package["dependencies"] | package["devDependencies"]
    locked = json.loads((PAGES / "package-lock.json").read_text())["packages"]
    assert {name: locked[f"node_modules/{name}"]["version"] for name in asked} == asked
    assert all("integrity" in entry for name, entry in locked.items() if name)
    licences = (ASSETS / "LICENCES.txt").read_text(encoding="utf-8")
    for name in package["dependencies"]:
        assert f"{name} {asked[name]} (" in licences


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm and its registry")
def test_the_sources_give_the_assets_byte_for_byte(tmp_path: Path) -> None:
    copy = tmp_path / "pages"
    shutil.copytree(PAGES, copy, ignore=shutil.ignore_patterns("node_modules", "assets"))
    subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=copy, check=True, timeout=300)
    subprocess.run(["node", "build.mjs", tmp_path / "built"], cwd=copy, check=True, timeout=100)
    built = {path.name: path.read_bytes() for path in (tmp_path / "built").iterdir()}
    assert built == {path.name: path.read_bytes() for path in ASSETS.iterdir()}
