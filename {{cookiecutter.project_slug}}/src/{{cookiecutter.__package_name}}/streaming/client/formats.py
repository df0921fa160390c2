"""Where a row ends in each format, and the cells of a row."""

#{% if cookiecutter.__uses.csv %}
import csv
#{% endif %}
#{% if cookiecutter.__uses.ndjson %}
import json
#{% endif %}
import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """A format whose rows match `row`, after a header if it has one.

    A response in it has `media_type`. With `has_quotes` a line end within quotes is text. `cells`
    returns the cells of a row as text, by column: of the header and the row. `None` is a cell that
    the format may have changed. It raises `ValueError` if the row is not of this format.
    """

    media_type: str
    row: re.Pattern[bytes]
    has_header: bool
    has_quotes: bool
    cells: Callable[[bytes, bytes], dict[str, str | None]]
#{% if cookiecutter.__uses.ndjson %}


def ndjson_cells(_: bytes, line: bytes) -> dict[str, str | None]:
    """Return the members of the object in a line, numbers with all digits."""
    try:
        row = json.loads(line, parse_float=str, parse_int=str)
        return {name: str(value) for name, value in row.items()}
    except (AttributeError, RecursionError) as error:
        raise ValueError("expected an object") from error
#{% endif %}
#{% if cookiecutter.__uses.csv %}


# Where `'` may be the prefix of text that a spreadsheet would run.
ESCAPED = re.compile(r"""(?:^|[;\t\r\n]"*)'[=+@\t\r\n-]""")
# The default is 128 KiB.
csv.field_size_limit(2**31 - 1)


def csv_cells(header: bytes, record: bytes) -> dict[str, str | None]:
    """Return the cells of a record by the names in the header."""
    try:
        names, cells = csv.reader([header.decode("utf-8-sig"), record.decode()], strict=True)
    except csv.Error as error:
        raise ValueError(str(error)) from error
    return {
        name: None if ESCAPED.search(cell) else cell
        for name, cell in zip(names, cells, strict=True)
    }
#{% endif %}


FORMATS = {
#{% if cookiecutter.__uses.ndjson %}
    "ndjson": Format("application/x-ndjson", re.compile(rb"[^\n]*\n"), False, False, ndjson_cells),
#{% endif %}
#{% if cookiecutter.__uses.csv %}
    "csv": Format("text/csv", re.compile(rb'(?:[^"\n]++|"[^"]*+")*+\n'), True, True, csv_cells),
#{% endif %}
}
"""The formats by their extensions."""
