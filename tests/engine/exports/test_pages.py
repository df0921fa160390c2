"""Pages of exports: keys of every type in `after`, filters, and `columns`."""

import json
import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from streaming_api.streaming.exports.export import Export

from ..variant import CSV, NDJSON, SQLITE
from .conftest import Serve
from .formats import FORMATS, Format
from .kinds import Cents, Color, Lower, Reversed, labels

DAY = date(2026, 7, 1)
NOON = datetime(2026, 7, 1, 12)
TOKYO = timezone(timedelta(hours=9))

KEYS: dict[str, tuple[Any, list[Any]]] = {
    "integer": (sa.Integer, [-5, 0, 3, 2**31 - 1]),
    "small integer": (sa.SmallInteger, [-(2**15), 7]),
    "big integer": (sa.BigInteger, [-(2**63), 2**53, 2**53 + 1, 2**63 - 1]),
    "text": (sa.Text, ["", " ", '"', "%", "+49", ",a", "a&b=c", "a;b", "abc", "é", "日本", "😀"]),
    "UUID": (sa.Uuid, [UUID(int=number) for number in (0, 1, 2**100)]),
    "UUID as text": (sa.Uuid(as_uuid=False), [str(UUID(int=number)) for number in (1, 2)]),
    "UUID as characters": (sa.Uuid(native_uuid=False), [UUID(int=number) for number in (1, 2)]),
    "date": (sa.Date, [date(1, 1, 1), DAY, date(9999, 12, 31)]),
    "time": (sa.Time, [time(0), time(12, 0, 0, 1), time(23, 59, 59)]),
    "naive time": (sa.DateTime, [NOON, NOON + timedelta(microseconds=1)]),
    "time with zone": (
        sa.DateTime(timezone=True),
        [
            NOON.replace(tzinfo=TOKYO),
            NOON.replace(tzinfo=UTC),
            NOON.replace(tzinfo=UTC, microsecond=5),
        ],
    ),
    "timestamp": (
        sa.TIMESTAMP(timezone=True),
        [NOON.replace(tzinfo=each) for each in (TOKYO, UTC)],
    ),
    "numeric": (sa.Numeric(20, 4), [Decimal(each) for each in ("-1.5", "0", "1e-4", "1e10")]),
    "float": (sa.Float, [-1e300, 0.1, 0.30000000000000004, 1e22]),
    "single precision": (sa.REAL, [-0.1, 0.0, 1e-38, 0.1, 2.0]),
    "boolean": (sa.Boolean, [False, True]),
    "names of an enum": (sa.Enum(Color, name="names"), [Color.RED, Color.BLUE]),
    "values of an enum": (
        sa.Enum(Color, name="labels", values_callable=labels),
        [Color.RED, Color.BLUE],
    ),
    "decorated text": (Lower, ["a", "b c", "z"]),
    "converted text": (Reversed, ["za", "ab", "yz"]),
    "converted integer": (Cents, [Decimal("-0.10"), Decimal("0.05"), Decimal(100)]),
}


def keyed(*kinds: Any) -> sa.Table:
    """Return a table whose primary key has columns of these types."""
    columns = [
        sa.Column(f"key {number}", kind, primary_key=True) for number, kind in enumerate(kinds)
    ]
    return sa.Table("keyed", sa.MetaData(), sa.Column("text", sa.Text), *columns)


