"""What the tests of the streams share."""

import logging

import pytest

from {{ cookiecutter.__package_name }} import streaming


@pytest.fixture
def anyio_backend() -> str:
    """The event loop that uvicorn runs on."""
    return "asyncio"


class Endings:
    """The end-of-stream log."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        self._logger = f"{streaming.__name__}.response"

    @property
    def records(self) -> list[logging.LogRecord]:
        """The records of the streams that ended."""
        return [record for record in self._caplog.records if record.name == self._logger]

    @property
    def only(self) -> str:
        """What the log says of the only stream that ended, but for its id and its duration."""
        (record,) = self.records
        words = record.getMessage().split()
        return " ".join(word for word in words if not word.startswith(("request_id=", "seconds=")))


@pytest.fixture
def endings(caplog: pytest.LogCaptureFixture) -> Endings:
    """What the log says of the streams that ended."""
    caplog.set_level(logging.INFO)
    return Endings(caplog)
