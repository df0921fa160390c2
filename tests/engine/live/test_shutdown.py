"""Graceful shutdown of a process: streams end, parts are closed, the process exits."""

import signal

import httpx2
import pytest

from ..variant import MEMORY
from .process import SERVE, TIMEOUT, UVICORN, process

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


@pytest.mark.skipif(not MEMORY, reason="for events in memory")
@pytest.mark.parametrize(("interval", "last"), [(0.2, "done"), (3600, "stream-error")])
def test_shutdown_ends_runs_before_their_followers(interval: float, last: str) -> None:
    with (
        process(SERVE, SHUTDOWN_GRACE_SECONDS="1") as service,
        httpx2.Client(base_url=service.url, timeout=TIMEOUT) as http,
    ):
        run = http.post("/runs", json={"steps": 3, "interval": interval}).json()
        with http.sse(f"/events/{run['topic']}?last_event_id=earliest") as source:
            events = iter(source)
            assert [next(events).event for _ in range(2)] == ["ready", "message"]

            status = service.stop(signal.SIGTERM)

            *_, end = events

    assert end.event == last
    assert status in (0, -signal.SIGTERM)
    assert f"run ended id={run['id']}" in service.log
