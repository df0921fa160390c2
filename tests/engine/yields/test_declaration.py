"""Path operations that yield: how they are declared, called, refused and documented."""

import json
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from dataclasses import dataclass
from decimal import Decimal
from functools import wraps
from http import HTTPStatus
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from pydantic import BaseModel, Field

from streaming_api import streaming
from streaming_api.streaming import StreamRoute
from streaming_api.streaming.openapi import StreamingAPI
from streaming_api.streaming.response import ItemsResponse

from ..variant import CSV, NDJSON, SSE, TOKENS
from .formats import FORMATS, Format, Tick, application, prepare


async def ticks(limit: int = 3) -> AsyncIterator[Tick]:
    """Count to a limit."""
    for n in range(limit):
        yield Tick(n=n)


async def generated_ticks(limit: int = 3) -> AsyncGenerator[Tick, None]:
    for n in range(limit):
        yield Tick(n=n)


async def iterable_ticks(limit: int = 3) -> AsyncIterable[Tick]:
    for n in range(limit):
        yield Tick(n=n)


def sync_ticks(limit: int = 3) -> Iterator[Tick]:
    for n in range(limit):
        yield Tick(n=n)


def sync_generated_ticks(limit: int = 3) -> Generator[Tick, None, None]:
    for n in range(limit):
        yield Tick(n=n)


def sync_iterable_ticks(limit: int = 3) -> Iterable[Tick]:
    for n in range(limit):
        yield Tick(n=n)


async def untyped_ticks(limit: int = 3):  # type: ignore[no-untyped-def]  # noqa: ANN201
    for n in range(limit):
        yield {"n": n}


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        return function(*arguments, **options)

    return call


class Ticker:
    """A callable object."""

    async def __call__(self, limit: int = 3) -> AsyncIterator[Tick]:
        for n in range(limit):
            yield Tick(n=n)


@pytest.mark.parametrize(
    "endpoint",
    [
        ticks,
        generated_ticks,
        iterable_ticks,
        sync_ticks,
        sync_generated_ticks,
        sync_iterable_ticks,
        untyped_ticks,
        pytest.param(decorated(ticks), id="decorated"),
        pytest.param(Ticker(), id="callable"),
    ],
)
def test_generator_is_streamed(format: Format, endpoint: Callable[..., Any]) -> None:
    response = TestClient(application(endpoint, format)).get("/stream?limit=5")

    assert response.status_code == 200
    assert response.headers["content-type"].split(";")[0] == format.media_type
    assert response.headers["x-accel-buffering"] == "no"
    assert format.read(response.text) == [0, 1, 2, 3, 4]


def test_generator_without_items_is_empty(format: Format) -> None:
    response = TestClient(application(ticks, format)).get("/stream?limit=0")

    assert response.status_code == 200
    assert format.read(response.text) == []


def test_example_of_the_contract_is_streamed(app: FastAPI, format: Format) -> None:
    dependencies = [streaming.PUBLIC] if TOKENS else []
    router = APIRouter(route_class=StreamRoute, dependencies=dependencies)

    router.get("/ticks", response_class=format.response_class)(ticks)
    app.include_router(router)
    with TestClient(app) as client:
        response = client.get("/ticks", headers={"Accept-Encoding": "identity"})

    assert format.read(response.text) == [0, 1, 2]


def test_invalid_parameter_returns_422(format: Format) -> None:
    response = TestClient(application(ticks, format)).get("/stream?limit=one")

    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == ["query", "limit"]


def test_duplicate_parameter_returns_422(format: Format) -> None:
    response = TestClient(application(ticks, format)).get("/stream?limit=1&limit=2")

    assert response.status_code == 422


def test_body_is_read(format: Format) -> None:
    async def endpoint(body: list[Tick]) -> AsyncIterator[Tick]:
        for tick in body:
            yield tick

    client = TestClient(application(endpoint, format, methods=["POST"]))

    assert format.read(client.post("/stream", json=[{"n": 1}, {"n": 2}]).text) == [1, 2]
    assert client.post("/stream", json={}).status_code == 422


def test_body_is_read_by_the_generator(format: Format) -> None:
    async def endpoint(request: Request) -> AsyncIterator[Tick]:
        async for chunk in request.stream():
            yield Tick(n=len(chunk))

    app = application(endpoint, format, methods=["POST"], limits={"send_timeout": 0.5})

    response = TestClient(app).post("/stream", content=iter([b"a" * 300, b"b" * 400]))

    assert sum(format.read(response.text)) == 700
    assert not SSE or app.state.streams.body_bytes == 0


