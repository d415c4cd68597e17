"""What all tests share."""

from pathlib import Path

import pytest
from hypothesis import settings

# Times vary with the machine's load; a slow example is no wrong example.
settings.register_profile("mmuviz", deadline=None)
settings.load_profile("mmuviz")


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).resolve().parent.parent
