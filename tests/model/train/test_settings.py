"""Presets are complete and as the paper says; a file may begin with one; faults are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmbench.errors import ManifestError
from mmbench.model.network.configs import SIZES
from mmbench.model.network.variants import VARIANTS
from mmbench.model.train.plan import check_divides
from mmbench.model.train.settings import as_learned, changed_settings, preset_names, read_settings


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_complete(name: str) -> None:
    settings, _ = read_settings(name)
    assert settings.model.size in SIZES and settings.model.variant in VARIANTS
    for stage in settings.stages:
        for source in stage.data:
            check_divides(source.batch or stage.batch, settings.machine.micro_batch, 1)


def test_the_paper_s_stages() -> None:
    image, video = (read_settings(f"paper-{kind}")[0] for kind in ("image", "video"))
    assert [(s.steps, s.batch, s.lr) for s in (image.stages[0], video.stages[0])] == [
        (30000, 64, 1e-5),
        (5000, 8, 1e-5),
    ]
    for settings in (image, video):
        assert settings.loss.face_share == 0.5
        assert tuple(settings.loss.drops.model_dump().values()) == (0.05, 0.05, 0.05)
        assert settings.model.variant == "Full" and settings.model.train == "adapter"
    assert video.model.adapter is not None and image.model.adapter is None
    assert {"paper-image", "paper-video", "nano-base", "nano-image", "nano-video"} <= set(preset_names())


def test_a_file_says_only_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("preset: paper-video\nseed: 3\nmodel: {variant: G}\nmachine: {micro_batch: 2}\n")
    settings, folder = read_settings(str(path))
    preset, _ = read_settings("paper-video")
    assert folder == tmp_path
    assert (settings.seed, settings.model.variant, settings.machine.micro_batch) == (3, "G", 2)
    assert settings.model.base == preset.model.base and settings.stages == preset.stages


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("preset: none-such", "none-such"),
        ("preset: paper-image\nmodel: {colour: 1}", r"model\.colour: there is no such setting"),
        ("preset: paper-image\nloss: {drops: {identity: 0.9, text: 0.9}}", "at most 1"),
        ("- a list", "mapping"),
        ("seed: [", "YAML"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ManifestError, match=says):
        read_settings(str(path))
    with pytest.raises(ManifestError, match="paper-image"):
        read_settings(str(tmp_path / "absent.yaml"))


@pytest.mark.parametrize("name", preset_names())
def test_settings_kept_before_one_existed_are_still_these(name: str) -> None:
    now = read_settings(name)[0].of_learning()
    for group in ("samples", "model"):
        for key in now[group]:
            older = {**now, group: {k: v for k, v in now[group].items() if k != key}}
            default = (
                type(getattr(read_settings(name)[0], group)).model_fields[key].get_default(call_default_factory=True)
            )
            same = now[group][key] == (str(default) if isinstance(default, Path) else default)
            assert (changed_settings(as_learned(older), now) == "") == same, (group, key)
    gone = {**now, "samples": {**now["samples"], "no_more": 3}}
    assert "no_more was 3" in changed_settings(as_learned(gone), now)
