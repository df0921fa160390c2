"""Fixtures of the client's tests: commands that run against a real server."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from streaming_api.settings import Settings

from ..variant import EXPORTS
from .commands import cli

if EXPORTS:
    from . import tables

PROJECT = Path(__file__).parents[3]
TIMEOUT = 30
"""Seconds after which a process that does not end fails its test."""

Run = Callable[..., Any]
Start = Callable[..., AbstractContextManager[subprocess.Popen[bytes]]]


@pytest.fixture
def app(app: FastAPI, settings: Settings) -> FastAPI:
    """The application with the exports of the tests' own tables."""
    if EXPORTS:
        app.state.database.close()
        app.state.database = tables.open_database(settings.database_url)
        app.include_router(tables.ROUTES)
    return app


@pytest.fixture
def run(server: str) -> Run:
    """Runs a command for the server of the test, or for another `url`."""

    def run(*arguments: str, url: str = server, **options: Any) -> Any:
        command = [*arguments, "--url", url]
        return CliRunner().invoke(cli, command, catch_exceptions=False, **options)

    return run


@pytest.fixture
def start(server: str) -> Start:
    """Starts a command in a process, for a `path` of the server; its output goes into pipes."""

    @contextmanager
    def start(*arguments: str, path: str = "", **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", f"{__package__}.commands", *arguments]
        command += ["--url", f"{server}{path}"]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        with subprocess.Popen(command, env=environment, **options) as running:
            try:
                yield running
            finally:
                running.kill()

    return start


@pytest.fixture
def http(server: str) -> Iterator[httpx2.Client]:
    """Another client of the server."""
    with httpx2.Client(base_url=server, timeout=TIMEOUT) as http:
        yield http
