"""What the tests of the client share: a command line that talks to a real server."""

from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from {{ cookiecutter.__package_name }}.cli import cli

Run = Callable[..., Any]


@pytest.fixture
def run(server: str) -> Run:
    """Runs a command against the server of the test, or against another `url`."""

    def run(*arguments: str, url: str = server) -> Any:
        return CliRunner().invoke(cli, [*arguments, "--url", url], catch_exceptions=False)

    return run
