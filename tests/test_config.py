"""Settings: unknown keys refused, YAML round trip, stable hash."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mmbench.config import EvaluateSettings, FlowSettings, RunSettings
from mmbench.errors import ManifestError


def test_yaml_round_trip(tmp_path: Path) -> None:
    settings = RunSettings(testset="synthetic50", evaluate=EvaluateSettings(flow=FlowSettings(backend="dis")))
    path = tmp_path / "s.yaml"
    path.write_text(settings.to_yaml())
    assert RunSettings.from_yaml(path) == settings


@pytest.mark.parametrize(
    ("text", "named"),
    [("evaluat: {}", "evaluat"), ("evaluate: {flow: {backend: fast}}", "flow.backend"), ("a: [", "YAML")],
)
def test_wrong_files_are_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(ManifestError, match=named) as error:
        RunSettings.from_yaml(path)
    assert str(path) in error.value.message


def test_hash_follows_values_not_order(tmp_path: Path) -> None:
    a, b = tmp_path / "a.yaml", tmp_path / "b.yaml"
    a.write_text("device: cpu\nfm_version: 1\n")
    b.write_text("# a comment\nfm_version: 1\ndevice: cpu\nmetrics: []\n")
    assert EvaluateSettings.from_yaml(a).digest() == EvaluateSettings.from_yaml(b).digest()
    assert EvaluateSettings.from_yaml(a).digest() != EvaluateSettings().digest()


def test_a_checkpoint_of_ones_own_lies_beside_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("evaluate: {flow: {weights: mine.pth, precision: bf16, split_gru: false}}")
    flow = RunSettings.from_yaml(path).evaluate.flow
    assert flow == FlowSettings(weights=tmp_path / "mine.pth", precision="bf16", split_gru=False)
    assert RunSettings.model_validate({"evaluate": {"flow": {"weights": "a.pth"}}}).evaluate.flow.weights == Path(
        "a.pth"
    )


def test_the_documented_settings_are_all_settings_with_their_defaults() -> None:
    page = (Path(__file__).parents[1] / "mmbench" / "runs" / "README.md").read_text(encoding="utf-8")
    block = page.split("```yaml\n")[1].split("```")[0]
    assert yaml.safe_load(block) == RunSettings().model_dump(mode="json")
