"""A rendered project with more routes: a burst of events, and items of a generator."""

import os
from importlib import import_module

from fastapi import APIRouter, Request
from generated_items import items, items_in_thread  # type: ignore[import-not-found]

PACKAGE = os.environ["PACKAGE"]

app = import_module(f"{PACKAGE}.main").create_app()
streaming = import_module(f"{PACKAGE}.streaming")
router = APIRouter(route_class=streaming.StreamRoute, dependencies=[streaming.PUBLIC])
for extension, name in {
    "ndjson": "NDJSONResponse",
    "csv": "CSVResponse",
    "events": "EventStreamResponse",
}.items():
    response_class = getattr(streaming, name)
    router.get(f"/yield.{extension}", response_class=response_class)(items)
    router.get(f"/yield-in-thread.{extension}", response_class=response_class)(items_in_thread)
app.include_router(router)


@app.post("/burst")
async def burst(request: Request, n: int) -> None:
    """Publish an event `n` times without a wait in between."""
    event = await request.json()
    for _ in range(n):
        await request.app.state.broker.publish("benchmark", event)
