"""The JSON Lines of FastAPI: a path operation that yields items."""

import os
from collections.abc import AsyncIterable
from datetime import datetime

import aiosqlite
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Item(BaseModel):
    """One line."""

    id: int
    name: str
    description: str | None
    price: float | None
    created_at: datetime


@app.get("/items.ndjson")
async def items(limit: int) -> AsyncIterable[Item]:
    """Download the items."""
    async with aiosqlite.connect(os.environ["DATABASE"]) as connection:
        connection.row_factory = aiosqlite.Row
        query = "SELECT * FROM items ORDER BY id LIMIT ?"
        async with connection.execute(query, (limit,)) as rows:
            async for row in rows:
                yield Item(**row)
