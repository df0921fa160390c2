"""CSV (RFC 4180) that a spreadsheet reads and does not run."""

import csv
import io
import re
from base64 import b64encode
from collections.abc import AsyncGenerator, Iterable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from fastapi.encoders import jsonable_encoder

from ..generators import ItemFormat, Items, encoded
from ..registry import Chunk
from ..response import ItemsResponse
from .columns import Binary
from .response import ExportResponse, may_have_non_finite, without_non_finite

BYTE_ORDER_MARK = "\ufeff".encode()
RECORD_END = b"\r\n"
EMPTY = msgspec.Raw(b"")

# `,"=` or a line break and `"=`: the quote opens a cell, since a quote inside of text follows `\`.
FORMULA = re.compile(rb'"(?=[=+@\\-])(?<![^,\n]")(?!\\[^tnr])')
# `;=`: a spreadsheet whose separator is a semicolon or a tab has a cell of its own there.
INNER_FORMULA = re.compile(
    rb"""[=+@-](?:(?<=;.)|(?<=;\\".)|(?<=\\[tnr].)|(?<=\\[tnr]\\".))""", re.DOTALL
)
JSON_ESCAPE = re.compile(rb"\\(?:u00([0-9a-f]{2})|(.))")
UNESCAPED = {b'"': b'""', b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


class CSVEncoder:
    """Encodes a row as a record: text in quotes, numbers without, `NULL` as nothing.

    A list or an object is its JSON, as text. With `escape_formulas` text that a spreadsheet would
    run (it starts with `=`, `+`, `-`, `@`, a tab or a line break) is prefixed with `'`. With `bom`
    a byte-order mark tells Excel that the file is UTF-8.
    """

    def __init__(
        self, columns: Sequence[str], *, escape_formulas: bool = True, bom: bool = False
    ) -> None:
        names = io.StringIO()
        csv.writer(names).writerow(columns)
        self.header = BYTE_ORDER_MARK * bom + names.getvalue().encode()
        self._escape_formulas = escape_formulas
        # A record that is an empty line is none for most readers.
        self._null = msgspec.Raw(b'""') if len(columns) == 1 else EMPTY
        self._encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=encode_other)

    def encode(self, rows: Iterable[Sequence[Any]]) -> bytes:
        # From JSON, for which there is a fast encoder: `[1,"a\"b",null]` becomes `1,"a""b",`.
        null = self._null
        lines = self._encoder.encode_lines(
            [
                [null if cell is None else cell for cell in row] if None in row else row
                for row in rows
            ]
        )
        records = lines[1:-2].replace(b"]\n[", RECORD_END)
        if may_differ_from_csv(records):
            lines = self._encoder.encode_lines([list(map(self._cell, row)) for row in rows])
            records = lines[1:-2].replace(b"]\n[", RECORD_END)
        if self._escape_formulas:
            records = FORMULA.sub(b"\"'", records)
        quoted = records.replace(b'\\"', b'""')
        if self._escape_formulas and (b";" in quoted or b"\\" in quoted):
            records = escape_inner_formulas(records)
            quoted = records.replace(b'\\"', b'""')
        if b"\\" in quoted:
            # `\\"` is a backslash and the end of the text, not an escaped quote: start again.
            quoted = JSON_ESCAPE.sub(unescape, records if b"\\\\" in records else quoted)
        return quoted + RECORD_END

    def _cell(self, cell: Any) -> Any:
        cell = without_non_finite(cell)
        if cell is None:
            return self._null
        if isinstance(cell, list | dict):
            return self._encoder.encode(cell).decode()
        if isinstance(cell, msgspec.Raw) and bytes(cell)[:1] in (b"[", b"{"):
            return bytes(cell).decode()
        return cell


def encode_other(value: Any) -> Any:
    """Return what is encoded in place of `value`; base64 is not text that needs escaping."""
    if isinstance(value, Binary):
        return msgspec.Raw(b64encode(value.data))
    return jsonable_encoder(value)


def escape_inner_formulas(records: bytes) -> bytes:
    """Prefix formulas after a semicolon, a tab or a line break in JSON text with `'`."""
    # Escaped backslashes are set aside as bytes that JSON does not have: `\\\\n=` has no line break.
    marked = records.replace(b"\\\\", b"\0\0")
    return INNER_FORMULA.sub(rb"'\g<0>", marked).replace(b"\0\0", b"\\\\")


def may_differ_from_csv(records: bytes) -> bool:
    """Return whether the JSON may contain cells that are neither text nor finite numbers."""
    return b"[" in records or b"{" in records or b"null" in records or may_have_non_finite(records)


def unescape(escape: re.Match[bytes]) -> bytes:
    """Return a character that JSON escapes as CSV has it within quotes."""
    code, character = escape.groups()
    return bytes.fromhex(code.decode()) if code else UNESCAPED.get(character, character)


class CSVItems(ItemFormat):
    """Items as records, with a column for each field. Raises `ValueError` for a type without."""

    def __init__(self, annotation: Any, **options: Any) -> None:
        super().__init__(annotation, **options)
        by_alias = self.options["by_alias"]
        schema = self.adapter.json_schema(mode="serialization", by_alias=by_alias)
        item = schema["items"]
        item = schema.get("$defs", {}).get(item.get("$ref", "").rpartition("/")[2], item)
        if item.get("type", "object") != "object" or item.get("properties") == {}:
            raise ValueError(f"expected items with fields, got {annotation!r}")
        self.fields: dict[str, Any] = dict.fromkeys(item.get("properties", ()))
        """The fields of the type; none if they are those of the first item."""

    def chunks(self, items: Items, settings: Any) -> AsyncGenerator[Chunk, None]:
        return encoded(items, Records(self, escape_formulas=settings.csv_escape_formulas).encode)

    def objects(self, items: Sequence[Any]) -> list[dict[str, Any]]:
        """Return the fields of items. Decimals are numbers, though JSON has them as text."""
        valid = self.validate(items)
        objects = msgspec.json.decode(self.json(valid), type=list[dict[str, Any]])
        numbers = self.adapter.dump_python(valid, **self.options)
        for each, exact in zip(objects, numbers, strict=True):
            each |= {name: cell for name, cell in exact.items() if isinstance(cell, Decimal)}
        return [{**self.fields, **each} for each in objects]


class Records:
    """The records of a stream of items."""

    def __init__(self, format: CSVItems, *, escape_formulas: bool) -> None:
        self._format = format
        self._escape_formulas = escape_formulas
        self._encoder: CSVEncoder | None = None
        self._fields = format.fields

    def encode(self, items: Sequence[Any]) -> bytes:
        objects = self._format.objects(items)
        fields = self._fields or dict.fromkeys(objects[0] if objects else ())
        for each in objects:
            if not fields or each.keys() != fields.keys():
                raise ValueError(f"Invalid item: expected {','.join(fields)}, got {','.join(each)}")
        if not fields:
            return b""
        encoder = self._encoder or CSVEncoder(list(fields), escape_formulas=self._escape_formulas)
        rows = [[each[name] for name in fields] for each in objects]
        data = encoder.encode(rows) if rows else b""
        if not self._encoder:
            data = encoder.header + data
        self._encoder, self._fields = encoder, fields
        return data


class CSVResponse(ExportResponse, ItemsResponse):
    """Streams rows or items as `text/csv`."""

    media_type = "text/csv"
    item_format = CSVItems
    extension = "csv"

    @classmethod
    def encoder(cls, columns: Sequence[str], **options: Any) -> CSVEncoder:
        return CSVEncoder(columns, **options)
