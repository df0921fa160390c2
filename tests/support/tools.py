"""Programs that tests need: how they are found and run."""

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest

TEMPLATE = Path(__file__).resolve().parents[2]
"""The root of the repository."""

SERVER_PLACES = ("/usr/sbin", *map(str, Path("/usr/lib/postgresql").glob("*/bin")))
"""The folders of servers on Debian, which are not on a user's path."""


def find(program: str) -> str | None:
    """Return the path of a program, or `None`."""
    if program == "uv" and "UV" in os.environ:  # set by `uv run`, also when uv is not on the path
        return os.environ["UV"]
    return shutil.which(program, path=os.pathsep.join((os.environ["PATH"], *SERVER_PLACES)))


def require(program: str) -> str:
    """Return the path of a program; if it is missing, skip the test, or fail it under CI."""
    path = find(program)
    if path is None:
        lacking(f"{program} is not installed")
    return path


def lacking(reason: str) -> NoReturn:
    """Skip the test with a reason, or fail it under CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI=true", pytrace=False)
    pytest.skip(reason)


def clean_environment(**more: str) -> dict[str, str]:
    """Return the environment without settings of the tests and of projects, and with `more`."""
    ours = ("VIRTUAL_ENV", "UV_PROJECT", "PYTHON", "PYTEST_", "COV", "DATABASE_URL", "REDIS_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | more


def run(
    *command: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, seconds: int = 600
) -> subprocess.CompletedProcess[str]:
    """Run a command; return its output and its status."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=clean_environment() | dict(env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=seconds,
    )


def succeed(*command: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a command, fail unless it succeeds, and return its standard output."""
    done = run(*command, cwd=cwd, env=env)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def free_port() -> int:
    """Return a free port of the loopback interface."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def arguments(answers: Mapping[str, object]) -> list[str]:
    """Return answers as arguments of cookiecutter's command line."""
    return [
        f"{name}={str(value).lower() if isinstance(value, bool) else value}"
        for name, value in answers.items()
    ]
