"""SQLite: the new file, locks, read-only files, replaced files, and values of other programs."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Barrier, Timer
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.dialects import sqlite as dialect
from sqlalchemy.exc import DBAPIError

from streaming_api.settings import Settings
from streaming_api.streaming.exports import sqlite
from streaming_api.streaming.exports.export import Export
from streaming_api.streaming.exports.sqlite import SQLite

from .conftest import SAMPLE_ROWS, Content, Serve
from .formats import FORMATS, Format
from .kinds import without_conversion
from .tables import SAMPLES, empty, metadata, note, notes, open_database, words

STARTS = 4


def make(file: Path) -> SQLite:
    """Return the database in `file`, with the tests' own tables."""
    return SQLite(f"sqlite:///{file}", metadata, SAMPLES)


def count(database: SQLite, table: sa.Table) -> int:
    """Return the number of rows."""
    with database.engine.connect() as connection:
        return connection.scalars(sa.select(sa.func.count()).select_from(table)).one()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that does not exist."""
    return tmp_path / "new.db"


@pytest.mark.parametrize("with_samples", [True, False])
def test_new_file_has_tables(file: Path, with_samples: bool) -> None:
    with closing(make(file)) as database:
        database.create(with_samples)

        database.ping()
        assert count(database, notes) == SAMPLE_ROWS * with_samples
        assert count(database, empty) == 0
    assert [each.name for each in file.parent.iterdir()] == ["new.db"]


@pytest.mark.parametrize(
    ("settings", "rows"),
    [({}, SAMPLE_ROWS), ({"database_url": "sqlite:///other.db"}, 0)],
    indirect=["settings"],
)
def test_start_creates_samples_in_the_default_file_only(
    create_app: Callable[[Settings], FastAPI], settings: Settings, rows: int
) -> None:
    app = create_app(settings)
    database = app.state.database = open_database(settings.database_url)

    with (
        TestClient(app),
        closing(sqlite3.connect(database.file)) as connection,  # type: ignore[attr-defined]
    ):
        found = connection.execute("SELECT count(*) FROM notes").fetchone()

    assert found == (rows,)


@pytest.mark.parametrize("content", [b"", b"no database"])
def test_file_that_exists_is_left_as_it_is(file: Path, content: bytes) -> None:
    file.write_bytes(content)

    make(file).create(with_samples=True)

    assert file.read_bytes() == content
    assert [each.name for each in file.parent.iterdir()] == ["new.db"]


def test_file_appears_when_it_is_complete(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    appeared: list[bool] = []
    insert_samples = SQLite.insert_samples

    def insert(*arguments: Any) -> Iterator[int]:
        appeared.append(file.exists())
        return insert_samples(*arguments)

    monkeypatch.setattr(SQLite, "insert_samples", insert)
    with closing(make(file)) as database:
        database.create(with_samples=True)

    assert appeared == [False] * len(SAMPLES)
    assert file.exists()


def test_failed_creation_leaves_no_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SQLite, "insert_samples", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        make(file).create(with_samples=True)

    assert [each.name for each in file.parent.iterdir()] == []


def test_concurrent_starts_create_one_file(file: Path) -> None:
    barrier = Barrier(STARTS)

    def start(_: int) -> None:
        with closing(make(file)) as database:
            barrier.wait()
            database.create(with_samples=True)
            database.ping()

    with ThreadPoolExecutor(STARTS) as threads:
        list(threads.map(start, range(STARTS)))

    assert [each.name for each in file.parent.iterdir()] == ["new.db"]
    with closing(make(file)) as database:
        assert count(database, notes) == SAMPLE_ROWS


def test_readers_and_writer_do_not_block_each_other(database: SQLite) -> None:
    with database.engine.connect() as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()

    assert mode == "wal"


@pytest.fixture
def locked(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection that writes to the file, which has no write-ahead log yet."""
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as writer:
        writer.execute("CREATE TABLE kept (id INTEGER)")
        writer.execute("BEGIN IMMEDIATE")
        yield writer