def test_body_is_read_by_a_dependency(format: Format) -> None:
    sizes: list[int] = []

    async def read(request: Request) -> None:
        sizes.extend([len(chunk) async for chunk in request.stream() if chunk])

    async def endpoint() -> AsyncIterator[Tick]:
        yield Tick(n=sum(sizes))

    app = application(endpoint, format, methods=["POST"], dependencies=[Depends(read)])

    response = TestClient(app).post("/stream", content=b"body")

    assert format.read(response.text) == [4]


def test_head_of_stream_runs_no_generator(format: Format) -> None:
    async def endpoint() -> AsyncIterator[Tick]:
        pytest.fail("the generator runs")
        yield Tick(n=0)

    response = TestClient(application(endpoint, format, methods=["HEAD"])).head("/stream")

    assert response.status_code == 200
    assert response.headers["content-type"].split(";")[0] == format.media_type


def test_dependency_is_alive_until_the_end(format: Format) -> None:
    events: list[str] = []

    async def resource() -> AsyncIterator[str]:
        yield "resource"
        events.append("closed")

    async def endpoint(resource: Annotated[str, Depends(resource)]) -> AsyncIterator[Tick]:
        try:
            for n in range(1000):
                yield Tick(n=n)
        finally:
            events.append(f"{resource} used")

    TestClient(application(endpoint, format)).get("/stream")

    assert events == ["resource used", "closed"]


def test_request_and_response_are_those_of_the_stream(format: Format) -> None:
    async def dependency(response: Response) -> None:
        response.status_code = 203
        response.set_cookie("one", "1")
        response.set_cookie("two", "2")

    async def endpoint(
        request: Request, response: Response, _: Annotated[None, Depends(dependency)]
    ) -> AsyncIterator[Tick]:
        assert response.status_code == 203
        yield Tick(n=int(request.query_params["n"]))

    async def header(response: Response) -> None:
        response.headers["Cache-Control"] = "private"

    app = application(endpoint, format, dependencies=[Depends(header)])
    response = TestClient(app).get("/stream?n=7")

    assert response.status_code == 203
    assert response.headers["cache-control"] == "private"
    assert response.headers.get_list("set-cookie") == [
        "one=1; Path=/; SameSite=lax",
        "two=2; Path=/; SameSite=lax",
    ]
    assert format.read(response.text) == [7]


@pytest.mark.parametrize("status", [201, HTTPStatus.CREATED], ids=repr)
def test_status_code_is_sent_and_documented(format: Format, status: int) -> None:
    client = TestClient(application(ticks, format, status_code=status))

    assert client.get("/stream").status_code == 201
    responses = client.get("/openapi.json").json()["paths"]["/stream"]["get"]["responses"]
    assert responses.keys() == {"201", "422", "429", "503"}


def test_name_and_documentation_are_those_of_the_generator(format: Format) -> None:
    app = application(ticks, format)

    operation = app.openapi()["paths"]["/stream"]["get"]

    assert operation["summary"] == "Ticks"
    assert operation["operationId"] == "ticks_stream_get"
    assert operation["description"] == "Count to a limit."
    assert [each["name"] for each in operation["parameters"]] == ["limit"]


EXPECTED = " or ".join(each.__name__ for each in ItemsResponse.__subclasses__())


@pytest.mark.parametrize(
    ("options", "got"),
    [
        ({}, "none"),
        ({"response_class": StreamingResponse}, "StreamingResponse"),
        ({"response_class": streaming.StreamResponse}, "StreamResponse"),
    ],
)
def test_other_response_class_is_refused(options: dict[str, Any], got: str) -> None:
    router = APIRouter(route_class=StreamRoute, prefix="/api")

    with pytest.raises(ValueError) as refused:  # noqa: PT011
        router.get("/ticks", **options)(ticks)

    assert str(refused.value) == (
        f"Invalid route '/api/ticks': expected response_class={EXPECTED} for a generator, got {got}"
    )


@pytest.mark.parametrize("endpoint", [ticks, sync_ticks])
def test_stream_of_another_route_class_is_refused(
    endpoint: Callable[..., Any], format: Format
) -> None:
    router = APIRouter()
    router.get("/ticks", response_class=format.response_class)(endpoint)

    outer = APIRouter(route_class=StreamRoute)
    outer.include_router(router, prefix="/api")

    for each, path in ((router, "/ticks"), (outer, "/api/ticks")):
        with pytest.raises(ValueError, match=f"Invalid route '{path}': expected route_class="):
            StreamingAPI().include_router(each)


