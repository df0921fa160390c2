"""`HealthCheck`, and the routes `/health`, `/live` and `/ready`."""

import asyncio

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from streaming_api.streaming.health import HealthCheck, router
from streaming_api.streaming.registry import Streams


class Check:
    """A check that counts its runs, and waits or fails."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.runs = 0
        self.finish = asyncio.Event()
        self._failure = failure

    async def __call__(self) -> None:
        """Run the check."""
        self.runs += 1
        await self.finish.wait()
        if self._failure:
            raise self._failure


@pytest.mark.anyio
async def test_concurrent_requests_share_a_run() -> None:
    check = Check()
    health_check = HealthCheck([check])
    check.finish.set()

    for _ in range(2):
        await asyncio.gather(*(health_check.run() for _ in range(100)))

    assert check.runs == 2


@pytest.mark.anyio
async def test_failure_is_raised_for_all_requests_and_checked_again() -> None:
    check, other = Check(OSError("no database")), Check()
    health_check = HealthCheck([check, other])
    check.finish.set()

    results = await asyncio.gather(*(health_check.run() for _ in range(2)), return_exceptions=True)
    with pytest.raises(OSError, match="no database"):
        await health_check.run()

    assert [type(result) for result in results] == [OSError, OSError]
    assert (check.runs, other.runs) == (2, 0)


@pytest.mark.anyio
async def test_cancelled_request_does_not_cancel_others() -> None:
    check = Check()
    health_check = HealthCheck([check])
    cancelled, waiting = (asyncio.create_task(health_check.run()) for _ in range(2))
    await asyncio.sleep(0)

    cancelled.cancel()
    await asyncio.wait([cancelled])
    check.finish.set()
    await waiting

    assert cancelled.cancelled()
    assert check.runs == 1


def make_client(check: Check) -> TestClient:
    """Return a client of an application with that check."""
    check.finish.set()
    app = FastAPI()
    app.state.health_check = HealthCheck([check])
    app.state.streams = Streams(send_timeout=10, max_seconds=0, max_per_client=1, grace=10)
    app.include_router(router)
    return TestClient(app)


@pytest.mark.parametrize("path", ["/health", "/live", "/ready"])
def test_available_service_is_ok(path: str) -> None:
    client = make_client(Check())

    response = client.get(path)

    assert response.status_code == 200
    assert response.json() == {"status": "ok"}
    assert client.head(path).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_unavailable_service_returns_503_without_cause(
    caplog: pytest.LogCaptureFixture, path: str
) -> None:
    response = make_client(Check(ConnectionRefusedError("10.0.0.1"))).get(path)

    assert response.status_code == 503
    assert "10.0.0.1" not in response.text
    assert "10.0.0.1" in caplog.text


def test_unavailable_service_is_live() -> None:
    check = Check(ConnectionRefusedError("10.0.0.1"))

    assert make_client(check).get("/live").status_code == 200
    assert check.runs == 0


@pytest.mark.anyio
async def test_draining_service_is_live_and_not_ready() -> None:
    client = make_client(Check())
    client.app.state.streams.drain()  # type: ignore[attr-defined]

    statuses = {path: client.get(path).status_code for path in ("/health", "/live", "/ready")}

    assert statuses == {"/health": 200, "/live": 200, "/ready": 503}
    assert client.get("/ready").json() == {"detail": "The server is shutting down."}
