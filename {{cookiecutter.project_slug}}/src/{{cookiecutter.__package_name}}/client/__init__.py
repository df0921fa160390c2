"""The other end: what the command line asks of a service that runs, here or elsewhere."""

from .service import ClientError, connect, service_url

__all__ = ["ClientError", "connect", "service_url"]
