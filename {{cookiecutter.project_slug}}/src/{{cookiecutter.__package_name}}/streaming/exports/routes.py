"""The routes of exports: one for each format, and one that negotiates the format."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field, create_model
from sqlalchemy import Column, Table, select

#{% if cookiecutter.__uses.tokens %}
from ..access.dependencies import GUARDED, requires
from ..access.tokens import Scope
#{% endif %}
from ..openapi import stream_responses
from ..routes import StreamRoute
#{% if cookiecutter.__uses.csv %}
from .csv import CSVResponse
#{% endif %}
from .database import Samples
#{% if cookiecutter.__uses.ndjson %}
from .ndjson import NDJSONResponse
#{% endif %}
from .response import ExportResponse
from .rows import Rows

QUALITY = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?", re.ASCII)
Integer = Annotated[int, Field(ge=-(2**63) + 1, le=2**63 - 1)]
FORMATS: list[type[ExportResponse]] = [
#{% if cookiecutter.__uses.ndjson %}
    NDJSONResponse,
#{% endif %}
#{% if cookiecutter.__uses.csv %}
    CSVResponse,
#{% endif %}
]
"""The formats, the one for clients without a preference first."""


@dataclass(frozen=True)
class Export:
    """An export of `table`, in the order of its primary key.

    Raises `ValueError` unless that is one column.
    """

    table: Table

    def __post_init__(self) -> None:
        if len(self.table.primary_key.columns) != 1:
            name = self.table.name
            raise ValueError(f"Invalid Export({name}): expected a primary key of one column")

    @property
    def name(self) -> str:
        """The name of the export in paths and files."""
        return self.table.name

    @property
    def key(self) -> Column[Any]:
        """The column that orders the rows, and after whose values an export is resumed."""
        (key,) = self.table.primary_key.columns
        return key


def export_routes(exports: Sequence[Export], samples: Samples) -> APIRouter:
    """Return the routes of `exports`; the first two samples of a table are its example."""
    router = APIRouter(
        tags=["exports"],
        route_class=StreamRoute,
#{% if cookiecutter.__uses.tokens %}
        dependencies=[requires(Scope.EXPORT)],
        responses=GUARDED,
#{% endif %}
    )
    for export in exports:
        for response_class in FORMATS:
            path = f"/export/{export.name}.{response_class.extension}"
            add_route(router, path, export, [response_class], samples)
        add_route(router, f"/export/{export.name}", export, FORMATS, samples)
    return router


def add_route(
    router: APIRouter,
    path: str,
    export: Export,
    formats: Sequence[type[ExportResponse]],
    samples: Samples,
) -> None:
    """Add the route of an export in one format, or in that of `formats` which `Accept` prefers."""
    statement = select(export.table)
#{% if cookiecutter.__uses.csv and cookiecutter.__uses.ndjson %}
    read_options: Callable[..., Any] = csv_options if CSVResponse in formats else no_options
#{% elif cookiecutter.__uses.csv %}
    read_options = csv_options
#{% else %}
    read_options = no_options
#{% endif %}
    negotiated = path == f"/export/{export.name}"

    async def stream_export(
        request: Request,
        page: Annotated[tuple[Any, int | None], Depends(page_parameters(export.key))],
        options: Annotated[Mapping[str, Any], Depends(read_options)],
    ) -> Response:
        rows = Rows(request.app.state.database, statement, export.key).page(*page)
        if not negotiated:
            return formats[0](rows, export.name, **options)
        accept = ", ".join(request.headers.getlist("accept")) or "*/*"
        preferred = negotiate(accept, formats)
        response = preferred(rows, export.name, **options)
        response.headers["Vary"] = "Accept"
        return response

    names = " or ".join(each.extension.upper() for each in formats)
    examples = {each.media_type: example(each, export, samples) for each in formats}
    responses = stream_responses(f"The rows of `{export.name}`.", row_schema(export), examples)
    if negotiated:
        responses[406] = {"description": "The client accepts none of the formats."}
    for method in ("HEAD", "GET"):
        router.add_api_route(
            path,
            stream_export,
            methods=[method],
            status_code=200,
            response_class=formats[0],
            name=f"export_{export.name}",
            summary=f"Export {export.name} as {names}",
            description=f"```console\ncurl -N http://127.0.0.1:8000{quote(path)}\n```",
            responses=responses,
            include_in_schema=method == "GET",
        )


def page_parameters(key: Column[Any]) -> Callable[..., Any]:
    """Return the dependency that reads `after` and `limit`."""

    async def read_page(
        after: Any = None,
        limit: Annotated[
            int | None, Query(ge=0, le=2**63 - 1, description="Maximum number of rows")
        ] = None,
    ) -> tuple[Any, int | None]:
        return after, limit

    kind: Any = Integer if key.type.python_type is int else key.type.python_type
    description = f"Resume after the row with this `{key.name}`"
    read_page.__annotations__["after"] = Annotated[kind | None, Query(description=description)]
    return read_page


#{% if cookiecutter.__uses.csv %}
async def csv_options(
    request: Request,
    bom: Annotated[bool, Query(description="CSV: start with a byte-order mark")] = False,
) -> Mapping[str, Any]:
    """Return the options of CSV."""
    return {"bom": bom, "escape_formulas": request.app.state.settings.csv_escape_formulas}


#{% endif %}
#{% if cookiecutter.__uses.ndjson %}
async def no_options() -> Mapping[str, Any]:
    """Return the options of NDJSON."""
    return {}


#{% endif %}
def negotiate(accept: str, formats: Sequence[type[ExportResponse]]) -> type[ExportResponse]:
    """Return the preferred format (RFC 9110, section 12.5.1), the first of equals.

    Raises `HTTPException`: 406 if none is accepted.
    """
    qualities = {}
    for element in accept.split(","):
        media_range, *parameters = (part.strip().lower() for part in element.split(";"))
        quality = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        qualities[media_range] = float(quality) if QUALITY.fullmatch(quality) else 0.0

    def quality_of(response_class: type[ExportResponse]) -> float:
        media_type = response_class.media_type
        ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
        return next((qualities[each] for each in ranges if each in qualities), 0.0)

    preferred = max(formats, key=quality_of)
    if quality_of(preferred) <= 0:
        expected = " or ".join(each.media_type for each in formats)
        raise HTTPException(406, f"Invalid Accept: expected {expected}.", {"Vary": "Accept"})
    return preferred


@cache
def row_schema(export: Export) -> dict[str, Any]:
    """Return the JSON schema of a row."""
    fields: dict[str, Any] = {}
    for number, column in enumerate(export.table.columns):
        kind: Any = column.type.python_type
        # The name of a column need not be one of a field.
        alias = Field(alias=str(column.key))
        fields[f"cell{number}"] = (kind | None if column.nullable else kind, alias)
    model: type[BaseModel] = create_model(export.name, **fields)
    return model.model_json_schema()


def example(response_class: type[ExportResponse], export: Export, samples: Samples) -> str:
    """Return the beginning of an export: its first two samples, if it has any."""
    if export.table not in samples:
        return ""
    columns = [str(column.key) for column in export.table.columns]
    rows = [[samples[export.table](n)[column] for column in columns] for n in (1, 2)]
    encoder = response_class.encoder(columns)
    return (encoder.header + encoder.encode(rows)).decode()
