"""The application with a model that answers as a test says."""

import pytest

from streaming_api import model
from streaming_api.settings import Settings

from .script import Script


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings of an echo that does not take its time."""
    return settings.model_copy(update={"model_pace_seconds": 0})


@pytest.fixture(autouse=True)
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """The model of the application."""
    script = Script()
    monkeypatch.setattr(model, "answer", script.answer)
    return script
