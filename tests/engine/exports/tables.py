"""Tables of the tests' own: keys of four types, names that need quotes, and no samples."""

from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    DateTime,
    Float,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
)

from streaming_api.streaming.exports.database import Database, Samples
from streaming_api.streaming.exports.export import Export
from streaming_api.streaming.exports.routes import export_routes

from ..variant import SQLITE

integer_key: Any
database_class: Any

if SQLITE:
    from streaming_api.streaming.exports.sqlite import SQLite

    integer_key, database_class = Integer, SQLite
else:
    from streaming_api.streaming.exports.postgresql import PostgreSQL

    integer_key, database_class = BigInteger, PostgreSQL

START = datetime(2026, 1, 1, tzinfo=UTC)

metadata = MetaData()

notes = Table(
    "notes",
    metadata,
    Column("id", integer_key, primary_key=True),
    Column("text", Text, nullable=False),
    Column("comment", Text),
    Column("price", Float),
    Column("created_at", DateTime(timezone=True), nullable=False),
)
words = Table(
    "words",
    metadata,
    Column("meaning", Text, nullable=False),
    Column("word", Text, primary_key=True),
)
devices = Table("devices", metadata, Column("serial", Uuid, primary_key=True), Column("name", Text))
days = Table("days", metadata, Column("day", Date, primary_key=True), Column("sales", Integer))
orders = Table(
    "Order Details, 5%",
    metadata,
    Column("Order No. (%)", integer_key, primary_key=True),
    Column("_select", Text),
    Column("schema", Text, nullable=False),
)
empty = Table("v", metadata, Column("id", integer_key, primary_key=True), Column("text", Text))
"""A table without samples, whose name is the end of an extension."""


def sample_note(number: int) -> dict[str, Any]:
    """Return the note of that number; every tenth has neither comment nor price."""
    return {
        "id": number,
        "text": f'Nøte "{number}"',
        "comment": f"=A{number}" if number % 10 else None,
        "price": number / 4 if number % 10 else None,
        "created_at": START + timedelta(minutes=number),
    }


def sample_word(number: int) -> dict[str, Any]:
    """Return the word of that number, which compression does not make much smaller."""
    return {"meaning": sha256(b"%d" % number).hexdigest(), "word": f"wörd, {number:06}"}


def sample_device(number: int) -> dict[str, Any]:
    """Return the device of that number."""
    return {"serial": UUID(int=number), "name": f"Device {number}"}


def sample_day(number: int) -> dict[str, Any]:
    """Return the day of that number."""
    return {"day": date(2026, 1, 1) + timedelta(days=number), "sales": number}


def sample_order(number: int) -> dict[str, Any]:
    """Return the order of that number."""
    return {"Order No. (%)": number, "_select": "a", "schema": "b"}


SAMPLES: Samples = {
    notes: sample_note,
    words: sample_word,
    devices: sample_device,
    days: sample_day,
    orders: sample_order,
}
EXPORTS = [Export(table) for table in metadata.sorted_tables]
ROUTES = export_routes(EXPORTS, SAMPLES)


def note(id: int, **values: Any) -> dict[str, Any]:
    """Return a note with other values than the sample of that number."""
    return {**sample_note(id % 1000), "id": id, **values}


def open_database(url: str) -> Database:
    """Return the database at `url` with the tests' own tables."""
    database: Database = database_class(url, metadata, SAMPLES)
    return database
