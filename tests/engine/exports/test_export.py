"""What can be exported, and what is refused when the application starts."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from streaming_api.streaming.exports.export import Export
from streaming_api.streaming.exports.routes import FORMATS, export_routes

from .kinds import Code, Color, Lower, Moment, Tags

metadata = sa.MetaData()
authors = sa.Table(
    "authors",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
)
books = sa.Table(
    "books",
    metadata,
    sa.Column("isbn", sa.Uuid, primary_key=True),
    sa.Column("id", sa.Integer, nullable=False),
    sa.Column("author_id", sa.ForeignKey(authors.c.id)),
    sa.Column("color", sa.Enum(Color)),
)
editions = sa.Table(
    "editions",
    metadata,
    sa.Column("isbn", sa.Uuid, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("shelf", Lower),
    sa.Column("printed", Moment),
    sa.Column("code", Code),
    sa.Column("scan", sa.LargeBinary),
    sa.Column("details", sa.JSON),
    sa.Column("duration", sa.Interval),
    sa.Column("limit", sa.Integer),
)
view = sa.Table("readers", metadata, sa.Column("id", sa.Integer), sa.Column("name", sa.Text))
"""A view, which has no primary key."""


class Base(DeclarativeBase):
    """The base of mapped classes."""


class Publisher(Base):
    """A mapped class."""

    __tablename__ = "publishers"

    id: Mapped[int] = mapped_column(primary_key=True)


ISBN, NUMBER = editions.c.isbn, editions.c.number
joined = sa.select(authors.c.id, books.c.id.label("book"), books.c.isbn).join(books)
both = sa.union_all(sa.select(authors.c.id), sa.select(books.c.id))
upper = sa.func.upper(authors.c.name)
per_author = sa.select(books.c.author_id, sa.func.count().label("books")).group_by("author_id")


class Pickled(sa.TypeDecorator[Any]):
    """Python objects."""

    impl = sa.PickleType
    cache_ok = True


def table_of(kind: Any, name: str = "t") -> sa.Table:
    """Return a table with a column of that type."""
    return sa.Table(
        name, sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("v", kind)
    )


ACCEPTED: dict[str, tuple[Any, dict[str, Any], str, list[str], list[str]]] = {
    "table": (authors, {}, "authors", ["id", "name"], ["id"]),
    "own name": (authors, {"name": "people"}, "people", ["id", "name"], ["id"]),
    "another key": (authors, {"key": "name"}, "authors", ["id", "name"], ["name"]),
    "alias": (authors.alias("a"), {}, "a", ["id", "name"], ["id"]),
    "view": (view, {"key": "id"}, "readers", ["id", "name"], ["id"]),
    "select": (sa.select(authors), {}, "authors", ["id", "name"], ["id"]),
    "some columns": (sa.select(authors.c.id), {}, "authors", ["id"], ["id"]),
    "composite key": (
        sa.select(ISBN, editions.c.code, NUMBER),
        {},
        "editions",
        ["isbn", "code", "number"],
        ["isbn", "number"],
    ),
    "join": (joined, {"key": books.c.isbn, "name": "j"}, "j", ["id", "book", "isbn"], ["isbn"]),
    "several columns as key": (
        joined,
        {"key": [books.c.id, "isbn"], "name": "j"},
        "j",
        ["id", "book", "isbn"],
        ["book", "isbn"],
    ),
    "attribute of a mapped class": (
        sa.select(Publisher),
        {"key": Publisher.id, "filters": Publisher.id},
        "publishers",
        ["id"],
        ["id"],
    ),
    "union": (both, {"key": "id", "name": "all"}, "all", ["id"], ["id"]),
    "column of a union": (both, {"key": authors.c.id, "name": "all"}, "all", ["id"], ["id"]),
    "groups": (per_author, {"key": "author_id"}, "books", ["author_id", "books"], ["author_id"]),
    "distinct": (
        sa.select(authors.c.name).distinct(),
        {"key": "name"},
        "authors",
        ["name"],
        ["name"],
    ),
    "limit in a subquery": (
        sa.select(authors.c.id).limit(5).subquery("first"),
        {"key": "id"},
        "first",
        ["id"],
        ["id"],
    ),
    "no table": (
        sa.select(sa.literal(1).label("one")),
        {"key": "one", "name": "one"},
        "one",
        ["one"],
        ["one"],
    ),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_source_has_name_columns_and_key(case: str) -> None:
    source, options, name, columns, key = ACCEPTED[case]

    export = Export(source, **options)

    assert export.name == name
    assert list(export.columns) == columns
    assert list(export.key) == key


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        (upper, "upper(authors.name)"),
        (upper.label("Name"), "Name"),
        (authors.c.id + 1, "authors.id + 1"),
        (sa.literal("x"), "'x'"),
        (sa.literal(5), "5"),
        (sa.literal_column("1 + 1"), "1 + 1"),
        (sa.cast(authors.c.id, sa.Text), "CAST(authors.id AS TEXT)"),
        (sa.case((authors.c.id > 1, "a")), "CASE WHEN (authors.id > 1) THEN 'a' END"),
    ],
)
def test_expression_has_its_label_or_its_sql_as_name(
    expression: sa.ColumnElement[Any], name: str
) -> None:
    export = Export(sa.select(authors.c.id, expression))

    assert list(export.columns) == ["id", name]


def test_name_of_a_column_is_that_of_the_database() -> None:
    table = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("Id", sa.Integer, primary_key=True, key="ident"),
        sa.Column("{a}", sa.Text),
        sa.Column('b"c', sa.Text),
    )

    for source in (table, sa.select(table)):
        export = Export(source, filters=[table.c.ident, "{a}"])  # type: ignore[arg-type]

        assert list(export.columns) == ["Id", "{a}", 'b"c']
        assert list(export.key) == ["Id"]
        assert list(export.filters) == ["Id", "{a}"]


@pytest.mark.parametrize(
    "kind",
    [sa.Uuid, sa.Enum("a", name="e"), sa.Date, sa.Time, sa.Boolean, sa.Float, sa.Numeric, Lower],
)
def test_column_that_can_be_compared_is_key_and_filter(kind: Any) -> None:
    export = Export(table_of(kind), key="v", filters=["v", "id"])

    assert list(export.key) == ["v"]
    assert list(export.filters) == ["v", "id"]


ONE_NAME = "expected a name for each column, by .label(), got"
COMPARED = "expected a type that can be compared for"
NO_KEY = "expected key=, since there is no primary key"
OF_EXPORT = "expected columns of the export, got"
SOURCE = "expected a table, a view or a select()"
SQL = sa.text("SELECT id FROM authors")
NAMED = "(): expected name=, since the statement is not of one table"


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "mapped class": (Publisher, {}, f"(): {SOURCE}, got {Publisher!r}"),
    "text": (SQL, {"name": "t", "key": "id"}, f"(t): {SOURCE}, got {SQL!r}"),
    "join without a name": (joined, {"key": "id"}, NAMED),
    "union without a name": (both, {"key": "id"}, NAMED),
    "joined tables without a name": (authors.join(books), {"key": "id"}, NAMED),
    "subquery without a name": (sa.select(authors).subquery(), {"key": "id"}, NAMED),
    "no table and no name": (sa.select(sa.literal(1).label("one")), {"key": "one"}, NAMED),
    "name with a brace": (authors, {"name": "{a"}, "({a): expected a name without braces"),
    "table with a brace": (table_of(sa.Text, "a}"), {}, "(a}): expected a name without braces"),
    "columns with one name": (
        sa.select(authors.c.id, books.c.id).join(books),
        {"key": "id", "name": "j"},
        f"(j): {ONE_NAME} 'id'",
    ),
    "joined columns with one name": (authors.join(books), {"name": "j"}, f"(j): {ONE_NAME} 'id'"),
    "column twice": (
        sa.select(authors.c.id, authors.c.id),
        {},
        f"(authors): {ONE_NAME} 'id'",
    ),
    "expression twice": (
        sa.select(authors.c.id, upper, upper),
        {},
        f"(authors): {ONE_NAME} 'upper(authors.name)'",
    ),
    "expression of a subquery without a label": (
        sa.select(authors.c.id, upper).subquery("s"),
        {"key": "id"},
        f"(s): {ONE_NAME} ''",
    ),
    "literal without SQL": (
        sa.select(authors.c.id, sa.literal({"a": 1}, sa.JSON)),
        {},
        f"(authors): {ONE_NAME} ''",
    ),
    "limit": (sa.select(authors).limit(5), {}, "(authors): expected a statement without LIMIT"),
    "offset": (sa.select(authors).offset(5), {}, "(authors): expected a statement without LIMIT"),
    "limited union": (
        both.limit(5),
        {"key": "id", "name": "all"},
        "(all): expected a statement without LIMIT",
    ),
    "order": (
        sa.select(authors).order_by("name"),
        {},
        "(authors): expected a statement without ORDER BY",
    ),
    "ordered union": (
        both.order_by("id"),
        {"key": "id", "name": "all"},
        "(all): expected a statement without ORDER BY",
    ),
    "Python objects": (
        table_of(sa.PickleType),
        {},
        "(t): expected a type that JSON can represent for 'v', got PickleType()",
    ),
    "decorated Python objects": (
        table_of(Pickled),
        {},
        "(t): expected a type that JSON can represent for 'v', got Pickled()",
    ),
    "view without a key": (view, {}, f"(readers): {NO_KEY}"),
    "join without a key": (joined, {"name": "j"}, f"(j): {NO_KEY}"),
    "union without a key": (both, {"name": "all"}, f"(all): {NO_KEY}"),
    "groups without a key": (per_author, {}, f"(books): {NO_KEY}"),
    "part of the primary key": (sa.select(ISBN, editions.c.code), {}, f"(editions): {NO_KEY}"),
    "subquery without a key": (sa.select(authors).subquery("s"), {}, f"(s): {NO_KEY}"),
    "unknown key": (authors, {"key": "no"}, f"(authors): {OF_EXPORT} 'no'"),
    "key of another table": (authors, {"key": ISBN}, f"(authors): {OF_EXPORT} 'editions.isbn'"),
    "unknown filter": (authors, {"filters": ["no"]}, f"(authors): {OF_EXPORT} 'no'"),
    "filter that is not selected": (
        sa.select(authors.c.id),
        {"filters": [authors.c.name]},
        f"(authors): {OF_EXPORT} 'authors.name'",
    ),
    "JSON as key": (editions, {"key": "details"}, f"(editions): {COMPARED} 'details', got JSON()"),
    "unknown type as key": (
        editions,
        {"key": "code"},
        f"(editions): {COMPARED} 'code', got Code()",
    ),
    "bytes as filter": (
        editions,
        {"filters": ["scan"]},
        f"(editions): {COMPARED} 'scan', got LargeBinary()",
    ),
    "interval as filter": (
        editions,
        {"filters": ["duration"]},
        f"(editions): {COMPARED} 'duration', got Interval()",
    ),
    "filter with the name of another parameter": (
        editions,
        {"filters": ["limit"]},
        "(editions): expected filters with other names, got ['limit']",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_source_that_cannot_be_exported_is_refused(case: str) -> None:
    source, options, message = REFUSED[case]

    with pytest.raises(ValueError, match="Invalid Export") as raised:
        Export(source, **options)

    assert str(raised.value) == f"Invalid Export{message}"


@pytest.mark.parametrize(
    ("names", "path"),
    [
        (("a", "a"), f"/export/a.{FORMATS[0].extension}"),
        (("a", f"a.{FORMATS[-1].extension}"), f"/export/a.{FORMATS[-1].extension}"),
    ],
)
def test_exports_with_one_path_are_refused(names: tuple[str, str], path: str) -> None:
    exports = [Export(authors, name=name) for name in names]

    with pytest.raises(ValueError, match="Invalid EXPORTS") as raised:
        export_routes(exports, {})

    expected = f"Invalid EXPORTS: expected one with the path {path}; use name="
    assert str(raised.value) == expected


def test_export_in_some_formats_has_no_other_path() -> None:
    chosen = FORMATS[-1]

    router = export_routes([Export(authors, formats=[chosen])], {})

    paths = {route.path for route in router.routes}  # type: ignore[attr-defined]
    assert paths == {"/export/authors", f"/export/authors.{chosen.extension}"}


PROPERTIES = [
    (sa.Integer, {"type": "integer"}),
    (sa.Text, {"type": "string"}),
    (sa.Boolean, {"type": "boolean"}),
    (sa.Float, {"type": "number"}),
    (sa.Numeric, {"type": "number"}),
    (sa.Date, {"type": "string", "format": "date"}),
    (sa.Time, {"type": "string", "format": "time"}),
    (sa.DateTime, {"type": "string", "format": "date-time"}),
    (sa.Interval, {"type": "string", "format": "duration"}),
    (sa.Uuid(as_uuid=False), {"type": "string", "format": "uuid"}),
    (sa.LargeBinary, {"type": "string", "contentEncoding": "base64"}),
    (sa.Enum(Color), {"type": "string", "enum": ["RED", "BLUE"]}),
    (sa.ARRAY(sa.Integer), {"type": "array"}),
    (Lower, {"type": "string"}),
]


@pytest.mark.parametrize(("kind", "schema"), PROPERTIES)
def test_schema_of_a_row_has_the_type_of_a_column(kind: Any, schema: dict[str, Any]) -> None:
    key = sa.Column("id", sa.Integer, primary_key=True)
    values = sa.Column("value", kind, nullable=False), sa.Column("or_null", kind)

    row_schema = Export(sa.Table("t", sa.MetaData(), key, *values)).row_schema

    assert (row_schema["title"], row_schema["type"]) == ("t", "object")
    assert row_schema["properties"] == {
        "id": {"type": "integer"},
        "value": schema,
        "or_null": {"anyOf": [schema, {"type": "null"}]},
    }


@pytest.mark.parametrize("kind", [sa.JSON, Code, Moment, Tags, sa.types.NullType])
def test_schema_of_any_value_is_empty(kind: Any) -> None:
    assert Export(table_of(kind)).row_schema["properties"]["v"] == {}


def test_columns_of_a_statement_can_be_null() -> None:
    statement = sa.select(books.c.isbn, authors.c.name).outerjoin(authors)

    properties = Export(statement, key="isbn", name="j").row_schema["properties"]

    assert properties["name"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
