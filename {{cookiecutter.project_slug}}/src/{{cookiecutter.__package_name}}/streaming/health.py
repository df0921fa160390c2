"""The health checks: of the process, of the service, and of its readiness."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel

#{% if cookiecutter.__uses.tokens %}
from .access.dependencies import PUBLIC
#{% endif %}
from .problems import Unavailable

logger = logging.getLogger(__name__)

#{% if cookiecutter.__uses.tokens %}
router = APIRouter(tags=["health"], dependencies=[PUBLIC])
#{% else %}
router = APIRouter(tags=["health"])
#{% endif %}
UNAVAILABLE = "A part of the service is unavailable."


class Health(BaseModel):
    """The state of the service."""

    status: Literal["ok"] = "ok"


class HealthCheck:
    """Runs `checks`, once for all requests that wait for the result."""

    def __init__(self, checks: Sequence[Callable[[], Awaitable[None]]]) -> None:
        self._checks = checks
        self._running: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Return if all checks pass. Raises the exception of the one that fails."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        # A client that disconnects does not cancel the checks of the others.
        await asyncio.shield(self._running)

    async def _run(self) -> None:
        for check in self._checks:
            await check()


@router.get("/live")
async def get_live() -> Health:
    """Return 200: the process responds."""
    return Health()


@router.get("/ready", responses={503: {"description": UNAVAILABLE}})
async def get_ready(request: Request) -> Health:
    """Return 200 if the service is available and does not shut down."""
    if request.app.state.streams.draining:
        raise HTTPException(503, "The server is shutting down.")
    return await get_health(request)


@router.get("/health", responses={503: {"description": UNAVAILABLE}})
async def get_health(request: Request) -> Health:
    """Return 200 if all parts of the service are available."""
    try:
        await request.app.state.health_check.run()
    except Exception as error:
        logger.warning("Health check failed: %r", error)
        detail = str(error) if isinstance(error, Unavailable) else UNAVAILABLE
        raise HTTPException(503, detail) from error
    return Health()
