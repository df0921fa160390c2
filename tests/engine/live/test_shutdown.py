"""A process that is told to stop ends its streams, cleans up, and is gone."""

import signal

import httpx2
import pytest

from {{ cookiecutter.__package_name }} import main

from .process import SERVE, UVICORN, process

#{% if cookiecutter.sse and cookiecutter.event_broker == "memory" %}
PATH = "/events/news"
#{% else %}
PATH = "/"
#{% endif %}
SERVICE = [*UVICORN, "tests.live.service:app"]


def test_open_streams_are_ended_whether_they_are_read_or_not() -> None:
    with (
        process(SERVICE, SHUTDOWN_GRACE_SECONDS="0.2") as service,
        service.connect("/file") as stalled,
        httpx2.stream("GET", f"{service.url}/ticker") as ticker,
    ):
        assert stalled.recv(12) == b"HTTP/1.1 200"
        body = ticker.iter_bytes()
        assert next(body) == b"hello\n"

        status = service.stop(signal.SIGTERM)

        assert b"".join(body) == b"bye"
    assert status in (0, -signal.SIGTERM)
    assert service.log.count("reason=shutdown") == 2
    assert "Application shutdown complete." in service.log


@pytest.mark.parametrize(
    ("command", "number"),
    [
        pytest.param([*UVICORN, f"{main.__name__}:app"], signal.SIGTERM, id="uvicorn"),
        pytest.param(SERVE, signal.SIGINT, id="serve"),
    ],
)
def test_the_service_ends_in_order_with_a_connection_open(
    command: list[str], number: signal.Signals
) -> None:
    with process(command) as service, service.connect(PATH) as connection:
        assert connection.recv(12) == b"HTTP/1.1 200"

        status = service.stop(number)

    assert status in (0, -number)
    assert "Application shutdown complete." in service.log
