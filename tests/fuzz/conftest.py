"""What a trial that fails says besides: how it is made alone. Its number, in brackets, is its seed."""

import shlex
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        report.sections.append(("this trial alone", f"python -m pytest -m '' {shlex.quote(item.nodeid)}"))
    return report
