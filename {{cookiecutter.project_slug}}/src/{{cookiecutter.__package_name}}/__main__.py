"""`python -m {{ cookiecutter.__package_name }}` runs the command line."""

from .cli import cli

cli()
