"""CSV (RFC 4180) that a spreadsheet reads and does not run."""

import csv
import io
import re
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from fastapi.encoders import jsonable_encoder

from ..generators import ItemFormat, Items, encoded
from ..registry import Chunk
from ..response import ItemsResponse
from .columns import Binary, without_non_finite
from .export import ExportResponse

BYTE_ORDER_MARK = "\ufeff".encode()
RECORD_END = b"\r\n"

# JSON text in which a quote is `""`, as in CSV, and a backslash is `BACKSLASH`: no byte of UTF-8.
BACKSLASH = b"\xff"
# `,"=` or a line break and `"=`: the quote opens a cell.
FORMULA = re.compile(rb'"(?=[=+@\\-])(?<![^,\n]")(?!\\[^tnr])')
# `;=`: a spreadsheet whose separator is a semicolon or a tab has a cell of its own there.
INNER_FORMULAS = re.compile(rb';(?:"")?(?=[=+@-])'), re.compile(rb'\\[tnr](?:"")?(?=[=+@-])')
ESCAPE = re.compile(rb"\\(?:u00(..)|(.))")
UNESCAPED = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


class CSVEncoder:
    """Encodes a row as a record: text in quotes, numbers without, `NULL` as nothing.

    A list or an object is its JSON, as text. With `escape_formulas` text that a spreadsheet would
    run (it starts with `=`, `+`, `-`, `@`, a tab or a line break) is prefixed with `'`. With `bom`
    a byte-order mark tells Excel that the file is UTF-8.
    """

    def __init__(
        self, columns: Sequence[str], *, escape_formulas: bool = True, bom: bool = False
    ) -> None:
        self._escape_formulas = escape_formulas
        # A record that is an empty line is none for most readers.
        self._null = b'""' if len(columns) == 1 else b""
        self._encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=encode_other)
        self.header = BYTE_ORDER_MARK * bom + without_quotes(self.encode([columns]))

    def encode(self, rows: Iterable[Sequence[Any]]) -> bytes:
        # From JSON, for which there is a fast encoder: `[1,"a\"b",null]` becomes `1,"a""b",`.
        null = msgspec.Raw(self._null)
        cells = [
            [null if cell is None else cell for cell in row] if None in row else row for row in rows
        ]
        records = self._records(cells)
        if b"[" in records or b"{" in records:
            records = self._records([list(map(self._cell, row)) for row in cells])
        text = records.replace(b'\\"', b'""')
        has_escapes = b"\\" in text
        if has_escapes:
            # `\\"` is a backslash and the end of the text, not an escaped quote: start again.
            text = records.replace(b"\\\\", BACKSLASH).replace(b'\\"', b'""')
        if self._escape_formulas:
            text = FORMULA.sub(b"\"'", text)
            if has_escapes or b";" in text:
                for formula in INNER_FORMULAS:
                    text = formula.sub(rb"\g<0>'", text)
        if has_escapes:
            text = ESCAPE.sub(unescape, text).replace(BACKSLASH, b"\\")
        return text

    def _records(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """Return records of JSON values."""
        lines = without_non_finite(self._encoder.encode_lines(rows), self._null)
        return lines[1:-2].replace(b"]\n[", RECORD_END) + RECORD_END

    def _cell(self, cell: Any) -> Any:
        """Return a value, as text if it is a document."""
        if isinstance(cell, str):
            return cell
        document = without_non_finite(self._encoder.encode(cell))
        return document.decode() if document[:1] in (b"[", b"{") else cell


def encode_other(value: Any) -> Any:
    """Return what is encoded in place of `value`; base64 is not text that needs escaping."""
    if isinstance(value, Binary):
        return msgspec.Raw(b64encode(value.data))
    return jsonable_encoder(value)


def unescape(escape: re.Match[bytes]) -> bytes:
    """Return a character that JSON escapes as CSV has it within quotes."""
    code, character = escape.groups()
    return UNESCAPED[character] if character else bytes.fromhex(code.decode())


def without_quotes(record: bytes) -> bytes:
    """Return `record` with quotes only where they are necessary."""
    output = io.StringIO()
    csv.writer(output).writerows(csv.reader([record.decode()], strict=True))
    return output.getvalue().encode()


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
        self._fields: dict[str, Any] = dict.fromkeys(item.get("properties", ()))

    def chunks(self, items: Items, settings: Any) -> AsyncGenerator[Chunk, None]:
        return encoded(items, self.encoder(escape_formulas=settings.csv_escape_formulas))

    def encoder(self, *, escape_formulas: bool) -> Callable[[Sequence[Any]], bytes]:
        """Return the function that encodes the items of a stream, at first with the header.

        The fields are those of the type, or of the first item.
        """
        encoder: CSVEncoder | None = None
        fields = self._fields

        def encode(items: Sequence[Any]) -> bytes:
            nonlocal encoder, fields
            objects = self._objects(items)
            names = fields or dict.fromkeys(objects[0] if objects else ())
            for each in objects:
                if not names or each.keys() != names.keys():
                    expected, got = ",".join(names), ",".join(each)
                    raise ValueError(f"Invalid item: expected {expected}, got {got}")
            if not names:
                return b""
            current = encoder or CSVEncoder(list(names), escape_formulas=escape_formulas)
            rows = [[each[name] for name in names] for each in objects]
            data = current.encode(rows) if rows else b""
            if not encoder:
                data = current.header + data
            encoder, fields = current, names
            return data

        return encode

    def _objects(self, items: Sequence[Any]) -> list[dict[str, Any]]:
        """Return the fields of items. Decimals are numbers, though JSON has them as text."""
        valid = self.validate(items)
        objects = msgspec.json.decode(self.json(valid), type=list[dict[str, Any]])
        originals = self.adapter.dump_python(valid, **self.options)
        for each, exact in zip(objects, originals, strict=True):
            if len(each) != len(exact):
                raise ValueError(f"Invalid item: duplicate names in {','.join(map(str, exact))}")
            # Their names may be of another type than text.
            for name, cell in zip(each, exact.values(), strict=True):
                if isinstance(cell, Decimal):
                    each[name] = cell
        return [{**self._fields, **each} for each in objects]


class CSVResponse(ExportResponse, ItemsResponse):
    """Streams rows or items as `text/csv`."""

    media_type = "text/csv"
    extension = "csv"
    encoder = CSVEncoder
    item_format = CSVItems
