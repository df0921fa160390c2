"""Server-Sent Events (HTML standard, section 9.2): brokers, fan-out and streams."""

from .broker import EARLIEST, Broker, TopicFinished
from .fanout import Fanout
from .jobs import Jobs, JobsDep
#{% if cookiecutter.__uses.memory %}
from .memory import MemoryBroker, require_one_worker
#{% else %}
from .redis import RedisBroker
#{% endif %}
from .response import EventStreamResponse
from .routes import BODY_ERRORS, BrokerDep, EventName, Topic, Topics
from .routes import router as event_routes

__all__ = [
    "BODY_ERRORS",
    "EARLIEST",
    "Broker",
    "BrokerDep",
    "EventName",
    "EventStreamResponse",
    "Fanout",
    "Jobs",
    "JobsDep",
#{% if cookiecutter.__uses.memory %}
    "MemoryBroker",
#{% else %}
    "RedisBroker",
#{% endif %}
    "Topic",
    "TopicFinished",
    "Topics",
    "event_routes",
#{% if cookiecutter.__uses.memory %}
    "require_one_worker",
#{% endif %}
]
