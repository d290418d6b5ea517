"""Progress: from the first second, hours and minutes left, measured from the phase's own beginning."""

from __future__ import annotations

import pytest

from mmbench.cli.progress import Pace, hours, progress_bar


def test_time_left_counts_from_this_phase_and_not_what_was_there_before() -> None:
    now = [1000.0]
    pace = Pace(lambda: now[0])
    assert pace.tell(300, 400, "clips") == ""  # 300 were there: nothing is known yet
    now[0] += 100
    assert pace.tell(310, 400, "clips") == "0.10/s, 0:15 left"
    now[0] += 5000
    assert pace.tell(0, 50, "references") == ""
    now[0] += 10
    assert pace.tell(1, 50, "references") == "0.10/s, 0:09 left"
    assert pace.tell(400, 400, "clips").endswith("/s")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (1, "0:01"), (60, "0:01"), (3599, "1:00"), (9e4, "25:00")])
def test_hours_and_minutes(seconds: float, text: str) -> None:
    assert hours(seconds) == text


def test_plain_lines_begin_at_once_and_end_with_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as tell:
        assert capsys.readouterr().err.strip()
        for done in range(4):
            tell(done, 3, "cl[/x]ips\x1b[2J")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "cl[/x]ips\\x1b[2J: 0/3"
    assert lines[-1].startswith("cl[/x]ips\\x1b[2J: 3/3")
