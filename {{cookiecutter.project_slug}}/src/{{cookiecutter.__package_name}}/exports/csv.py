"""CSV (RFC 4180) that a spreadsheet reads and does not run."""

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from .cells import is_no_number
from .response import ExportResponse
from .rows import Rows

BYTE_ORDER_MARK = "\ufeff".encode()
EMPTY = msgspec.Raw(b"")
UNLIKE_CSV = (b"null", b"NaN", b"Infinity", b"{")
"""What JSON has, outside of text, for a cell that CSV writes in another way."""

# In JSON a quote right after "[" or "," opens a text: one inside of text has a backslash before it.
FORMULA = re.compile(rb'"(?=[=+@-]|\\[tnr])(?<=[\[,]")')
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
        lines = self._encoder.encode_lines([with_empty_cells(row) for row in rows])
        if lines.count(b"[") > len(rows) or any(token in lines for token in UNLIKE_CSV):
            lines = self._encoder.encode_lines([list(map(self._cell, row)) for row in rows])
        if self._escape_formulas:
            lines = FORMULA.sub(b"\"'", lines)
        records = lines[1:-2].replace(b"]\n[", b"\r\n")
        if b"\\" in records:
            if b"\\\\" not in records:
                records = records.replace(b'\\"', b'""')
            records = JSON_ESCAPE.sub(unescape, records)
        return records + b"\r\n"

    def _cell(self, cell: Any) -> Any:
        if cell is None or is_no_number(cell):
            return EMPTY
        if isinstance(cell, list | tuple | dict):
            return self._encoder.encode(cell).decode()
        return cell


def with_empty_cells(row: Sequence[Any]) -> Sequence[Any]:
    """Return `row` with nothing where it has `None`."""
    return [EMPTY if cell is None else cell for cell in row] if None in row else row


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
