"""The routes of exports: names, keys, negotiation, options and documentation."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from sqlalchemy import Column, Enum, Integer, Interval, MetaData, Table, Text

from streaming_api.settings import Settings
from streaming_api.streaming.exports import routes
from streaming_api.streaming.exports.export import Export, ExportResponse
from streaming_api.streaming.exports.routes import export_routes, negotiate
from streaming_api.streaming.openapi import StreamingAPI

from ..variant import CSV, NDJSON, TOKENS
from .conftest import SAMPLE_ROWS, Content, Serve
from .formats import FORMATS, Format
from .kinds import Color, Reversed
from .tables import (
    ROUTES,
    days,
    devices,
    empty,
    metadata,
    note,
    notes,
    orders,
    sample_word,
    words,
)

BOTH = NDJSON and CSV
FIRST = FORMATS[0].media_type
FORMULA = '=HYPERLINK("http://example.com")'
TOKEN_SCOPES = {"guest": [], "reader": ["export"]}
needs_both = pytest.mark.skipif(not BOTH, reason="one format")
needs_csv = pytest.mark.skipif(not CSV, reason="no CSV")


Document = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Document:
    """The description of the exports."""
    app = StreamingAPI()
    app.state.settings = Settings()
    app.include_router(ROUTES)
    return app.openapi()


def operation(document: Document, path: str) -> Document:
    found: Document = document["paths"][path]["get"]
    return found


def documented(document: Document, path: str, media_type: str) -> Document:
    found: Document = operation(document, path)["responses"]["200"]["content"][media_type]
    return found


def test_every_export_has_a_path_for_each_format(document: Document) -> None:
    names = [
        name
        for table in metadata.sorted_tables
        for name in (table.name, *(f"{table.name}.{each.extension}" for each in FORMATS))
    ]

    assert document["paths"].keys() == {f"/export/{name}" for name in names}


@pytest.mark.parametrize(
    ("table", "after", "expected"),
    [
        (notes, 48, [49, 50]),
        (words, sample_word(48)["word"], [sample_word(49)["word"], sample_word(50)["word"]]),
        (words, "zebra", []),
        (days, date(2026, 2, 18), ["2026-02-19", "2026-02-20"]),
        (orders, 48, [49, 50]),
    ],
)
def test_after_has_the_type_of_the_key(
    client: TestClient, table: Table, after: Any, expected: list[Any]
) -> None:
    response = client.get(FORMATS[0].path(table), params={"after": str(after)})

    (key,) = table.primary_key
    records = FORMATS[0].read(response.text)
    assert [str(record[key.name]) for record in records] == list(map(str, expected))


@pytest.mark.parametrize(
    ("table", "schema"),
    [
        (notes, {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}),
        (words, {"type": "string", "pattern": "^[^\0]*$"}),
        (devices, {"type": "string", "format": "uuid"}),
        (days, {"type": "string", "format": "date"}),
    ],
)
def test_after_is_documented_with_its_type(
    document: Document, format: Format, table: Table, schema: dict[str, Any]
) -> None:
    after, limit = operation(document, format.path(table))["parameters"][:2]

    (key,) = table.primary_key
    assert (after["name"], limit["name"]) == ("after", "limit")
    assert after["description"] == f"Resume after the row with `{key.name}`"
    assert after["schema"]["anyOf"][0] == schema


def test_quoted_names_are_exported(client: TestClient, format: Format) -> None:
    response = client.get(format.path(orders), params={"after": 4, "limit": 1})

    assert response.status_code == 200
    (record,) = format.read(response.text)
    assert list(record) == ["Order No. (%)", "_select", "schema"]
    assert int(record["Order No. (%)"]) == 5
    assert response.headers["Content-Disposition"] == (
        f'attachment; filename="{orders.name}.{format.extension}"'
    )


def test_name_that_ends_an_extension_is_not_negotiated(client: TestClient, format: Format) -> None:
    response = client.get(format.path(empty), headers={"Accept": "text/html"})

    assert response.status_code == 200
    assert "Accept" not in response.headers.get("Vary", "").split(", ")


def test_negotiated_quoted_name_is_exported(client: TestClient) -> None:
    response = client.get(f"/export/{quote(orders.name)}")

    assert response.status_code == 200
    assert len(FORMATS[0].read(response.text)) == SAMPLE_ROWS


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "*/*;q=0.1",
        "text/html, */*;q=0.8",
        FIRST,
        FIRST.upper(),
        f"{FIRST};q=0.001",
        f"{FIRST};version=1;q=0.5",
        f" {FIRST} ; q=0.5 ",
        f"text/html,,{FIRST}",
        f"{FIRST.partition('/')[0]}/*",
        f"*/*;q=0, {FIRST}",
        f"garbage, ;;;, {FIRST}",
    ],
)
def test_first_format_is_chosen_among_equals(accept: str) -> None:
    assert negotiate(accept, routes.FORMATS) is routes.FORMATS[0]


@needs_both
@pytest.mark.parametrize(
    "accept",
    [
        "text/csv",
        "Text/CSV",
        "text/*",
        "text/csv, application/x-ndjson;q=0.9",
        "application/x-ndjson;q=0.9, text/csv",
        "application/x-ndjson;q=0.8, text/*;q=0.9",
        "application/x-ndjson;q=0, */*",
        "application/*;q=0.1, */*;q=0.2",
        "*/*;q=0.9, text/csv;q=0.8, application/x-ndjson;q=0.7",
        "application/x-ndjson;q=nonsense, text/csv;q=0.1",
        "application/x-ndjson;q=, text/csv;q=0.1",
        "application/x-ndjson;q=-1, text/csv;q=0.1",
        "application/x-ndjson;Q=0.1, text/csv;Q=0.2",
        'application/x-ndjson;profile="a,b;q=1";q=0.5, text/csv;q=0.9',
        'text/csv;profile=",application/x-ndjson,"',
    ],
)
def test_second_format_is_chosen_when_preferred(accept: str) -> None:
    assert negotiate(accept, routes.FORMATS) is routes.FORMATS[1]


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "image/*",
        "*/*;q=0",
        f"{FIRST};q=0, image/*",
        f"{FIRST};q=nonsense",
        f"{FIRST};q=",
        f"{FIRST};q=-1",
        "*",
        "q=1",
        ";",
        ",",
    ],
)
def test_negotiation_without_accepted_format_is_406(accept: str) -> None:
    expected = " or ".join(each.media_type for each in FORMATS)

    with pytest.raises(HTTPException) as raised:
        negotiate(accept, routes.FORMATS)

    assert raised.value.status_code == 406
    assert raised.value.headers == {"Vary": "Accept"}
    assert raised.value.detail == f"Invalid Accept: expected {expected}."


@pytest.mark.parametrize("accept", [None, "", "*/*", FIRST])
def test_client_without_preference_gets_first_format(
    client: TestClient, accept: str | None
) -> None:
    del client.headers["accept"]

    response = client.get("/export/notes", headers={} if accept is None else {"Accept": accept})

    assert response.status_code == 200
    assert response.headers["Content-Type"] == FORMATS[0].content_type
    assert "Accept" in response.headers["Vary"].split(", ")
    assert len(FORMATS[0].read(response.text)) == SAMPLE_ROWS


def test_client_gets_the_format_that_it_accepts(client: TestClient, format: Format) -> None:
    response = client.get("/export/notes", headers={"Accept": f"text/html, {format.media_type}"})

    assert response.headers["Content-Type"] == format.content_type
    assert response.headers["Content-Disposition"] == (
        f'attachment; filename="notes.{format.extension}"'
    )
    assert "Accept" in response.headers["Vary"].split(", ")
    assert len(format.read(response.text)) == SAMPLE_ROWS


def test_accept_on_several_lines_is_one_list(client: TestClient) -> None:
    last = FORMATS[-1]

    response = client.get(
        "/export/notes", headers=[("Accept", "text/html"), ("Accept", last.media_type)]
    )

    assert response.headers["Content-Type"] == last.content_type


def test_unacceptable_export_is_problem_document(idle_client: TestClient) -> None:
    response = idle_client.get("/export/notes", headers={"Accept": "text/html"})

    assert response.status_code == 406
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Vary"] == "Accept"


def test_negotiated_head_has_headers_of_get(client: TestClient, format: Format) -> None:
    headers = {"Accept": format.media_type}

    head, get = (client.request(each, "/export/notes", headers=headers) for each in ("HEAD", "GET"))

    assert head.content == b""
    for name in ("Content-Type", "Content-Disposition", "Vary"):
        assert head.headers[name] == get.headers[name]


class TextEncoder:
    """Encodes rows as text."""

    header = b"rows:\n"

    def __init__(self, names: Sequence[str]) -> None:
        pass

    def encode(self, rows: Iterable[Sequence[Any]]) -> bytes:
        return "".join(f"{row}\n" for row in rows).encode()


class TextResponse(ExportResponse):
    """A format of one's own."""

    media_type = "text/plain"
    extension = "txt"
    encoder = TextEncoder


