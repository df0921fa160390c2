"""The exports: every table of `EXPORTS` in every format, whatever its columns and rows."""

#{% if cookiecutter.__uses.csv %}
import csv
import io
#{% endif %}
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
#{% if cookiecutter.__uses.csv %}
from sqlalchemy import Connection, Select, String, select
#{% else %}
from sqlalchemy import Connection, Select, select
#{% endif %}

from {{ cookiecutter.__package_name }}.exports import EXPORTS
#{% if cookiecutter.__uses.csv %}
from {{ cookiecutter.__package_name }}.streaming import CSVResponse, Export, ExportResponse
#{% else %}
from {{ cookiecutter.__package_name }}.streaming import Export, ExportResponse
#{% endif %}
from {{ cookiecutter.__package_name }}.streaming.exports.routes import FORMATS

Row = dict[str, Any]
PAIRS = [(export, each) for export in EXPORTS for each in export.formats or FORMATS]
DOWNLOADS = [pytest.param(*pair, id=f"{pair[0].name}.{pair[1].extension}") for pair in PAIRS]
PATHS = [f"/export/{download.id}" for download in DOWNLOADS]
#{% if cookiecutter.__uses.sqlite %}
UNAVAILABLE = "sqlite:////nowhere/data.db"
#{% else %}
UNAVAILABLE = "postgresql://127.0.0.1:1/data"
#{% endif %}
#{% if cookiecutter.__uses.ndjson %}


def read_ndjson(response: httpx2.Response) -> list[Row]:
    """Read NDJSON line by line, a row at a time."""
    return [json.loads(line) for line in response.iter_lines()]
#{% endif %}
#{% if cookiecutter.__uses.csv %}


def read_csv(response: httpx2.Response) -> list[Row]:
    """Read CSV as text: its lines are not its records, since a cell can contain line breaks."""
    text = "".join(response.iter_text())
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
#{% endif %}


READERS: dict[str, Callable[[httpx2.Response], list[Row]]] = {
#{% if cookiecutter.__uses.ndjson %}
    "ndjson": read_ndjson,
#{% endif %}
#{% if cookiecutter.__uses.csv %}
    "csv": read_csv,
#{% endif %}
}
READABLE = [
    download
    for download, (_, file_format) in zip(DOWNLOADS, PAIRS, strict=True)
    if file_format.extension in READERS
]


@pytest.fixture(params=EXPORTS, ids=lambda export: export.name)
def export(request: pytest.FixtureRequest) -> Export:
    """Each of the exports."""
    export: Export = request.param
    return export


@pytest.fixture
def read(client: TestClient) -> Callable[..., list[Row]]:
    """A function that returns the rows of a download with these query parameters."""

    def read(export: Export, file_format: type[ExportResponse], **params: Any) -> list[Row]:
        path = f"/export/{export.name}.{file_format.extension}"
        with client.stream("GET", path, params=params) as response:
            return READERS[file_format.extension](response)

    return read


def key_of(export: Export, row: Row) -> str:
    """Return the value of `after` that resumes an export after `row`."""
    values = [row[name] for name in export.key]
    return str(values[0]) if len(values) == 1 else json.dumps(values)