def test_generator_without_format_is_of_any_route_class() -> None:
    app = StreamingAPI()
    router = APIRouter()
    router.get("/ticks")(ticks)
    app.include_router(router)
    prepare(app)

    assert TestClient(app).get("/ticks").text.count("\n") == 3


def test_expected_response_classes_are_those_that_are_chosen() -> None:
    assert {each.response_class for each in FORMATS} == set(ItemsResponse.__subclasses__())


def test_response_model_is_refused(format: Format) -> None:
    with pytest.raises(ValueError, match="Invalid route '/stream': expected no response_model"):
        application(ticks, format, response_model=list[Tick])


def test_response_model_of_none_is_accepted(format: Format) -> None:
    assert TestClient(application(ticks, format, response_model=None)).get("/stream")


def test_coroutine_with_format_is_no_stream(format: Format) -> None:
    async def endpoint() -> Response:
        return Response("plain")

    app = FastAPI()
    app.router.route_class = StreamRoute
    prepare(app)
    app.get("/stream", response_class=format.response_class)(endpoint)

    assert TestClient(app).get("/stream").text == "plain"


class Inner(BaseModel):
    """A model within a model."""

    value: float = 0.0


class Outer(BaseModel):
    """An item with another name on the wire."""

    inner: Inner = Inner()
    text: str = Field(default="", serialization_alias="Text")
    secret: str = Field(default="", exclude=True)


@dataclass
class Point:
    """An item that is a dataclass."""

    x: int


def item_schema(app: FastAPI, path: str = "/stream") -> Any:
    """Return the documented schema of an item; of an event that of its data."""
    operation = app.openapi()["paths"][path]["get"]
    (content,) = operation["responses"]["200"]["content"].values()
    schema = content["itemSchema"]
    assert content.keys() == {"itemSchema"}
    if schema.get("properties", {}).get("data", {}).get("contentMediaType") is None:
        return schema
    assert schema["type"] == "object"
    assert schema["properties"].keys() == {"data", "event", "id", "retry"}
    data = schema["properties"]["data"]
    assert (data["type"], data["contentMediaType"]) == ("string", "application/json")
    return data["contentSchema"]


@pytest.mark.parametrize("prefix", ["", "/one", "/one/two"])
def test_item_is_documented_with_its_components(format: Format, prefix: str) -> None:
    async def endpoint(body: Outer) -> AsyncIterator[Outer]:
        yield body

    router = APIRouter(route_class=StreamRoute)
    router.get("/stream", response_class=format.response_class)(endpoint)
    outer = APIRouter()
    outer.include_router(router, prefix=prefix)
    app = StreamingAPI()
    prepare(app)
    app.include_router(outer)

    schemas = app.openapi()["components"]["schemas"]
    assert item_schema(app, f"{prefix}/stream") == {"$ref": "#/components/schemas/Outer-Output"}
    assert schemas["Outer-Output"]["properties"]["inner"]["$ref"] == "#/components/schemas/Inner"
    assert schemas["Outer-Output"]["properties"].keys() == {"inner", "Text"}
    assert schemas["Outer-Input"]["properties"].keys() == {"inner", "text", "secret"}
    assert app.openapi() == app.openapi()


async def points() -> AsyncIterator[Point]:
    yield Point(x=1)


async def mappings() -> AsyncIterator[dict[str, int]]:
    yield {"x": 1}


async def alternatives() -> AsyncIterator[Tick | Point]:
    yield Tick(n=1)


async def bare() -> AsyncIterator:  # type: ignore[type-arg]
    yield {"x": 1}


TICK, POINT = ({"$ref": f"#/components/schemas/{name}"} for name in ("Tick", "Point"))


@pytest.mark.parametrize(
    ("endpoint", "schema"),
    [
        (ticks, TICK),
        (points, POINT),
        (mappings, {"type": "object", "additionalProperties": {"type": "integer"}}),
        (alternatives, {"anyOf": [TICK, POINT]}),
        (untyped_ticks, {}),
        (bare, {}),
    ],
)
def test_item_is_documented_as_annotated(
    format: Format, endpoint: Callable[..., Any], schema: Any
) -> None:
    assert item_schema(application(endpoint, format)) == schema


class Tree(BaseModel):
    """An item with items of the same type."""

    children: list["Tree"] = []


async def trees() -> AsyncIterator[Tree]:
    yield Tree(children=[Tree()])


def test_recursive_item_is_documented_as_itself(format: Format) -> None:
    schema = {"$ref": "#/components/schemas/Tree"}

    for _ in range(2):
        app = application(trees, format)
        assert item_schema(app) == schema
        properties = app.openapi()["components"]["schemas"]["Tree"]["properties"]
        assert properties["children"]["items"] == schema