def test_own_format_alone_is_exported(serve: Serve) -> None:
    client = serve(Export(days, formats=[TextResponse]))

    response = client.get("/export/days.txt")

    assert response.text == "rows:\n"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert client.get("/export/days").text == "rows:\n"


@needs_csv
def test_csv_header_has_column_names(client: TestClient, content: Content) -> None:
    content.replace(orders, [])

    assert client.get("/export/v.csv").text == "id,text\r\n"
    assert (
        client.get(f"/export/{quote(orders.name)}.csv").text == "Order No. (%),_select,schema\r\n"
    )


@needs_csv
@pytest.mark.parametrize("path", ["/export/notes.csv", "/export/notes"])
@pytest.mark.parametrize("limit", [0, 1])
def test_csv_starts_with_byte_order_mark_on_request(
    client: TestClient, path: str, limit: int
) -> None:
    headers = {"Accept": "text/csv"}
    plain = client.get(f"{path}?limit={limit}", headers=headers).content

    marked = client.get(f"{path}?limit={limit}&bom=true", headers=headers).content

    assert marked == b"\xef\xbb\xbf" + plain


@needs_both
def test_byte_order_mark_is_ignored_for_ndjson(client: TestClient) -> None:
    plain = client.get("/export/notes").content

    assert client.get("/export/notes?bom=true").content == plain
    assert client.get("/export/notes.ndjson?bom=true").content == plain