@pytest.fixture
def replace_rows(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that makes every query return rows of `value`, then raise `failure`."""

    def replace(value: Any, failure: Exception | None = None) -> None:
        def rows(_: Connection, statement: Select[Any]) -> Iterator[list[Any]]:
            # The first chunk has ten rows.
            yield from [[value] * len(statement.selected_columns)] * 10
            if failure:
                raise failure

        monkeypatch.setattr(app.state.database, "rows", rows)

    return replace


@pytest.mark.parametrize(("export", "file_format"), DOWNLOADS)
def test_export_is_saved_as_attachment(
    client: TestClient, export: Export, file_format: type[ExportResponse]
) -> None:
    name = f"{export.name}.{file_format.extension}"
    path = f"/export/{name}"

    with client.stream("GET", path) as response, open("export", "wb") as file:
        for block in response.iter_bytes():
            file.write(block)

    assert response.headers["content-type"].startswith(file_format.media_type)
    assert response.headers["content-disposition"].startswith("attachment; ")
    assert name in unquote(response.headers["content-disposition"])
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    assert Path("export").read_bytes() == client.get(path).content


@pytest.mark.parametrize(("export", "file_format"), READABLE)
def test_export_has_all_rows_and_columns(
    app: FastAPI, read: Callable[..., list[Row]], export: Export, file_format: type[ExportResponse]
) -> None:
    rows = read(export, file_format)

    with app.state.database.engine.connect() as connection:
        stored = connection.execute(select(*export.columns.values())).all()
    assert len(rows) == len(stored)
    assert all(list(row) == list(export.columns) for row in rows)


@pytest.mark.parametrize(("export", "file_format"), READABLE)
#{% if cookiecutter.__uses.csv %}
@pytest.mark.parametrize("settings", [{"csv_escape_formulas": False}], indirect=True)
#{% endif %}
def test_export_resumed_after_key_has_rest(
    read: Callable[..., list[Row]], export: Export, file_format: type[ExportResponse]
) -> None:
    rows = read(export, file_format)
    if not rows:
        pytest.skip("no rows")

    beginning = read(export, file_format, limit=len(rows) // 2 + 1)
    rest = read(export, file_format, after=key_of(export, beginning[-1]))

    assert beginning + rest == rows
    assert read(export, file_format, limit=0) == []


@pytest.mark.parametrize(("export", "file_format"), READABLE)
def test_export_of_some_columns_has_those_in_order(
    read: Callable[..., list[Row]], export: Export, file_format: type[ExportResponse]
) -> None:
    columns = list(export.columns)[::-1][:2]

    rows = read(export, file_format, columns=quoted(columns))

    whole = read(export, file_format)
    assert [list(row.items()) for row in rows] == [
        [(name, row[name]) for name in columns] for row in whole
    ]


def quoted(names: Sequence[str]) -> str:
    """Return the value of the parameter `columns`: names can contain commas."""
    return ",".join(f'"{name}"' for name in names)


def test_export_with_invalid_limit_returns_422(idle_client: TestClient) -> None:
    for path, query in product(PATHS, ["limit=-1", "limit=many", "limit=1&limit=2"]):
        response = idle_client.get(f"{path}?{query}")

        assert response.status_code == 422, f"{path}?{query}"
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["detail"].startswith("query.limit: ")


def test_export_head_has_headers_of_get(client: TestClient) -> None:
    for path in PATHS:
        response = client.head(path)

        expected = client.get(path).headers
        assert response.content == b""
        for name in ("content-type", "content-disposition", "cache-control"):
            assert response.headers[name] == expected[name]


def test_export_without_extension_negotiates_format(client: TestClient, export: Export) -> None:
    path = f"/export/{export.name}"

    formats = export.formats or FORMATS
    for file_format in formats:
        accept = f"text/html, {file_format.media_type}, */*;q=0.1"
        response = client.get(path, headers={"Accept": accept})

        assert response.headers["content-type"].startswith(file_format.media_type)
        assert "Accept" in response.headers["vary"]
    assert client.get(path).headers["content-type"].startswith(formats[0].media_type)


def test_export_in_unknown_format_returns_406(idle_client: TestClient, export: Export) -> None:
    response = idle_client.get(f"/export/{export.name}", headers={"Accept": "image/png"})

    assert response.status_code == 406
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("settings", [{"database_url": UNAVAILABLE}], indirect=True)
def test_unavailable_database_fails_exports_and_health(client: TestClient) -> None:
    for path in PATHS:
        response = client.get(path)

        assert response.status_code == 503, path
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["retry-after"]
        assert "content-disposition" not in response.headers
    assert client.get("/health").status_code == 503


def test_export_that_fails_midway_breaks_transfer(
    server: str, replace_rows: Callable[..., None]
) -> None:
    for path in PATHS:
        replace_rows(None, failure=ConnectionError("The database is gone."))

        with pytest.raises(httpx2.RemoteProtocolError):
            httpx2.get(server + path, headers={"Accept-Encoding": "identity"}, timeout=30)
#{% if cookiecutter.__uses.csv %}


CSV_EXPORTS = [
    pytest.param(export, id=export.name)
    for export in EXPORTS
    if CSVResponse in (export.formats or FORMATS)
]


def text_columns(export: Export) -> str:
    """Return the value of the parameter `columns` for all columns with text."""
    types = {name: column.type for name, column in export.columns.items()}
    names = [name for name, kind in types.items() if isinstance(kind, String)]
    if not names:
        pytest.skip("no text")
    return quoted(names)


@pytest.mark.parametrize("export", CSV_EXPORTS)
@pytest.mark.parametrize("settings", [{"csv_escape_formulas": True}], indirect=True)
def test_csv_for_spreadsheets_has_bom_and_no_formulas(
    client: TestClient, export: Export, replace_rows: Callable[..., None]
) -> None:
    replace_rows("=1+1")

    params = {"bom": "true", "columns": text_columns(export)}
    response = client.get(f"/export/{export.name}.csv", params=params)

    assert response.content.startswith("\ufeff".encode())
    assert response.text.splitlines()[1].startswith('"\'=1+1"')


@pytest.mark.parametrize("export", CSV_EXPORTS)
@pytest.mark.parametrize("settings", [{"csv_escape_formulas": False}], indirect=True)
def test_csv_without_escaping_has_text_as_stored(
    client: TestClient, export: Export, replace_rows: Callable[..., None]
) -> None:
    replace_rows("=1+1")

    params = {"columns": text_columns(export)}
    response = client.get(f"/export/{export.name}.csv", params=params)

    assert response.text.splitlines()[1].startswith('"=1+1"')
#{% endif %}
