"""The tables of the database (SQLAlchemy Core)."""

#{% if cookiecutter.__uses.sqlite %}
from sqlalchemy import Column, DateTime, Float, Integer, MetaData, Table, Text
#{% else %}
from sqlalchemy import BigInteger, Column, DateTime, Float, MetaData, Table, Text
#{% endif %}

metadata = MetaData()

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
    Column("created_at", DateTime(timezone=True), nullable=False),
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
