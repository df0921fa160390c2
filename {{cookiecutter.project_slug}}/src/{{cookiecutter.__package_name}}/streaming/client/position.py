"""The position of a client in a stream, kept in memory or in a file."""

import os
import re
from pathlib import Path

from .files import private
from .service import ClientError

ID = re.compile(r"[!-~]{1,256}")


class Position:
    """The id of the last processed event; with `file` it survives the process.

    The file is replaced atomically; after a power loss it may have an earlier id. Its id takes
    precedence over `id`. Raises `ClientError` for an invalid id.
    """

    def __init__(self, id: str | None, file: Path | None = None) -> None:
        if id is not None and not ID.fullmatch(id):
            raise ClientError(f"Invalid --after={id!r}: expected the id of an event.")
        self.id = id
        self._file = file
        if file and (file.is_symlink() or (file.exists() and not file.is_file())):
            raise ClientError(f"Invalid --state={str(file)!r}: expected a regular file.")
        if file and file.exists():
            self.id = read(file)

    def move(self, id: str) -> None:
        """Set the position. Raises `ClientError` if the file cannot be written."""
        if id == self.id:
            return
        self.id = id
        if self._file:
            new = self._file.with_name(f"{self._file.name}.new")
            try:
                new.unlink(missing_ok=True)
                with open(new, "x", encoding="ascii", opener=private) as output:
                    output.write(f"{id}\n")
                os.replace(new, self._file)
            except OSError as error:
                message = f"Cannot write --state={str(self._file)!r}: {error.strerror}."
                raise ClientError(message) from error


def read(file: Path) -> str:
    """Return the id in `file`. Raises `ClientError`."""
    try:
        id = file.read_text(encoding="ascii").removesuffix("\n")
    except OSError as error:
        raise ClientError(f"Cannot read --state={str(file)!r}: {error.strerror}.") from error
    except UnicodeDecodeError:
        id = ""
    if not ID.fullmatch(id):
        raise ClientError(f"Invalid --state={str(file)!r}: expected the id of an event in it.")
    return id
