"""What the tests of the exports share: a database, the rows in it, and how it fails."""

from collections.abc import Iterator
#{% if cookiecutter.database == "sqlite" %}
from pathlib import Path
#{% endif %}
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import Table

from {{ cookiecutter.__package_name }}.exports import Database
from {{ cookiecutter.__package_name }}.exports import database as database_module
from {{ cookiecutter.__package_name }}.settings import Settings

from .formats import EXPORTS, Export

SAMPLE_ROWS = 50
SEED_BATCH = 100
"""How many rows a new database has here, and how many are written at a time: few, to be fast."""
#{% if cookiecutter.database == "sqlite" %}
FAILURE = "abs(CASE id WHEN {id} THEN -9223372036854775807 - 1 ELSE 0 END) = 0"
#{% else %}
FAILURE = "0 / (id - {id}) = 0"
#{% endif %}
"""A condition that holds for all rows, but cannot be evaluated for one."""


class Content:
    """What stands in a database, for tests to change."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def replace(self, table: Table, rows: list[dict[str, Any]]) -> None:
        """Put `rows` in the place of those of `table`."""
        with self.database.connect() as connection, connection.begin():
            connection.execute(table.delete())
            if rows:
                connection.execute(table.insert(), rows)

    def run(self, *statements: str) -> None:
        """Run SQL."""
        with self.database.connect() as connection, connection.begin():
            for statement in statements:
                connection.exec_driver_sql(statement)

    def fail_at(self, table: Table, key: int) -> None:
        """Let whoever reads `table` find that the row of `key` cannot be read."""
        name, before, condition = table.name, f"{table.name}_before", FAILURE.format(id=key)
        self.run(
            f"ALTER TABLE {name} RENAME TO {before}",
            f"ANALYZE {before}",
            f"CREATE VIEW {name} AS SELECT * FROM {before} WHERE {condition}",  # noqa: S608
        )

    @property
    def connections(self) -> int:
        """How many connections are in use."""
        pool: Any = self.database.engine.pool
        return int(pool.checkedout())


@pytest.fixture(autouse=True)
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "SAMPLE_ROWS", SAMPLE_ROWS)
    monkeypatch.setattr(database_module, "SEED_BATCH", SEED_BATCH)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """A database that nothing was asked of yet."""
    database = Database(settings.database_url)
    yield database
    database.close()


@pytest.fixture
def content(app: FastAPI) -> Iterator[Content]:
    """The content of the database of `app`."""
    yield Content(app.state.database)
    app.state.database.close()


@pytest.fixture(params=EXPORTS, ids=lambda export: export.filename)
def export(request: pytest.FixtureRequest) -> Export:
    """Each of the exports."""
    export: Export = request.param
    return export


@pytest.fixture
#{% if cookiecutter.database == "sqlite" %}
def unreadable_url(tmp_path: Path) -> str:
    """The URL of a file that is no database."""
    path = tmp_path / "unreadable.db"
    path.write_bytes(b"no database" * 1000)
    return f"sqlite:///{path}"
#{% else %}
def unreadable_url() -> str:
    """The URL of a server that nobody runs."""
    return "postgresql+psycopg://postgres@127.0.0.1:1/postgres"
#{% endif %}
