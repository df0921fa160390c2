"""Where a client of events stands, also after its process."""

import os
import re
from pathlib import Path

from .service import ClientError

ID = re.compile(r"[!-~]{1,256}")


class Position:
    """The id of the last event that was dealt with; with `file` it outlives the process.

    The file is replaced as a whole, so that it holds an id whenever the process dies. After a loss
    of power it may hold an earlier one. What it holds comes before `id`. Raises `ClientError` for
    what is no id.
    """

    def __init__(self, id: str | None, file: Path | None = None) -> None:
        if id is not None and not ID.fullmatch(id):
            raise ClientError(f"--after={id!r} is not accepted: it is no event's id.")
        self.id = id
        self._file = file
        if file and file.exists():
            self.id = read(file)

    def move(self, id: str) -> None:
        """Stand at `id`. Raises `ClientError` when the file cannot be written."""
        if id == self.id:
            return
        self.id = id
        if self._file:
            new = self._file.with_name(f"{self._file.name}.new")
            try:
                new.write_text(f"{id}\n", encoding="ascii")
                os.replace(new, self._file)
            except OSError as error:
                reason = f"cannot be written: {error.strerror}."
                raise ClientError(f"--state={self._file} {reason}") from error


def read(file: Path) -> str:
    """Return the id that `file` holds. Raises `ClientError`."""
    try:
        id = file.read_text(encoding="ascii").removesuffix("\n")
    except OSError as error:
        raise ClientError(f"--state={file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        id = ""
    if not ID.fullmatch(id):
        raise ClientError(f"--state={file} holds no event's id, and is left as it is.")
    return id
