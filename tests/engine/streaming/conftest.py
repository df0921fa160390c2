"""Fixtures of the streams' tests."""

import logging

import pytest

from streaming_api.streaming import response


class EndLog:
    """The log of streams that ended."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    @property
    def record(self) -> logging.LogRecord | None:
        """The record of the only stream that ended; `None` if none did."""
        records = [each for each in self._caplog.records if each.name == response.logger.name]
        assert len(records) < 2
        return records[0] if records else None

    @property
    def line(self) -> str:
        """The message of that record, without its duration."""
        assert self.record
        words = self.record.getMessage().split()
        return " ".join(word for word in words if not word.startswith("seconds="))

    @property
    def failure(self) -> BaseException | None:
        """The exception in that record."""
        assert self.record
        return self.record.exc_info[1] if self.record.exc_info else None


@pytest.fixture
def end_log(caplog: pytest.LogCaptureFixture) -> EndLog:
    """The log of streams that ended."""
    caplog.set_level(logging.INFO)
    return EndLog(caplog)
