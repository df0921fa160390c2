"""The tables of the database (SQLAlchemy Core)."""

#{% if cookiecutter.__uses.sqlite %}
from datetime import UTC, datetime

from sqlalchemy import Column, Dialect, Float, Integer, MetaData, Table, Text, TypeDecorator
#{% else %}
from sqlalchemy import BigInteger, Column, DateTime, Float, MetaData, Table, Text
#{% endif %}

metadata = MetaData()
#{% if cookiecutter.__uses.sqlite %}


class Timestamp(TypeDecorator[datetime]):
    """A time with a time zone, stored as text in UTC, in the form of RFC 3339 and of exports."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """Return the text to store."""
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value else None

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        """Return the time of a stored text."""
        return datetime.fromisoformat(value) if value else None

    @property
    def python_type(self) -> type[datetime]:
        """The type of a value."""
        return datetime


#{% else %}

#{% endif %}
items = Table(
    "items",
    metadata,
#{% if cookiecutter.__uses.sqlite %}
    Column("id", Integer, primary_key=True),
#{% else %}
    Column("id", BigInteger, primary_key=True),
#{% endif %}
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("price", Float),
#{% if cookiecutter.__uses.sqlite %}
    Column("created_at", Timestamp, nullable=False),
#{% else %}
    Column("created_at", DateTime(timezone=True), nullable=False),
#{% endif %}
)

users = Table(
    "users",
    metadata,
#{% if cookiecutter.__uses.sqlite %}
    Column("id", Integer, primary_key=True),
#{% else %}
    Column("id", BigInteger, primary_key=True),
#{% endif %}
    Column("name", Text, nullable=False),
    Column("email", Text, nullable=False),
)
