"""PostgreSQL: limits, snapshots and sequences."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, func, select

from streaming_api.settings import Settings
from streaming_api.streaming.exports.database import Database
from streaming_api.streaming.exports.postgresql import PostgreSQL, TooManyExports

from .conftest import SAMPLE_ROWS, Content
from .tables import SAMPLES, metadata, notes

SLEEP_SECONDS = 10.0


@pytest.fixture
def limited(settings: Settings) -> Iterator[PostgreSQL]:
    """A database for one export at once, which may take 50 milliseconds."""
    database = PostgreSQL(
        settings.database_url, metadata, SAMPLES, max_exports=1, statement_timeout=0.05
    )
    yield database
    database.close()


def test_exports_beyond_the_limit_are_rejected(limited: PostgreSQL) -> None:
    statement = select(notes)

    with limited.cursor(statement):
        with pytest.raises(TooManyExports), limited.cursor(statement):
            pass
        limited.ping()
    with limited.cursor(statement) as cursor:
        rows = cursor.fetchmany(10)

    assert len(rows) == 10


def test_slow_export_fails(limited: PostgreSQL) -> None:
    with (
        pytest.raises(psycopg.errors.QueryCanceled, match="statement timeout"),
        limited.cursor(select(func.pg_sleep(SLEEP_SECONDS))) as cursor,
    ):
        cursor.fetchmany(1)

    assert Content(limited).connections == 0


def test_export_reads_one_snapshot(database: Database) -> None:
    isolation = select(func.current_setting("transaction_isolation"))

    with database.cursor(isolation) as cursor:
        rows = cursor.fetchmany(1)

    assert list(rows) == [("repeatable read",)]


def test_connection_writes_after_an_export(database: Database) -> None:
    with database.cursor(select(notes)) as cursor:
        cursor.fetchmany(1)

    assert sum(database.seed(1)) == len(SAMPLES)


def test_export_cannot_write(database: Database) -> None:
    sequence = func.pg_get_serial_sequence(notes.name, "id")

    with (
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
        database.cursor(select(func.nextval(sequence))) as cursor,
    ):
        cursor.fetchmany(1)

    assert Content(database).connections == 0


def test_table_of_another_schema_is_created_once(settings: Settings) -> None:
    other = MetaData(schema="Archive 1")
    old = Table("Old", other, Column("Id", Integer, primary_key=True), Column("text", Text))
    samples = {old: lambda number: {"Id": number, "text": "x"}}
    with psycopg.connect(settings.database_url.replace("+psycopg", "")) as connection:
        connection.execute('CREATE SCHEMA IF NOT EXISTS "Archive 1"')

    for _ in range(2):
        database = PostgreSQL(settings.database_url, other, samples)
        list(database.seed(SAMPLE_ROWS))
        with database.cursor(select(old)) as cursor:
            assert len(cursor.fetchmany(1000)) == SAMPLE_ROWS
        database.close()

    with psycopg.connect(settings.database_url.replace("+psycopg", "")) as connection:
        inserted = connection.execute(
            'INSERT INTO "Archive 1"."Old" (text) VALUES (\'y\') RETURNING "Id"'
        )
        assert inserted.fetchone() == (SAMPLE_ROWS + 1,)
        connection.execute('DROP SCHEMA "Archive 1" CASCADE')
