"""Training's bytes at full size on the meta device, beside the plan, and the profile of a small size."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from mmbench.model.cost.training import BUDGET_GIB, profile_training, stage_memory
from mmbench.model.cost.training_report import budget_rows, write_training_profile


def test_stage_two_at_full_size_is_within_its_budget() -> None:
    """Counted on meta: weights to the number, activations within a quarter of what was planned."""
    memory = stage_memory("5b")
    assert memory.trained == 1_744_452_736 + 98_304  # the null rows
    assert memory.trained_bytes == 4 * memory.trained
    assert memory.optimiser_bytes == 8 * memory.trained
    counted = {name: count / 2**30 for name, count, _ in budget_rows(memory, "5b")}
    for name, planned in BUDGET_GIB.items():
        assert 0.75 * planned < counted[name] < 1.25 * planned, name
    assert counted["sum"] < 74.5
    # one block's input of 17,776 rows in bf16 is 0.102 GiB, 42 of them 4.28
    assert 4.2 < memory.saved / 2**30 < 5.0
    print({name: round(value, 2) for name, value in counted.items()})


@pytest.mark.parametrize("frames", [1, 9])
def test_checkpointing_keeps_less_at_any_size(frames: int) -> None:
    memory = stage_memory("nano", frames, 2)
    assert memory.saved < memory.saved_whole and memory.block < memory.saved_whole


def test_the_page_holds_what_was_measured(tmp_path: Path) -> None:
    measured = profile_training("smoke", "cpu", image_batch=1, rounds=1)
    assert [s.stage for s in measured.steps] == ["image", "image", "video", "video"]
    assert all(s.flops_run > s.flops > 0 and s.utilisation is None and s.peak_gib is None for s in measured.steps)
    page, data = write_training_profile(tmp_path, "smoke", [stage_memory("smoke")], measured, date(2026, 1, 2))
    text = page.read_text()
    assert "| video | 1 | 200 |" in text and "trained weights" in text and data.is_file()
