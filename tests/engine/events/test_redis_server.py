"""The Redis of the tests: a database that nothing else uses, on whichever server there is."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from streaming_api.streaming.events.redis import PREFIX

from ... import redis_server as module
from ...redis_server import RedisServer, database_url, open_database

USED = 0, 1
"""The databases of the server that a service uses."""


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    """A server that runs for a service."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def service_url(running: RedisServer) -> Iterator[str]:
    """The URL of the server of a service, with events in two of its databases."""
    for number in USED:
        with Redis.from_url(database_url(running.url, number)) as redis:
            redis.set(f"{PREFIX}kept", number)
    yield running.url
    with Redis.from_url(running.url) as redis:
        redis.flushall()


def keys(url: str) -> set[bytes]:
    """Return the keys of a database."""
    with Redis.from_url(url) as redis:
        return set(redis.scan_iter())


def assert_service_keeps_its_data(url: str) -> None:
    for number in range(16):
        expected = {f"{PREFIX}kept".encode()} if number in USED else set()
        assert keys(database_url(url, number)) == expected


def test_given_server_lends_an_unused_database(
    service_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GIVEN_URL", f"{service_url}/0")

    with open_database() as first, open_database() as second:
        for url in (first, second):
            with Redis.from_url(url) as redis:
                redis.set(f"{PREFIX}of tests", 1)

    assert len({first, second, *(database_url(service_url, number) for number in USED)}) == 4
    assert_service_keeps_its_data(service_url)


def test_server_without_unused_database_fails_the_tests(
    service_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GIVEN_URL", service_url)
    for number in range(16):
        with Redis.from_url(database_url(service_url, number)) as redis:
            redis.set("kept", 1)

    with pytest.raises(pytest.fail.Exception, match="no empty database"), open_database():
        pass


def test_running_server_is_used_without_a_program(
    service_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GIVEN_URL", None)
    monkeypatch.setattr(module, "DEFAULT_URL", service_url)
    monkeypatch.setattr(module, "find_program", lambda: None)

    with open_database() as url:
        assert url.startswith(service_url)

    assert_service_keeps_its_data(service_url)


def test_tests_without_server_have_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(module, "GIVEN_URL", None)
    monkeypatch.setattr(module, "DEFAULT_URL", "redis://127.0.0.1:1")
    monkeypatch.setattr(module, "find_program", lambda: None)

    with open_database() as url:
        assert url == ""
