"""A rendered project with one more route, which publishes bursts of events."""

import os
from importlib import import_module

from fastapi import Request

app = import_module(f"{os.environ['PACKAGE']}.main").create_app()


@app.post("/burst")
async def burst(request: Request, n: int) -> None:
    """Publish an event `n` times without a wait in between."""
    event = await request.json()
    for _ in range(n):
        await request.app.state.broker.publish("benchmark", event)