def insert(client: TestClient, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows into the database of `client`."""
    database = client.app.state.database  # type: ignore[attr-defined]
    with database.engine.begin() as connection:
        connection.execute(table.insert(), rows)


def read_exact(text: str) -> list[dict[str, Any]]:
    """Return the objects of NDJSON, with numbers as text: these are values of `after`."""
    return [json.loads(line, parse_int=str, parse_float=str) for line in text.splitlines()]


@pytest.mark.skipif(not NDJSON, reason="CSV has no exact keys")
@pytest.mark.parametrize("case", KEYS)
def test_export_resumes_after_every_key(serve: Serve, case: str) -> None:
    kind, values = KEYS[case]
    table = keyed(kind)
    client = serve(Export(table))
    insert(client, table, [{"text": "x", "key 0": value} for value in values])

    rows = read_exact(client.get("/export/keyed").text)

    assert len(rows) == len(values)
    for number, row in enumerate(rows, start=1):
        rest = client.get("/export/keyed", params={"after": str(row["key 0"])})
        assert rest.status_code == 200, rest.text
        assert read_exact(rest.text) == rows[number:]


COMPOSITE = {
    "numbers": ((sa.Integer, sa.Numeric(20, 2)), [(1, Decimal("1.10")), (1, Decimal(2)), (2, 0)]),
    "texts": ((sa.Text, sa.Text), [('"', ","), ('"', "]"), ("[", "\\"), ("é", "😀")]),
    "others": (
        (sa.DateTime(timezone=True), sa.Uuid, sa.Date, sa.Boolean),
        [
            (NOON.replace(tzinfo=zone), UUID(int=number), DAY, flag)
            for zone in (TOKYO, UTC)
            for number in (1, 2)
            for flag in (False, True)
        ],
    ),
}
if not SQLITE:
    digits = [(Decimal(f"12345678901234567.{cents}"), "a") for cents in (88, 89, 90)]
    COMPOSITE["many digits"] = ((sa.Numeric(20, 2), sa.Text), digits)


@pytest.mark.skipif(not NDJSON, reason="CSV has no exact keys")
@pytest.mark.parametrize("case", COMPOSITE)
def test_export_resumes_after_array_of_keys(serve: Serve, case: str) -> None:
    kinds, values = COMPOSITE[case]
    table = keyed(*kinds)
    client = serve(Export(table))
    names = [f"key {number}" for number in range(len(kinds))]
    insert(client, table, [dict(zip(names, row, strict=True)) for row in values])

    lines = client.get("/export/keyed", params={"columns": ",".join(names)}).text.splitlines()

    assert len(lines) == len(values)
    for number, line in enumerate(lines, start=1):
        after = re.sub(r'"key \d":', "", line).replace("{", "[").replace("}", "]")
        rest = client.get("/export/keyed", params={"after": after, "columns": ",".join(names)})
        assert rest.status_code == 200, rest.text
        assert rest.text.splitlines() == lines[number:]


@pytest.mark.parametrize(
    "after",
    [
        "",
        "1",
        "x",
        "null",
        "{}",
        '"ab"',
        "[1]",
        '[1,"a",2]',
        '["x","a"]',
        '[1,"a"',
        '[null,"a"]',
        '[1,"\\u0000"]',
        '[1,"\\ud800"]',
        '[NaN,"a"]',
        '[1e999999999,"a"]',
        "[" * 5000,
        f"[{'1' * 5000},2]",
    ],
)
def test_invalid_array_of_keys_is_rejected(serve: Serve, after: str) -> None:
    client = serve(Export(keyed(sa.Numeric(20, 2), sa.Text)))

    response = client.get("/export/keyed", params={"after": after})

    assert response.status_code == 422
    assert response.json()["detail"].startswith("query.after")


@pytest.mark.parametrize(
    ("kind", "after"),
    [
        (sa.Numeric, "NaN"),
        (sa.Numeric, "1e999999"),
        (sa.Numeric, "1e-999999"),
        (sa.Float, "inf"),
        (sa.Float, "nan"),
        (sa.Integer, str(2**63)),
        (sa.Boolean, "maybe"),
        (sa.Date, "2026-02-30"),
        (sa.Time, "25:00"),
        (sa.DateTime, "now"),
        (sa.Text, "\0"),
        (sa.Enum(Color, name="names"), "light red"),
    ],
)
def test_key_that_no_row_can_have_is_rejected(serve: Serve, kind: Any, after: str) -> None:
    client = serve(Export(keyed(kind)))

    response = client.get("/export/keyed", params={"after": after})

    assert response.status_code == 422
    assert response.json()["detail"].startswith("query.after: ")


@pytest.mark.parametrize(
    ("zone", "after"),
    [
        (True, "2026-07-01T12:00:00Z"),
        (True, "2026-07-01T21:00:00+09:00"),
        (True, "2026-07-01T12:00:00"),
        (False, "2026-07-01T12:00:00"),
        (False, "2026-07-01T12:00:00Z"),
        (False, "2026-07-01T21:00:00+09:00"),
    ],
)
def test_time_without_zone_is_in_utc(serve: Serve, zone: bool, after: str) -> None:
    table = keyed(sa.DateTime(timezone=zone))
    client = serve(Export(table))
    hours = [NOON + timedelta(hours=number) for number in range(3)]
    insert(client, table, [{"key 0": each.replace(tzinfo=UTC if zone else None)} for each in hours])

    response = client.get("/export/keyed", params={"after": after})

    expected = ["2026-07-01T13:00:00", "2026-07-01T14:00:00"]
    records = FORMATS[0].read(response.text)
    assert [record["key 0"].removesuffix("Z") for record in records] == expected


@pytest.mark.skipif(not NDJSON, reason="CSV has no exact keys")
@pytest.mark.parametrize("kind", [sa.DateTime(timezone=True), sa.DateTime(), sa.Time()], ids=repr)
def test_time_that_the_database_sets_is_key_and_filter(serve: Serve, kind: Any) -> None:
    # As CURRENT_TIMESTAMP and CURRENT_TIME of SQLite are.
    default = sa.text("'12:00:00'" if isinstance(kind, sa.Time) else "'2026-07-01 12:00:00'")
    at = sa.Column("at", kind, primary_key=True, server_default=default)
    table = sa.Table("defaults", sa.MetaData(), at, sa.Column("id", sa.Integer, primary_key=True))
    client = serve(Export(table, filters=["at"]))
    insert(client, table, [{"id": number} for number in range(3)])
    rows = FORMATS[0].read(client.get("/export/defaults").text)
    first = rows[0]
    insert(client, table, [{"id": 3, "at": at.type.python_type.fromisoformat(first["at"])}])

    rest = client.get("/export/defaults", params={"after": json.dumps(list(first.values()))})
    same = client.get("/export/defaults", params={"at": first["at"]})

    assert [row["id"] for row in FORMATS[0].read(rest.text)] == [1, 2, 3]
    assert [row["id"] for row in FORMATS[0].read(same.text)] == [0, 1, 2, 3]


filtered = sa.Table(
    "filtered",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("integer", sa.SmallInteger),
    sa.Column("text, or more", sa.Text),
    sa.Column("lower", Lower),
    sa.Column("reversed", Reversed),
    sa.Column("cents", Cents),
    sa.Column("name", sa.Enum(Color, name="names")),
    sa.Column("label", sa.Enum(Color, name="labels", values_callable=labels)),
    sa.Column("varchar", sa.Enum(Color, values_callable=labels, native_enum=False)),
    sa.Column("boolean", sa.Boolean),
    sa.Column("date", sa.Date),
    sa.Column("zoned", sa.DateTime(timezone=True)),
    sa.Column("numeric", sa.Numeric(12, 2)),
    sa.Column("single", sa.REAL),
    sa.Column("uuid", sa.Uuid),
    sa.Column("uuid_text", sa.Uuid(as_uuid=False)),
    sa.Column("uuid_char", sa.Uuid(native_uuid=False)),
)
FILTERED_ROWS: list[dict[str, Any]] = [
    {
        "id": 1,
        "integer": 1,
        "text, or more": "a&b",
        "lower": "ABC",
        "reversed": "abc",
        "cents": Decimal("0.10"),
        "name": Color.RED,
        "label": Color.RED,
        "varchar": Color.RED,
        "boolean": True,
        "date": DAY,
        "zoned": NOON.replace(tzinfo=TOKYO),
        "numeric": Decimal("10"),
        "single": 0.1,
        "uuid": UUID(int=1),
        "uuid_text": str(UUID(int=1)),
        "uuid_char": UUID(int=1),
    },
    {
        "id": 2,
        "integer": 2,
        "text, or more": "",
        "lower": "abd",
        "reversed": "abd",
        "cents": Decimal("0.11"),
        "name": Color.BLUE,
        "label": Color.BLUE,
        "varchar": Color.BLUE,
        "boolean": False,
        "date": DAY + timedelta(days=1),
        "zoned": NOON.replace(tzinfo=UTC),
        "numeric": Decimal("10.01"),
        "single": 0.2,
        "uuid": UUID(int=2),
        "uuid_text": str(UUID(int=2)),
        "uuid_char": UUID(int=2),
    },
    {"id": 3},
]
FILTER_QUERIES = [
    ({"integer": "1"}, [1]),
    ({"integer": "99999"}, []),
    ({"text, or more": "a&b"}, [1]),
    ({"text, or more": ""}, [2]),
    ({"lower": "aBC"}, [1]),
    ({"reversed": "abc"}, [1]),
    ({"cents": "0.1"}, [1]),
    ({"name": "RED"}, [1]),
    ({"label": "light red"}, [1]),
    ({"varchar": "light red"}, [1]),
    ({"boolean": "true"}, [1]),
    ({"date": "2026-07-01"}, [1]),
    ({"zoned": "2026-07-01T03:00:00Z"}, [1]),
    ({"zoned": "2026-07-01T12:00:00+09:00"}, [1]),
    ({"numeric": "10"}, [1]),
    ({"single": "0.1"}, [1]),
    ({"single": "1e300"}, []),
    ({"single": "1e-300"}, []),
    ({"uuid": str(UUID(int=1))}, [1]),
    ({"uuid": UUID(int=1).hex}, [1]),
    ({"uuid_text": str(UUID(int=1))}, [1]),
    ({"uuid_char": str(UUID(int=1))}, [1]),
    ({"integer": "2", "boolean": "false"}, [2]),
    ({"integer": "2", "boolean": "true"}, []),
    ({"integer": "2", "after": "1"}, [2]),
    ({"integer": "2", "after": "2"}, []),
    ({"integer": "2", "limit": "0"}, []),
    ({"integer": "2", "columns": "id"}, [2]),
    ({"unknown": "2"}, [1, 2, 3]),
]
FILTERS = [column.name for column in filtered.c][1:]


@pytest.fixture
def filtered_client(serve: Serve) -> TestClient:
    """A client of a table with a filter for each of its columns but the first."""
    client = serve(Export(filtered, filters=FILTERS))
    for row in FILTERED_ROWS:
        insert(client, filtered, [row])
    return client


@pytest.mark.parametrize(("query", "expected"), FILTER_QUERIES)
def test_filters_select_rows_as_sqlalchemy_does(
    filtered_client: TestClient, query: dict[str, str], expected: list[int]
) -> None:
    response = filtered_client.get("/export/filtered", params=query)

    assert response.status_code == 200, response.text
    records = FORMATS[0].read(response.text)
    assert [int(record["id"]) for record in records] == expected


@pytest.mark.parametrize(
    "query",
    [
        "integer=x",
        "integer=",
        "integer=1&integer=2",
        "boolean=x",
        "name=light%20red",
        "label=RED",
        "date=x",
        "uuid=x",
        "lower=%00",
        "numeric=x",
    ],
)
def test_invalid_filter_is_rejected(filtered_client: TestClient, query: str) -> None:
    response = filtered_client.get(f"/export/filtered?{query}")

    assert response.status_code == 422
    assert response.json()["detail"].startswith(f"query.{query.partition('=')[0]}: ")


class Even(sa.TypeDecorator[int]):
    """A type that rejects some values."""

    impl = sa.Integer
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: sa.Dialect) -> int | None:
        if value and value % 2:
            raise ValueError("expected an even number")
        return value


@pytest.mark.parametrize("name", ["after", "id"])
def test_value_that_the_type_rejects_is_unprocessable(serve: Serve, name: str) -> None:
    table = sa.Table("even", sa.MetaData(), sa.Column("id", Even, primary_key=True))
    client = serve(Export(table, filters=["id"]))

    response = client.get("/export/even", params={name: "3"})

    assert response.status_code == 422
    assert response.json()["detail"] == f"query.{name}: expected an even number"


def test_filters_are_documented_with_their_types(filtered_client: TestClient) -> None:
    document = filtered_client.get("/openapi.json").json()

    parameters = document["paths"]["/export/filtered"]["get"]["parameters"]
    schemas = {each["name"]: each["schema"].get("anyOf", [{}])[0] for each in parameters}
    assert schemas["label"] == {"type": "string", "enum": ["light red", "blue"]}
    assert schemas["date"] == {"type": "string", "format": "date"}
    assert schemas["boolean"] == {"type": "boolean"}
    assert schemas["uuid_text"] == {"type": "string", "format": "uuid"}
    assert set(FILTERS) < schemas.keys()


named = sa.Table(
    'Größen "x" \\ 5%, (日本)',
    sa.MetaData(),
    sa.Column('a"b', sa.Integer, primary_key=True),
    sa.Column("Order", sa.Text),
    sa.Column("order", sa.Text) if not SQLITE else sa.Column("ORDER 2", sa.Text),
    sa.Column("{c}", sa.Text),
    sa.Column("d\\e", sa.Text),
    sa.Column("f,g", sa.Text),
    sa.Column("ключ", sa.Text),
    sa.Column("h:i", sa.Text),
    sa.Column("%(j)s", sa.Text),
    sa.Column("k\nl", sa.Text),
    sa.Column(" m ", sa.Text),
)
NAMES = [column.name for column in named.c]
PATH = f"/export/{quote(named.name)}"


def in_csv(names: list[str]) -> str:
    """Return names as in a record of CSV."""
    return ",".join('"{}"'.format(name.replace('"', '""')) for name in names)


@pytest.fixture
def named_client(serve: Serve) -> TestClient:
    """A client of a table with names that need quotes, somewhere."""
    client = serve(Export(named, filters=NAMES))
    insert(client, named, [dict.fromkeys(NAMES, number) for number in range(3)])
    return client


def test_names_are_exported_as_they_are(named_client: TestClient, format: Format) -> None:
    response = named_client.get(format.path(named), params={"after": 0, "limit": 1})

    (record,) = format.read(response.text)
    assert [(name, str(value)) for name, value in record.items()] == [(each, "1") for each in NAMES]
    assert named_client.head(format.path(named)).status_code == 200


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_column_and_filter(named_client: TestClient, name: str) -> None:
    response = named_client.get(PATH, params={"columns": in_csv([name]), name: "2"})

    assert response.status_code == 200, response.text
    (record,) = FORMATS[0].read(response.text)
    assert {name: str(value) for name, value in record.items()} == {name: "2"}


def test_columns_are_exported_in_the_given_order(named_client: TestClient, format: Format) -> None:
    names = NAMES[::-2]

    response = named_client.get(format.path(named), params={"columns": in_csv(names)})

    assert [list(record) for record in format.read(response.text)] == [names] * 3


def test_column_that_is_named_twice_is_exported_once(named_client: TestClient) -> None:
    response = named_client.get(PATH, params={"columns": "Order,{c},Order"})

    assert list(FORMATS[0].read(response.text)[0]) == ["Order", "{c}"]


def test_export_without_its_key_is_in_order_of_the_key(named_client: TestClient) -> None:
    response = named_client.get(PATH, params={"columns": "Order", "after": 0})

    assert [record["Order"] for record in FORMATS[0].read(response.text)] == ["1", "2"]


@pytest.mark.parametrize(
    "columns",
    ["", ",", "Order,", "Order, {c}", "ORDER", "f,g", "a\nb", "a\rb", "\0", '"a', " Order"],
)
def test_unknown_columns_are_rejected(named_client: TestClient, columns: str) -> None:
    response = named_client.get(PATH, params={"columns": columns})

    assert response.status_code == 422
    assert response.json()["detail"].startswith(f"Invalid columns={columns!r}: expected some of ")


def test_columns_are_documented_as_a_pattern(filtered_client: TestClient) -> None:
    client = filtered_client

    document = client.get("/openapi.json").json()

    parameters = document["paths"]["/export/items"]["get"]["parameters"]
    (columns,) = (each["schema"] for each in parameters if each["name"] == "columns")
    assert re.fullmatch(columns["pattern"], "id,name")
    assert not re.fullmatch(columns["pattern"], "id,")


STATEMENTS = sa.MetaData()
people = sa.Table(
    "people",
    STATEMENTS,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text),
    sa.Column("color", sa.Enum(Color, name="labels", values_callable=labels)),
    sa.Column("born", sa.DateTime(timezone=True)),
)
houses = sa.Table(
    "houses",
    STATEMENTS,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("owner", sa.ForeignKey(people.c.id)),
    sa.Column("price", sa.Numeric(12, 2)),
)
PEOPLE = [
    {"id": number, "name": name, "color": color, "born": NOON.replace(tzinfo=TOKYO)}
    for number, name, color in [(1, "Ada", Color.RED), (2, "Bo", Color.BLUE), (3, "Cy", None)]
]
HOUSES = [{"id": 10 * n, "owner": n % 2 + 1, "price": Decimal(n)} for n in (1, 2, 3)]
EXPRESSIONS = sa.select(
    people.c.id,
    sa.func.upper(people.c.name),
    sa.func.length(people.c.name).label("length"),
    people.c.id + 1,
    sa.literal("50%"),
    sa.literal(True).label("yes"),
    sa.null().label("none"),
)
STATEMENT_ROWS: dict[str, tuple[Export, dict[str, str], list[list[Any]]]] = {
    "where": (
        Export(sa.select(people.c.id).where(people.c.name == "Bo"), name="s"),
        {},
        [[2]],
    ),
    "in": (
        Export(sa.select(people.c.id).where(people.c.id.in_([1, 3])), name="s"),
        {"after": "1"},
        [[3]],
    ),
    "in nothing": (Export(sa.select(people.c.id).where(people.c.id.in_([])), name="s"), {}, []),
    "enums": (
        Export(sa.select(people.c.id).where(people.c.color.in_([Color.RED])), name="s"),
        {},
        [[1]],
    ),
    "join": (
        Export(
            sa.select(houses.c.id, people.c.name, houses.c.price).join(people),
            key=houses.c.id,
            filters=[people.c.name],
            name="s",
        ),
        {"name": "Bo", "after": "10"},
        [[30, "Bo", 3.0]],
    ),
    "outer join": (
        Export(
            sa.select(people.c.id, houses.c.price).outerjoin(houses),
            key=[people.c.id, houses.c.price],
            name="s",
        ),
        {"after": "[2,1]"},
        [[2, 3.0], [3, None]],
    ),
    "groups": (
        Export(
            sa.select(
                houses.c.owner,
                sa.func.count().label("number"),
                sa.func.sum(houses.c.price).label("sum"),
            ).group_by(houses.c.owner),
            key="owner",
            name="s",
        ),
        {"after": "1"},
        [[2, 2, 4.0]],
    ),
    "filtered groups": (
        Export(
            sa.select(houses.c.owner, sa.func.count().label("number")).group_by(houses.c.owner),
            key="owner",
            filters=["number"],
            name="s",
        ),
        {"number": "1"},
        [[1, 1]],
    ),
    "union": (
        Export(
            sa.union_all(
                sa.select(people.c.id, people.c.born), sa.select(houses.c.id, sa.literal(None))
            ),
            key="id",
            name="s",
        ),
        {"after": "2", "limit": "2"},
        [[3, "2026-07-01T03:00:00Z"], [10, None]],
    ),
    "expressions": (
        Export(EXPRESSIONS, name="s"),
        {"limit": "1"},
        [[1, "ADA", 3, 2, "50%", True, None]],
    ),
    "alias": (Export(people.alias("s")), {"columns": "name", "after": "2"}, [["Cy"]]),
    "subquery": (
        Export(sa.select(people).order_by(people.c.id).limit(2).subquery("s"), key="id"),
        {"columns": "id"},
        [[1], [2]],
    ),
}


@pytest.mark.skipif(not NDJSON, reason="CSV has no types")
@pytest.mark.parametrize("case", STATEMENT_ROWS)
def test_statement_is_exported_in_pages(serve: Serve, case: str) -> None:
    export, query, expected = STATEMENT_ROWS[case]
    client = serve(export, metadata=STATEMENTS)
    insert(client, people, PEOPLE)
    insert(client, houses, HOUSES)

    response = client.get("/export/s", params=query)

    assert response.status_code == 200, response.text
    records = FORMATS[0].read(response.text)
    assert [list(record.values()) for record in records] == expected
    assert client.head("/export/s").status_code == 200


@pytest.mark.skipif(not CSV, reason="no CSV")
def test_header_of_expressions_is_their_sql(serve: Serve) -> None:
    client = serve(Export(EXPRESSIONS, name="s"), metadata=STATEMENTS)

    header = client.get("/export/s.csv").text

    assert header == "id,upper(people.name),length,people.id + 1,'50%',yes,none\r\n"
