"""The doctor names the places of what is kept and the plug-ins, the broken ones with their reason."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from mmbench.baselines import registry
from mmbench.config import EvaluateSettings
from mmbench.runs.doctor import Diagnosis, examine

LIGHT = EvaluateSettings(metrics=("motion_smoothness",), flow={"backend": "dis"})  # type: ignore[arg-type]


def _found(name: str) -> Diagnosis:
    return next(one for one in examine(LIGHT) if one.name == name)


@pytest.mark.parametrize(
    ("name", "variable"),
    [("cache", "MMBENCH_CACHE"), ("weights", "MMBENCH_WEIGHTS"), ("test sets", "MMBENCH_TESTSETS")],
)
def test_places_with_their_space(name: str, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "not" / "yet"))
    found = _found(name)
    assert found.state == "ok"
    assert str(tmp_path / "not" / "yet") in found.text
    assert "GiB left" in found.text
    assert not (tmp_path / "not").exists()  # looking makes nothing
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv(variable, str(tmp_path / "file" / "below"))
    found = _found(name)
    assert (found.state, variable in found.text) == ("broken", True)


def test_generators_of_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("theirs", "mmbench.baselines.cogvideox.model:CogVideoX", registry.ENTRY_POINT_GROUP),
        EntryPoint("lost", "no_such_package:Model", registry.ENTRY_POINT_GROUP),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == registry.ENTRY_POINT_GROUP else [])
    assert _found("theirs").state == "ok"
    lost = _found("lost")
    assert lost.state == "broken"
    assert "no_such_package" in lost.text
    points[0] = EntryPoint("consisid", "a:B", registry.ENTRY_POINT_GROUP)
    assert "under our name 'consisid'" in _found("generators").text
