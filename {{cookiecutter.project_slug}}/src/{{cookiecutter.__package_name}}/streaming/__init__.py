"""The engine: streams, their limits and their middleware. `ARCHITECTURE.md` explains it.

It is replaced as a whole by `cruft update`; the application around it is yours to change.
"""

#{% if cookiecutter.__uses.tokens %}
from .access.dependencies import PUBLIC as PUBLIC
from .access.dependencies import SCOPE_ERRORS as SCOPE_ERRORS
from .access.dependencies import Caller as Caller
from .access.dependencies import requires as requires
from .access.tokens import Scope as Scope
#{% endif %}
#{% if cookiecutter.__uses.chat %}
from .chat.answers import Part as Part
from .chat.answers import text_of as text_of
from .chat.upstream import ask_server as ask_server
#{% endif %}
#{% if cookiecutter.__uses.sse %}
from .events.broker import TopicFinished as TopicFinished
#{% if cookiecutter.__uses.memory %}
from .events.memory import open_broker as open_broker
#{% endif %}
#{% if cookiecutter.__uses.redis %}
from .events.redis import open_broker as open_broker
#{% endif %}
from .events.response import EventStreamResponse as EventStreamResponse
from .events.routes import BODY_ERRORS as BODY_ERRORS
from .events.routes import BrokerDep as BrokerDep
from .events.routes import EventName as EventName
from .events.routes import Topic as Topic
from .events.routes import Topics as Topics
from .events.routes import add_batch_route as add_batch_route
from .events.routes import describe_batch as describe_batch
from .events.run_routes import StrictNumber as StrictNumber
#{% endif %}
#{% if cookiecutter.__uses.csv %}
from .exports.csv import CSVResponse as CSVResponse
#{% endif %}
#{% if cookiecutter.__uses.exports %}
from .exports.database import Samples as Samples
from .exports.export import Export as Export
from .exports.export import ExportResponse as ExportResponse
#{% endif %}
#{% if cookiecutter.__uses.ndjson %}
from .exports.ndjson import NDJSONResponse as NDJSONResponse
#{% endif %}
from .openapi import retry_later as retry_later
from .openapi import stream_responses as stream_responses
from .registry import Chunk as Chunk
from .registry import Reason as Reason
from .response import StreamResponse as StreamResponse
from .routes import StreamRoute as StreamRoute
