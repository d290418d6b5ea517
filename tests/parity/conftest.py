from __future__ import annotations

import pytest

NOTES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def note(request):
    """Record one measured difference; all of them are printed at the end of the run."""
    return request.config.stash.setdefault(NOTES, []).append


def pytest_terminal_summary(terminalreporter):
    notes = terminalreporter.config.stash.get(NOTES, [])
    if notes:
        terminalreporter.section("measured differences")
        for text in notes:
            terminalreporter.write_line(text)
