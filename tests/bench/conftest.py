"""Processes in which a benchmark measures memory start quickly here: nobody looks at their numbers."""

import pytest
from tests.processes import quick_starts

from segue.bench import measure


@pytest.fixture(autouse=True)
def _quick_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_starts(monkeypatch, measure)
