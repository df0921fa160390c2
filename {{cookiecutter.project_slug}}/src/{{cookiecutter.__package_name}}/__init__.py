"""A FastAPI service that streams."""

__version__ = "0.1.0"
