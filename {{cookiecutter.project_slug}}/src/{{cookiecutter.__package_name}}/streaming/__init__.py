"""What every stream shares, whatever its format: its life, its limits and its end.

`docs/streaming.md` tells how the parts play together.
"""

#{% if cookiecutter.sse or cookiecutter.ndjson %}
from .lines import escape_line_separators
#{% endif %}
from .openapi import stream_documentation
#{% if cookiecutter.sse %}
from .registry import Chunk, OpenStream, Reason, Streams
from .response import LAST_CHUNK, SlowReader, StreamResponse, until_disconnected
#{% else %}
from .registry import Chunk, Reason, Streams
from .response import SlowReader, StreamResponse
#{% endif %}
from .signals import stop_signals

__all__ = [
#{% if cookiecutter.sse %}
    "LAST_CHUNK",
#{% endif %}
    "Chunk",
#{% if cookiecutter.sse %}
    "OpenStream",
#{% endif %}
    "Reason",
    "SlowReader",
    "StreamResponse",
    "Streams",
#{% if cookiecutter.sse or cookiecutter.ndjson %}
    "escape_line_separators",
#{% endif %}
    "stop_signals",
    "stream_documentation",
#{% if cookiecutter.sse %}
    "until_disconnected",
#{% endif %}
]
