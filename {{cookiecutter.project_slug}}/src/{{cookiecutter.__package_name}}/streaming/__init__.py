"""What every stream shares, whatever its format: its life, its limits and its end.

`docs/streaming.md` tells how the parts play together.
"""

from .disposition import content_disposition
#{% if cookiecutter.sse or cookiecutter.ndjson %}
from .lines import escape_line_separators
#{% endif %}
from .openapi import stream_documentation
from .registry import Reason, Streams
from .response import Chunk, SlowReader, StreamResponse
from .signals import stop_signals

__all__ = [
    "Chunk",
    "Reason",
    "SlowReader",
    "StreamResponse",
    "Streams",
    "content_disposition",
#{% if cookiecutter.sse or cookiecutter.ndjson %}
    "escape_line_separators",
#{% endif %}
    "stop_signals",
    "stream_documentation",
]
