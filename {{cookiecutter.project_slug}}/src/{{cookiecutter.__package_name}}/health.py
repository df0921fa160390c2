"""Whether the service can do its work."""

import asyncio
import logging
from typing import Literal

#{% if cookiecutter.ndjson or cookiecutter.csv %}
from anyio import to_thread
#{% endif %}
from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel
from starlette.datastructures import State

from .access import PUBLIC

logger = logging.getLogger(__name__)

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The state of a service that answers."""

    status: Literal["ok"] = "ok"


class Checkup:
    """Asks the parts of the service whether they answer, once for all who ask meanwhile.

    So a flood of requests, which need no token, takes no more threads and connections than one.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._running: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Return when every part answers; raise what is wrong otherwise."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._ask())
        # Whoever asks may leave; what was asked goes on, for the others.
        await asyncio.wait([self._running])
        self._running.result()

    async def _ask(self) -> None:
#{% if cookiecutter.ndjson or cookiecutter.csv %}
        await to_thread.run_sync(self._state.database.ping)
#{% endif %}
#{% if cookiecutter.sse %}
        await self._state.broker.ping()
#{% endif %}


@router.get(
    "/health",
    dependencies=[PUBLIC],
    responses={503: {"description": "A part does not answer."}},
)
async def health(request: Request) -> Health:
    """Answer 200 once every part of the service answers."""
    checkup: Checkup = request.app.state.checkup
    try:
        await checkup.run()
    except Exception as error:
        logger.warning("A part does not answer: %r", error)
        raise HTTPException(503, "A part of the service does not answer.") from error
    return Health()
