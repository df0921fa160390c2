"""The routes of exports: one for each format, and one that negotiates the format."""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Annotated, Any
from unicodedata import normalize
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel, BeforeValidator, GetPydanticSchema, WithJsonSchema, create_model
from pydantic import Field as Parameter
from sqlalchemy import ColumnElement, Select, select, tuple_

#{% if cookiecutter.__uses.tokens %}
from ..access.dependencies import SCOPE_ERRORS, requires
from ..access.tokens import Scope
#{% endif %}
from ..openapi import stream_responses
from ..routes import StreamRoute, parse_accept
from .columns import PARAMETERS, bind, parameter_type
#{% if cookiecutter.__uses.csv %}
from .csv import CSVResponse
#{% endif %}
from .database import Database, Samples
from .export import Export, ExportResponse
#{% if cookiecutter.__uses.ndjson %}
from .ndjson import NDJSONResponse
#{% endif %}
from .rows import Rows

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
        responses=SCOPE_ERRORS,
#{% endif %}
    )
    for export in exports:
        formats = export.formats or FORMATS
        for response_class in formats:
            path = f"/export/{export.name}.{response_class.extension}"
            add_route(router, path, export, [response_class], samples)
        add_route(router, f"/export/{export.name}", export, formats, samples, negotiates=True)
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
    if any(getattr(route, "path", None) == path for route in router.routes):
        raise ValueError(f"Invalid EXPORTS: expected one with the path {path}; use name=")
    model: Any = parameters_of(export, formats)

    async def stream_export(request: Request, query: Annotated[model, Query()]) -> Response:
        accept = ", ".join(request.headers.getlist("accept")) or "*/*"
        response_class = negotiate(accept, formats) if negotiates else formats[0]
        filename = f"{export.name}.{response_class.extension}"
        vary = {"Vary": "Accept"} if negotiates else {}
        headers = {"Content-Disposition": content_disposition(filename), **vary}
        columns = select_columns(export, query.columns)
        options: dict[str, Any] = {}
#{% if cookiecutter.__uses.csv %}
        if issubclass(response_class, CSVResponse):
            escape_formulas = request.app.state.settings.csv_escape_formulas
            options = {"bom": query.bom, "escape_formulas": escape_formulas}
#{% endif %}
        encoder = response_class.encoder(list(columns), **options)
        database = request.app.state.database
        statement = select_rows(database, export, query)
        rows = Rows(database, statement, columns, list(export.key.values()))
        return response_class(rows.chunks(encoder), headers)

    names = " or ".join(each.extension.upper() for each in formats)
    examples = {each.media_type: example(each, export, samples) for each in formats}
    responses = stream_responses(f"The rows of `{export.name}`.", export.row_schema, examples)
    if negotiates:
        responses[406] = {"description": "The client accepts none of the formats."}
    router.add_api_route(
        path,
        stream_export,
        status_code=200,
        response_class=formats[0],
        name=f"export_{export.name}",
        summary=f"Export {export.name} as {names}",
        description=f"```console\ncurl -N http://127.0.0.1:8000{quote(path)}\n```",
        responses=responses,
    )


def content_disposition(filename: str) -> str:
    """Return the `Content-Disposition` that saves a body as `filename`, in any script.

    ASCII clients read `filename`, all others `filename*` (RFC 6266, section 4.3; RFC 8187).
    """
    ascii_name = normalize("NFKD", filename).encode("ascii", "replace").decode()
    safe_name = re.sub(r'[^ -~]|["\\/?]', "_", ascii_name)
    if safe_name == filename:
        return f'attachment; filename="{filename}"'
    encoded = quote(filename, safe="", errors="replace")
    return f"attachment; filename=\"{safe_name}\"; filename*=UTF-8''{encoded}"


def parameters_of(export: Export, formats: Sequence[type[ExportResponse]]) -> type[BaseModel]:
    """Return the model of the query parameters of an export."""
    types = [parameter_type(column.type) for column in export.key.values()]
    after = types[0] if len(types) == 1 else array_of(types)
    hint = "" if len(types) == 1 else "these values as a JSON array: "
    hint = f"Resume after the row with {hint}`{', '.join(export.key)}`"
    limit = Parameter(None, ge=0, le=2**63 - 1, description="Maximum number of rows")
    fields: dict[str, Any] = {
        "after": (after | None, Parameter(None, description=hint)),
        "limit": (int | None, limit),
    }
    for number, (name, column) in enumerate(export.filters.items()):
        filtered = Parameter(None, alias=name, description=f"Select the rows with this `{name}`")
        fields[f"filter{number}"] = (parameter_type(column.type) | None, filtered)
    pattern: Any = None
    if all(name.isidentifier() for name in export.columns):
        one = "|".join(export.columns)
        pattern = {"pattern": f"^({one})(,({one}))*$"}
    hint = "Columns, separated by commas [all]"
    columns = Parameter(None, description=hint, json_schema_extra=pattern)
    fields["columns"] = (str | None, columns)
#{% if cookiecutter.__uses.csv %}
    if CSVResponse in formats:
        fields["bom"] = (bool, Parameter(False, description="CSV: start with a byte-order mark"))
#{% endif %}
    return create_model("Parameters", **fields)


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


def select_rows(database: Database, export: Export, query: Any) -> Select[Any]:
    """Return the rows that the parameters `after`, `limit` and the filters select.

    Raises `HTTPException`: 422 for a value that the type of its column rejects.
    """

    def parameter(name: str, value: Any, column: ColumnElement[Any]) -> ColumnElement[Any]:
        try:
            return database.comparable(bind(value, column, database.engine.dialect))
        except Exception as error:
            raise HTTPException(422, f"query.{name}: {error}") from error

    keys = list(map(database.comparable, export.key.values()))
    statement = select(*export.columns.values()).order_by(*keys).limit(query.limit)
    for number, (name, column) in enumerate(export.filters.items()):
        value = getattr(query, f"filter{number}")
        if value is not None:
            expected = parameter(name, value, column)
            statement = statement.where(database.comparable(column) == expected)
    if query.after is not None:
        after = [query.after] if len(keys) == 1 else query.after
        values = map(partial(parameter, "after"), after, export.key.values())
        statement = statement.where(tuple_(*keys) > tuple_(*values))
    return statement


def select_columns(export: Export, text: str | None) -> Mapping[str, ColumnElement[Any]]:
    """Return the columns with these names; one with a comma is in quotes."""
    if text is None:
        return export.columns
    try:
        names = next(csv.reader([text], strict=True), [])
    except csv.Error:
        names = []
    if not names or not set(names) <= export.columns.keys():
        expected = ",".join(export.columns)
        raise HTTPException(422, f"Invalid columns={text!r}: expected some of {expected}.")
    return {name: export.columns[name] for name in names}


def negotiate(accept: str, formats: Sequence[type[ExportResponse]]) -> type[ExportResponse]:
    """Return the preferred format (RFC 9110, section 12.5.1), the first of equals.

    Raises `HTTPException`: 406 if none is accepted.
    """
    qualities = parse_accept(accept)

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
    keys = [column.key for column in export.columns.values()]
    rows = [list(map(sample(number).get, keys)) for number in (1, 2) if sample]
    # A value of another type has another form in the export.
    if not rows or {type(cell) for row in rows for cell in row} - {*PARAMETERS, dict, type(None)}:
        return ""
    encoder = response_class.encoder(list(export.columns))
    return (encoder.header + encoder.encode(rows)).decode()
