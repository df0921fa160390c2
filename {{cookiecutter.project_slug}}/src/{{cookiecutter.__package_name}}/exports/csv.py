"""CSV (RFC 4180) that a spreadsheet reads and does not run."""

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from .cells import is_no_number, may_hold_no_number
from .response import ExportResponse
from .rows import Rows

BYTE_ORDER_MARK = "\ufeff".encode()
RECORD_END = b"\r\n"
EMPTY = msgspec.Raw(b"")

# A quote after a comma or a line opens a text, for one inside of text has a backslash before it.
FORMULA = re.compile(rb'"(?=[=+@\\-])(?<![^,\n]")(?!\\[^tnr])')
JSON_ESCAPE = re.compile(rb"\\(?:u00([0-9a-f]{2})|(.))")
UNESCAPED = {b'"': b'""', b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


class CSVEncoder:
    """Writes a row as a record: text in quotes, numbers without, `NULL` as nothing at all.

    A list or an object is its JSON, as text. With `escape_formulas` a text that a spreadsheet would
    run (it starts with `=`, `+`, `-`, `@`, a tab or a line break) has `'` put before it. With `bom`
    a byte-order mark tells Excel that this is UTF-8.
    """

    def __init__(
        self, columns: Sequence[str], *, escape_formulas: bool = True, bom: bool = False
    ) -> None:
        names = io.StringIO()
        csv.writer(names).writerow(columns)
        self.header = BYTE_ORDER_MARK * bom + names.getvalue().encode()
        self._escape_formulas = escape_formulas
        self._encoder = msgspec.json.Encoder(decimal_format="number")

    def encode(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """Implement `Encoder.encode`.

        JSON is the fastest writer at hand, and an array of it is nearly a record: what differs
        are the brackets, and the escapes inside of text.
        """
        lines = self._encoder.encode_lines(
            [
                [EMPTY if cell is None else cell for cell in row] if None in row else row
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
        if b"\\" in quoted:
            # Behind a backslash of the text a quote was taken for an escaped one.
            quoted = JSON_ESCAPE.sub(unescape, records if b"\\\\" in records else quoted)
        return quoted + RECORD_END

    def _cell(self, cell: Any) -> Any:
        if cell is None or is_no_number(cell):
            return EMPTY
        if isinstance(cell, list | tuple | dict):
            return self._encoder.encode(cell).decode()
        return cell


def may_differ_from_csv(records: bytes) -> bool:
    """Tell whether JSON may hold a cell that is neither text nor a number."""
    return b"[" in records or b"{" in records or b"null" in records or may_hold_no_number(records)


def unescape(escape: re.Match[bytes]) -> bytes:
    """Return what an escape of JSON stands for, as CSV writes it inside of quotes."""
    code, character = escape.groups()
    return bytes.fromhex(code.decode()) if code else UNESCAPED.get(character, character)


class CSVResponse(ExportResponse):
    """Downloads rows as `text/csv`."""

    media_type = "text/csv"

    def __init__(self, rows: Rows, *, filename: str, escape_formulas: bool, bom: bool) -> None:
        encoder = CSVEncoder(rows.columns, escape_formulas=escape_formulas, bom=bom)
        super().__init__(rows, encoder, filename)
