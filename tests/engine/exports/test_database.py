"""The tables, their samples, and who sees what of them when."""

#{% if cookiecutter.database == "sqlite" %}
import sqlite3
from collections.abc import Iterator
#{% endif %}
from concurrent.futures import ThreadPoolExecutor
#{% if cookiecutter.database == "sqlite" %}
from contextlib import closing
#{% endif %}
from threading import Barrier

#{% if cookiecutter.database == "sqlite" %}
import pytest
from sqlalchemy import func, make_url, select
#{% else %}
import psycopg
import pytest
from sqlalchemy import func, select
#{% endif %}
from sqlalchemy.exc import DBAPIError

from {{ cookiecutter.__package_name }}.exports import Database, metadata
#{% if cookiecutter.database == "sqlite" %}
from {{ cookiecutter.__package_name }}.exports import database as database_module
#{% else %}
from {{ cookiecutter.__package_name }}.exports.database import TooManyExports
from {{ cookiecutter.__package_name }}.main import create_app
#{% endif %}
from {{ cookiecutter.__package_name }}.settings import Settings

from .conftest import SAMPLE_ROWS, SEED_BATCH, Content

tables = metadata.sorted_tables
#{% if cookiecutter.database == "postgresql" %}
PATIENCE = 10.0
"""Seconds that a query takes which is not ended before."""
#{% endif %}


def counts(database: Database) -> set[int]:
    """Return how many rows the tables have, which is one number if all have the same."""
    with database.engine.connect() as connection:
        return {
            connection.scalars(select(func.count()).select_from(table)).one() for table in tables
        }


def test_a_query_that_is_over_is_not_interrupted_in_the_place_of_the_next(
    database: Database,
) -> None:
    statement = select(tables[0])
    with database.cursor(statement) as earlier:
        earlier.fetchmany(1)

    with database.cursor(statement) as later:
        first = later.fetchmany(1)
        earlier.interrupt()
        others = later.fetchmany(SAMPLE_ROWS)

    assert len(first) + len(others) == SAMPLE_ROWS


def test_the_first_start_creates_the_tables_with_samples(database: Database) -> None:
    database.prepare()

    assert counts(database) == {SAMPLE_ROWS}


def test_whoever_comes_first_finds_the_tables(database: Database) -> None:
    with database.connect():
        pass

    assert counts(database) == {SAMPLE_ROWS}


def test_a_later_start_changes_nothing(database: Database, settings: Settings) -> None:
    for table in tables:
        Content(database).replace(table, [])

    again = Database(settings.database_url)
    again.prepare()
    again.close()

    assert counts(database) == {0}


def test_starts_at_the_same_time_create_the_samples_once(
    database: Database, settings: Settings
) -> None:
    starts = 4
    barrier = Barrier(starts)

    def start(_: int) -> None:
        starting = Database(settings.database_url)
        barrier.wait()
        starting.prepare()
        starting.close()

    with ThreadPoolExecutor(starts) as threads:
        list(threads.map(start, range(starts)))

    assert counts(database) == {SAMPLE_ROWS}


def test_a_row_without_a_key_gets_the_next_after_the_samples(database: Database) -> None:
    database.prepare()

    for table in tables:
        row = table.info["sample"](1)
        del row["id"]
        with database.engine.begin() as connection:
            result = connection.execute(table.insert(), row)
        assert result.inserted_primary_key == (SAMPLE_ROWS + 1,)


@pytest.mark.parametrize("rows", [0, 1, SEED_BATCH + 1])
def test_seeding_replaces_the_rows_of_every_table_and_tells_how_far_it_is(
    database: Database, rows: int
) -> None:
    written = list(database.seed(rows))

    assert sum(written) == rows * len(tables)
    assert all(batch <= SEED_BATCH for batch in written)
    assert counts(database) == {rows}


def test_nobody_sees_a_part_of_new_samples(database: Database) -> None:
    seen = [counts(database) for _ in database.seed(2 * SEED_BATCH)]

    assert seen == [{SAMPLE_ROWS}] * 2 * len(tables)
    assert counts(database) == {2 * SEED_BATCH}


def test_an_interrupted_seed_changes_nothing(database: Database) -> None:
    seeding = database.seed(2 * SEED_BATCH)
    next(seeding)

    seeding.close()

    assert counts(database) == {SAMPLE_ROWS}
    assert Content(database).connections == 0


def test_a_database_that_answers_is_pinged(database: Database) -> None:
    database.ping()

    assert Content(database).connections == 0


def test_a_database_that_does_not_answer_is_told(unreadable_url: str) -> None:
    database = Database(unreadable_url)

    with pytest.raises(DBAPIError):
        database.ping()


def test_a_table_that_is_gone_is_told(database: Database) -> None:
    database.prepare()
    Content(database).run(f"DROP TABLE {tables[0].name}")

    with pytest.raises(DBAPIError):
        database.ping()


def test_a_closed_database_opens_again(database: Database) -> None:
    database.ping()

    database.close()

    database.ping()
#{% if cookiecutter.database == "sqlite" %}


def test_readers_and_a_writer_do_not_wait_for_each_other(database: Database) -> None:
    with database.connect() as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()

    assert mode == "wal"


@pytest.fixture
def locked(settings: Settings) -> Iterator[sqlite3.Connection]:
    """A database that is being written by somebody who does not know of its log."""
    path = make_url(settings.database_url).database
    with closing(sqlite3.connect(str(path), isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


def test_a_start_waits_for_whoever_is_writing(
    database: Database, locked: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: locked.rollback())

    database.prepare()

    assert counts(database) == {SAMPLE_ROWS}


def test_a_start_does_not_wait_for_ever(
    database: Database, locked: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0)

    with pytest.raises(DBAPIError, match="locked"):
        database.prepare()
#{% else %}


def test_exports_leave_connections_for_everything_else(settings: Settings) -> None:
    limited = settings.model_copy(update={"max_exports": 1})
    database: Database = create_app(limited).state.database
    statement = select(tables[0])

    with database.cursor(statement):
        with pytest.raises(TooManyExports), database.cursor(statement):
            pass
        database.ping()
    with database.cursor(statement) as cursor:
        rows = cursor.fetchmany(10)

    database.close()
    assert len(rows) == 10


def test_an_export_sees_one_moment(database: Database) -> None:
    isolation = select(func.current_setting("transaction_isolation"))

    with database.cursor(isolation) as cursor:
        rows = cursor.fetchmany(1)

    assert list(rows) == [("repeatable read",)]


def test_a_connection_writes_again_after_an_export(database: Database) -> None:
    with database.cursor(select(tables[0])) as cursor:
        cursor.fetchmany(1)

    assert sum(database.seed(1)) == len(tables)
    assert counts(database) == {1}


def test_an_export_cannot_change_anything(database: Database) -> None:
    sequence = func.pg_get_serial_sequence(tables[0].name, "id")

    with (
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
        database.cursor(select(func.nextval(sequence))) as cursor,
    ):
        cursor.fetchmany(1)

    assert Content(database).connections == 0


def test_an_export_that_takes_too_long_fails(settings: Settings) -> None:
    limited = settings.model_copy(update={"statement_timeout_seconds": 0.05})
    database: Database = create_app(limited).state.database

    with (
        pytest.raises(psycopg.errors.QueryCanceled, match="statement timeout"),
        database.cursor(select(func.pg_sleep(PATIENCE))) as cursor,
    ):
        cursor.fetchmany(1)

    assert Content(database).connections == 0
    database.close()
#{% endif %}
