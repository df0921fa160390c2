"""Seeding and the health check."""

import pytest
from sqlalchemy import MetaData, func, select
from sqlalchemy.exc import DBAPIError

from streaming_api.settings import Settings
from streaming_api.streaming.exports.database import Database
from streaming_api.streaming.problems import Unavailable

from .conftest import SAMPLE_ROWS, SEED_BATCH, Content
from .tables import SAMPLES, database_class, empty, notes, open_database, orders, words


def counts(database: Database) -> set[int]:
    """Return the numbers of rows in the tables with samples: one if all have the same."""
    with database.engine.connect() as connection:
        return {
            connection.scalars(select(func.count()).select_from(table)).one() for table in SAMPLES
        }


def test_closed_query_does_not_interrupt_the_next(database: Database) -> None:
    statement = select(notes)
    with database.cursor(statement) as earlier:
        earlier.fetchmany(1)

    with database.cursor(statement) as later:
        first = later.fetchmany(1)
        earlier.interrupt()
        others = later.fetchmany(SAMPLE_ROWS)

    assert len(first) + len(others) == SAMPLE_ROWS


def test_generated_key_follows_the_samples(database: Database) -> None:
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

    with database.engine.connect() as connection:
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


def test_seed_creates_missing_tables(database: Database) -> None:
    Content(database).run("DROP TABLE words", "DROP TABLE v")

    list(database.seed(2))

    assert counts(database) == {2}
    database.ping()


def test_seed_counts_the_rows_that_it_replaces(database: Database) -> None:
    Content(database).run("DROP TABLE words")

    counted = database.count_rows()

    assert counted == {table.name: SAMPLE_ROWS for table in SAMPLES if table is not words}


def test_name_has_no_secret(database: Database) -> None:
    assert "?" not in database.name
    assert "password" not in database.name


def test_database_without_tables_is_available(database: Database, settings: Settings) -> None:
    other = database_class(settings.database_url, MetaData(), {})

    other.ping()

    assert list(other.seed(1)) == []
    other.close()


def test_ping_names_missing_tables(database: Database) -> None:
    content = Content(database)
    content.run("DROP TABLE words", "DROP TABLE v")

    with pytest.raises(Unavailable) as raised:
        database.ping()
    content.run(
        "CREATE VIEW words AS SELECT 1 AS word", "CREATE TABLE v (id INTEGER PRIMARY KEY)"
    )
    database.ping()

    assert set(str(raised.value).removeprefix("Missing tables: ").rstrip(".").split(", ")) == {
        "words",
        "v",
    }


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

    with pytest.raises(Unavailable):
        await database.check()


def test_closed_database_opens_again(database: Database) -> None:
    database.ping()

    database.close()

    database.ping()
