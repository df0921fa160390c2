"""The items, and their export as NDJSON."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
from sqlalchemy import Column, Float, Table, Text, select

from ..streaming import stream_documentation
from .database import Key, Timestamp, metadata
from .ndjson import NDJSONResponse
from .page import RequestedPage
from .rows import Rows

router = APIRouter(tags=["exports"])

MATERIALS = ("Oak", "Linen", "Copper", "Glass", "Wool", "Birch", "Slate")
THINGS = ("table", "lamp", "bowl", "chair", "shelf", "blanket", "mirror", "tray", "clock")
FIRST_SAMPLE = datetime(2026, 1, 1, tzinfo=UTC)


def sample_item(number: int) -> dict[str, Any]:
    """Return the sample row of `number`; every tenth has no description."""
    material = MATERIALS[number % len(MATERIALS)]
    thing = THINGS[number % len(THINGS)]
    description = f'A {thing} of {material.lower()}, "number {number}"'
    return {
        "id": number,
        "name": f"{material} {thing}",
        "description": description if number % 10 else None,
        "price": number % 50_000 / 100,
        "created_at": FIRST_SAMPLE + timedelta(minutes=number),
    }


items = Table(
    "items",
    metadata,
    Column("id", Key, primary_key=True),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("price", Float),
    Column("created_at", Timestamp, nullable=False),
    info={"sample": sample_item},
)


class Item(BaseModel):
    """One line of the export."""

    id: int
    name: str
    description: str | None
    price: float | None
    created_at: datetime


async def all_items(request: Request) -> Rows:
    """Return the rows of the table, of which nothing is read yet."""
    return Rows(request.app.state.database, select(items), items.c.id)


Items = Annotated[Rows, Depends(all_items)]


@router.head("/export/items", include_in_schema=False)
@router.get(
    "/export/items",
    response_class=NDJSONResponse,
    responses=stream_documentation(
        NDJSONResponse.media_type,
        Item,
        "All items in the order of their ids, one a line.",
        '{"id":1,"name":"Linen lamp","description":null,"price":0.01,'
        '"created_at":"2026-01-01T00:01:00Z"}\n',
    ),
)
async def export_items(page: RequestedPage, rows: Items) -> NDJSONResponse:
    """Download the items as NDJSON."""
    return NDJSONResponse(rows.after(page.after, page.limit), filename="items.ndjson")
