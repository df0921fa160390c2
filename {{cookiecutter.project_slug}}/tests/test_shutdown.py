"""Shutdown: a service that gets SIGTERM ends its streams in order."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import httpx2
import pytest
#{% if cookiecutter.__uses.exports %}
from fastapi import FastAPI

from {{ cookiecutter.__package_name }}.exports import EXPORTS
#{% endif %}

PATHS = [
#{% if cookiecutter.__uses.sse %}
    "/events/news",
#{% endif %}
#{% if cookiecutter.__uses.exports %}
    *(f"/export/{export.name}" for export in EXPORTS[:10]),
#{% endif %}
]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    """The service in a process of its own."""
    package = "{{ cookiecutter.__package_name }}"
    command = [sys.executable, "-m", package, "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        yield process
        process.kill()


@pytest.fixture
def url(process: subprocess.Popen[str]) -> str:
    """The URL of that service, once it accepts connections."""
    assert process.stderr
    for line in process.stderr:
        if running := re.search(r"running on (http://\S+)", line):
            return running[1]
    pytest.fail("The service did not start.")


#{% if cookiecutter.__uses.exports %}
def test_sigterm_ends_open_streams_in_order(
    app: FastAPI, process: subprocess.Popen[str], url: str
) -> None:
    for _ in app.state.database.seed(5_000):
        pass
#{% else %}
def test_sigterm_ends_open_streams_in_order(process: subprocess.Popen[str], url: str) -> None:
#{% endif %}
    headers = {"Accept-Encoding": "identity"}
    with ExitStack() as stack, httpx2.Client(base_url=url, headers=headers, timeout=30) as client:
        responses = [stack.enter_context(client.stream("GET", path)) for path in PATHS]

        process.terminate()
        for response in responses:
            # Raises an exception if the transfer breaks.
            response.read()

    assert {response.status_code for response in responses} == {200}
    assert process.wait(timeout=30) in (0, -signal.SIGTERM)
