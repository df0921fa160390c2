"""Column types, the values that an application stores, and how an export represents them."""

import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from ipaddress import ip_interface
from typing import Any

import sqlalchemy as sa
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY, Range
from sqlalchemy.types import TypeEngine, UserDefinedType

from ..variant import POSTGRESQL
from .cells import characters

DURATION = re.compile(r"P(?:(-?\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


class Color(Enum):
    """Names that differ from the values."""

    RED = "light red"
    BLUE = "blue"


def labels(colors: type[Color]) -> list[str]:
    """Return what the database has for the members of an enum, by their values."""
    return [each.value for each in colors]


class Lower(sa.TypeDecorator[str]):
    """Text that is stored in lower case: nothing is converted when it is read."""

    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Return the text to store."""
        return value.lower() if value else value


class Reversed(sa.TypeDecorator[str]):
    """Text that is stored backwards."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Return the text to store."""
        return value[::-1] if value else value

    def process_result_value(self, value: Any, dialect: Any) -> str | None:
        """Return the text that was stored."""
        return value[::-1] if value else value


class ReversedTwice(sa.TypeDecorator[str]):
    """A decorator of a decorator."""

    impl = Reversed
    cache_ok = True


class Cents(sa.TypeDecorator[Decimal]):
    """An amount that is stored as an integer."""

    impl = sa.BigInteger
    cache_ok = True

    @property
    def python_type(self) -> type:
        """The type of query parameters."""
        return Decimal

    def process_bind_param(self, value: Decimal | None, dialect: Any) -> int | None:
        """Return the number of cents."""
        return None if value is None else int(value * 100)

    def process_result_value(self, value: Any, dialect: Any) -> Decimal | None:
        """Return the amount."""
        return None if value is None else Decimal(value) / 100


class Tags(sa.TypeDecorator[list[str]]):
    """A list that is stored as text; without a value it is empty."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: list[str] | None, dialect: Any) -> str | None:
        """Return the text to store."""
        return ",".join(value) if value else None

    def process_result_value(self, value: Any, dialect: Any) -> list[str]:
        """Return the list, also for NULL."""
        return value.split(",") if value else []


class Twice(sa.TypeDecorator[timedelta]):
    """An interval that is read as another."""

    impl = sa.Interval
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> timedelta | None:
        """Return twice the interval."""
        return None if value is None else 2 * value


class Key(sa.TypeDecorator[bytes]):
    """Bytes that are read as others."""

    impl = sa.LargeBinary
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> bytes | None:
        """Return the bytes with a prefix, whose base64 starts as a formula."""
        return None if value is None else b"\xfb\xff" + value


class Moment(sa.TypeDecorator[datetime]):
    """A time with a zone that SQL converts."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def column_expression(self, column: Any) -> Any:
        """Return SQL with a time in place of NULL."""
        return sa.func.coalesce(column, datetime(2000, 1, 1, tzinfo=UTC), type_=self)


class Point(UserDefinedType[tuple[int, int]]):
    """Two numbers that are stored as text."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return the type in SQL."""
        return "TEXT"

    def bind_processor(self, dialect: Any) -> Any:
        """Return the function that returns the text to store."""
        return lambda value: value and f"{value[0]} {value[1]}"

    def result_processor(self, dialect: Any, coltype: Any) -> Any:
        """Return the function that returns the numbers."""
        return lambda value: value and [int(each) for each in value.split()]


class Code(UserDefinedType[str]):
    """Text, of which SQLAlchemy knows nothing."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return the type in SQL."""
        return "VARCHAR(20)"


def without_conversion(kind: Any) -> sa.TypeDecorator[Any]:
    """Return a decorator of a type that changes nothing."""

    class Unchanged(sa.TypeDecorator[Any]):
        impl = kind
        cache_ok = True

        def load_dialect_impl(self, dialect: sa.Dialect) -> TypeEngine[Any]:
            return dialect.type_descriptor(kind)

    return Unchanged()


def plain(value: Any) -> Any:
    """Return the exported form of a value that SQLAlchemy reads: numbers as `Decimal`."""
    if isinstance(value, bool | str | timedelta) or value is None:
        return value
    if isinstance(value, int | float | Decimal):
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        return number if number.is_finite() else None
    if isinstance(value, datetime) and value.tzinfo:
        value = value.astimezone(UTC)
    if isinstance(value, date | time):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return str(value)


def is_same(exported: Any, expected: Any) -> bool:
    """Return whether a document is that of a plain value."""
    if isinstance(expected, timedelta):
        return parse_duration(exported) == expected
    return bool(exported == expected) and type(exported) is type(expected)


def parse_duration(text: str) -> timedelta:
    """Return an ISO 8601 duration of days and of a time that is not negative."""
    found = DURATION.fullmatch(text)
    assert found
    assert text[-1] not in "PT"
    days, hours, minutes, seconds = (Decimal(part or 0) for part in found.groups())
    whole = 60 * (60 * hours + minutes) + seconds
    return timedelta(days=int(days), microseconds=int(whole * 10**6))


@dataclass(frozen=True)
class Kind:
    """A column type, made anew for each table, and a strategy of values."""

    make: Callable[[], TypeEngine[Any]]
    values: st.SearchStrategy[Any]
    expected: Callable[[Any], Any] = plain
    """Returns the exported form of a value that SQLAlchemy reads."""
    is_text: bool = False
    """Whether the exported form is the text in SQL, of which SQLAlchemy makes another object."""


def nearest(value: Decimal | float | None) -> Any:
    """Return the shortest number that is stored as the same, of which ten digits are read."""
    return value if value is None else plain(float(value))


def label_of(value: Color | None) -> str | None:
    """Return the value of the member of an enum."""
    return value and value.value


texts = st.lists(characters.filter(lambda each: each != "\0"), max_size=8).map("".join)
integers = st.integers(-(2**31), 2**31 - 1)
days = st.dates(date(2, 1, 1), date(9998, 12, 31))
times = st.times() | st.times().map(lambda each: each.replace(microsecond=0))
naive = st.builds(datetime.combine, days, times)
zones = st.integers(-14 * 4, 14 * 4).map(lambda each: timezone(timedelta(minutes=15 * each)))
moments = st.builds(datetime.combine, days, times, zones)
intervals = st.timedeltas(timedelta(-100_000), timedelta(100_000)) | st.builds(
    timedelta, st.integers(-3, 3), st.integers(-3, 3)
)
colors = st.sampled_from(Color)
finite = st.floats(allow_nan=False, allow_infinity=False)
small_decimals = st.decimals(-(10**8), 10**8, places=6, allow_nan=False, allow_infinity=False)
documents = st.recursive(
    st.none() | st.booleans() | integers | finite | texts,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(texts, each, max_size=3),
    max_leaves=8,
)
uuids = st.uuids()
binary = st.binary(max_size=20)

KINDS = {
    "SmallInteger": Kind(sa.SmallInteger, st.integers(-(2**15), 2**15 - 1)),
    "Integer": Kind(sa.Integer, integers),
    "BigInteger": Kind(sa.BigInteger, st.integers(-(2**63), 2**63 - 1)),
    "Boolean": Kind(sa.Boolean, st.booleans()),
    "Float": Kind(sa.Float, st.floats()),
    "Float(asdecimal)": Kind(lambda: sa.Float(asdecimal=True), small_decimals, nearest),
    "Double": Kind(sa.Double, st.floats()),
    "REAL": Kind(sa.REAL, st.floats(width=16)),
    "Numeric": Kind(sa.Numeric, small_decimals, nearest),
    "Numeric(12, 2)": Kind(
        lambda: sa.Numeric(12, 2), st.decimals(-(10**9), 10**9, places=2, allow_nan=False)
    ),
    "Numeric(asdecimal=False)": Kind(
        lambda: sa.Numeric(12, 2, asdecimal=False), st.integers(-99999, 99999).map(float), nearest
    ),
    "String": Kind(sa.String, texts),
    "String(50)": Kind(lambda: sa.String(50), texts),
    "Text": Kind(sa.Text, texts),
    "Unicode": Kind(sa.Unicode, texts),
    "UnicodeText": Kind(sa.UnicodeText, texts),
    "CHAR": Kind(lambda: sa.CHAR(5), st.text("abc", max_size=5)),
    "Enum": Kind(lambda: sa.Enum(Color, name="names"), colors, lambda each: each and each.name),
    "Enum(values_callable)": Kind(
        lambda: sa.Enum(Color, name="labels", values_callable=labels), colors, label_of
    ),
    "Enum(native_enum=False)": Kind(
        lambda: sa.Enum(Color, values_callable=labels, native_enum=False), colors, label_of
    ),
    "Enum of text": Kind(lambda: sa.Enum("a", "=b", name="texts"), st.sampled_from(["a", "=b"])),
    "Date": Kind(sa.Date, days),
    "Time": Kind(sa.Time, times),
    "Time(timezone)": Kind(
        lambda: sa.Time(timezone=True), st.builds(time.replace, times, tzinfo=zones)
    ),
    "DateTime": Kind(sa.DateTime, naive),
    "DateTime(timezone)": Kind(lambda: sa.DateTime(timezone=True), moments),
    "TIMESTAMP(timezone)": Kind(lambda: sa.TIMESTAMP(timezone=True), moments),
    "Interval": Kind(sa.Interval, intervals),
    "Interval(native=False)": Kind(lambda: sa.Interval(native=False), intervals),
    "JSON": Kind(sa.JSON, documents),
    "JSON(none_as_null)": Kind(lambda: sa.JSON(none_as_null=True), documents),
    "Uuid": Kind(sa.Uuid, uuids),
    "Uuid(as_uuid=False)": Kind(lambda: sa.Uuid(as_uuid=False), uuids.map(str)),
    "Uuid(native_uuid=False)": Kind(lambda: sa.Uuid(native_uuid=False), uuids),
    "LargeBinary": Kind(sa.LargeBinary, binary),
    "Lower": Kind(Lower, texts),
    "Reversed": Kind(Reversed, texts),
    "ReversedTwice": Kind(ReversedTwice, texts),
    "Cents": Kind(Cents, st.decimals(-(10**9), 10**9, places=2, allow_nan=False)),
    "Tags": Kind(Tags, st.lists(st.text("ab;=\n", min_size=1), max_size=3)),
    "Twice": Kind(Twice, intervals),
    "Key": Kind(Key, binary),
    "Moment": Kind(Moment, moments),
    "Point": Kind(Point, st.tuples(integers, integers)),
    "Code": Kind(Code, st.text("=ab,", max_size=20)),
}
"""The types that both databases have, by their names."""

if POSTGRESQL:
    numbers = st.decimals(allow_infinity=False, places=3, min_value=-(10**20), max_value=10**20)
    addresses = st.ip_addresses(v=4)
    KINDS |= {
        "Numeric with NaN": Kind(sa.Numeric, numbers | st.just(Decimal("NaN"))),
        "ARRAY(Integer)": Kind(lambda: ARRAY(sa.Integer), st.lists(integers | st.none())),
        "ARRAY(Text)": Kind(lambda: ARRAY(sa.Text), st.lists(texts)),
        "ARRAY(Boolean)": Kind(lambda: ARRAY(sa.Boolean), st.lists(st.booleans())),
        "ARRAY(Float)": Kind(lambda: ARRAY(sa.Float), st.lists(st.floats())),
        "ARRAY(Numeric)": Kind(
            lambda: ARRAY(sa.Numeric), st.lists(numbers | st.just(Decimal("NaN")))
        ),
        "ARRAY(Date)": Kind(lambda: ARRAY(sa.Date), st.lists(days)),
        "ARRAY(Uuid)": Kind(lambda: ARRAY(sa.Uuid), st.lists(uuids)),
        "ARRAY(LargeBinary)": Kind(lambda: ARRAY(sa.LargeBinary), st.lists(binary)),
        "ARRAY(JSONB)": Kind(
            lambda: ARRAY(postgresql.JSONB), st.lists(st.dictionaries(texts, documents, max_size=2))
        ),
        "ARRAY(Reversed)": Kind(lambda: ARRAY(Reversed), st.lists(texts)),
        "ARRAY(Enum)": Kind(
            lambda: ARRAY(sa.Enum(Color, name="items", values_callable=labels)),
            st.lists(colors),
            lambda each: each and [color.value for color in each],
        ),
        "ARRAY of two dimensions": Kind(
            lambda: ARRAY(sa.Integer, dimensions=2), st.lists(st.tuples(integers, integers))
        ),
        "JSONB": Kind(postgresql.JSONB, documents),
        "UUID": Kind(sa.UUID, uuids),
        "INET": Kind(postgresql.INET, addresses | addresses.map(ip_interface).map(str)),
        "CIDR": Kind(postgresql.CIDR, addresses.map(str)),
        "MACADDR": Kind(postgresql.MACADDR, st.just("08:00:2b:01:02:03")),
        "BIT": Kind(lambda: postgresql.BIT(3), st.just(postgresql.BitString("101")), is_text=True),
        "MONEY": Kind(postgresql.MONEY, st.just("1.50"), is_text=True),
        "TSVECTOR": Kind(postgresql.TSVECTOR, st.just("a b"), is_text=True),
        "INTERVAL": Kind(postgresql.INTERVAL, intervals),
        "ENUM": Kind(lambda: postgresql.ENUM("a", "b", name="own"), st.sampled_from("ab")),
        "DOMAIN": Kind(lambda: postgresql.DOMAIN("count", sa.Integer), integers),
        "INT4RANGE": Kind(
            postgresql.INT4RANGE,
            st.builds(Range, st.integers(-9, 0), st.integers(0, 9)),
            is_text=True,
        ),
        "INT8MULTIRANGE": Kind(
            postgresql.INT8MULTIRANGE, st.just([Range(1, 3), Range(5, 8)]), is_text=True
        ),
        "TSTZRANGE": Kind(
            postgresql.TSTZRANGE,
            st.builds(Range, moments | st.none(), st.none()),
            is_text=True,
        ),
    }
