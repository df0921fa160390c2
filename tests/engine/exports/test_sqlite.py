"""SQLite: concurrency, locks and timestamps."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import func, make_url, select
from sqlalchemy.dialects import sqlite as dialect
from sqlalchemy.exc import DBAPIError

from streaming_api.settings import Settings
from streaming_api.streaming.exports import sqlite
from streaming_api.streaming.exports.database import Database
from streaming_api.tables import Timestamp

from .conftest import SAMPLE_ROWS
from .tables import notes

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def test_readers_and_writer_do_not_block_each_other(database: Database) -> None:
    with database.connect() as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()

    assert mode == "wal"


@pytest.fixture
def locked(settings: Settings) -> Iterator[sqlite3.Connection]:
    """A connection that writes to the file, which has no write-ahead log yet."""
    path = make_url(settings.database_url).database
    with closing(sqlite3.connect(str(path), isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


def test_start_waits_for_writer(
    database: Database, locked: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: locked.rollback())

    database.prepare()

    with database.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(notes)) == SAMPLE_ROWS


def test_start_fails_when_writer_takes_too_long(
    database: Database, locked: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0)

    with pytest.raises(DBAPIError, match="locked"):
        database.prepare()


@pytest.mark.parametrize(
    ("moment", "stored"),
    [
        (NOON, "2026-07-01T12:00:00Z"),
        (NOON.astimezone(timezone(timedelta(hours=9))), "2026-07-01T12:00:00Z"),
        (NOON.replace(microsecond=1), "2026-07-01T12:00:00.000001Z"),
        (None, None),
    ],
)
def test_timestamp_is_stored_as_text_in_utc(moment: datetime | None, stored: str | None) -> None:
    timestamp = Timestamp()

    assert timestamp.process_bind_param(moment, dialect.dialect()) == stored
    assert timestamp.process_result_value(stored, dialect.dialect()) == moment
    assert timestamp.python_type is datetime
