"""PostgreSQL: reading with psycopg, one snapshot per export."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, time, timedelta
from threading import BoundedSemaphore
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import CITEXT, INTERVAL
from sqlalchemy.types import NumericCommon, TypeEngine

from .columns import Binary, Convert, converts, each, exported_type, json_document, layers, loaded
from .database import Database, Samples

WRITER_LOCK = 0x5EED
"""The advisory lock of writers; an arbitrary number."""
CANCEL_SECONDS = 5
FETCH_ROWS = 16
"""Number of rows that wait in memory, however wide they are; more are hardly faster."""
CONNECTION = {
    "connect_timeout": 5,
    # A database in SQL_ASCII has text in any encoding; what is not UTF-8 fails.
    "client_encoding": "utf8",
    # A statement that is prepared belongs to a connection, which PgBouncer exchanges.
    "prepare_threshold": None,
}
"""Parameters of connections, unless the URL has others."""


class TooManyExports(Exception):
    """The maximum number of concurrent exports is reached."""


class PostgreSQL(Database):
    """A PostgreSQL database.

    At most `max_exports` run at once, each on a connection of its own. One that takes more than
    `statement_timeout` seconds in the server fails; 0: no limit but that of the role.
    """

    def __init__(
        self,
        url: str,
        metadata: sa.MetaData,
        samples: Samples,
        *,
        max_exports: int = 50,
        statement_timeout: float = 0,
    ) -> None:
        given = sa.make_url(url).query
        defaults = {name: value for name, value in CONNECTION.items() if name not in given}
        engine = sa.create_engine(url, max_overflow=-1, pool_pre_ping=True, connect_args=defaults)
        super().__init__(engine, metadata, samples, readers=4)
        # One snapshot for a whole export.
        self._reading = engine.execution_options(isolation_level="REPEATABLE READ")
        self._begin = (
            # SQLAlchemy's option would leave the connection read-write, which a standby rejects.
            "SET TRANSACTION READ ONLY;"
            # Values are read as text in these forms.
            "SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO';"
            "SET LOCAL intervalstyle = 'iso_8601';"
            # As for a server-side cursor, prefer an index, which has the first row at once.
            "SET LOCAL enable_sort = off"
        )
        if statement_timeout:
            self._begin += f"; SET LOCAL statement_timeout = {round(statement_timeout * 1000)}"
        self._exports = BoundedSemaphore(max_exports)

    def select(self, column: sa.ColumnElement[Any]) -> tuple[sa.ColumnElement[Any], Convert | None]:
        """Select as text what psycopg would convert with a loss, or could not convert at all."""
        dialect = self.engine.dialect
        kind = exported_type(column.type.dialect_impl(dialect))
        converts_items = isinstance(kind, sa.ARRAY) and converts(
            kind.item_type.dialect_impl(dialect)
        )
        if converts(kind) or converts_items or isinstance(kind, sa.Uuid):
            convert = loaded(kind, dialect)
            if convert and any(isinstance(layer, INTERVAL) for layer in layers(kind)):
                # psycopg reads no interval in the form of ISO 8601.
                read = each(lambda seconds: timedelta(microseconds=int(seconds * 10**6)))
                return sa.extract("epoch", column), lambda values: convert(read(values))
            return column, convert
        if isinstance(kind, sa.LargeBinary):
            return column, each(Binary)
        if is_native(kind) or (isinstance(kind, sa.ARRAY) and is_native(kind.item_type)):
            return column, None
        text = sa.cast(column, sa.Text)
        if isinstance(kind, sa.DateTime | sa.Time):
            return text, timestamps if isinstance(kind, sa.DateTime) else each(time_of_day)
        if isinstance(kind, sa.Date | sa.Enum | INTERVAL):
            return text, None
        # PostgreSQL knows the type of an expression of which SQLAlchemy does not.
        document = text if isinstance(kind, sa.JSON) else sa.cast(sa.func.to_json(column), sa.Text)
        return document, each(json_document)

    def comparable(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return column

    def text_bytes(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bytes]:
        return sa.func.convert_to(sa.cast(column, sa.Text), "SQL_ASCII")

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Raises `TooManyExports` in addition."""
        # Waiting here would block a reader for the streams that could make room.
        if not self._exports.acquire(blocking=False):
            raise TooManyExports
        try:
            with self._reading.connect() as connection:
                connection.exec_driver_sql(self._begin)
                yield connection
        finally:
            self._exports.release()

    def rows(self, connection: sa.Connection, statement: sa.Select[Any]) -> Any:
        compiled: Any = statement.compile(dialect=connection.dialect)
        # The parameters of `IN` become as many as there are values.
        expanded = compiled.construct_expanded_state()
        processors = {**compiled._bind_processors, **expanded.processors}
        parameters = {
            name: processors[name](value) if name in processors else value
            for name, value in expanded.parameters.items()
        }
        # The server sends rows as it finds them.
        cursor = driver_of(connection).cursor()
        return cursor.stream(expanded.statement, parameters, size=FETCH_ROWS)

    def interrupt(self, connection: sa.Connection) -> None:
        with suppress(psycopg.Error):
            driver_of(connection).cancel_safe(timeout=CANCEL_SECONDS)

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        with self.engine.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(WRITER_LOCK)))
            yield connection

    def insert_samples(
        self, connection: sa.Connection, table: sa.Table, rows: int
    ) -> Iterator[int]:
        """Set sequences, too: they continue after the samples."""
        yield from super().insert_samples(connection, table, rows)
        name = sa.func.concat_ws(".", *map(sa.func.quote_ident, (table.schema, table.name)))
        for key in table.primary_key:
            if any(isinstance(layer, sa.Integer) for layer in layers(key.type)):
                sequence = sa.func.pg_get_serial_sequence(name, key.name)
                last = sa.func.max(sa.type_coerce(key, sa.BigInteger))
                setval = sa.func.setval(sequence, sa.func.greatest(last, 1), last.is_not(None))
                connection.execute(sa.select(setval))


def driver_of(connection: sa.Connection) -> Any:
    """Return the connection of psycopg."""
    return connection.connection.driver_connection


def is_native(kind: TypeEngine[Any]) -> bool:
    """Return whether psycopg's values are exported as they are."""
    native: Any = sa.Boolean | sa.Integer | sa.LargeBinary | NumericCommon | sa.String | sa.Uuid
    return isinstance(kind, native) and not isinstance(kind, sa.Enum | CITEXT)


def timestamps(texts: Sequence[str]) -> Sequence[datetime | str | None]:
    """Return times: all in one go, unless one is NULL or unknown to Python."""
    try:
        return list(map(datetime.fromisoformat, texts))
    except (TypeError, ValueError):
        return each(timestamp)(texts)


def timestamp(text: str) -> datetime | str:
    """Return a time; the text of one that Python does not have, for example `infinity`."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


def time_of_day(text: str) -> time | str:
    """Return a time of day; the text of `24:00:00`, which Python does not have."""
    return text if text.startswith("24:") else time.fromisoformat(text)
