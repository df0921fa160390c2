"""Values of every column type, in every format and from both databases.

The property test creates a few tables; `EXAMPLES=10000` in the environment makes it create more.
"""

import asyncio
import csv
import io
import json
import os
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming_api.settings import Settings
from streaming_api.streaming.exports.database import Database
from streaming_api.streaming.exports.export import Export
from streaming_api.streaming.exports.rows import Rows

from ..variant import CSV, NDJSON, SQLITE
from .conftest import Serve
from .kinds import (
    KINDS,
    Cents,
    Code,
    Color,
    Key,
    Lower,
    Moment,
    Point,
    Reversed,
    Tags,
    Twice,
    is_same,
    labels,
)
from .tables import database_class

EXAMPLES = int(os.environ.get("EXAMPLES", 20))
TOKYO = timezone(timedelta(hours=9))
NOON = datetime(2026, 7, 1, 12)

Row = dict[str, Any]


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[Row]]:
    """Names of types, and rows of their values."""
    names = draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=6, unique=True))
    values = {f"c{number}": KINDS[name].values for number, name in enumerate(names)}
    row = st.fixed_dictionaries({name: st.none() | each for name, each in values.items()})
    return names, draw(st.lists(row, min_size=1, max_size=4))


def make_database(settings: Settings, metadata: sa.MetaData) -> Database:
    """Return the database at `database_url`, with the tables of `metadata`."""
    database: Database = database_class(settings.database_url, metadata, {})
    list(database.seed(0))
    return database


def write(database: Database, table: sa.Table, rows: Sequence[Row]) -> None:
    """Insert rows one by one: each has its own columns."""
    with database.engine.begin() as connection:
        for row in rows:
            connection.execute(table.insert(), row)


def read_plain(database: Database, table: sa.Table, names: Sequence[str]) -> list[list[Any]]:
    """Return what SQLAlchemy reads, in the form that is exported."""
    columns = [
        sa.cast(column, sa.Text) if KINDS[name].is_text else column
        for name, column in zip(names, list(table.c)[1:], strict=True)
    ]
    with database.engine.connect() as connection:
        if not SQLITE:
            connection.exec_driver_sql("SET timezone = 'UTC'")
        rows = connection.execute(sa.select(*columns).order_by(table.c.id)).all()
    return [
        [KINDS[name].expected(cell) for name, cell in zip(names, row, strict=True)] for row in rows
    ]


async def export(database: Database, table: sa.Table, encoder: Any) -> bytes:
    """Return the bytes of an export."""
    export = Export(table)
    statement = sa.select(*export.columns.values()).order_by(*export.key.values())
    rows = Rows(database, statement, export.columns)
    return b"".join([chunk.data async for chunk in rows.chunks(encoder)])


def read_number(text: str) -> Decimal:
    """Return a number, which is neither NaN nor infinite."""
    number = Decimal(text)
    assert number.is_finite()
    return number


def read_json(text: str | bytes) -> Any:
    """Return a JSON document with exact numbers."""
    return json.loads(text, parse_int=read_number, parse_float=read_number, parse_constant=Decimal)


def read_cell(text: str, expected: Any) -> Any:
    """Return the value in a cell of CSV, whose type the format does not have."""
    if expected is None:
        return text or None
    if isinstance(expected, str | timedelta):
        return text
    return read_json(text)


@given(tables())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_exports_have_what_sqlalchemy_reads(
    settings: Settings, example: tuple[list[str], list[Row]]
) -> None:
    names, rows = example
    metadata = sa.MetaData()
    columns = [sa.Column(f"c{number}", KINDS[name].make()) for number, name in enumerate(names)]
    table = sa.Table("t", metadata, sa.Column("id", sa.Integer, primary_key=True), *columns)
    database = make_database(settings, metadata)

    try:
        write(database, table, [{"id": id, **row} for id, row in enumerate(rows)])
        expected = read_plain(database, table, names)
        documents, records = asyncio.run(export_all(database, table))
    finally:
        metadata.drop_all(database.engine)
        database.close()

    for id, row in enumerate(expected):
        for number, (name, value) in enumerate(zip(names, row, strict=True)):
            if NDJSON:
                document = documents[id][f"c{number}"]
                assert is_same(document, value), f"{name}: {document!r}, not {value!r}"
            if CSV:
                cell = read_cell(records[id][f"c{number}"], value)
                assert is_same(cell, value), f"{name}: {cell!r}, not {value!r}"


async def export_all(database: Database, table: sa.Table) -> tuple[list[Row], list[Row]]:
    """Return the rows of `table` as a client reads them, from NDJSON and from CSV."""
    names = list(Export(table).columns)
    documents: list[Row] = []
    records: list[Row] = []
    if NDJSON:
        from streaming_api.streaming.exports.ndjson import NDJSONEncoder

        lines = (await export(database, table, NDJSONEncoder(names))).splitlines()
        documents = list(map(read_json, lines))
    if CSV:
        from streaming_api.streaming.exports.csv import CSVEncoder

        text = (await export(database, table, CSVEncoder(names, escape_formulas=False))).decode()
        records = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    return documents, records


