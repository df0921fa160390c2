"""Errors as problem documents."""

from http import HTTPStatus

import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse

from streaming_api.streaming import problems
from streaming_api.streaming.openapi import Problem, StreamingAPI
from streaming_api.streaming.problems import MAX_ERRORS, problem_handlers

from .variant import REDIS, REQUEST_ID

SECRET = "password=hunter2"  # noqa: S105


@pytest.fixture
def failing_app() -> FastAPI:
    """An application that fails in every way."""
    app = StreamingAPI(exception_handlers=problem_handlers)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError(SECRET)

    @app.head("/number/{number}")
    @app.get("/number/{number}")
    async def number(number: int) -> int:
        return number

    @app.delete("/number/{number}")
    async def delete(number: int) -> None: ...

    @app.post("/numbers")
    async def numbers(numbers: list[int]) -> None: ...

    @app.get("/raised/{status}")
    async def raise_status(status: int) -> None:
        raise HTTPException(status, headers={"X-Reason": "finished"})

    return app


@pytest.fixture
def client(failing_app: FastAPI) -> TestClient:
    """A client of that application."""
    return TestClient(failing_app, raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("PUT", "/broken", 405),
        ("GET", "/number/one", 422),
        ("POST", "/numbers", 422),
        ("GET", "/raised/409", 409),
        ("GET", "/broken", 500),
    ],
)
def test_error_is_problem_document(client: TestClient, method: str, path: str, status: int) -> None:
    response = client.request(method, path)

    problem = response.json()
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    Problem.model_validate(problem, strict=True)
    assert problem.keys() <= Problem.model_fields.keys()
    assert problem["type"] == "about:blank"
    assert problem["status"] == status
    assert problem["title"] == HTTPStatus(status).phrase
    assert problem["detail"]


@pytest.mark.parametrize("kind", [500, Exception, RuntimeError])
def test_own_handler_of_exceptions_is_called_once(
    failing_app: FastAPI, client: TestClient, kind: int | type[Exception]
) -> None:
    handled: list[Exception] = []

    @failing_app.exception_handler(kind)
    async def handle(request: Request, error: Exception) -> PlainTextResponse:
        handled.append(error)
        return PlainTextResponse("own", 500)

    response = client.get("/broken")

    assert response.text == "own"
    assert len(handled) == 1


def test_method_not_allowed_names_methods_of_all_routes(client: TestClient) -> None:
    response = client.post("/number/1")

    assert response.status_code == 405
    assert response.headers["allow"] == "DELETE, GET, HEAD"


def test_method_not_allowed_of_mounted_folder_keeps_its_methods(idle_client: TestClient) -> None:
    response = idle_client.delete("/static/docs/icon.svg")

    assert response.status_code == 405
    assert response.headers["content-type"] == "application/problem+json"
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD"}


def test_method_not_allowed_is_found_under_root_path(failing_app: FastAPI) -> None:
    response = TestClient(failing_app, root_path="/api").post("/api/number/1")

    assert response.headers["allow"] == "DELETE, GET, HEAD"


def test_invalid_request_names_its_errors(client: TestClient) -> None:
    problem = client.get("/number/one").json()

    assert problem["errors"][0]["loc"] == ["path", "number"]
    assert problem["errors"][0].keys() == {"loc", "msg"}
    assert problem["detail"] == f"path.number: {problem['errors'][0]['msg']}"


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/plain", None])
def test_body_of_another_media_type_names_the_expected(
    client: TestClient, media_type: str | None
) -> None:
    headers = {"Content-Type": media_type} if media_type else {}

    response = client.post("/numbers", content=b"[1]", headers=headers)

    assert response.status_code == 422
    assert response.json()["detail"] == "body: expected Content-Type: application/json"


def test_invalid_request_names_error_of_several_dependencies_once(
    failing_app: FastAPI, client: TestClient
) -> None:
    async def check(number: int) -> None: ...

    @failing_app.get("/checked/{number}", dependencies=[Depends(check)])
    async def checked(number: int) -> None: ...

    problem = client.get("/checked/one").json()

    assert [each["loc"] for each in problem["errors"]] == [["path", "number"]]


def test_invalid_request_names_first_errors_without_input(client: TestClient) -> None:
    response = client.post("/numbers", json=[SECRET] * (MAX_ERRORS + 1))

    assert len(response.json()["errors"]) == MAX_ERRORS
    assert SECRET not in response.text


@pytest.mark.parametrize("status", [204, 304])
def test_status_without_body_is_no_problem(client: TestClient, status: int) -> None:
    response = client.get(f"/raised/{status}")

    assert (response.status_code, response.content) == (status, b"")
    assert response.headers["x-reason"] == "finished"


def test_headers_of_exception_are_sent(client: TestClient) -> None:
    assert client.get("/raised/409").headers["x-reason"] == "finished"


def test_unexpected_error_shows_no_message(client: TestClient) -> None:
    response = client.get("/broken")

    assert response.status_code == 500
    assert SECRET not in response.text


if REQUEST_ID:

    def test_unexpected_error_is_logged_with_request_id(
        app: FastAPI, idle_client: TestClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        @app.get("/broken")
        async def broken() -> None:
            raise RuntimeError(SECRET)

        with idle_client:
            response = idle_client.get("/broken")

        (record,) = [each for each in caplog.records if each.name == problems.logger.name]
        assert vars(record)["request_id"] == response.headers["x-request-id"]
        assert SECRET in record.getMessage()


if REDIS:

    def test_redis_error_returns_503_and_is_logged(
        failing_app: FastAPI, client: TestClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        from redis.exceptions import ConnectionError

        @failing_app.get("/redis")
        async def fail() -> None:
            raise ConnectionError("10.0.0.1")

        response = client.get("/redis")

        assert response.status_code == 503
        assert response.headers["retry-after"] == "5"
        assert "10.0.0.1" not in response.text
        assert "10.0.0.1" in caplog.text
