"""`HealthCheck` and `/health`."""

import asyncio

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from streaming_api.streaming.health import HealthCheck, router


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
    app.include_router(router)
    return TestClient(app)


def test_available_service_is_ok() -> None:
    response = make_client(Check()).get("/health")

    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


def test_unavailable_service_returns_503_without_cause(caplog: pytest.LogCaptureFixture) -> None:
    response = make_client(Check(ConnectionRefusedError("10.0.0.1"))).get("/health")

    assert response.status_code == 503
    assert "10.0.0.1" not in response.text
    assert "10.0.0.1" in caplog.text
