"""Tables whose keys are not the first column: of text, of several columns, and formulas."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Date, DateTime, Integer, MetaData, Numeric, Table, Text, Uuid

from streaming_api.streaming.exports.database import Database, Samples
from streaming_api.streaming.exports.export import Export
from streaming_api.streaming.exports.routes import export_routes

from ..exports.tables import database_class

ROWS = 300

metadata = MetaData()

words = Table(
    "words",
    metadata,
    Column("meaning", Text, nullable=False),
    Column("word", Text, primary_key=True),
)
payments = Table(
    "payments",
    metadata,
    Column("note", Text),
    Column("paid_at", DateTime(timezone=True), primary_key=True),
    Column("amount", Numeric(12, 2), primary_key=True),
    Column("payer", Text, primary_key=True),
)
formulas = Table(
    "formulas", metadata, Column("result", Integer), Column("formula", Text, primary_key=True)
)
phones = Table("phones", metadata, Column("name", Text), Column("phone", Text, primary_key=True))
devices = Table("devices", metadata, Column("name", Text), Column("serial", Uuid, primary_key=True))
days = Table("Days, 5%", metadata, Column("sales", Integer), Column("day", Date, primary_key=True))
empty = Table("v", metadata, Column("text", Text), Column("id", Integer, primary_key=True))
"""A table without samples, whose name is the end of an extension."""


def sample_word(number: int) -> dict[str, Any]:
    """Return the word of that number, which compression does not make much smaller."""
    return {"meaning": sha256(b"%d" % number).hexdigest(), "word": f"wörd, {number:06}"}


def sample_payment(number: int) -> dict[str, Any]:
    """Return the payment of that number; ten have the same time, and five of them one amount."""
    return {
        "note": f'"{number}"\n',
        "paid_at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number // 10),
        "amount": Decimal(f"{number // 5}.10"),
        "payer": f'O"Neil, {number}',
    }


def sample_formula(number: int) -> dict[str, Any]:
    """Return the formula of that number, of which one in three is certain in CSV."""
    prefix = ("=", "'=", "a")[number % 3]
    return {"result": number, "formula": f"{prefix}{number}"}


def sample_phone(number: int) -> dict[str, Any]:
    """Return the phone number of that number, which CSV escapes."""
    return {"name": f"name {number}", "phone": f"+49 30 {number:06}"}


def sample_device(number: int) -> dict[str, Any]:
    """Return the device of that number."""
    return {"serial": UUID(int=number), "name": f"Device {number}"}


def sample_day(number: int) -> dict[str, Any]:
    """Return the day of that number."""
    return {"day": date(2026, 1, 1) + timedelta(days=number), "sales": number % 7}


SAMPLES: Samples = {
    words: sample_word,
    payments: sample_payment,
    formulas: sample_formula,
    phones: sample_phone,
    devices: sample_device,
    days: sample_day,
}
EXPORTS = [
    Export(words),
    Export(payments),
    Export(formulas),
    Export(phones, filters=[phones.c.name]),
    Export(devices),
    Export(days, filters=[days.c.sales]),
    Export(empty),
]
ROUTES = export_routes(EXPORTS, SAMPLES)


def open_database(url: str) -> Database:
    """Return the database at `url` with these tables and their samples."""
    database: Database = database_class(url, metadata, SAMPLES)
    for _ in database.seed(ROWS):
        pass
    return database
