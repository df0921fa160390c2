"""The exports, read by curl, Python's csv, DuckDB, Polars and httpx."""

import csv
import io
import json
from datetime import datetime
from pathlib import Path

import duckdb
import httpx
import polars
import pytest

from support.service import ROWS, Service
from support.tools import require, succeed

USERS = "SELECT id, name, email FROM users ORDER BY id"
ITEMS = "SELECT id, name, description FROM items ORDER BY id"


@pytest.fixture(scope="module")
def users_csv(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The users as CSV, downloaded with curl."""
    return download(service, "/export/users.csv", tmp_path_factory)


@pytest.fixture(scope="module")
def items_ndjson(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The items as NDJSON, downloaded with curl."""
    return download(service, "/export/items.ndjson", tmp_path_factory)


def download(service: Service, path: str, factory: pytest.TempPathFactory) -> Path:
    """Download an export with curl, under the file name that the response suggests."""
    folder = factory.mktemp("download")
    curl = require("curl")
    succeed(
        *(curl, "--fail", "--silent", "--show-error", "--compressed"),
        *("--remote-name", "--remote-header-name", service.url + path),
        cwd=folder,
    )
    (file,) = folder.iterdir()
    return file


def test_curl_saves_exports_under_their_names(users_csv: Path, items_ndjson: Path) -> None:
    assert (users_csv.name, items_ndjson.name) == ("users.csv", "items.ndjson")


@pytest.mark.parametrize(
    ("accept", "path"),
    [
        ("*/*", "/export/items.ndjson"),
        ("text/csv", "/export/items.csv"),
        ("text/csv, application/x-ndjson;q=0.5", "/export/users.csv"),
        ("application/x-ndjson, text/*;q=0.9", "/export/users.ndjson"),
    ],
)
def test_negotiated_export_equals_that_of_the_format(
    client: httpx.Client, accept: str, path: str
) -> None:
    named = client.get(path, params={"limit": 100})

    negotiated = client.get(
        path.partition(".")[0], params={"limit": 100}, headers={"Accept": accept}
    )

    assert negotiated.status_code == 200
    assert negotiated.headers["vary"].startswith("Accept")
    assert negotiated.content == named.content
    for name in ("content-type", "content-disposition"):
        assert negotiated.headers[name] == named.headers[name]


def test_curl_gets_same_bytes_with_and_without_compression(
    service: Service, users_csv: Path, tmp_path: Path
) -> None:
    plain = tmp_path / "plain.csv"

    succeed(
        *(require("curl"), "--fail", "--silent", "--output", str(plain)),
        f"{service.url}/export/users.csv",
    )

    assert plain.read_bytes() == users_csv.read_bytes()


def test_python_csv_reads_all_users(service: Service, users_csv: Path) -> None:
    with users_csv.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)

    assert header == ["id", "name", "email"]
    assert [(int(key), *rest) for key, *rest in rows] == service.rows(USERS)
    assert len(rows) == ROWS


def test_duckdb_reads_all_users(service: Service, users_csv: Path) -> None:
    rows = duckdb.read_csv(str(users_csv)).order("id").fetchall()

    assert rows == service.rows(USERS)


def test_polars_reads_all_users(service: Service, users_csv: Path) -> None:
    rows = polars.read_csv(users_csv).rows()

    assert rows == service.rows(USERS)


def test_duckdb_reads_all_items(service: Service, items_ndjson: Path) -> None:
    table = duckdb.read_json(str(items_ndjson), format="newline_delimited")

    rows = table.select("id", "name", "description").order("id").fetchall()

    assert rows == service.rows(ITEMS)


def test_polars_reads_all_items(service: Service, items_ndjson: Path) -> None:
    table = polars.read_ndjson(items_ndjson, infer_schema_length=None)

    assert table.columns == ["id", "name", "description", "price", "created_at"]
    assert table.select("id", "name", "description").rows() == service.rows(ITEMS)


def test_prices_and_times_equal_those_of_the_database(service: Service, items_ndjson: Path) -> None:
    items = [json.loads(line) for line in items_ndjson.read_text(encoding="utf-8").split("\n")[:-1]]

    stored = service.rows("SELECT price, created_at FROM items ORDER BY id")
    assert [(item["price"], moment(item["created_at"])) for item in items] == [
        (price, moment(str(created_at))) for price, created_at in stored
    ]


def moment(text: str) -> datetime:
    """Parse a time, without its zone."""
    return datetime.fromisoformat(text).replace(tzinfo=None)


def test_httpx_reads_one_item_per_line(client: httpx.Client) -> None:
    headers = {"Accept-Encoding": "identity"}
    with client.stream("GET", "/export/items.ndjson", headers=headers) as response:
        ids = [json.loads(line)["id"] for line in response.iter_lines()]

    assert response.headers["content-type"].startswith("application/x-ndjson")
    assert ids == sorted(set(ids))
    assert len(ids) == ROWS


@pytest.mark.parametrize("path", ["/export/items.ndjson", "/export/users.csv"])
def test_export_in_two_parts_equals_the_whole(client: httpx.Client, path: str) -> None:
    whole = client.get(path).text

    first = client.get(path, params={"limit": 30_000}).text
    rest = client.get(path, params={"after": last_id(first)}).text

    if path.endswith(".csv"):
        rest = rest.partition("\r\n")[2]
    assert first + rest == whole


def last_id(export: str) -> int:
    """Return the key of the last row of an export."""
    if export.startswith("{"):
        return int(json.loads(export.splitlines()[-1])["id"])
    return int(list(csv.reader(io.StringIO(export)))[-1][0])


def test_csv_has_byte_order_mark_on_request(client: httpx.Client) -> None:
    response = client.get("/export/users.csv", params={"bom": "true", "limit": 1})

    assert response.content.startswith(b"\xef\xbb\xbf")
    assert response.content.removeprefix(b"\xef\xbb\xbf").startswith(b"id,name,email\r\n")


@pytest.mark.parametrize("path", ["/export/items", "/export/items.csv", "/export/users.csv"])
def test_head_returns_the_headers_of_get(client: httpx.Client, path: str) -> None:
    head = client.head(path)
    get = client.get(path, params={"limit": 1})

    assert head.status_code == 200
    assert head.content == b""
    for name in ("content-type", "content-disposition", "x-accel-buffering"):
        assert head.headers[name] == get.headers[name]
