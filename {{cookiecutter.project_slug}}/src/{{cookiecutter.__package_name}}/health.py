"""Whether the service can do its work."""

import logging
from typing import Literal

#{% if cookiecutter.ndjson or cookiecutter.csv %}
from anyio import to_thread
#{% endif %}
from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel

from .access import PUBLIC

logger = logging.getLogger(__name__)

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The state of a service that answers."""

    status: Literal["ok"] = "ok"


@router.get(
    "/health",
    dependencies=[PUBLIC],
    responses={503: {"description": "A part does not answer."}},
)
async def health(request: Request) -> Health:
    """Answer 200 once every part of the service answers."""
    state = request.app.state
    try:
#{% if cookiecutter.ndjson or cookiecutter.csv %}
        await to_thread.run_sync(state.database.ping)
#{% endif %}
#{% if cookiecutter.sse %}
        await state.broker.ping()
#{% endif %}
    except Exception as error:
        logger.warning("A part does not answer: %s", error)
        raise HTTPException(503, f"{type(error).__name__}: a part does not answer.") from error
    return Health()
