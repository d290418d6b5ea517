"""The measured half of the cost table, on a CPU at toy size: every row runs and the page says what it must."""

from __future__ import annotations

import json
from datetime import date

import pytest
from typer.testing import CliRunner

from mmbench.errors import RequestError
from mmbench.model.cost.profile import cost_table
from mmbench.model.cost.report import as_markdown, write_profile
from mmbench.model.cost.steps import ROWS, check_device, profile_steps


@pytest.fixture(scope="module")
def steps():
    return profile_steps("smoke", "cpu", rounds=2, warmup=1)


def test_all_rows_are_measured_and_agree(steps):
    assert [row.name for row in steps.rows] == list(ROWS)
    assert all(len(row.seconds) == 2 and min(row.seconds) > 0 for row in steps.rows)
    assert steps.fast_against_direct < 1e-6
    assert all(ratio.low <= ratio.median <= ratio.high for ratio in steps.ratios)


def test_steps_start_over_after_the_last():
    import torch

    from mmbench.model.cost.steps import MIRROR, StepBench
    from mmbench.model.network.configs import size_named

    bench = StepBench(size_named("smoke"), torch.device("cpu"), torch.float32, num_steps=2)
    bench.add_identity(None)
    with torch.no_grad():
        assert torch.equal(bench.predict(MIRROR, 1), bench.predict(MIRROR, 3))


def test_page_without_a_gpu_says_not_measured():
    page = as_markdown(cost_table("smoke"), None, date(2026, 11, 21))
    assert "**Not measured**" in page
    assert "2026-11-21" in page


def test_files_hold_the_measured_rows(steps, tmp_path):
    page, data = write_profile(tmp_path, cost_table("smoke"), steps, date(2026, 11, 21))
    assert "Magic Mirror / optimised base" in page.read_text()
    held = json.loads(data.read_text())
    assert [row["name"] for row in held["steps"]["rows"]] == list(ROWS)


def test_command_prints_the_table(tmp_path):
    from mmbench.cli.model import app

    done = CliRunner().invoke(app, ["profile", "--config", "smoke", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "phi_face" in done.output
    assert (tmp_path / "magic-mirror-smoke.json").is_file()


def test_impossible_devices_are_refused():
    with pytest.raises(RequestError, match="CPU"):
        check_device("5b", "cpu")