def test_stream_on_the_application_itself_is_documented(format: Format) -> None:
    app = StreamingAPI()
    app.router.route_class = StreamRoute
    prepare(app)

    app.get("/stream", response_class=format.response_class)(ticks)

    assert item_schema(app) == TICK
    assert format.read(TestClient(app).get("/stream").text) == [0, 1, 2]


def test_own_documentation_of_responses_is_kept(format: Format) -> None:
    headers = {"X-Clock": {"schema": {"type": "string"}}}
    own = {200: {"description": "Ticks.", "headers": headers}, 404: {"description": "No clock."}}

    app = application(ticks, format, responses=own | {429: {"description": "Later."}})

    documented = app.openapi()["paths"]["/stream"]["get"]["responses"]
    assert documented["200"]["headers"] == headers
    assert documented["429"]["description"] == "Later."
    assert documented["429"]["headers"].keys() == {"Retry-After"}
    assert documented["200"]["description"] == "Ticks."
    assert documented["404"]["description"] == "No clock."
    assert item_schema(app) == TICK


if NDJSON or SSE:
    TEXTS = [each for each in FORMATS if not each.has_header]

    async def numbers() -> AsyncIterator[int]:
        yield 1

    async def optional() -> AsyncIterator[float | None]:
        yield None

    async def lists() -> AsyncIterator[list[Tick]]:
        yield [Tick(n=1)]

    @pytest.mark.parametrize("format", TEXTS, indirect=True)
    @pytest.mark.parametrize(
        ("endpoint", "schema"),
        [
            (numbers, {"type": "integer"}),
            (optional, {"anyOf": [{"type": "number"}, {"type": "null"}]}),
            (lists, {"type": "array", "items": TICK}),
        ],
    )
    def test_item_without_fields_is_documented(
        format: Format, endpoint: Callable[..., Any], schema: Any
    ) -> None:
        assert item_schema(application(endpoint, format)) == schema

    @pytest.mark.parametrize("format", TEXTS, indirect=True)
    def test_options_of_response_model_apply_to_items(format: Format) -> None:
        class Item(BaseModel):
            n: int = Field(serialization_alias="N")
            hidden: str = "hidden"
            optional: int | None = None

        async def endpoint() -> AsyncIterator[Item]:
            yield Item(n=1)

        options: dict[str, Any] = {
            "response_model_exclude": {"hidden"},
            "response_model_exclude_none": True,
            "response_model_by_alias": False,
        }
        response = TestClient(application(endpoint, format, **options)).get("/stream")

        assert response.text.strip().removeprefix("data: ") == '{"n":1}'


if CSV:

    class Nothing(BaseModel):
        """An item without fields."""

    @pytest.mark.parametrize(
        "item", [int, str, list[int], Decimal, tuple[int, str], Nothing], ids=repr
    )
    def test_csv_of_items_without_fields_is_refused(item: Any) -> None:
        async def endpoint() -> AsyncIterator[Any]:
            yield 1

        endpoint.__annotations__["return"] = AsyncIterator[item]
        format = next(each for each in FORMATS if each.has_header)

        with pytest.raises(ValueError) as refused:  # noqa: PT011
            application(endpoint, format)

        assert str(refused.value) == (
            f"Invalid route '/stream': expected items with fields, got {item!r}"
        )


def test_annotations_as_text_are_resolved(format: Format) -> None:
    namespace: dict[str, Any] = {}
    exec(  # noqa: S102
        "from __future__ import annotations\n"
        "from collections.abc import AsyncIterator\n"
        "from typing import Annotated\n"
        "from fastapi import Query\n"
        "from pydantic import BaseModel\n"
        "class Late(BaseModel):\n"
        "    n: int\n"
        "async def endpoint(limit: Annotated[int, Query(alias='max')]) -> AsyncIterator[Late]:\n"
        "    for n in range(limit):\n"
        "        yield {'n': str(n)}\n",
        namespace,
    )

    client = TestClient(application(namespace["endpoint"], format))

    assert format.read(client.get("/stream?max=2").text) == [0, 1]
    assert json.dumps("Late") in json.dumps(item_schema(client.app)).replace("/", '"')  # type: ignore[arg-type]


def test_parameter_models_are_resolved(format: Format) -> None:
    class Page(BaseModel):
        limit: int = 2

    async def endpoint(page: Annotated[Page, Query()]) -> AsyncIterator[Tick]:
        for n in range(page.limit):
            yield Tick(n=n)

    client = TestClient(application(endpoint, format))

    assert format.read(client.get("/stream?limit=4").text) == [0, 1, 2, 3]
