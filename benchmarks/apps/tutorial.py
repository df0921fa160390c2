"""Exports as in tutorials: a generator that yields one row at a time."""

import csv
import io
import json
import os
import sqlite3
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


def rows(limit: int) -> Iterator[dict[str, Any]]:
    """Yield the items."""
    connection = sqlite3.connect(os.environ["DATABASE"], check_same_thread=False)
    connection.row_factory = sqlite3.Row
    try:
        query = "SELECT * FROM items ORDER BY id LIMIT ?"
        yield from map(dict, connection.execute(query, (limit,)))
    finally:
        connection.close()


@app.get("/items.ndjson")
def items_as_ndjson(limit: int) -> StreamingResponse:
    """Download the items as NDJSON."""
    lines = (json.dumps(row) + "\n" for row in rows(limit))
    return StreamingResponse(lines, media_type="application/x-ndjson")


@app.get("/items.csv")
def items_as_csv(limit: int) -> StreamingResponse:
    """Download the items as CSV."""

    def lines() -> Iterator[str]:
        line = io.StringIO()
        writer = csv.DictWriter(line, ["id", "name", "description", "price", "created_at"])
        writer.writeheader()
        for row in rows(limit):
            writer.writerow(row)
            yield line.getvalue()
            line.seek(0)
            line.truncate()

    return StreamingResponse(lines(), media_type="text/csv")
