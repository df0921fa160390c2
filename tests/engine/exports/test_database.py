"""Creating tables, sample rows, seeding and the health check."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import MetaData, func, select
from sqlalchemy.exc import DBAPIError

from streaming_api.settings import Settings
from streaming_api.streaming.exports.database import Database

from .conftest import SAMPLE_ROWS, SEED_BATCH, Content
from .tables import SAMPLES, database_class, empty, notes, open_database, orders, words


def counts(database: Database) -> set[int]:
    """Return the numbers of rows in the tables with samples: one if all have the same."""
    with database.engine.connect() as connection:
        return {
            connection.scalars(select(func.count()).select_from(table)).one() for table in SAMPLES
        }


def start(settings: Settings) -> None:
    """Prepare the database as another process does."""
    database = open_database(settings.database_url)
    database.prepare()
    database.close()


def test_closed_query_does_not_interrupt_the_next(database: Database) -> None:
    statement = select(notes)
    with database.cursor(statement) as earlier:
        earlier.fetchmany(1)

    with database.cursor(statement) as later:
        first = later.fetchmany(1)
        earlier.interrupt()
        others = later.fetchmany(SAMPLE_ROWS)

    assert len(first) + len(others) == SAMPLE_ROWS


def test_first_start_creates_tables_with_samples(database: Database) -> None:
    database.prepare()

    assert counts(database) == {SAMPLE_ROWS}
    with database.engine.connect() as connection:
        assert connection.scalars(select(func.count()).select_from(empty)).one() == 0


def test_first_connection_creates_tables(database: Database) -> None:
    with database.connect():
        pass

    assert counts(database) == {SAMPLE_ROWS}


def test_later_start_keeps_rows(database: Database, settings: Settings) -> None:
    for table in SAMPLES:
        Content(database).replace(table, [])

    start(settings)

    assert counts(database) == {0}


def test_later_start_adds_missing_table(database: Database, settings: Settings) -> None:
    content = Content(database)
    content.replace(notes, [])
    content.run("DROP TABLE words")

    start(settings)

    with database.connect() as connection:
        assert connection.scalars(select(func.count()).select_from(words)).one() == SAMPLE_ROWS
        assert connection.scalars(select(func.count()).select_from(notes)).one() == 0


def test_start_adds_no_samples_to_a_view(database: Database, settings: Settings) -> None:
    content = Content(database)
    rename = "ALTER TABLE words RENAME TO all_words"
    content.run(rename, "CREATE VIEW words AS SELECT * FROM all_words")

    start(settings)

    assert counts(database) == {SAMPLE_ROWS}


def test_concurrent_starts_create_samples_once(database: Database, settings: Settings) -> None:
    starts = 4
    barrier = Barrier(starts)

    def start_together(_: int) -> None:
        barrier.wait()
        start(settings)

    with ThreadPoolExecutor(starts) as threads:
        list(threads.map(start_together, range(starts)))

    assert counts(database) == {SAMPLE_ROWS}


def test_generated_key_follows_the_samples(database: Database) -> None:
    database.prepare()

    for table in (notes, orders):
        row = {**SAMPLES[table](1)}
        (key,) = table.primary_key
        del row[key.name]
        with database.engine.begin() as connection:
            result = connection.execute(table.insert(), row)
        assert result.inserted_primary_key == (SAMPLE_ROWS + 1,)


@pytest.mark.parametrize("rows", [0, 1, SEED_BATCH + 1])
def test_seed_replaces_rows_and_yields_batches(database: Database, rows: int) -> None:
    written = list(database.seed(rows))

    assert sum(written) == rows * len(SAMPLES)
    assert all(batch <= SEED_BATCH for batch in written)
    assert counts(database) == {rows}


def test_seed_keeps_rows_of_tables_without_samples(database: Database) -> None:
    content = Content(database)
    content.replace(empty, [{"id": 7, "text": "kept"}])

    list(database.seed(1))

    with database.connect() as connection:
        assert connection.execute(select(empty)).all() == [(7, "kept")]


def test_seed_is_visible_when_complete(database: Database) -> None:
    seen = [counts(database) for _ in database.seed(2 * SEED_BATCH)]

    assert seen == [{SAMPLE_ROWS}] * 2 * len(SAMPLES)
    assert counts(database) == {2 * SEED_BATCH}


def test_interrupted_seed_changes_nothing(database: Database) -> None:
    seeding = database.seed(2 * SEED_BATCH)
    next(seeding)

    seeding.close()

    assert counts(database) == {SAMPLE_ROWS}
    assert Content(database).connections == 0


def test_database_without_tables_is_prepared(settings: Settings) -> None:
    database = database_class(settings.database_url, MetaData(), {})

    database.ping()

    assert list(database.seed(1)) == []
    database.close()


def test_ping_returns_its_connection(database: Database) -> None:
    database.ping()

    assert Content(database).connections == 0


def test_ping_fails_without_database(unreadable_url: str) -> None:
    database = open_database(unreadable_url)

    with pytest.raises(DBAPIError):
        database.ping()


@pytest.mark.anyio
async def test_check_fails_without_table(database: Database) -> None:
    await database.check()
    Content(database).run("DROP TABLE v")

    with pytest.raises(DBAPIError):
        await database.check()


def test_closed_database_opens_again(database: Database) -> None:
    database.ping()

    database.close()

    database.ping()
