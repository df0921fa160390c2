"""Exports with SQLAlchemy's asyncio extension: Core in batches, and the ORM row by row."""

import csv
import io
import json
import os
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

app = FastAPI()
engine = create_async_engine(f"sqlite+aiosqlite:///{os.environ['DATABASE']}")


class Base(DeclarativeBase):
    """The base of the tables."""


class Item(Base):
    """The table."""

    __tablename__ = "items"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    description: Mapped[str | None]
    price: Mapped[float | None]
    created_at: Mapped[str]


class ItemRead(BaseModel):
    """One line."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    description: str | None
    price: float | None
    created_at: str


async def batches(limit: int) -> AsyncIterator[Sequence[Row[Any]]]:
    """Yield the items, 1,000 at a time."""
    statement = select(Item.__table__).order_by(Item.id).limit(limit)
    async with engine.connect() as connection:
        result = await connection.stream(statement)
        async for batch in result.partitions(1000):
            yield batch


@app.get("/items.ndjson")
async def items_as_ndjson(limit: int) -> StreamingResponse:
    """Download the items as NDJSON."""

    async def chunks() -> AsyncIterator[str]:
        async for batch in batches(limit):
            yield "".join([json.dumps(dict(row._mapping)) + "\n" for row in batch])

    return StreamingResponse(chunks(), media_type="application/x-ndjson")


@app.get("/items.csv")
async def items_as_csv(limit: int) -> StreamingResponse:
    """Download the items as CSV."""

    async def chunks() -> AsyncIterator[str]:
        yield "id,name,description,price,created_at\r\n"
        async for batch in batches(limit):
            chunk = io.StringIO()
            csv.writer(chunk).writerows(batch)
            yield chunk.getvalue()

    return StreamingResponse(chunks(), media_type="text/csv")


@app.get("/orm.ndjson")
async def objects_as_ndjson(limit: int) -> StreamingResponse:
    """Download the items as NDJSON, from ORM objects and Pydantic models."""

    async def lines() -> AsyncIterator[str]:
        async with AsyncSession(engine) as session:
            statement = select(Item).order_by(Item.id).limit(limit)
            async for item in await session.stream_scalars(statement):
                yield ItemRead.model_validate(item).model_dump_json() + "\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")