metadata = sa.MetaData()
contract = sa.Table(
    "contract",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("small", sa.SmallInteger),
    sa.Column("big", sa.BigInteger),
    sa.Column("boolean", sa.Boolean),
    sa.Column("float", sa.Float),
    sa.Column("double", sa.Double),
    sa.Column("float_decimal", sa.Float(asdecimal=True)),
    sa.Column("money", sa.Numeric(12, 2)),
    sa.Column("money_float", sa.Numeric(12, 2, asdecimal=False)),
    sa.Column("numeric", sa.Numeric),
    sa.Column("string", sa.String),
    sa.Column("varchar", sa.String(20)),
    sa.Column("text", sa.Text),
    sa.Column("unicode", sa.Unicode),
    sa.Column("name", sa.Enum(Color, name="names")),
    sa.Column("label", sa.Enum(Color, name="labels", values_callable=labels)),
    sa.Column("word", sa.Enum("a", "b c", name="words")),
    sa.Column("date", sa.Date),
    sa.Column("time", sa.Time),
    sa.Column("zoned_time", sa.Time(timezone=True)),
    sa.Column("naive", sa.DateTime),
    sa.Column("zoned", sa.DateTime(timezone=True)),
    sa.Column("timestamp", sa.TIMESTAMP(timezone=True)),
    sa.Column("interval", sa.Interval),
    sa.Column("json", sa.JSON),
    sa.Column("uuid", sa.Uuid),
    sa.Column("uuid_text", sa.Uuid(as_uuid=False)),
    sa.Column("uuid_char", sa.Uuid(native_uuid=False)),
    sa.Column("binary", sa.LargeBinary),
    sa.Column("lower", Lower),
    sa.Column("reversed", Reversed),
    sa.Column("cents", Cents),
    sa.Column("tags", Tags),
    sa.Column("twice", Twice),
    sa.Column("key", Key),
    sa.Column("moment", Moment),
    sa.Column("point", Point),
    sa.Column("code", Code),
)
CONTRACT_ROWS = [
    {
        "id": 1,
        "small": -(2**15),
        "big": 2**63 - 1,
        "boolean": True,
        "float": 10.0,
        "double": 1e300,
        "float_decimal": Decimal("1.5"),
        "money": Decimal("10"),
        "money_float": 10.0,
        "numeric": Decimal("1e20"),
        "string": '=1 "é"',
        "varchar": "x;=2",
        "text": "line\nbreak\\",
        "unicode": "😀",
        "name": Color.RED,
        "label": Color.RED,
        "word": "b c",
        "date": date(2026, 7, 1),
        "time": time(12, 30),
        "zoned_time": time(12, 30, tzinfo=TOKYO),
        "naive": NOON,
        "zoned": NOON.replace(tzinfo=TOKYO),
        "timestamp": NOON.replace(tzinfo=TOKYO),
        "interval": timedelta(hours=-1),
        "json": {"b": [1, 2.5, None], "a": "é"},
        "uuid": UUID(int=1),
        "uuid_text": str(UUID(int=2)),
        "uuid_char": UUID(int=3),
        "binary": b"\xfb\xff",
        "lower": "ABC",
        "reversed": "abc",
        "cents": Decimal("0.10"),
        "tags": ["a", "b"],
        "twice": timedelta(hours=-1),
        "key": b"",
        "moment": NOON.replace(tzinfo=TOKYO),
        "point": (1, -2),
        "code": "@x",
    },
    {
        "id": 2,
        "boolean": False,
        "float": 0.1,
        "double": 5e-324,
        "float_decimal": Decimal("10"),
        "money": Decimal("-0.1"),
        "money_float": -0.25,
        "numeric": Decimal("-12.34"),
        "string": "",
        "time": time(12, 30, 0, 500),
        "zoned_time": time(12, 30, 0, 500),
        "naive": datetime(1, 1, 1, microsecond=1),
        "zoned": datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
        "interval": timedelta(days=40, seconds=3661, microseconds=500000),
        "json": "=text",
        "binary": b"",
        "tags": [],
        "twice": timedelta(0),
    },
    {"id": 3, "json": None, "interval": timedelta(0), "twice": timedelta(minutes=1, seconds=5)},
]
NDJSON_LINES = [
    '{"id":1,"small":-32768,"big":9223372036854775807,"boolean":true,"float":10.0,"double":1e300,'
    '"float_decimal":1.5,"money":10.00,"money_float":10.00,"numeric":100000000000000000000,'
    '"string":"=1 \\"é\\"","varchar":"x;=2","text":"line\\nbreak\\\\","unicode":"😀",'
    '"name":"RED","label":"light red","word":"b c","date":"2026-07-01","time":"12:30:00",'
    '"zoned_time":"12:30:00+09:00","naive":"2026-07-01T12:00:00","zoned":"2026-07-01T03:00:00Z",'
    '"timestamp":"2026-07-01T03:00:00Z","interval":"P-1DT23H",'
    '"json":{"b":[1,2.5,null],"a":"\\u00e9"},'
    '"uuid":"00000000-0000-0000-0000-000000000001",'
    '"uuid_text":"00000000-0000-0000-0000-000000000002",'
    '"uuid_char":"00000000-0000-0000-0000-000000000003",'
    '"binary":"+/8=","lower":"abc","reversed":"abc","cents":0.1,"tags":["a","b"],'
    '"twice":"P-1DT22H","key":"+/8=","moment":"2026-07-01T03:00:00Z","point":[1,-2],"code":"@x"}',
    '{"id":2,"small":null,"big":null,"boolean":false,"float":0.1,"double":5e-324,'
    '"float_decimal":10.0,"money":-0.10,"money_float":-0.25,"numeric":-12.34,'
    '"string":"","varchar":null,"text":null,"unicode":null,'
    '"name":null,"label":null,"word":null,"date":null,"time":"12:30:00.000500",'
    '"zoned_time":"12:30:00.000500Z","naive":"0001-01-01T00:00:00.000001","zoned":"9999-12-31T23:59:59.999999Z",'
    '"timestamp":null,"interval":"P40DT1H1M1.5S","json":"=text",'
    '"uuid":null,"uuid_text":null,"uuid_char":null,'
    '"binary":"","lower":null,"reversed":null,"cents":null,"tags":[],'
    '"twice":"PT0S","key":null,"moment":"2000-01-01T00:00:00Z","point":null,"code":null}',
    '{"id":3,"small":null,"big":null,"boolean":null,"float":null,"double":null,'
    '"float_decimal":null,"money":null,"money_float":null,"numeric":null,'
    '"string":null,"varchar":null,"text":null,"unicode":null,'
    '"name":null,"label":null,"word":null,"date":null,"time":null,'
    '"zoned_time":null,"naive":null,"zoned":null,"timestamp":null,"interval":"PT0S","json":null,'
    '"uuid":null,"uuid_text":null,"uuid_char":null,'
    '"binary":null,"lower":null,"reversed":null,"cents":null,"tags":[],'
    '"twice":"PT2M10S","key":null,"moment":"2000-01-01T00:00:00Z","point":null,"code":null}',
]
CSV_RECORDS = [
    ",".join(column.name for column in contract.c),
    "1,-32768,9223372036854775807,true,10.0,1e300,1.5,10.00,10.00,100000000000000000000,"
    '"\'=1 ""é""","x;\'=2","line\nbreak\\","😀","RED","light red","b c","2026-07-01","12:30:00",'
    '"12:30:00+09:00","2026-07-01T12:00:00","2026-07-01T03:00:00Z","2026-07-01T03:00:00Z","P-1DT23H",'
    '"{""b"":[1,2.5,null],""a"":""\\u00e9""}","00000000-0000-0000-0000-000000000001",'
    '"00000000-0000-0000-0000-000000000002","00000000-0000-0000-0000-000000000003",'
    '+/8=,"abc","abc",0.1,"[""a"",""b""]","P-1DT22H",+/8=,"2026-07-01T03:00:00Z","[1,-2]","\'@x"',
    '2,,,false,0.1,5e-324,10.0,-0.10,-0.25,-12.34,"",,,,,,,,"12:30:00.000500",'
    '"12:30:00.000500Z","0001-01-01T00:00:00.000001","9999-12-31T23:59:59.999999Z",,"P40DT1H1M1.5S","\'=text",,,,,,,,'
    '"[]","PT0S",,"2000-01-01T00:00:00Z",,',
    '3,,,,,,,,,,,,,,,,,,,,,,,"PT0S",,,,,,,,,"[]","PT2M10S",,"2000-01-01T00:00:00Z",,',
]


@pytest.fixture
def contract_client(serve: Serve) -> TestClient:
    """A client of the export of a table with every type that both databases have."""
    client = serve(Export(contract))
    write(client.app.state.database, contract, CONTRACT_ROWS)  # type: ignore[attr-defined]
    return client


@pytest.mark.skipif(not NDJSON, reason="no NDJSON")
def test_types_have_the_same_ndjson_from_both_databases(contract_client: TestClient) -> None:
    response = contract_client.get("/export/contract.ndjson")

    assert response.text.split("\n") == [*NDJSON_LINES, ""]


@pytest.mark.skipif(not CSV, reason="no CSV")
def test_types_have_the_same_csv_from_both_databases(contract_client: TestClient) -> None:
    response = contract_client.get("/export/contract.csv")

    assert response.content.decode().split("\r\n") == [*CSV_RECORDS, ""]
