"""Seeding, the health check, and that nothing else writes."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

import httpx2
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import MetaData, func, select
from sqlalchemy.exc import DBAPIError

from streaming_api.settings import Settings
from streaming_api.streaming.exports.database import Database, Samples
from streaming_api.streaming.exports.export import Export
from streaming_api.streaming.exports.routes import export_routes
from streaming_api.streaming.health import HealthCheck
from streaming_api.streaming.problems import Unavailable

from ..variant import SQLITE
from .conftest import SAMPLE_ROWS, SEED_BATCH, Content
from .formats import FORMATS
from .tables import (
    EXPORTS,
    SAMPLES,
    database_class,
    empty,
    integer_key,
    metadata,
    notes,
    open_database,
    orders,
    words,
)


def counts(database: Database) -> set[int]:
    """Return the numbers of rows in the tables with samples: one if all have the same."""
    with database.engine.connect() as connection:
        return {
            connection.scalars(select(func.count()).select_from(table)).one() for table in SAMPLES
        }


def test_generated_key_follows_the_samples(database: Database) -> None:
    for table in (notes, orders):
        row = {**SAMPLES[table](1)}
        (key,) = table.primary_key
        del row[key.name]
        with database.engine.begin() as connection:
            result = connection.execute(table.insert(), row)
        assert result.inserted_primary_key == (SAMPLE_ROWS + 1,)


def test_generated_key_follows_samples_without_key(settings: Settings) -> None:
    table = sa.Table("generated", MetaData(), sa.Column("id", integer_key, primary_key=True))
    database = database_class(settings.database_url, table.metadata, {table: lambda _: {}})
    list(database.seed(3))
    list(database.seed(2))

    with database.engine.begin() as connection:
        last = connection.scalars(select(func.max(table.c.id))).one()
        result = connection.execute(table.insert(), {})
    database.close()

    assert result.inserted_primary_key == (last + 1,)


@pytest.mark.parametrize("rows", [0, 1, SEED_BATCH + 1])
def test_seed_replaces_rows_and_yields_batches(database: Database, rows: int) -> None:
    written = list(database.seed(rows))

    assert sum(written) == rows * len(SAMPLES)
    assert all(batch <= SEED_BATCH for batch in written)
    assert counts(database) == {rows}


def test_seed_creates_missing_tables(database: Database) -> None:
    Content(database).run("DROP TABLE words", "DROP TABLE v")

    list(database.seed(3))

    database.ping()
    assert counts(database) == {3}


def test_seed_creates_the_database_of_a_new_file(settings: Settings) -> None:
    database = open_database(settings.database_url)

    assert database.count_rows() == {}
    list(database.seed(3))

    assert counts(database) == {3}
    database.close()


def test_rows_that_seed_would_replace_are_counted_by_table(database: Database) -> None:
    content = Content(database)
    content.replace(notes, [])
    content.run("DROP TABLE words")

    found = database.count_rows()

    expected = {table.name: SAMPLE_ROWS for table in SAMPLES if table is not words}
    assert found == {**expected, "notes": 0}


def test_seed_keeps_rows_of_tables_without_samples(database: Database) -> None:
    content = Content(database)
    content.replace(empty, [{"id": 7, "text": "kept"}])

    list(database.seed(1))

    with database.engine.connect() as connection:
        assert connection.execute(select(empty)).all() == [(7, "kept")]


def test_seed_is_visible_when_complete(database: Database) -> None:
    seen = [counts(database) for _ in database.seed(2 * SEED_BATCH)]

    assert seen == [{SAMPLE_ROWS}] * 2 * len(SAMPLES)
    assert counts(database) == {2 * SEED_BATCH}


def test_interrupted_seed_changes_nothing(database: Database, content: Content) -> None:
    seeding = database.seed(2 * SEED_BATCH)
    next(seeding)

    seeding.close()

    assert counts(database) == {SAMPLE_ROWS}
    assert content.connections == 0


def test_seed_replaces_rows_of_tables_that_refer_to_others(settings: Settings) -> None:
    related = MetaData()
    parents = sa.Table("parents", related, sa.Column("id", sa.Integer, primary_key=True))
    parent = sa.ForeignKey(parents.c.id)
    children = sa.Table("children", related, sa.Column("id", parent, primary_key=True))
    samples: Samples = {each: lambda number: {"id": number} for each in (children, parents)}
    database = database_class(settings.database_url, related, samples)

    for rows in (2, 1):
        list(database.seed(rows))
        assert database.count_rows() == {"children": rows, "parents": rows}

    database.close()


def test_name_of_a_database_has_no_secrets(settings: Settings) -> None:
    url = sa.make_url(settings.database_url)
    if not SQLITE:
        url = url.set(password="hunter2", query={"application_name": "hunter2"})  # noqa: S106
    database = open_database(url.render_as_string(hide_password=False))

    assert "hunter2" not in database.name
    assert str(url.database) in database.name


def test_database_without_tables_answers(settings: Settings) -> None:
    database = database_class(settings.database_url, MetaData(), {})

    assert list(database.seed(1)) == []
    database.ping()

    database.close()


def test_ping_returns_its_connection(database: Database, content: Content) -> None:
    database.ping()

    assert content.connections == 0


def test_ping_fails_without_database(unreadable_url: str) -> None:
    database = open_database(unreadable_url)

    with pytest.raises(DBAPIError):
        database.ping()


@pytest.mark.anyio
async def test_check_names_the_missing_tables(database: Database, content: Content) -> None:
    await database.check()
    content.run("DROP TABLE v", "DROP TABLE notes")

    with pytest.raises(Unavailable) as raised:
        await database.check()

    assert str(raised.value) == "Missing tables: notes, v."
    assert content.connections == 0


def test_closed_database_opens_again(database: Database) -> None:
    database.ping()

    database.close()

    database.ping()


def serve(create_app: Callable[[Settings], FastAPI], settings: Settings) -> FastAPI:
    """Return an application with the tests' own tables, in the database of `settings`."""
    app = create_app(settings)
    app.state.database = open_database(settings.database_url)
    app.state.health_check = HealthCheck([app.state.database.check])
    app.include_router(export_routes(EXPORTS, SAMPLES))
    return app


