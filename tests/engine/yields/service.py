"""The application with path operations that yield and do not end by themselves."""

import asyncio
import logging
from collections.abc import AsyncIterator

from fastapi import APIRouter

from streaming_api.main import create_app
from streaming_api.streaming import StreamRoute

from .formats import FORMATS, Tick

app = create_app()
router = APIRouter(route_class=StreamRoute)


async def wait_after_item() -> AsyncIterator[Tick]:
    try:
        yield Tick(n=1)
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.001)
        logging.getLogger("streaming_api").warning("the generator is closed")


for format in FORMATS:
    path = f"/{format.response_class.__name__}"
    router.add_api_route(path, wait_after_item, response_class=format.response_class)
app.include_router(router)
