"""The client commands, for exports of the tests' own tables; also a program."""

import typer

from streaming_api.settings import load_settings
from streaming_api.streaming.client import add_client_commands
from streaming_api.streaming.commands import Commands

from ..variant import EXPORTS

cli = typer.Typer(cls=Commands, add_completion=False)


@cli.callback()
def main() -> None:
    """Keep the name of a command that is the only one."""


if EXPORTS:
    from . import tables

    add_client_commands(cli, load_settings, tables.EXPORTS)
else:
    add_client_commands(cli, load_settings)


if __name__ == "__main__":
    cli()
