"""PostgreSQL: limits, snapshots, parameters of the URL, roles, and values of its own."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient
from psycopg import sql
from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql as dialect

from streaming_api.settings import Settings
from streaming_api.streaming.exports.database import Database
from streaming_api.streaming.exports.export import Export
from streaming_api.streaming.exports.postgresql import PostgreSQL, TooManyExports

from ..variant import CSV, NDJSON
from .conftest import Content, Serve
from .formats import Format
from .kinds import Reversed
from .tables import SAMPLES, metadata, notes, open_database, words

SLEEP_SECONDS = 10.0


@pytest.fixture
def limited(settings: Settings) -> Iterator[PostgreSQL]:
    """A database for one export at once, which may take 50 milliseconds."""
    database = PostgreSQL(
        settings.database_url, metadata, SAMPLES, max_exports=1, statement_timeout=0.05
    )
    list(database.seed(20))
    yield database
    database.close()


def fetch(database: Database, statement: sa.Select[Any]) -> list[Any]:
    """Return the rows of a statement as an export reads them."""
    with database.reading() as connection, closing(database.rows(connection, statement)) as rows:
        return list(rows)


def test_exports_beyond_the_limit_are_rejected(limited: PostgreSQL) -> None:
    with limited.reading():
        with pytest.raises(TooManyExports), limited.reading():
            pass
        limited.ping()

    assert len(fetch(limited, select(notes))) == 20


def test_slow_export_fails(limited: PostgreSQL) -> None:
    with pytest.raises(psycopg.errors.QueryCanceled, match="statement timeout"):
        fetch(limited, select(func.pg_sleep(SLEEP_SECONDS)))


def read_setting(database: Database, name: str) -> str:
    """Return a setting of the connection that reads an export."""
    ((value,),) = fetch(database, select(func.current_setting(name)))
    return str(value)


def test_export_reads_one_snapshot(database: Database) -> None:
    assert read_setting(database, "transaction_isolation") == "repeatable read"


def test_connection_writes_after_an_export(database: Database) -> None:
    fetch(database, select(notes))

    assert sum(database.seed(1)) == len(SAMPLES)


def test_settings_of_an_export_end_with_it(database: Database) -> None:
    with database.engine.connect() as connection:
        before = connection.scalar(select(func.current_setting("intervalstyle")))
    assert read_setting(database, "intervalstyle") == "iso_8601"

    with database.engine.connect() as connection:
        assert connection.scalar(select(func.current_setting("intervalstyle"))) == before


def test_connection_is_as_read_only_after_an_export(settings: Settings) -> None:
    url = with_query(settings, options="-c default_transaction_read_only=on")
    database = open_database(url)

    fetch(database, select(sa.literal(1)))

    with database.engine.connect() as connection:
        assert connection.scalar(select(func.current_setting("transaction_read_only"))) == "on"
    database.close()


def test_export_cannot_write(database: Database) -> None:
    sequence = func.pg_get_serial_sequence(notes.name, "id")

    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        fetch(database, select(func.nextval(sequence)))


def test_table_of_another_schema_is_created_once(
    own_database: tuple[sa.URL, psycopg.Connection], settings: Settings
) -> None:
    _, connection = own_database
    other = sa.MetaData(schema="Archive 1")
    key = sa.Column("Id", sa.Integer, primary_key=True)
    old = sa.Table("Old", other, key, sa.Column("text", sa.Text))
    samples = {old: lambda number: {"Id": number, "text": "x"}}
    connection.execute('CREATE SCHEMA "Archive 1"')

    try:
        for _ in range(2):
            database = PostgreSQL(settings.database_url, other, samples)
            list(database.seed(5))
            assert database.count_rows() == {"Archive 1.Old": 5}
            database.close()
        inserted = connection.execute(
            'INSERT INTO "Archive 1"."Old" (text) VALUES (\'y\') RETURNING "Id"'
        )
        assert inserted.fetchone() == (6,)
    finally:
        connection.execute('DROP SCHEMA "Archive 1" CASCADE')


def with_query(settings: Settings, **query: str) -> str:
    """Return `database_url` with parameters."""
    url = sa.make_url(settings.database_url).update_query_dict(query)
    return Settings(database_url=url.render_as_string(hide_password=False)).database_url


def test_parameters_of_the_url_are_kept(settings: Settings) -> None:
    options = "-c search_path=app,public -c lock_timeout=1234 -c client_encoding=LATIN1"
    url = with_query(settings, options=options, application_name="my exports")
    database = open_database(url)

    assert read_setting(database, "search_path") == "app,public"
    assert read_setting(database, "lock_timeout") == "1234ms"
    assert read_setting(database, "application_name") == "my exports"
    assert read_setting(database, "client_encoding") == "UTF8"
    database.close()


def test_time_limit_of_the_role_is_kept(settings: Settings) -> None:
    url = with_query(settings, options="-c statement_timeout=1234")

    for statement_timeout, expected in [(0, "1234ms"), (5, "5s")]:
        database = PostgreSQL(url, metadata, {}, statement_timeout=statement_timeout)
        assert read_setting(database, "statement_timeout") == expected
        database.close()


def test_statements_are_not_prepared(database: Database) -> None:
    for _ in range(10):
        fetch(database, select(notes))

    with database.engine.connect() as connection:
        prepared = connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements")
        assert prepared.scalar() == 0


@pytest.fixture
def reader_url(
    database: Database, own_database: tuple[sa.URL, psycopg.Connection]
) -> Iterator[str]:
    """The URL of a role that can only read."""
    url, connection = own_database
    name = f"reader_{uuid4().hex}"
    role = sql.Identifier(name)
    for statement in (
        "CREATE ROLE {} LOGIN PASSWORD 'secret'",
        "GRANT USAGE ON SCHEMA public TO {}",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}",
    ):
        connection.execute(sql.SQL(statement).format(role))
    url = url.set(username=name, password="secret")  # noqa: S106
    yield url.render_as_string(hide_password=False)
    connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
    connection.execute(sql.SQL("DROP ROLE {}").format(role))


def test_role_that_can_only_read_serves(
    create_app: Callable[[Settings], FastAPI], app: FastAPI, reader_url: str
) -> None:
    database = open_database(Settings(database_url=reader_url).database_url)
    app.state.database.close()
    app.state.database = database
    app.state.health_check._checks = [database.check]

    with TestClient(app) as client:
        health = client.get("/health")
        exports = [client.get(f"/export/{table.name}") for table in (notes, words)]
    with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
        list(database.seed(1))
    database.close()

    assert health.status_code == 200
    assert [response.status_code for response in exports] == [200, 200]


VALUES: list[tuple[Any, str, str]] = [
    (sa.DateTime(timezone=True), "'infinity'", '"infinity"'),
    (sa.DateTime(timezone=True), "'-infinity'", '"-infinity"'),
    (sa.DateTime(timezone=True), "'12026-01-02 03:04:05+00'", '"12026-01-02 03:04:05+00"'),
    (sa.DateTime(timezone=True), "'0044-03-15 01:00+00 BC'", '"0044-03-15 01:00:00+00 BC"'),
    (sa.DateTime(timezone=True), "'2026-01-02 12:00:00.5+09'", '"2026-01-02T03:00:00.500000Z"'),
    (sa.DateTime, "'infinity'", '"infinity"'),
    (sa.DateTime, "'12026-01-02 03:04:05.25'", '"12026-01-02 03:04:05.25"'),
    (sa.DateTime, "'0044-03-15 01:00 BC'", '"0044-03-15 01:00:00 BC"'),
    (sa.Date, "'infinity'", '"infinity"'),
    (sa.Date, "'12026-01-02'", '"12026-01-02"'),
    (sa.Date, "'0044-03-15 BC'", '"0044-03-15 BC"'),
    (sa.Time, "'24:00'", '"24:00:00"'),
    (sa.Time(timezone=True), "'01:02:03+00'", '"01:02:03Z"'),
    (sa.Time(timezone=True), "'01:02:03.5+09'", '"01:02:03.500000+09:00"'),
    (sa.Time(timezone=True), "'01:02:03-05:30'", '"01:02:03-05:30"'),
    (sa.Interval, "'1 month'", '"P1M"'),
    (dialect.INTERVAL, "'1 year -2 mons 3 days -04:05:06.7'", '"P10M3DT-4H-5M-6.7S"'),
    (sa.Numeric, "'NaN'", "null"),
    (sa.Numeric, "'Infinity'", "null"),
    (sa.Numeric, "'12345678901234567890.123456789'", "12345678901234567890.123456789"),
    (sa.Float, "'NaN'", "null"),
    (dialect.JSONB, "'12345678901234567.89'", "12345678901234567.89"),
    (dialect.JSONB, '\'{"b": 12345678901234567.89, "a": 1}\'', '{"a":1,"b":12345678901234567.89}'),
    (dialect.JSONB, "'\"=text\"'", '"=text"'),
    (sa.JSON, '\' {"b" : 1,\n "a": [] }\'', '{"b":1,"a":[]}'),
    (sa.JSON, "'[\"\\ud83d\"]'", '["\ufffd"]'),
    (sa.JSON, "'\"\\ud83d\\ude00\\ud83d\"'", '"😀\ufffd"'),
    (dialect.INET, "'10.0.0.1'", '"10.0.0.1"'),
    (dialect.INET, "'10.0.0.1/8'", '"10.0.0.1/8"'),
    (dialect.INET, "'::ffff:1.2.3.4'", '"::ffff:1.2.3.4"'),
    (dialect.CIDR, "'10.0.0.0/8'", '"10.0.0.0/8"'),
    (dialect.MACADDR, "'08-00-2b-01-02-03'", '"08:00:2b:01:02:03"'),
    (dialect.INT4RANGE, "'[1,4]'", '"[1,5)"'),
    (dialect.TSTZRANGE, "'[2026-01-01 09:00+09,)'", '"[\\"2026-01-01 00:00:00+00\\",)"'),
    (dialect.INT8MULTIRANGE, "'{[1,2],[5,6)}'", '"{[1,3),[5,6)}"'),
    (dialect.MONEY, "'1.5'", '"$1.50"'),
    (dialect.BIT(3), "B'101'", '"101"'),
    (dialect.TSVECTOR, "'b a'", "\"'a' 'b'\""),
    (sa.ARRAY(sa.Numeric), "ARRAY['NaN', '1.50']::numeric[]", "[null,1.50]"),
    (sa.ARRAY(sa.Integer), "ARRAY[[1, 2], [3, NULL]]", "[[1,2],[3,null]]"),
    (sa.ARRAY(sa.DateTime), "ARRAY['infinity']::timestamp[]", '["infinity"]'),
    (
        sa.ARRAY(sa.DateTime(timezone=True)),
        "ARRAY['2026-01-02 12:00+09']::timestamptz[]",
        '["2026-01-02T03:00:00+00:00"]',
    ),
    (sa.ARRAY(sa.Interval), "ARRAY['1 month']::interval[]", '["P1M"]'),
    (sa.ARRAY(dialect.INET), "ARRAY['10.0.0.1']::inet[]", '["10.0.0.1"]'),
    (
        sa.ARRAY(dialect.JSONB),
        "ARRAY['12345678901234567.89']::jsonb[]",
        "[12345678901234567.89]",
    ),
    (sa.ARRAY(Reversed), "ARRAY['cba']", '["abc"]'),
]


@pytest.mark.skipif(not NDJSON, reason="no NDJSON")
@pytest.mark.parametrize(("kind", "literal", "expected"), VALUES)
def test_value_is_exported_as(serve: Serve, kind: Any, literal: str, expected: str) -> None:
    key = sa.Column("id", sa.Integer, primary_key=True)
    table = sa.Table("t", sa.MetaData(), key, sa.Column("v", kind))
    client = serve(Export(table))
    Content(client.app.state.database).run(  # type: ignore[attr-defined]
        f"INSERT INTO t VALUES (1, {literal}), (2, NULL)"  # noqa: S608
    )

    response = client.get("/export/t.ndjson", params={"columns": "v"})

    assert response.text == f'{{"v":{expected}}}\n{{"v":null}}\n'


@pytest.mark.skipif(not NDJSON, reason="no NDJSON")
def test_array_of_a_type_that_psycopg_does_not_know_is_a_list(serve: Serve) -> None:
    table = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("one", dialect.CITEXT),
        sa.Column("many", sa.ARRAY(dialect.CITEXT)),
    )
    # The type of the extension, which need not be installed.
    sa.event.listen(table, "before_create", sa.DDL("CREATE DOMAIN citext AS text"))
    client = serve(Export(table))
    content = Content(client.app.state.database)  # type: ignore[attr-defined]
    content.run("INSERT INTO t VALUES (1, 'Ab', ARRAY['Ab', NULL])")

    response = client.get("/export/t.ndjson")

    content.run("DROP DOMAIN citext CASCADE")
    assert response.text == '{"id":1,"one":"Ab","many":["Ab",null]}\n'


EXPRESSIONS: list[tuple[Any, str]] = [
    (func.length("abc"), "3"),
    (func.avg(notes.c.id), "1.5000000000000000"),
    (func.now() > func.to_timestamp(0), "true"),
    (func.to_timestamp(0), '"1970-01-01T00:00:00+00:00"'),
    (func.jsonb_build_object("a", 1), '{"a":1}'),
    (func.array_agg(notes.c.id), "[1,2]"),
    (func.upper("abc"), '"ABC"'),
    (func.make_interval(0, 1), '"P1M"'),
    (func.bool_and(notes.c.id > 0), "true"),
]


@pytest.mark.skipif(not NDJSON, reason="no NDJSON")
@pytest.mark.parametrize(("expression", "expected"), EXPRESSIONS)
def test_type_of_an_expression_is_that_of_the_database(
    serve: Serve, expression: Any, expected: str
) -> None:
    statement = select(sa.literal(1).label("id"), expression.label("v")).select_from(notes)
    client = serve(Export(statement, key="id", name="s"), metadata=metadata)
    rows = [SAMPLES[notes](number) for number in (1, 2)]
    Content(client.app.state.database).replace(notes, rows)  # type: ignore[attr-defined]

    response = client.get("/export/s.ndjson", params={"columns": "v"})

    assert response.text.splitlines()[0] == f'{{"v":{expected}}}'


@pytest.mark.skipif(not CSV, reason="no CSV")
def test_time_that_csv_escapes_is_infinite_only(serve: Serve) -> None:
    key = sa.Column("id", sa.Integer, primary_key=True)
    table = sa.Table(
        "t", sa.MetaData(), key, sa.Column("v", sa.DateTime), sa.Column("i", sa.Interval)
    )
    client = serve(Export(table))
    Content(client.app.state.database).run(  # type: ignore[attr-defined]
        "INSERT INTO t VALUES (1, '-infinity', '-1 day')"
    )

    assert client.get("/export/t.csv").text == 'id,v,i\r\n1,"\'-infinity","P-1D"\r\n'


@pytest.fixture
def ascii_url(database_server: sa.URL) -> Iterator[str]:
    """The URL of a database that does not know the encoding of its text."""
    name = f"test_{uuid4().hex}"
    url = database_server.set(database=name)
    with psycopg.connect(
        database_server.render_as_string(hide_password=False), autocommit=True
    ) as server:
        server.execute(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'")
        yield Settings(database_url=url.render_as_string(hide_password=False)).database_url
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_text_in_an_unknown_encoding_fails_and_is_named_in_the_log(
    app: FastAPI, ascii_url: str, format: Format, caplog: pytest.LogCaptureFixture
) -> None:
    app.state.database.close()
    database = app.state.database = open_database(ascii_url)
    list(database.seed(5))
    client = TestClient(app)

    whole = client.get(format.path(words))
    Content(database).run(r"UPDATE words SET meaning = E'\xff\xfe' WHERE word LIKE '%%3'")
    broken = client.get(format.path(words))
    database.close()

    assert [record["word"] for record in format.read(whole.text)][2] == "wörd, 000003"
    assert broken.status_code == 503
    assert "text is not UTF-8 table=words column=meaning key=wörd, 000003" in caplog.text
