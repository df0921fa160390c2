"""The engine: streams, their limits and their middleware. `ARCHITECTURE.md` explains it.

It is replaced as a whole by `cruft update`; the application around it is yours to change.
"""

#{% if cookiecutter.__uses.tokens %}
from .access import GUARDED, PUBLIC, Caller, Scope, requires
#{% endif %}
#{% if cookiecutter.__uses.sse %}
from .events import (
    BODY_ERRORS,
    EARLIEST,
    BrokerDep,
    EventName,
    JobsDep,
    Topic,
    TopicFinished,
    Topics,
)
#{% endif %}
#{% if cookiecutter.__uses.exports %}
#{% if cookiecutter.__uses.sqlite %}
from .exports import Export, Timestamp
#{% else %}
from .exports import Export
#{% endif %}
#{% endif %}
from .openapi import retry_later, stream_responses
from .registry import Chunk, Reason
from .response import StreamResponse
from .routes import StreamRoute

__all__ = [
#{% if cookiecutter.__uses.sse %}
    "BODY_ERRORS",
    "EARLIEST",
#{% endif %}
#{% if cookiecutter.__uses.tokens %}
    "GUARDED",
    "PUBLIC",
#{% endif %}
#{% if cookiecutter.__uses.sse %}
    "BrokerDep",
#{% endif %}
#{% if cookiecutter.__uses.tokens %}
    "Caller",
#{% endif %}
    "Chunk",
#{% if cookiecutter.__uses.sse %}
    "EventName",
#{% endif %}
#{% if cookiecutter.__uses.exports %}
    "Export",
#{% endif %}
#{% if cookiecutter.__uses.sse %}
    "JobsDep",
#{% endif %}
    "Reason",
#{% if cookiecutter.__uses.tokens %}
    "Scope",
#{% endif %}
    "StreamResponse",
    "StreamRoute",
#{% if cookiecutter.__uses.sqlite %}
    "Timestamp",
#{% endif %}
#{% if cookiecutter.__uses.sse %}
    "Topic",
    "TopicFinished",
    "Topics",
#{% endif %}
#{% if cookiecutter.__uses.tokens %}
    "requires",
#{% endif %}
    "retry_later",
    "stream_responses",
]
