"""The command line: failures of the system in one line."""

import os
import sys
from contextlib import suppress
from typing import Any

from typer.core import TyperGroup


class Commands(TyperGroup):
    """Commands that report a failure of a file or an output in one line, without a traceback."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command; a failure exits with status 1, a closed pipe without a message."""
        try:
            try:
                return super().main(*args, **options)
            finally:
                sys.stdout.flush()
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                place = f": {error.filename!r}" if error.filename else ""
                print(f"{error.strerror or error}{place}.", file=sys.stderr)
            # Python writes what is left when it exits, which would fail again.
            with suppress(OSError):
                stdout = sys.stdout.fileno()
                os.dup2(os.open(os.devnull, os.O_WRONLY), stdout)
            sys.exit(1)
