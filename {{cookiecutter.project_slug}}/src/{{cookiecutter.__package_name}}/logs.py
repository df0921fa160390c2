"""Where log records go."""

import logging


def configure_logs(level: str) -> None:
    """Send this package's records to stderr, from `level` on, unless logging is configured."""
    logging.getLogger(__package__).setLevel(level)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s")