def test_seed_waits_for_writer(file: Path, locked: sqlite3.Connection) -> None:
    with closing(make(file)) as database:
        release = Timer(0.05, locked.rollback)
        sa.event.listen(database.engine, "connect", lambda *_: release.start(), once=True)
        list(database.seed(1))

        assert count(database, notes) == 1


@pytest.mark.usefixtures("locked")
def test_seed_fails_when_writer_takes_too_long(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0)

    with closing(make(file)) as database, pytest.raises(DBAPIError, match="locked"):
        list(database.seed(1))


def test_seed_of_a_file_that_is_no_database_fails(file: Path) -> None:
    file.write_bytes(b"no database" * 100)

    with closing(make(file)) as database, pytest.raises(DBAPIError, match="not a database"):
        list(database.seed(1))


@pytest.fixture
def read_only(database: SQLite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that cannot be written, whoever asks; waiting for one fails."""
    database.close()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("waited"))


@pytest.mark.usefixtures("read_only")
def test_read_only_file_is_served_at_once(app: FastAPI, database: SQLite, format: Format) -> None:
    file = database.file
    before = file.read_bytes(), sorted(file.parent.iterdir())

    with TestClient(app) as client:
        response = client.get(format.path(notes))
        health = client.get("/health")

    assert len(format.read(response.text)) == SAMPLE_ROWS
    assert health.status_code == 200
    assert (file.read_bytes(), sorted(file.parent.iterdir())) == before


@pytest.mark.usefixtures("read_only")
def test_read_only_file_with_a_log_is_read_with_it(database: SQLite) -> None:
    with closing(sqlite3.connect(database.file)) as writer:
        writer.execute("DELETE FROM notes")
        writer.commit()

        assert count(database, notes) == 0
        database.close()


@pytest.mark.usefixtures("read_only")
def test_seed_of_a_read_only_file_fails(database: SQLite) -> None:
    with pytest.raises(DBAPIError, match="readonly"):
        list(database.seed(1))

    assert count(database, notes) == SAMPLE_ROWS


def test_export_does_not_create_the_file(client: TestClient, database: SQLite) -> None:
    database.close()
    database.file.unlink()

    assert client.get("/export/notes").status_code == 503
    assert not database.file.exists()


def test_replaced_file_is_followed(client: TestClient, database: SQLite, file: Path) -> None:
    client.get("/export/notes")
    with closing(make(file)) as other:
        other.create(with_samples=False)
        Content(other).replace(notes, [note(7)])

    file.replace(database.file)
    records = [FORMATS[0].read(client.get("/export/notes").text) for _ in range(2)]

    assert [[int(record["id"]) for record in each] for each in records] == [[7], [7]]


def test_removed_file_fails_until_it_is_back(
    client: TestClient, database: SQLite, tmp_path: Path
) -> None:
    client.get("/export/notes")
    moved = tmp_path / "moved.db"

    database.file.replace(moved)
    removed = client.get("/export/notes")
    moved.replace(database.file)

    assert removed.status_code == 503
    assert len(FORMATS[0].read(client.get("/export/notes").text)) == SAMPLE_ROWS


OTHER = sa.MetaData()
HISTORY = dialect.DATE(
    storage_format="%(day)02d.%(month)02d.%(year)04d",
    regexp=r"(?P<day>\d+)\.(?P<month>\d+)\.(?P<year>\d+)",
)
others = sa.Table(
    "others",
    OTHER,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("zoned", sa.DateTime(timezone=True)),
    sa.Column("naive", sa.DateTime),
    sa.Column("time", sa.Time),
    sa.Column("zoned_time", sa.Time(timezone=True)),
    sa.Column("date", HISTORY),
    sa.Column("decorated", without_conversion(HISTORY)),
    sa.Column("short", dialect.DATETIME(truncate_microseconds=True)),
    sa.Column("json", sa.JSON),
    sa.Column("numeric", sa.Numeric),
    sa.Column("integral", sa.Numeric(20, 0)),
    sa.Column("binary", sa.LargeBinary),
)
OTHER_VALUES = [
    ("zoned", "'2026-07-01 12:00:00'", "2026-07-01T12:00:00Z"),
    ("zoned", "'2026-07-01T12:00:00Z'", "2026-07-01T12:00:00Z"),
    ("zoned", "'2026-07-01 12:00:00.000000'", "2026-07-01T12:00:00Z"),
    ("zoned", "'2026-07-01 12:00:00.0000001'", "2026-07-01T12:00:00Z"),
    ("zoned", "'2026-07-01 12:00:00.5'", "2026-07-01T12:00:00.500000Z"),
    ("zoned", "'2026-07-01T12:00:00+09:00'", "2026-07-01T12:00:00+09:00"),
    ("zoned", "'2026-07-01'", "2026-07-01T00:00:00Z"),
    ("naive", "'2026-07-01 12:00:00'", "2026-07-01T12:00:00"),
    ("naive", "'2026-07-01T12:00:00.123'", "2026-07-01T12:00:00.123000"),
    ("time", "'12:00'", "12:00:00"),
    ("zoned_time", "'12:00:00.000000'", "12:00:00Z"),
    ("date", "'01.07.2026'", "2026-07-01"),
    ("decorated", "'01.07.2026'", "2026-07-01"),
    ("short", "'2026-07-01 12:00:00'", "2026-07-01T12:00:00"),
    ("json", "' {\"a\" : [1 ] } '", {"a": [1]}),
    ("json", "'[NaN, -Infinity]'", [None, None]),
    ("json", "'\"NaN\"'", "NaN"),
    ("json", "1.5", 1.5),
    ("json", '\'{"a": ["\\ud83d", 1]}\'', {"a": ["\ufffd", 1]}),
    ("json", "'\"\\ude00\\ud83d\\ude00\"'", "\ufffd😀"),
    ("numeric", "1e30", 10**30),
    ("numeric", "1e-9", 1e-9),
    ("numeric", "9e999", None),
    ("numeric", "9007199254740993", 9007199254740993),
    ("integral", "1234567890123456789", 1234567890123456789),
    ("binary", "'text'", "dGV4dA=="),
    ("binary", "x'fffe'", "//4="),
]


@pytest.mark.parametrize(("column", "stored", "expected"), OTHER_VALUES)
def test_values_of_other_programs_are_read_as_sqlalchemy_does(
    serve: Serve, column: str, stored: str, expected: Any
) -> None:
    client = serve(Export(others))
    content = Content(client.app.state.database)  # type: ignore[attr-defined]
    content.run(
        f"INSERT INTO others (id, {column}) VALUES (1, {stored})",  # noqa: S608
        f"INSERT INTO others (id, {column}) VALUES (2, {stored}), (3, NULL)",  # noqa: S608
    )

    records = FORMATS[0].read(client.get("/export/others", params={"columns": column}).text)

    if FORMATS[0].extension == "ndjson":
        assert [record[column] for record in records] == [expected, expected, None]


def test_time_is_stored_in_utc(serve: Serve) -> None:
    client = serve(Export(others))
    database = client.app.state.database  # type: ignore[attr-defined]
    moment = datetime.fromisoformat("2026-07-01T12:00:00+09:00")

    with database.engine.begin() as connection:
        connection.execute(others.insert(), {"id": 1, "zoned": moment, "date": date(2026, 7, 1)})
        read = connection.scalars(sa.select(others.c.zoned)).one()
        stored = connection.exec_driver_sql("SELECT zoned, date FROM others").one()

    assert read == moment
    assert read.tzinfo is UTC
    assert tuple(stored) == ("2026-07-01 03:00:00.000000", "01.07.2026")


def test_text_that_is_not_utf8_is_named_in_the_log(
    client: TestClient, content: Content, format: Format, caplog: pytest.LogCaptureFixture
) -> None:
    content.run("UPDATE notes SET comment = CAST(x'fffe' AS TEXT) WHERE id = 3")

    response = client.get(format.path(notes), params={"after": 1})

    assert response.status_code == 503
    assert "text is not UTF-8 table=notes column=comment key=3" in caplog.text
    with content.database.engine.connect() as connection:
        assert connection.scalars(sa.select(words.c.word)).first() == "wörd, 000001"