@contextmanager
def owner(settings: Settings) -> Iterator[sa.Connection]:
    """Connect to the database as its owner does, who also creates it."""
    engine = sa.create_engine(settings.database_url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def relations(settings: Settings) -> dict[str, int]:
    """Return the number of rows of each table and view that the owner can see."""
    with owner(settings) as connection:
        inspector = sa.inspect(connection)
        schemas = [None] if SQLITE else inspector.get_schema_names()
        found = {}
        for schema in set(schemas) - {"information_schema"}:
            names = inspector.get_table_names(schema) + inspector.get_view_names(schema)
            if not SQLITE:
                names += inspector.get_materialized_view_names(schema)
            for name in names:
                table = sa.table(name, schema=schema)
                rows = connection.scalars(select(func.count()).select_from(table)).one()
                found[f"{schema}.{name}"] = rows
        return found


TABLES = [
    "CREATE TABLE {name} (id INTEGER PRIMARY KEY, text TEXT, comment TEXT, price FLOAT,"
    " created_at TIMESTAMP)"
]
VIEWS = [
    TABLES[0].format(name="all_notes"),
    "CREATE VIEW {name} AS SELECT * FROM all_notes",
]
KINDS: dict[str, list[str]] = {
    "nothing": [],
    "another table": ["CREATE TABLE unrelated (id INTEGER)"],
    "empty table": TABLES,
    "updatable view": VIEWS,
    "view of a join": [
        VIEWS[0],
        "CREATE VIEW {name} AS SELECT a.* FROM all_notes a JOIN all_notes b ON a.id = b.id",
    ],
    "name in capitals": [TABLES[0].format(name="Notes" if SQLITE else '"Notes"')],
}
if not SQLITE:
    KINDS |= {
        "materialized view": [
            VIEWS[0],
            "CREATE MATERIALIZED VIEW {name} AS SELECT * FROM all_notes",
        ],
        "partitions": [
            "CREATE TABLE {name} (id INTEGER, text TEXT) PARTITION BY RANGE (id)",
            "CREATE TABLE first_notes PARTITION OF {name} FOR VALUES FROM (0) TO (100)",
        ],
        "view with a rule": [
            *VIEWS,
            "CREATE RULE all_inserts AS ON INSERT TO {name} DO INSTEAD NOTHING",
        ],
        "another schema": [
            "CREATE SCHEMA IF NOT EXISTS sales",
            "DROP TABLE IF EXISTS sales.notes",
            TABLES[0].format(name="sales.notes"),
        ],
    }


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_written_unasked(
    create_app: Callable[[Settings], FastAPI], settings: Settings, kind: str, method: str
) -> None:
    with owner(settings) as connection:
        connection.execute(select(1))
        for statement in ["CREATE TABLE kept (id INTEGER)", *KINDS[kind]]:
            connection.exec_driver_sql(statement.format(name="notes"))
    before = relations(settings)

    with TestClient(serve(create_app, settings), raise_server_exceptions=False) as client:
        paths = client.get("/openapi.json").json()["paths"]
        for path in [*paths, "/docs", "/", "/nothing"]:
            if "{" not in path:
                client.request(method, quote(path))
        client.request(method, "/health")

    assert relations(settings) == before
    assert "None.kept" in before or "public.kept" in before


MISSING = [table.name for table in metadata.sorted_tables]


def test_missing_tables_are_named_and_served_once_they_are_there(
    create_app: Callable[[Settings], FastAPI],
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with owner(settings) as connection:
        connection.exec_driver_sql("CREATE TABLE unrelated (id INTEGER)")

    with TestClient(serve(create_app, settings)) as client:
        unavailable = client.get("/health")
        export = client.get(f"/export/v.{FORMATS[0].extension}")
        with owner(settings) as connection:
            metadata.create_all(connection)
        statuses = [client.get(path).status_code for path in ("/health", "/export/v")]

    message = f"Missing tables: {', '.join(MISSING)}."
    assert (unavailable.status_code, unavailable.json()["detail"]) == (503, message)
    assert export.status_code == 503
    assert f"Exports are unavailable: {message}" in caplog.text
    assert statuses == [200, 200]


@pytest.mark.anyio
async def test_health_is_ok_however_often_it_is_read(app: FastAPI) -> None:
    transport = httpx2.ASGITransport(app)

    async def read_health(client: httpx2.AsyncClient) -> list[int]:
        return [(await client.get("/health")).status_code for _ in range(250)]

    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        statuses = await asyncio.gather(*(read_health(client) for _ in range(8)))

    assert {status for each in statuses for status in each} == {200}


STOCK = "(id INTEGER PRIMARY KEY, name TEXT)"
INSERT = "INSERT INTO {} VALUES (2, 'b'), (1, 'a')"
EXISTING: dict[str, tuple[str, str | None, list[str]]] = {
    "table": ("stock", None, [f"CREATE TABLE stock {STOCK}", INSERT.format("stock")]),
    "view": (
        "stock",
        None,
        [
            f"CREATE TABLE parts {STOCK}",
            INSERT.format("parts"),
            "CREATE VIEW stock AS SELECT * FROM parts",
        ],
    ),
    "capitals": ("Stock", None, [f'CREATE TABLE "Stock" {STOCK}', INSERT.format('"Stock"')]),
    "quotes": ('a"b', None, [f'CREATE TABLE "a""b" {STOCK}', INSERT.format('"a""b"')]),
    "spaces": (
        "日本 50%",
        None,
        [f'CREATE TABLE "日本 50%%" {STOCK}', INSERT.format('"日本 50%%"')],
    ),
}
if SQLITE:
    EXISTING["other capitals"] = ("STOCK", *EXISTING["table"][1:])
else:
    EXISTING |= {
        "materialized view": (
            "stock",
            None,
            [
                f"CREATE TABLE parts {STOCK}",
                INSERT.format("parts"),
                "CREATE MATERIALIZED VIEW stock AS SELECT * FROM parts",
            ],
        ),
        "schema": (
            "stock",
            "Sales 1",
            [
                'DROP SCHEMA IF EXISTS "Sales 1" CASCADE',
                'CREATE SCHEMA "Sales 1"',
                f'CREATE TABLE "Sales 1".stock {STOCK}',
                INSERT.format('"Sales 1".stock'),
            ],
        ),
    }


@pytest.mark.parametrize("case", EXISTING)
def test_existing_relation_of_any_kind_is_served(
    create_app: Callable[[Settings], FastAPI], settings: Settings, case: str
) -> None:
    name, schema, statements = EXISTING[case]
    key = sa.Column("id", sa.Integer, primary_key=True)
    table = sa.Table(name, MetaData(), key, sa.Column("name", sa.Text), schema=schema)
    with owner(settings) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement.replace("%%", "%") if SQLITE else statement)
    app = create_app(settings)
    app.state.database = database_class(settings.database_url, table.metadata, {})
    app.state.health_check = HealthCheck([app.state.database.check])
    app.include_router(export_routes([Export(table)], {}))

    with TestClient(app) as client:
        health = client.get("/health")
        records = FORMATS[0].read(client.get(f"/export/{quote(name)}").text)
    app.state.database.close()

    assert health.status_code == 200, health.text
    assert [list(map(str, record.values())) for record in records] == [["1", "a"], ["2", "b"]]
