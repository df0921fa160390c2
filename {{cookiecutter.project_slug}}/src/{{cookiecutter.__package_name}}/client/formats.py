"""The exports there are, and how a client knows where a row of one ends."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
#{% if cookiecutter.ndjson %}

import msgspec
#{% endif %}


@dataclass(frozen=True)
class Format:
#{% if cookiecutter.csv %}
    """Rows that match `row`, each with its `key`; the first is a header if there is one."""
#{% else %}
    """Rows that match `row`, each with its `key`."""
#{% endif %}

    row: re.Pattern[bytes]
    key: Callable[[bytes], int]
#{% if cookiecutter.csv %}
    has_header: bool
#{% endif %}


@dataclass(frozen=True)
class Export:
    """A path of the service, and what it answers."""

    path: str
    format: Format


#{% if cookiecutter.ndjson %}
class Keyed(msgspec.Struct):
    """What a client has to know of an object."""

    id: int


def key_of_object(line: bytes) -> int:
    """Return the id of a line of NDJSON."""
    return msgspec.json.decode(line, type=Keyed).id


#{% endif %}
#{% if cookiecutter.csv %}
def key_of_record(record: bytes) -> int:
    """Return the first cell of a record of CSV."""
    return int(record.partition(b",")[0])


#{% endif %}
#{% if cookiecutter.ndjson %}
#{% if cookiecutter.csv %}
NDJSON = Format(re.compile(rb"[^\n]*\n"), key_of_object, has_header=False)
#{% else %}
NDJSON = Format(re.compile(rb"[^\n]*\n"), key_of_object)
#{% endif %}
#{% endif %}
#{% if cookiecutter.csv %}
# Inside of quotes a line end is text.
CSV = Format(re.compile(rb'(?:[^"\n]++|"[^"]*")*+\n'), key_of_record, has_header=True)
#{% endif %}


class Name(StrEnum):
    """What can be exported."""

#{% if cookiecutter.ndjson %}
    ITEMS = "items"
#{% endif %}
#{% if cookiecutter.csv %}
    USERS = "users"
#{% endif %}


EXPORTS = {
#{% if cookiecutter.ndjson %}
    Name.ITEMS: Export("/export/items", NDJSON),
#{% endif %}
#{% if cookiecutter.csv %}
    Name.USERS: Export("/export/users.csv", CSV),
#{% endif %}
}
