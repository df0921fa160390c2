"""OpenAI's API of chat completions: `POST /v1/chat/completions` and `GET /v1/models`."""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field

#{% if cookiecutter.__uses.tokens %}
from ..access.dependencies import requires
from ..access.tokens import Scope
#{% endif %}
from ..events.response import EventStreamResponse
from ..events.routes import EVENT
from ..events.wire import HEARTBEAT
from ..registry import Chunk, Reason
from ..response import StreamResponse
from .answers import AnswerStopped, ChatRoute, Part, call, follow, require_generator, start, text_of
from .completion import Completion, ErrorBody, encode_error, error_event, limited

DONE = b"data: [DONE]\n\n"
COMPLETIONS = "/v1/chat/completions"
MODELS = "/v1/models"

Stop = Annotated[str, Field(min_length=1)]
Limit = Annotated[int, Field(ge=1)]


class ContentPart(BaseModel):
    """A part of a message; its other members depend on its type."""

    model_config = ConfigDict(extra="allow")

    type: str
    text: str | None = None


class ChatMessage(BaseModel):
    """A message; its other members depend on its role."""

    model_config = ConfigDict(extra="allow")

    role: str
    content: str | list[ContentPart] | None = None


class StreamOptions(BaseModel):
    """Options of a stream."""

    include_usage: bool = False


class CompletionRequest(BaseModel):
    """The body of `POST /v1/chat/completions`; other members are options of the model."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None
    stop: Stop | list[Stop] | None = None
    max_tokens: Limit | None = None
    max_completion_tokens: Limit | None = None

    def options(self) -> dict[str, Any]:
        """Return the options of the model, with the usage if it is part of the response."""
        options = self.model_dump(exclude={"model", "messages", "stream"}, exclude_none=True)
        if not self.stream:
            options["stream_options"] = {"include_usage": True}
        return options


class ModelNotFound(HTTPException):
    """The requested model is not the one of the service."""


class CompletionResponse(StreamResponse):
    """A completion that is sent as a whole, as a stream of one chunk."""

    media_type = "application/json"
    items_name = "completions"
    raised = Exception


class CompletionStreamResponse(EventStreamResponse):
    """A completion that is streamed."""

    items_name = "parts"
    raised = Exception

    def closing(self, reason: Reason | None) -> bytes | None:
        """Return an error, unless the client is too slow."""
        if reason is Reason.SLOW_READER:
            return None
        return error_event(503, "The stream was ended by the server.")


@asynccontextmanager
async def answering(
    request: Request, body: CompletionRequest, answer: Callable[..., Any]
) -> AsyncIterator[tuple[Completion, AsyncGenerator[list[Part], None]]]:
    """Run an answer for the block: no client can resume it, so its end stops the run."""
    messages = [message.model_dump(exclude_unset=True) for message in body.messages]
    settings = request.app.state.settings
    parts = call(answer, messages, options=body.options(), settings=settings)
    stops = [body.stop] if isinstance(body.stop, str) else body.stop or []
    run = await start(request, limited(parts, stops, body.max_completion_tokens or body.max_tokens))
    words = sum(len(text_of(message).split()) for message in messages)
    try:
        async with aclosing(follow(request, run.topic)) as batches:
            yield Completion(f"chatcmpl-{run.id}", body.model, words), batches
    finally:
        await request.app.state.runs.stop(run.id)


async def whole(
    request: Request, body: CompletionRequest, answer: Callable[..., Any]
) -> AsyncGenerator[Chunk, None]:
    """Yield a completion in one chunk."""
    async with answering(request, body, answer) as (completion, batches):
        with suppress(AnswerStopped):
            async for batch in batches:
                for part in batch:
                    completion.add(part)
    yield Chunk(completion.whole(), 1)


async def streamed(
    request: Request, body: CompletionRequest, answer: Callable[..., Any]
) -> AsyncGenerator[Chunk, None]:
    """Yield a completion as events. A failure before the first one is raised."""
    has_usage = body.stream_options is not None and body.stream_options.include_usage
    more = {"usage": None} if has_usage else {}
    is_silent = True
    async with answering(request, body, answer) as (completion, batches):
        opening = completion.chunk({"role": "assistant", "content": ""}, **more)
        try:
            async for batch in batches:
                deltas = [completion.add(part) for part in batch]
                data = b"".join(completion.chunk(delta, **more) for delta in deltas if delta)
                if data:
                    data, opening = opening + data, b""
                if data or not batch:
                    is_silent = False
                    yield Chunk(data or HEARTBEAT, len(batch))
        except AnswerStopped:
            pass
        except HTTPException as error:
            if is_silent:
                raise
            yield Chunk(error_event(error.status_code, error.detail), 0)
            return
    data = opening + completion.chunk({}, completion.end(), **more)
    yield Chunk(data + (completion.usage_chunk() if has_usage else b"") + DONE, 0)


Handler = Callable[[Request, Any], Response | Awaitable[Response]]


def openai_errors(handler: Any) -> Handler:
    """Return a handler of exceptions that responds to the routes below in OpenAI's shape."""

    async def handle(request: Request, error: Exception) -> Response:
        response: Response = await handler(request, error)
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        if path not in (COMPLETIONS, MODELS):
            return response
        problem = json.loads(bytes(response.body))
        status = 400 if problem["status"] == 422 else problem["status"]
        param, code = None, None
        if isinstance(error, ModelNotFound):
            param, code = "model", "model_not_found"
        elif problem.get("errors"):
            param = ".".join(map(str, problem["errors"][0]["loc"][1:]))
        headers = {
            name: value for name, value in response.headers.items() if "content-" not in name
        }
        content = encode_error(status, problem["detail"], param, code)
        return Response(content, status, headers, "application/json")

    return handle


def install_openai(app: FastAPI, answer: Callable[..., Any]) -> None:
    """Add the routes of the model that `answer` is. Raises `ValueError` if it is no generator."""
    require_generator(answer)
    for kind, handler in app.exception_handlers.items():
        app.exception_handlers[kind] = openai_errors(handler)
    created = int(time.time())
    router = APIRouter(
        tags=["chat"],
        route_class=ChatRoute,
        responses={"default": {"model": ErrorBody, "description": "An error of OpenAI's API."}},
    )

    @router.get(
        MODELS,
#{% if cookiecutter.__uses.tokens %}
        dependencies=[requires(Scope.EVENTS)],
#{% endif %}
    )
    async def list_models(request: Request) -> dict[str, Any]:
        """List the model of the service."""
        name = request.app.state.settings.model_name
        model = {"id": name, "object": "model", "created": created, "owned_by": "service"}
        return {"object": "list", "data": [model]}

    @router.post(
        COMPLETIONS,
#{% if cookiecutter.__uses.tokens %}
        dependencies=[requires(Scope.EVENTS), requires(Scope.PUBLISH)],
#{% endif %}
        response_class=CompletionResponse,
        responses={
            200: {
                "description": "The completion; with `stream` its chunks, then `[DONE]`.",
                "content": {
                    CompletionResponse.media_type: {},
                    CompletionStreamResponse.media_type: {"itemSchema": EVENT},
                },
            }
        },
    )
    async def complete_chat(body: CompletionRequest, request: Request) -> Response:
        """Answer a conversation."""
        name = request.app.state.settings.model_name
        if body.model != name:
            raise ModelNotFound(404, f"The model {body.model!r} does not exist; there is {name!r}.")
        if body.stream:
            return CompletionStreamResponse(streamed(request, body, answer))
        return CompletionResponse(whole(request, body, answer))

    app.include_router(router)
