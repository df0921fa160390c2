"""The route class of the service: checks of requests, and path operations that yield."""

#{% if cookiecutter.__uses.sse %}
import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
#{% else %}
import re
from collections.abc import Callable, Coroutine
from contextlib import suppress
#{% endif %}
from functools import update_wrapper
from inspect import Parameter
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request, Response
from fastapi._compat import field_annotation_is_sequence, lenient_issubclass
from fastapi.dependencies.models import _is_async_gen_callable, _is_gen_callable
from fastapi.dependencies.utils import (
    get_flat_params,
    get_stream_item_type,
    get_typed_return_annotation,
    get_typed_signature,
)
from fastapi.params import Cookie, Header, Path
from fastapi.routing import APIRoute, _effective_route_context_var
from fastapi.utils import deep_dict_update
from starlette.requests import ClientDisconnect
#{% if cookiecutter.__uses.sse %}
from starlette.types import Message
#{% endif %}

#{% if cookiecutter.__uses.tokens %}
from .access.dependencies import Requires
#{% endif %}
from .generators import ItemFormat
from .openapi import item_responses
#{% if cookiecutter.__uses.sse %}
from .registry import Streams
#{% endif %}
from .response import ItemsResponse

QUALITY = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?", re.ASCII)
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
PREFIX = "response_model_"
CONTEXT = "_stream_context"
"""The parameter of a streamed path operation with its request and its response."""
#{% if cookiecutter.__uses.sse %}
MAX_BODIES_BYTES = 64 * 1024 * 1024
"""Maximum size of all bodies in the process that are received or handled."""
#{% endif %}


class StreamRoute(APIRoute):
    """Checks a request before its path operation runs.

#{% if cookiecutter.__uses.tokens %}
    The caller needs the scope of the route before its body is read.
#{% endif %}
#{% if cookiecutter.__uses.sse %}
    The body is limited to `max_event_bytes`.
#{% endif %}
    A query parameter with one value must not be sent twice: servers differ in which they use.

    A path operation that yields streams items of the annotated type in the format of its
    `response_class`. Raises `ValueError` for one that cannot.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if _is_gen_callable(endpoint) or _is_async_gen_callable(endpoint):
            try:
                endpoint = streamed(endpoint, options)
            except ValueError as error:
                raise ValueError(f"Invalid route {path!r}: {error}") from None
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route."""
        handler = super().get_route_handler()
        # FastAPI calls this again for each router that includes the route.
        route = _effective_route_context_var.get() or self
        single = [
            field.alias
            for field in get_flat_params(route.dependant)
            if not isinstance(field.field_info, Path | Header | Cookie)
            and not field_annotation_is_sequence(field.field_info.annotation)
        ]
#{% if cookiecutter.__uses.tokens %}
        rules = [d.dependency for d in route.dependencies if isinstance(d.dependency, Requires)]
#{% endif %}

        async def handle(request: Request) -> Response:
#{% if cookiecutter.__uses.tokens %}
            for rule in rules:
                await rule(request, None, None)
#{% endif %}
            for name in single:
                number = len(request.query_params.getlist(name))
                if number > 1:
                    raise HTTPException(422, f"query.{name}: expected one value, got {number}.")
#{% if cookiecutter.__uses.sse %}
            with limited_body(request) as limited:
                return await handler(limited)
#{% else %}
            return await handler(request)
#{% endif %}

        return handle


def streamed(endpoint: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    """Return a path operation that streams what `endpoint` yields; complete its `options`.

    Raises `ValueError`.
    """
    response_class = options.get("response_class")
    if not lenient_issubclass(response_class, ItemsResponse):
        expected = " or ".join(each.__name__ for each in ItemsResponse.__subclasses__())
        got = getattr(response_class, "__name__", "none")
        raise ValueError(f"expected response_class={expected} for a generator, got {got}")
    if options.get("response_model"):
        raise ValueError("expected no response_model for a generator, annotate what it yields")
    item_type = get_stream_item_type(get_typed_return_annotation(endpoint))
    item_type = Any if item_type is None else item_type
    of_items = {
        name.removeprefix(PREFIX): value for name, value in options.items() if PREFIX in name
    }
    item_format: ItemFormat = response_class.item_format(item_type, **of_items)
    status = options["status_code"] = int(options.get("status_code") or 200)
    responses = item_responses(response_class.media_type, status, item_format.documented)
    deep_dict_update(responses, options.get("responses") or {})
    options["responses"] = responses

    async def stream(**values: Any) -> Response:
        request, given = values.pop(CONTEXT)
        chunks = item_format.chunks(endpoint(**values), request.app.state.settings)
        response: ItemsResponse = response_class(chunks, None, given.status_code or status)
        response.items_name = "items"
        # As in any route, an exception before the headers has its handler, or is a 500.
        response.raised = Exception
        for name in given.headers:
            del response.headers[name]
        response.raw_headers += given.raw_headers
        return response

    context = Parameter(
        CONTEXT,
        Parameter.POSITIONAL_OR_KEYWORD,
        annotation=Annotated[tuple[Request, Response], Depends(get_context)],
    )
    signature = get_typed_signature(endpoint)
    operation: Any = update_wrapper(stream, endpoint)
    # With this, FastAPI would find the generator.
    del operation.__wrapped__
    operation.__signature__ = signature.replace(
        parameters=[context, *signature.parameters.values()]
    )
    return stream


async def get_context(request: Request, response: Response) -> tuple[Request, Response]:
    """Return the request with its body, and the status and headers that dependencies have set."""
    # Once the stream has started, all received messages but a disconnect are discarded.
    if request.method not in ("GET", "HEAD"):
        with suppress(ClientDisconnect, RuntimeError):
            await request.body()
    return request, response


def parse_accept(accept: str) -> dict[str, float]:
    """Return the quality of each media range in `Accept` (RFC 9110, section 12.5.1)."""
    qualities = {}
    # A value in quotes, which can contain separators, is never that of `q`.
    for element in QUOTED.sub("", accept).split(","):
        media_range, *parameters = (part.strip().lower() for part in element.split(";"))
        quality = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        qualities[media_range] = float(quality) if QUALITY.fullmatch(quality) else 0.0
    return qualities
#{% if cookiecutter.__uses.sse %}


@contextmanager
def limited_body(request: Request) -> Iterator[Request]:
    """Yield the request, whose body raises `HTTPException`.

    413 beyond `max_event_bytes`, 503 if the bodies of all requests are larger than `MAX_BODIES_BYTES`,
    408 after `send_timeout` seconds of silence. FastAPI's own limit answers in plain text, outside
    of the middleware.
    """
    streams: Streams = request.app.state.streams
    limit: int = request.app.state.settings.max_event_bytes
    limit = max(limit, request.scope.get("max_body_bytes", 0))
    received = 0
    seconds: float | None = streams.send_timeout

    async def receive() -> Message:
        nonlocal received, seconds
        try:
            async with asyncio.timeout(seconds):
                message = await request.receive()
        except TimeoutError:
            raise HTTPException(408, "The body is too slow.", {"Connection": "close"}) from None
        if not message.get("more_body"):
            seconds = None
        size = len(message.get("body", b""))
        received += size
        streams.body_bytes += size
        if received > limit:
            raise HTTPException(413, f"The body is larger than {limit} bytes.")
        if streams.body_bytes > max(limit, MAX_BODIES_BYTES):
            raise HTTPException(503, "Too many request bodies.", {"Retry-After": "1"})
        return message

    try:
        yield Request(request.scope, receive)
    finally:
        streams.body_bytes -= received
#{% endif %}
