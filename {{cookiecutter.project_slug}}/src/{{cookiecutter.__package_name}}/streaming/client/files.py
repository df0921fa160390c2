"""Files that only their owner can read, never reached through a symbolic link."""

import os
#{% if cookiecutter.__uses.exports %}
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .service import ClientError
#{% endif %}


def private(path: str, flags: int) -> int:
    """Open a file, as the `opener` of `open`: with mode 0600, and not through a symbolic link."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)
#{% if cookiecutter.__uses.exports %}


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Lock the file, which is created, while other processes cannot; Windows has no such locks.

    Raises `ClientError` if another process has locked it.
    """
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock
    except ImportError:
        yield
        return
    with open(path, "ab", opener=private) as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
            # The other process may have renamed it in the meantime.
            is_locked = os.path.samestat(os.fstat(file.fileno()), path.stat())
        except (BlockingIOError, FileNotFoundError):
            is_locked = False
        if not is_locked:
            raise ClientError(f"Another process is writing {str(path)!r}.")
        path.chmod(0o600)
        yield


def publish(part: Path, file: Path) -> None:
    """Rename a complete file, with the permissions of the earlier one or of a new one."""
    umask = os.umask(0o077)
    os.umask(umask)
    part.chmod(file.stat().st_mode & 0o777 if file.exists() else 0o666 & ~umask)
    os.replace(part, file)
#{% endif %}
