"""Exports: whole tables as files, read in batches and with constant memory."""

#{% if cookiecutter.__uses.compression %}
from .compression import install_compression
#{% endif %}
#{% if cookiecutter.__uses.csv %}
from .csv import CSVResponse
#{% endif %}
from .database import Database, Samples
#{% if cookiecutter.__uses.ndjson %}
from .ndjson import NDJSONResponse
#{% endif %}
#{% if cookiecutter.__uses.postgresql %}
from .postgresql import PostgreSQL
#{% endif %}
from .routes import Export, export_routes
#{% if cookiecutter.__uses.sqlite %}
from .sqlite import SQLite, Timestamp
#{% endif %}

__all__ = [
#{% if cookiecutter.__uses.csv %}
    "CSVResponse",
#{% endif %}
    "Database",
    "Export",
#{% if cookiecutter.__uses.ndjson %}
    "NDJSONResponse",
#{% endif %}
#{% if cookiecutter.__uses.postgresql %}
    "PostgreSQL",
#{% endif %}
#{% if cookiecutter.__uses.sqlite %}
    "SQLite",
#{% endif %}
    "Samples",
#{% if cookiecutter.__uses.sqlite %}
    "Timestamp",
#{% endif %}
    "export_routes",
#{% if cookiecutter.__uses.compression %}
    "install_compression",
#{% endif %}
]
