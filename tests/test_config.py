"""Settings: unknown keys refused, YAML round trip, stable hash."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mmbench.config import EvaluateSettings, FlowSettings, GenerateSettings, RunSettings
from mmbench.errors import ManifestError, RequestError


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


def test_each_model_may_have_settings_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "generate: {models: [magic-mirror, id_animator], variant: tiny, weights: w,"
        " each: {magic-mirror: {options: {identity_scale: 0.8}, variant: nano, python: bin/python},"
        " id_animator: {size: 480x720}}}"
    )
    wanted = RunSettings.from_yaml(path).generate
    magic, animator = (wanted.for_model(name) for name in wanted.models)
    assert (magic.model, magic.variant, magic.options) == ("magic_mirror", "nano", {"identity_scale": 0.8})
    assert (animator.model, animator.variant, animator.options) == ("id_animator", "tiny", {})
    assert (magic.size, animator.size) == (None, (480, 720))
    assert magic.weights == animator.weights == tmp_path / "w"
    assert (magic.python, animator.python) == (tmp_path / "bin" / "python", None)
    again = tmp_path / "again.yaml"
    again.write_text(RunSettings.from_yaml(path).to_yaml())
    assert RunSettings.from_yaml(again).generate == wanted


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("models: [a], each: {b: {}}", "b is not among the models"),
        ("models: [a], each: {a: {seed: 3}}", "seed is the same for all models"),
        ("models: [a], each: {a: {sized: 3}}", "a: sized: there is no such setting"),
        ("models: [a, b], label: x", "several models cannot have one name"),
        ("size: wide", "no size"),
        ("shard: 0/2", "shard"),
        ("dtype: float7", "dtype"),
    ],
)
def test_wrong_settings_of_generation_are_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(f"generate: {{{text}}}")
    with pytest.raises(ManifestError, match=named):
        RunSettings.from_yaml(path)


def test_values_from_a_command_are_refused_by_name() -> None:
    assert GenerateSettings.filled(models=("magic-mirror",), size="32x48").size == (32, 48)
    with pytest.raises(RequestError, match=r"size.*no size"):
        GenerateSettings.filled(size="wide")
    with pytest.raises(RequestError, match="0 models are named"):
        _ = GenerateSettings().model


def test_the_documented_settings_are_all_settings_with_their_defaults() -> None:
    page = (Path(__file__).parents[1] / "mmbench" / "runs" / "README.md").read_text(encoding="utf-8")
    block = page.split("```yaml\n")[1].split("```")[0]
    assert yaml.safe_load(block) == RunSettings().model_dump(mode="json")
