"""Fixtures of the tests of exports: tables of their own, their rows, and failures."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import MetaData, Table, event

from streaming_api.settings import Settings
from streaming_api.streaming.exports import database as database_module
from streaming_api.streaming.exports.database import Database
from streaming_api.streaming.exports.export import Export
from streaming_api.streaming.exports.routes import export_routes
from streaming_api.streaming.health import HealthCheck

from ..variant import SQLITE
from .formats import FORMATS, Format
from .tables import ROUTES, database_class, open_database

SAMPLE_ROWS = 50
SEED_BATCH = 100
if SQLITE:
    FAILURE = "abs(CASE id WHEN {id} THEN -9223372036854775807 - 1 ELSE 0 END) = 0"
else:
    FAILURE = "0 / (id - {id}) = 0"
"""A condition that is true for all rows, and fails for one."""

Serve = Callable[..., TestClient]


class Content:
    """The content of a database, for tests to change."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._used: set[object] = set()
        event.listen(database.engine, "checkout", lambda _, record, __: self._used.add(record))
        event.listen(database.engine, "checkin", lambda _, record: self._used.discard(record))

    @property
    def connections(self) -> int:
        """The number of connections in use, of those taken since."""
        return len(self._used)

    def replace(self, table: Table, rows: list[dict[str, Any]]) -> None:
        """Replace the rows of `table`."""
        with self.database.engine.begin() as connection:
            connection.execute(table.delete())
            if rows:
                connection.execute(table.insert(), rows)

    def run(self, *statements: str) -> None:
        """Run SQL."""
        with self.database.engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def fail_at(self, table: Table, id: int) -> None:
        """Make reading `table` fail at the row of `id`."""
        name, before, condition = table.name, f"{table.name}_before", FAILURE.format(id=id)
        self.run(
            f"ALTER TABLE {name} RENAME TO {before}",
            f"ANALYZE {before}",
            f"CREATE VIEW {name} AS SELECT * FROM {before} WHERE {condition}",  # noqa: S608
        )


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save the time that many rows take."""
    monkeypatch.setattr(database_module, "SEED_BATCH", SEED_BATCH)
    if SQLITE:
        from streaming_api.streaming.exports import sqlite

        monkeypatch.setattr(sqlite, "SAMPLE_ROWS", SAMPLE_ROWS)


@pytest.fixture
def database(settings: Settings) -> Iterator[Any]:
    """A database of the tests' own tables, with samples."""
    database = open_database(settings.database_url)
    if SQLITE:
        database.create(with_samples=True)
    else:
        list(database.seed(SAMPLE_ROWS))
    yield database
    database.close()


@pytest.fixture
def app(app: FastAPI, database: Database) -> FastAPI:
    """The application with the exports of the tests' own tables."""
    app.state.database.close()
    app.state.database = database
    app.state.health_check = HealthCheck([database.check])
    app.include_router(ROUTES)
    return app


@pytest.fixture
def serve(create_app: Callable[[Settings], FastAPI], settings: Settings) -> Iterator[Serve]:
    """A function that creates tables, and returns a client of an application with `exports`.

    The tables are those of `metadata`, by default of the first export.
    """
    opened: list[Database] = []

    def serve(*exports: Export, metadata: MetaData | None = None) -> TestClient:
        source: Any = exports[0].source
        database = database_class(settings.database_url, metadata or source.metadata, {})
        list(database.seed(0))
        opened.append(database)
        app = create_app(settings)
        app.state.database = database
        app.state.health_check = HealthCheck([database.check])
        app.include_router(export_routes(exports, {}))
        return TestClient(app, raise_server_exceptions=False)

    yield serve
    for database in opened:
        database.close()


@pytest.fixture
def content(database: Database) -> Content:
    """The content of the database of `app`."""
    return Content(database)


@pytest.fixture(params=FORMATS, ids=lambda format: format.extension)
def format(request: pytest.FixtureRequest) -> Format:
    """Each of the chosen formats."""
    chosen: Format = request.param
    return chosen


@pytest.fixture
def unreadable_url(tmp_path: Path) -> str:
    """The URL of a database that is not available."""
    if not SQLITE:
        return "postgresql+psycopg://postgres@127.0.0.1:1/postgres"
    path = tmp_path / "unreadable.db"
    path.write_bytes(b"no database" * 1000)
    return f"sqlite:///{path}"
