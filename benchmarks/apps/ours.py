"""A rendered project, with routes beside its own: items as CSV, and events in bursts."""

import os
from importlib import import_module

from fastapi import Request, Response

PACKAGE = os.environ["PACKAGE"]
csv = import_module(f"{PACKAGE}.exports.csv")
items = import_module(f"{PACKAGE}.exports.items")
app = import_module(f"{PACKAGE}.main").create_app()


@app.get("/export/items.csv")
async def export_items(request: Request, limit: int | None = None) -> Response:
    """Download the items as CSV."""
    rows = (await items.all_items(request)).after(None, limit)
    response: Response = csv.CSVResponse(
        rows,
        filename="items.csv",
        escape_formulas=request.app.state.settings.csv_escape_formulas,
        bom=False,
    )
    return response


@app.post("/burst")
async def burst(request: Request, n: int) -> None:
    """Publish an event many times in one turn of the event loop."""
    event = await request.body()
    for _ in range(n):
        await request.app.state.broker.publish("benchmark", event)  # which does not wait
