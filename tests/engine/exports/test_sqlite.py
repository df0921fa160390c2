"""SQLite: the file, its locks and its times."""

import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Column, DateTime, Integer, MetaData, Table, func, make_url, select
from sqlalchemy.exc import DBAPIError

from streaming_api.settings import Settings
from streaming_api.streaming.exports import sqlite
from streaming_api.streaming.exports.sqlite import SQLite
from streaming_api.streaming.problems import Unavailable

from .conftest import SAMPLE_ROWS
from .tables import SAMPLES, metadata, notes, open_database

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def file(settings: Settings) -> Path:
    """The path of the file, which does not exist."""
    return Path(str(make_url(settings.database_url).database))


def count(database: Any) -> int:
    """Return the number of notes."""
    with database.engine.connect() as connection:
        number: int = connection.scalars(select(func.count()).select_from(notes)).one()
        return number


@pytest.mark.parametrize(("with_samples", "rows"), [(True, SAMPLE_ROWS), (False, 0)])
def test_new_file_is_complete(file: Path, with_samples: bool, rows: int) -> None:
    database = SQLite(f"sqlite:///{file}", metadata, SAMPLES)

    database.create(with_samples)

    assert count(database) == rows
    assert [path.name for path in file.parent.iterdir() if "new" in path.name] == []
    database.close()


def test_concurrent_starts_create_one_file(file: Path) -> None:
    starts = 4
    barrier = Barrier(starts)

    def start(number: int) -> None:
        database = SQLite(f"sqlite:///{file}", metadata, SAMPLES)
        barrier.wait()
        database.create(True)
        database.close()

    with ThreadPoolExecutor(starts) as threads:
        list(threads.map(start, range(starts)))

    database = SQLite(f"sqlite:///{file}", metadata, SAMPLES)
    assert count(database) == SAMPLE_ROWS
    database.close()


@pytest.mark.parametrize("content", [b"", b"no database"])
def test_existing_file_is_left_alone(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    database = SQLite(f"sqlite:///{file}", metadata, SAMPLES)

    database.create(True)

    assert file.read_bytes() == content
    database.close()


@pytest.mark.parametrize("relation", ["TABLE Notes (id INTEGER)", "VIEW notes AS SELECT 1 AS id"])
def test_existing_relation_is_not_missing(file: Path, relation: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"CREATE {relation}")
    database = SQLite(f"sqlite:///{file}", metadata, SAMPLES)

    with pytest.raises(Unavailable) as raised:
        database.ping()

    assert "notes" not in str(raised.value)
    database.close()


def test_missing_file_is_not_created(file: Path) -> None:
    database = SQLite(f"sqlite:///{file}", metadata, SAMPLES)

    with pytest.raises(DBAPIError, match="unable to open database file"):
        database.ping()

    assert database.count_rows() == {}
    assert not file.exists()
    database.close()


def test_replaced_file_is_followed(
    database: SQLite, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = SQLite(f"sqlite:///{file}.other", metadata, SAMPLES)
    other.create(False)
    other.close()
    before = count(database)

    os.replace(f"{file}.other", file)

    assert (before, count(database)) == (SAMPLE_ROWS, 0)
    assert f"The file of the database was replaced: {file.resolve()}" in caplog.text


def test_deleted_file_is_an_error(database: SQLite, file: Path) -> None:
    count(database)

    file.unlink()

    with pytest.raises(DBAPIError):
        count(database)


@pytest.mark.parametrize("has_log", [True, False])
def test_read_only_file_is_read_at_once(
    file: Path, monkeypatch: pytest.MonkeyPatch, has_log: bool
) -> None:
    database = SQLite(f"sqlite:///{file}", metadata, SAMPLES)
    database.create(True)
    if has_log:
        count(database)
    else:
        database.close()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("waits"))

    reader = SQLite(f"sqlite:///{file}", metadata, SAMPLES)

    assert count(reader) == SAMPLE_ROWS
    reader.close()
    database.close()


def test_readers_and_writer_do_not_block_each_other(database: SQLite) -> None:
    with database.engine.connect() as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()

    assert mode == "wal"


@pytest.fixture
def locked(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection that writes to the file, which has no write-ahead log yet."""
    with closing(sqlite3.connect(str(file), isolation_level=None)) as connection:
        connection.execute("CREATE TABLE notes (id INTEGER)")
        connection.execute("BEGIN IMMEDIATE")
        yield connection


def test_first_connection_waits_for_writer(
    settings: Settings, locked: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: locked.rollback())
    database = open_database(settings.database_url)

    assert count(database) == 0
    database.close()


def test_first_connection_fails_when_writer_takes_too_long(
    settings: Settings, locked: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0)
    database = open_database(settings.database_url)

    with pytest.raises(DBAPIError, match="locked"):
        count(database)
    database.close()


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (NOON, "2026-07-01 12:00:00.000000"),
        (NOON.astimezone(timezone(timedelta(hours=9))), "2026-07-01 12:00:00.000000"),
        (NOON.replace(microsecond=1), "2026-07-01 12:00:00.000001"),
        (None, None),
    ],
)
def test_time_with_zone_is_stored_in_utc(
    file: Path, value: datetime | None, stored: str | None
) -> None:
    tables = MetaData()
    times = Table(
        "times",
        tables,
        Column("id", Integer, primary_key=True),
        Column("zoned", DateTime(timezone=True)),
        Column("naive", DateTime),
    )
    database = SQLite(f"sqlite:///{file}", tables, {})
    database.create(False)
    with database.engine.begin() as connection:
        connection.execute(times.insert(), {"zoned": value, "naive": value})
    with database.engine.connect() as connection:
        raw = connection.exec_driver_sql("SELECT zoned, naive FROM times").one()
        zoned, naive = connection.execute(select(times.c.zoned, times.c.naive)).one()

    assert tuple(raw) == (stored, stored)
    assert zoned == value
    assert naive == (value.astimezone(UTC).replace(tzinfo=None) if value else None)
    database.close()
