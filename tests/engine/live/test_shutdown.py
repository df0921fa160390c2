"""Graceful shutdown of a process: streams end, parts are closed, the process exits."""

import signal

import httpx2

from ..variant import MEMORY
from .process import SERVE, UVICORN, process

PATH = "/events/news" if MEMORY else "/docs"
SERVICE = [*UVICORN, "tests.engine.live.service:app"]


def test_shutdown_ends_read_and_stalled_streams() -> None:
    with (
        process(SERVICE, SHUTDOWN_GRACE_SECONDS="0.2") as service,
        service.connect("/file") as stalled,
        httpx2.stream("GET", f"{service.url}/ticker") as ticker,
    ):
        assert stalled.recv(12) == b"HTTP/1.1 200"
        body = ticker.iter_bytes()
        assert next(body) == b"hello\n"

        status = service.stop(signal.SIGTERM)

        assert b"".join(body) == b"closing"
    assert status in (0, -signal.SIGTERM)
    assert service.log.count("reason=shutdown") == 2
    assert "Application shutdown complete." in service.log


def test_shutdown_with_open_connection_completes() -> None:
    with process(SERVE) as service, service.connect(PATH) as connection:
        assert connection.recv(12) == b"HTTP/1.1 200"

        status = service.stop(signal.SIGINT)

    assert status in (0, -signal.SIGINT)
    assert "Application shutdown complete." in service.log
