"""The users, and their export as CSV."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel
from sqlalchemy import Column, Table, Text, select

from ..access import GUARDED, GuardedRoute, Scope, requires
from ..parameters import once
from ..streaming import stream_documentation
from .csv import CSVResponse
from .database import Key, metadata
from .page import RequestedPage
from .rows import Rows

router = APIRouter(
    tags=["exports"],
    route_class=GuardedRoute,
    dependencies=[requires(Scope.EXPORT), once("after", "limit", "bom")],
    responses=GUARDED,
)

FIRST_NAMES = ("Ada", "Björn", "Chiara", "Dmitri", "Emeka", "Fatima", "Grace", "Hiro", "Inés")
LAST_NAMES = ("Adeyemi", "Bergström", "Costa", "D'Angelo", "Eriksson", "Fischer", "Gupta")


def sample_user(number: int) -> dict[str, Any]:
    """Return the sample row of `number`."""
    first = FIRST_NAMES[number % len(FIRST_NAMES)]
    last = LAST_NAMES[number % len(LAST_NAMES)]
    return {"id": number, "name": f"{first} {last}", "email": f"user{number}@example.com"}


users = Table(
    "users",
    metadata,
    Column("id", Key, primary_key=True),
    Column("name", Text, nullable=False),
    Column("email", Text, nullable=False),
    info={"sample": sample_user},
)


class User(BaseModel):
    """One record of the export."""

    id: int
    name: str
    email: str


async def all_users(request: Request) -> Rows:
    """Return the rows of the table, of which nothing is read yet."""
    return Rows(request.app.state.database, select(users), users.c.id)


Users = Annotated[Rows, Depends(all_users)]
ByteOrderMark = Annotated[bool, Query(description="Start with a byte-order mark, for Excel")]


@router.head("/export/users.csv", include_in_schema=False)
@router.get(
    "/export/users.csv",
    status_code=200,
    response_class=CSVResponse,
    responses=stream_documentation(
        CSVResponse.media_type,
        User,
        "All users in the order of their ids, one a record, after the names of the columns.",
        'id,name,email\r\n1,"Björn Bergström","user1@example.com"\r\n'
        '2,"Chiara Costa","user2@example.com"\r\n',
    ),
)
async def export_users(
    request: Request, page: RequestedPage, rows: Users, bom: ByteOrderMark = False
) -> CSVResponse:
    """Download the users as CSV.

    ```console
    curl -N http://127.0.0.1:8000/export/users.csv
    ```
    """
    return CSVResponse(
        rows.after(page.after, page.limit),
        filename="users.csv",
        escape_formulas=request.app.state.settings.csv_escape_formulas,
        bom=bom,
    )
