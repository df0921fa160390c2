"""The routes of exports: one for each format, and one that negotiates the format."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from inspect import Parameter, Signature
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import BeforeValidator, GetPydanticSchema, WithJsonSchema
from sqlalchemy import ColumnElement, Select, tuple_

#{% if cookiecutter.__uses.tokens %}
from ..access.dependencies import GUARDED, requires
from ..access.tokens import Scope
#{% endif %}
from ..openapi import stream_responses
from ..routes import StreamRoute
from .columns import bind, parameter_type
#{% if cookiecutter.__uses.csv %}
from .csv import CSVResponse
#{% endif %}
from .database import Samples
from .export import Export
#{% if cookiecutter.__uses.ndjson %}
from .ndjson import NDJSONResponse
#{% endif %}
from .response import ExportResponse, content_disposition
from .rows import Rows

NAME = re.compile(r'"((?:[^"]|"")+)"|([^",]+)')
NAMES = re.compile(rf"(?:{NAME.pattern})(?:,(?:{NAME.pattern}))*")
QUALITY = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?", re.ASCII)
FORMATS: list[type[ExportResponse]] = [
#{% if cookiecutter.__uses.ndjson %}
    NDJSONResponse,
#{% endif %}
#{% if cookiecutter.__uses.csv %}
    CSVResponse,
#{% endif %}
]
"""The formats, the one for clients without a preference first."""


def export_routes(exports: Sequence[Export], samples: Samples) -> APIRouter:
    """Return the routes of `exports`; the first two samples of a table are its example.

    Raises `ValueError` if two exports have the same path.
    """
    router = APIRouter(
        tags=["exports"],
        route_class=StreamRoute,
#{% if cookiecutter.__uses.tokens %}
        dependencies=[requires(Scope.EXPORT)],
        responses=GUARDED,
#{% endif %}
    )
    paths: Counter[str] = Counter()
    for export in exports:
        formats = export.formats or FORMATS
        for response_class in formats:
            path = f"/export/{export.name}.{response_class.extension}"
            add_route(router, path, export, [response_class], samples)
            paths[path] += 1
        add_route(router, f"/export/{export.name}", export, formats, samples, negotiates=True)
        paths[f"/export/{export.name}"] += 1
    for path, number in paths.items():
        if number > 1:
            raise ValueError(f"Invalid EXPORTS: expected one with the path {path}; use name=")
    return router


def add_route(
    router: APIRouter,
    path: str,
    export: Export,
    formats: Sequence[type[ExportResponse]],
    samples: Samples,
    *,
    negotiates: bool = False,
) -> None:
    """Add the route of an export in one format, or in that of `formats` which `Accept` prefers."""
#{% if cookiecutter.__uses.csv and cookiecutter.__uses.ndjson %}
    read_options: Callable[..., Any] = csv_options if CSVResponse in formats else no_options
#{% elif cookiecutter.__uses.csv %}
    read_options = csv_options
#{% else %}
    read_options = no_options
#{% endif %}

    async def stream_export(
        request: Request,
        statement: Annotated[Select[Any], Depends(page_of(export))],
        columns: Annotated[Mapping[str, ColumnElement[Any]], Depends(columns_of(export))],
        options: Annotated[Mapping[str, Any], Depends(read_options)],
    ) -> Response:
        accept = ", ".join(request.headers.getlist("accept")) or "*/*"
        response_class = negotiate(accept, formats) if negotiates else formats[0]
        filename = f"{export.name}.{response_class.extension}"
        headers = {"Content-Disposition": content_disposition(filename)}
        if negotiates:
            headers["Vary"] = "Accept"
        encoder = response_class.encoder(list(columns), **options)
        rows = Rows(request.app.state.database, statement, columns)
        return response_class(rows.chunks(encoder), headers)

    names = " or ".join(each.extension.upper() for each in formats)
    examples = {each.media_type: example(each, export, samples) for each in formats}
    responses = stream_responses(f"The rows of `{export.name}`.", export.row_schema, examples)
    if negotiates:
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


def page_of(export: Export) -> Callable[..., Any]:
    """Return the dependency that reads the filters, `after` and `limit`, and selects the rows."""
    keys = list(export.key.values())
    types = [parameter_type(key.type) for key in keys]
    name = ", ".join(export.key)
    after = types[0] if len(keys) == 1 else array_of(types)
    hint = f"`{name}`" if len(keys) == 1 else f"these values as a JSON array: `{name}`"

    async def read_page(**values: Any) -> Select[Any]:
        after, limit = values.pop("after"), values.pop("limit")
        statement = export.statement.limit(limit)
        for filtered, value in values.items():
            if value is not None:
                column = export.filters[names[filtered]]
                statement = statement.where(column == bind(value, column))
        if after is not None:
            last = [after] if len(keys) == 1 else after
            bound = [bind(value, key) for value, key in zip(last, keys, strict=True)]
            statement = statement.where(tuple_(*keys) > tuple_(*bound))
        return statement

    names = {f"filter{number}": filtered for number, filtered in enumerate(export.filters)}
    annotations = {
        "after": Annotated[after | None, Query(description=f"Resume after the row with {hint}")],
        "limit": Annotated[
            int | None, Query(ge=0, le=2**63 - 1, description="Maximum number of rows")
        ],
    } | {
        field: Annotated[
            parameter_type(export.filters[filtered].type) | None,
            Query(alias=filtered, description=f"Select the rows with this `{filtered}`"),
        ]
        for field, filtered in names.items()
    }
    read_page.__signature__ = Signature(  # type: ignore[attr-defined]
        [
            Parameter(field, Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for field, annotation in annotations.items()
        ]
    )
    return read_page


def array_of(types: Sequence[Any]) -> Any:
    """Return the annotation of a parameter that is a JSON array with values of `types`."""
    values: Any = Annotated[tuple[tuple(types)], BeforeValidator(parse_array)]  # type: ignore[misc]
    # Where FastAPI sees a tuple, it expects a parameter for each value.
    schema = GetPydanticSchema(lambda _, handler: handler(values))
    documented = {"type": "string", "contentMediaType": "application/json"}
    return Annotated[Any, schema, WithJsonSchema(documented)]


def parse_array(text: str) -> Any:
    """Return the values of a JSON array, with all digits of numbers. Raises `ValueError`."""
    try:
        return json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise ValueError("expected a JSON array") from None


def columns_of(export: Export) -> Callable[..., Any]:
    """Return the dependency that reads `columns`; a name with a comma is in quotes."""
    schema = {}
    if all(name.isidentifier() for name in export.columns):
        one = "|".join(export.columns)
        schema = {"pattern": f"^({one})(,({one}))*$"}

    async def read_columns(
        columns: Annotated[
            str | None,
            Query(description="Columns, separated by commas [all]", json_schema_extra=schema),
        ] = None,
    ) -> Mapping[str, ColumnElement[Any]]:
        if columns is None:
            return export.columns
        found = NAME.findall(columns) if NAMES.fullmatch(columns) else []
        names = [quoted.replace('""', '"') or plain for quoted, plain in found]
        if not names or not set(names) <= export.columns.keys():
            expected = ",".join(export.columns)
            raise HTTPException(422, f"Invalid columns={columns!r}: expected some of {expected}.")
        return {name: export.columns[name] for name in names}

    return read_columns


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


def example(response_class: type[ExportResponse], export: Export, samples: Samples) -> str:
    """Return the beginning of an export: its first two samples, if it has any."""
    sample = samples.get(export.source)  # type: ignore[call-overload]
    if sample is None:
        return ""
    encoder = response_class.encoder(list(export.columns))
    rows = [[sample(number).get(name) for name in export.columns] for number in (1, 2)]
    return (encoder.header + encoder.encode(rows)).decode()
