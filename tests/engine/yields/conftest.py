"""Fixtures of the tests of path operations that yield."""

import pytest

from ..streaming.conftest import end_log as end_log
from .formats import FORMATS, Format


@pytest.fixture(params=FORMATS, ids=lambda format: format.response_class.__name__)
def format(request: pytest.FixtureRequest) -> Format:
    """Each of the chosen formats."""
    chosen: Format = request.param
    return chosen
