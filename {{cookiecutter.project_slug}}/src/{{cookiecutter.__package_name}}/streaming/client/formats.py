"""Where a row ends in each format, and which key it has."""

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

    `key` returns the value of a column as text: of the header, a row and the name of the column.
    """

    row: re.Pattern[bytes]
    has_header: bool
    key: Callable[[bytes, bytes, str], str]
#{% if cookiecutter.__uses.ndjson %}


def ndjson_key(_: bytes, line: bytes, name: str) -> str:
    """Return the value of `name` in a line of NDJSON."""
    return str(json.loads(line, parse_float=str)[name])
#{% endif %}
#{% if cookiecutter.__uses.csv %}


def csv_key(header: bytes, record: bytes, name: str) -> str:
    """Return the value of the column `name` in a record of CSV."""
    names, cells = csv.reader([header.decode("utf-8-sig"), record.decode()], strict=True)
    return cells[names.index(name)]
#{% endif %}


FORMATS = {
#{% if cookiecutter.__uses.ndjson %}
    "ndjson": Format(re.compile(rb"[^\n]*\n"), False, ndjson_key),
#{% endif %}
#{% if cookiecutter.__uses.csv %}
    # Within quotes a line end is text.
    "csv": Format(re.compile(rb'(?:[^"\n]++|"[^"]*")*+\n'), True, csv_key),
#{% endif %}
}
"""The formats by their extensions."""
