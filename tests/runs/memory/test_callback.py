"""The README's callback is run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mmbench.config import EvaluateSettings
from mmbench.testsets.load import load_testset

README = Path(__file__).parents[3] / "mmbench" / "runs" / "README.md"


def test_the_callback_logs_every_so_many_steps() -> None:
    (block,) = re.findall(
        r"```python\n(.*?)```", README.read_text(encoding="utf-8").split("## Clips in memory")[1], re.S
    )
    names: dict[str, Any] = {}
    exec(block, names)  # our own document
    testset = load_testset("synthetic50")
    still = testset.folder / "controls" / "still"
    people = {one.id: one.references for one in testset.identities[:2]}
    callback = names["Validate"](people, ["face_rate"], EvaluateSettings(), every=2)
    logged: list[tuple[dict[str, float], int]] = []
    for step in range(1, 5):
        callback(step, lambda who: next(still.glob(f"{who}_*.mp4")), lambda *x: logged.append(x))
    assert [step for _, step in logged] == [2, 4]
    assert logged[0][0] == logged[1][0] == {"face_rate": pytest.approx(1.0)}
