"""The route class of the service: what is checked before a path operation runs."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi._compat import field_annotation_is_sequence
from fastapi.routing import APIRoute
#{% if cookiecutter.__uses.sse %}
from starlette.types import Message
#{% endif %}
#{% if cookiecutter.__uses.tokens %}

from .access.dependencies import Requires
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
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route."""
        handler = super().get_route_handler()
        single = single_parameters(self)
#{% if cookiecutter.__uses.tokens %}
        calls = [each.dependency for each in self.dependencies]
        rules = [call for call in calls if isinstance(call, Requires)]
#{% endif %}

        async def handle(request: Request) -> Response:
#{% if cookiecutter.__uses.tokens %}
            for rule in rules:
                rule.check(request)
#{% endif %}
            for name in single:
                number = len(request.query_params.getlist(name))
                if number > 1:
                    raise HTTPException(422, f"query.{name}: expected one value, got {number}.")
#{% if cookiecutter.__uses.sse %}
            return await handler(limit_body(request))
#{% else %}
            return await handler(request)
#{% endif %}

        return handle


def single_parameters(route: APIRoute) -> list[str]:
    """Return the names of the query parameters that take one value, those of dependencies too."""
    dependants = [route.dependant]
    for dependant in dependants:
        dependants.extend(dependant.dependencies)
    return [
        field.alias
        for dependant in dependants
        for field in dependant.query_params
        if not field_annotation_is_sequence(field.field_info.annotation)
    ]
#{% if cookiecutter.__uses.sse %}


def limit_body(request: Request) -> Request:
    """Return the request, whose body raises `HTTPException` (413) beyond `max_event_bytes`.

    FastAPI's own limit answers in plain text, outside of the middleware.
    """
    limit: int = request.app.state.settings.max_event_bytes
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(413, f"The body is larger than {limit} bytes.")
        return message

    return Request(request.scope, receive)
#{% endif %}
