"""`python -m {{ cookiecutter.__package_name }}` is the console script."""

from .cli import cli

cli()