@needs_csv
def test_invalid_byte_order_mark_is_rejected(idle_client: TestClient) -> None:
    response = idle_client.get("/export/notes.csv?bom=perhaps")

    assert response.status_code == 422


@needs_csv
@pytest.mark.parametrize("escape", [True, False])
def test_csv_formulas_are_escaped_as_configured(
    settings: Settings, app: FastAPI, content: Content, escape: bool
) -> None:
    content.replace(notes, [note(1, text=FORMULA, comment="@home")])
    app.state.settings = settings.model_copy(update={"csv_escape_formulas": escape})

    with TestClient(app) as client:
        record = client.get("/export/notes.csv").text.splitlines()[1]

    mark = "'" if escape else ""
    expected = f'1,"{mark}=HYPERLINK(""http://example.com"")","{mark}@home",'
    assert record.startswith(expected)


def test_rows_have_the_members_of_the_schema(
    document: Document, client: TestClient, format: Format
) -> None:
    for table in metadata.sorted_tables:
        path = f"/export/{table.name}.{format.extension}"
        schema = documented(document, path, format.media_type)["itemSchema"]

        records = format.read(client.get(format.path(table)).text)

        names = [column.name for column in table.columns]
        assert list(schema["properties"]) == names
        assert all(list(record) == names for record in records)


def test_example_is_the_beginning_of_the_export(
    document: Document, client: TestClient, format: Format
) -> None:
    for table in (notes, words, days, orders):
        path = f"/export/{table.name}.{format.extension}"

        body = client.get(format.path(table), params={"limit": 2}).text

        example = documented(document, path, format.media_type)["examples"]["wire"]
        assert example["serializedValue"] == body
        description = operation(document, path)["responses"]["200"]["description"]
        assert f"```text\n{body.strip()}\n```" in description


def test_table_without_samples_has_no_example(document: Document, format: Format) -> None:
    path = f"/export/v.{format.extension}"

    assert documented(document, path, format.media_type).keys() == {"itemSchema"}
    assert operation(document, path)["responses"]["200"]["description"] == "The rows of `v`."


def example_of(value: Any, kind: Any) -> Any:
    """Return the examples of an export whose samples have this value."""
    key = Column("Key 1", Integer, key="id", primary_key=True)
    table = Table("sampled", MetaData(), key, Column("value", kind))
    app = StreamingAPI()
    app.state.settings = SimpleNamespace(api_tokens={})
    app.include_router(
        export_routes([Export(table)], {table: lambda id: {"id": id, "value": value}})
    )
    path = f"/export/sampled.{FORMATS[0].extension}"
    return documented(app.openapi(), path, FORMATS[0].media_type).get("examples")


def test_example_has_values_by_the_keys_of_columns() -> None:
    examples = example_of("x", Text)

    records = FORMATS[0].read(examples["wire"]["serializedValue"])
    assert [list(map(str, record.values())) for record in records] == [["1", "x"], ["2", "x"]]


@pytest.mark.parametrize(
    ("value", "kind"), [(Color.RED, Enum(Color)), (timedelta(1), Interval), (object(), Reversed)]
)
def test_sample_that_its_column_converts_is_no_example(value: Any, kind: Any) -> None:
    assert example_of(value, kind) is None


def test_negotiated_path_documents_all_formats(document: Document) -> None:
    responses = operation(document, "/export/notes")["responses"]

    content = responses["200"]["content"]
    assert list(content) == [each.media_type for each in FORMATS]
    for each in FORMATS:
        path = f"/export/notes.{each.extension}"
        assert content[each.media_type] == documented(document, path, each.media_type)
        assert "406" not in operation(document, path)["responses"]
    assert responses["406"]["content"].keys() == {"application/problem+json"}


def test_summary_and_command_name_the_export(document: Document, format: Format) -> None:
    found = operation(document, f"/export/notes.{format.extension}")

    assert found["summary"] == f"Export notes as {format.extension.upper()}"
    assert found["tags"] == ["exports"]
    command = f"curl -N http://127.0.0.1:8000{format.path(notes)}"
    assert found["description"].startswith(f"```console\n{command}\n```")


def test_operation_ids_are_unique(document: Document) -> None:
    ids = [path["get"]["operationId"] for path in document["paths"].values()]

    assert len(ids) == len(set(ids))


@pytest.mark.skipif(not TOKENS, reason="no tokens")
@pytest.mark.parametrize("settings", [{"api_tokens": TOKEN_SCOPES}], indirect=True)
@pytest.mark.parametrize(("token", "status"), [("", 401), ("guest", 403), ("reader", 200)])
def test_export_requires_scope(
    idle_client: TestClient, format: Format, token: str, status: int
) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    for path in ("/export/notes", format.path(notes)):
        assert idle_client.head(path, headers=headers).status_code == status
