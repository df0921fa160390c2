"""What is exported: a table, a view or a statement, in the format of a response class."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.exc import CompileError
from sqlalchemy.sql.elements import NamedColumn, _anonymous_label

from ..response import StreamResponse
from .columns import layers, parameter_type, value_schema
from .rows import Encoder

PARAMETERS = {"after", "bom", "columns", "limit"}
"""The query parameters of all exports."""

Source = sa.FromClause | sa.Select[Any] | sa.CompoundSelect[Any]
Name = sa.ColumnElement[Any] | str


class ExportResponse(StreamResponse):
    """Streams rows in a file format: all of them, or the transfer fails."""

    items_name = "rows"
    media_type: str
    extension: ClassVar[str]
    encoder: ClassVar[Callable[..., Encoder]]
    """Returns the encoder of rows with columns of these names."""
    own_headers: ClassVar[Mapping[str, str]] = {"Cache-Control": "no-store"}


class Export:
    """An export of `source` at `/export/{name}`, ordered by `key`.

    `source` is a table, a view (a `Table` that has `key`) or a statement without `LIMIT` and
    `ORDER BY`. `key` is unique and without NULL: one or several columns, by default the primary
    key. `filters` are columns whose values can be selected by query parameters, and `formats` are
    response classes, by default all of the service. Raises `ValueError`.
    """

    def __init__(
        self,
        source: Source,
        *,
        key: Name | Sequence[Name] = (),
        filters: Name | Sequence[Name] = (),
        formats: Sequence[type[ExportResponse]] = (),
        name: str = "",
    ) -> None:
        sources = relations(source)
        # In a join the primary key of a table need not be unique.
        table = sources[0] if len(sources) == 1 else None
        name = name or getattr(table, "name", None) or ""
        self.name = "" if isinstance(name, _anonymous_label) else name
        self.formats = formats
        self.source = source
        is_source = isinstance(source, sa.FromClause | sa.Select | sa.CompoundSelect)
        self._check(is_source, f"a table, a view or a select(), got {source!r}")
        self._check(self.name != "", "name=, since the statement is not of one table")
        self._check("{" not in self.name and "}" not in self.name, "a name without braces")
        if not isinstance(source, sa.FromClause):
            self._check(not source._has_row_limiting_clause, "a statement without LIMIT")
            self._check(not source._order_by_clauses, "a statement without ORDER BY")
        relation: Any = source if isinstance(source, sa.FromClause) else source.subquery()
        selected = source.c if isinstance(source, sa.FromClause) else source.selected_columns
        names = list(map(column_name, selected))
        for each in names:
            is_name = names.count(each) == 1 and each != ""
            self._check(is_name, f"a name for each column, by .label(), got {each!r}")
        self.columns: dict[str, Any] = dict(zip(names, relation.c, strict=True))
        """The columns by their names in the export."""
        for each, column in self.columns.items():
            is_object = any(isinstance(layer, sa.PickleType) for layer in layers(column.type))
            message = f"a type that JSON can represent for {each!r}, got {column.type!r}"
            self._check(not is_object, message)
        if isinstance(key, Sequence) and not key and isinstance(table, sa.Table | sa.Alias):
            primary = [relation.corresponding_column(column) for column in table.primary_key]
            key = primary if all(each is not None for each in primary) else []
        self.key = self._find(key, relation)
        """The columns that order the rows."""
        self._check(bool(self.key), "key=, since there is no primary key")
        self.filters = self._find(filters, relation)
        reserved = PARAMETERS & self.filters.keys()
        self._check(not reserved, f"filters with other names, got {sorted(reserved)}")
        for each, column in {**self.key, **self.filters}.items():
            message = f"a type that can be compared for {each!r}, got {column.type!r}"
            self._check(parameter_type(column.type) is not None, message)

    @property
    def row_schema(self) -> dict[str, Any]:
        """The JSON schema of a row."""
        is_table = isinstance(self.source, sa.Table)
        properties = {
            # The columns of an outer join can be NULL, whatever those of its tables can.
            name: value_schema(column.type, nullable=not is_table or bool(column.nullable))
            for name, column in self.columns.items()
        }
        return {"title": self.name, "type": "object", "properties": properties}

    def _find(self, names: Name | Sequence[Name], relation: Any) -> dict[str, Any]:
        """Return the columns with these names. Raises `ValueError` for an unknown one."""
        by_column = {column: name for name, column in self.columns.items()}
        found = {}
        # An attribute of a mapped class is not a `ColumnElement`.
        names = names if isinstance(names, Sequence) and not isinstance(names, str) else [names]
        for each in names:
            column = None if isinstance(each, str) else relation.corresponding_column(each)
            name = each if isinstance(each, str) else by_column.get(column, "")
            self._check(name in self.columns, f"columns of the export, got {str(each)!r}")
            found[name] = self.columns[name]
        return found

    def _check(self, condition: bool, expected: str) -> None:
        """Raise `ValueError` unless `condition`."""
        if not condition:
            raise ValueError(f"Invalid Export({self.name}): expected {expected}")


def relations(source: Source) -> list[sa.FromClause]:
    """Return the tables that a source reads itself; none of a union."""
    if isinstance(source, sa.FromClause):
        return [source]
    return list(source.get_final_froms()) if isinstance(source, sa.Select) else []


def column_name(column: sa.ColumnElement[Any]) -> str:
    """Return the name of a column; for an expression without a label its SQL, or nothing."""
    if isinstance(column, NamedColumn):
        # In a subquery an expression without a label has a name that SQLAlchemy makes.
        return "" if isinstance(column.name, _anonymous_label) else str(column.name)
    with suppress(CompileError):
        return str(column.compile(compile_kwargs={"literal_binds": True}))
    return ""
