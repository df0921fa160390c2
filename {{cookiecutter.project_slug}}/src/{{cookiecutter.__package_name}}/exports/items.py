"""The items, and their export as NDJSON."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
#{% if cookiecutter.database == "sqlite" %}
from sqlalchemy import Column, Dialect, Float, Table, Text, TypeDecorator, select
#{% else %}
from sqlalchemy import Column, DateTime, Float, Table, Text, select
#{% endif %}

from ..access import GUARDED, GuardedRoute, Scope, requires
from ..parameters import once
from ..streaming import stream_documentation
from .database import Key, metadata
from .ndjson import NDJSONResponse
from .page import RequestedPage
from .rows import Rows

router = APIRouter(
    tags=["exports"],
    route_class=GuardedRoute,
    dependencies=[requires(Scope.EXPORT), once("after", "limit")],
    responses=GUARDED,
)

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


#{% if cookiecutter.database == "sqlite" %}
class Timestamp(TypeDecorator[datetime]):
    """A moment as text in UTC and the form of RFC 3339, which is its form in an export."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """Return what is stored of `value`, which knows its time zone."""
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value else None

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        """Return what `value` was stored for."""
        return datetime.fromisoformat(value) if value else None


#{% endif %}
items = Table(
    "items",
    metadata,
    Column("id", Key, primary_key=True),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("price", Float),
#{% if cookiecutter.database == "sqlite" %}
    Column("created_at", Timestamp, nullable=False),
#{% else %}
    Column("created_at", DateTime(timezone=True), nullable=False),
#{% endif %}
    info={"sample": sample_item},
)


EXAMPLE = r"""
{"id":1,"name":"Linen lamp","description":"A lamp of linen, \"number 1\"","price":0.01,"created_at":"2026-01-01T00:01:00Z"}
{"id":2,"name":"Copper bowl","description":"A bowl of copper, \"number 2\"","price":0.02,"created_at":"2026-01-01T00:02:00Z"}
""".lstrip()


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
    status_code=200,
    response_class=NDJSONResponse,
    responses=stream_documentation(
        NDJSONResponse.media_type,
        Item,
        "All items in the order of their ids, one a line.",
        EXAMPLE,
    ),
)
async def export_items(page: RequestedPage, rows: Items) -> NDJSONResponse:
    """Download the items as NDJSON.

    ```console
    curl -N http://127.0.0.1:8000/export/items
    ```
    """
    return NDJSONResponse(rows.after(page.after, page.limit), filename="items.ndjson")
