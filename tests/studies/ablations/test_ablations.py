"""Ablations: arms of equal training, resumed and shared; claims on planted values; the page and its document."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmbench.config import EvaluateSettings
from mmbench.errors import ManifestError, RequestError
from mmbench.metrics.registry import facts_by_name
from mmbench.model.network.variants import VARIANTS
from mmbench.model.train.drawn import drawn_settings, make_world
from mmbench.model.train.settings import TrainSettings, read_settings
from mmbench.reports.figures.ablation import read_ablation
from mmbench.studies.ablations.arms import (
    ABLATIONS,
    BASE,
    FULL,
    IMAGE_ONLY,
    MODULE_ARMS,
    NO_CAN,
    NO_IDENTITY,
    VIDEO_ONLY,
    PaperClaim,
    ablation_of,
)
from mmbench.studies.ablations.make import arm_settings, make_arms, total_steps
from mmbench.studies.ablations.measure import measure, told_claims
from mmbench.studies.ablations.page import write_page
from mmbench.studies.ablations.sharpness import clip_sharpness
from mmbench.studies.ablations.study import AblateOptions, ablate
from mmbench.video.read import open_clip
from mmbench.video.write import enlarge, write_video


def settings(steps: int = 2) -> TrainSettings:
    """Two stages of a drawn world, and clips of two people of the bundled set."""
    stages = [
        {"name": name, "data": [{"shards": [folder]}], "steps": steps, "batch": 1}
        for name, folder in (("image", "images"), ("video", "clips"))
    ]
    validation = {"limit": 2, "steps": 2, "metrics": ["dynamic_degree"]}
    return drawn_settings(stages=stages, machine={"micro_batch": 1}, validation=validation, keep={"every": 1000})


@pytest.mark.parametrize("name", [name for name, ablation in ABLATIONS.items() if not ablation.each_stage])
def test_every_arm_and_claim_is_one(name: str) -> None:
    ablation = ABLATIONS[name]
    names = [arm.name for arm in ablation.arms]
    assert len(set(names)) == len(names)
    assert all(arm.variant in VARIANTS for arm in ablation.arms)
    assert {claim.better for claim in ablation.claims} | {claim.worse for claim in ablation.claims} <= set(names)


def test_arms_of_one_training_share_a_folder() -> None:
    (g,) = (arm for arm in MODULE_ARMS if arm.name == "G")
    assert g.slug == VIDEO_ONLY.slug
    slugs = {arm.slug for ablation in ABLATIONS.values() for arm in ablation.arms}
    kinds = {(a.variant, a.stages, str(a.face_encoder), a.shown) for x in ABLATIONS.values() for a in x.arms}
    assert len(slugs) == len(kinds)


def test_the_arm_without_identity_is_the_full_one_shown_strangers() -> None:
    own, other = (arm_settings(settings(), arm, 0, 1).of_learning() for arm in (FULL, NO_IDENTITY))
    assert (own["samples"].pop("shown"), other["samples"].pop("shown")) == ("own", "stranger")
    assert own == other


@pytest.mark.parametrize("arm", [FULL, IMAGE_ONLY, VIDEO_ONLY, NO_CAN, *MODULE_ARMS], ids=lambda arm: arm.name)
def test_every_arm_is_trained_for_equally_long(arm: object) -> None:
    held = arm_settings(settings(), arm, 5, 2)  # type: ignore[arg-type]
    assert sum(stage.steps for stage in held.stages) == total_steps(settings()) == 4
    assert (held.seed, held.validation.every) == (5, 2)
    assert [stage.name for stage in held.stages] == {
        "both": ["image", "video"],
        "image": ["image"],
        "video": ["video"],
    }[arm.stages]  # type: ignore[attr-defined]


def test_settings_that_cannot_be_ablated() -> None:
    with pytest.raises(ManifestError, match="two stages"):
        arm_settings(drawn_settings(), FULL, 0, 1)
    with pytest.raises(ManifestError, match="equal distances"):
        arm_settings(settings(), FULL, 0, 3)
    with pytest.raises(RequestError, match="no ablation 'x'"):
        ablate("x", settings(), Path(), Path("out"))
    with pytest.raises(RequestError, match="at least one seed"):
        ablate("can", settings(), Path(), Path("out"), AblateOptions(seeds=()))


def test_the_preset_is_one_that_can_be_ablated() -> None:
    preset, _ = read_settings("nano-ablation")
    norms, _ = read_settings("nano-norm")
    for name in ABLATIONS:
        chosen = norms if name == "norm" else preset
        arms = ablation_of(name, chosen).arms
        assert len(arms) > 1
        for arm in arms:
            arm_settings(chosen, arm, 0, 4)


def test_a_whole_ablation_resumes_and_is_written_down(tmp_path: Path) -> None:
    make_world(tmp_path, people=2)
    short = replace(ABLATIONS["stages"], arms=(IMAGE_ONLY, FULL), claims=ABLATIONS["stages"].claims[1:2])
    chosen = settings()
    made = list(make_arms(short, chosen, tmp_path, tmp_path / "out", (0, 1)))
    assert [(one.arm.name, one.seed) for one in made] == [
        (name, seed) for seed in (0, 1) for name in (BASE, "image only", "Full")
    ]
    assert [len(one.items) for one in made] == [2] * 6
    stamps = {item.video: item.video.stat().st_mtime_ns for one in made for item in one.items}
    last = made[-1].items[0].video
    last.unlink()
    again = list(make_arms(short, chosen, tmp_path, tmp_path / "out", (0, 1)))
    assert [one.items for one in again] == [one.items for one in made]
    assert {path for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp} == {last}, (
        "only what was missing"
    )

    longer = chosen.model_copy(update={"loss": chosen.loss.model_copy(update={"face_share": 0.25})})
    with pytest.raises(ManifestError, match=r"other settings: loss\.face_share was 0\.5, now 0\.25"):
        list(make_arms(short, longer, tmp_path, tmp_path / "out", (0,)))
    other = chosen.model_copy(update={"validation": chosen.validation.model_copy(update={"steps": 3})})
    with pytest.raises(ManifestError, match="other settings: steps was 2, now 3"):
        list(make_arms(short, other, tmp_path, tmp_path / "out", (0,)))

    options = EvaluateSettings(metrics=("dynamic_degree",), flow={"backend": "dis"})  # type: ignore[arg-type]
    found = measure(short, made, tmp_path / "run", options)
    assert [arm.name for arm in found.arms] == [BASE, "image only", "Full"]
    assert found.arms[0].parameters == 0 < found.arms[1].parameters == found.arms[2].parameters
    (claim,) = found.claims
    assert (claim.metric, len(claim.seeds)) == ("colour_shift", 2)
    assert "colour_shift" not in found.arms[0].means, "the base is what the others are held against"
    page = write_page(found, chosen, made, tmp_path / "page")
    text = page.read_text(encoding="utf-8")
    assert "| **Full** |" in text and "Full above image only" in text
    for name in ("arms.svg", "clips.png", "ablation.json"):
        assert (page.parent / name).stat().st_size > 0
    assert read_ablation(page.parent)["claims"][0]["verdict"] == claim.verdict


def test_stages_are_the_arms_where_norms_alone_are_tuned(tmp_path: Path) -> None:
    make_world(tmp_path, people=2)
    stages = [
        {"name": name, "data": [{"shards": ["clips"]}], "steps": steps, "batch": 1, "lr": rate}
        for name, steps, rate in (("natural", 2, 1e-5), ("worn", 2, 3e-2))
    ]
    base = settings()
    chosen = base.model_copy(update={"stages": TrainSettings.model_validate({"stages": stages}).stages})
    ablation = ablation_of("norm", chosen)
    assert [arm.name for arm in ablation.arms] == ["natural", "worn"]
    assert [(c.better, c.worse) for c in ablation.claims] == [("natural", "worn")], "no claim about looks that lack"
    for few in (stages[:1], [stages[0], {**stages[1], "steps": 3}]):
        with pytest.raises(ManifestError, match="two or more of equal steps"):
            ablation_of(
                "norm", base.model_copy(update={"stages": TrainSettings.model_validate({"stages": few}).stages})
            )
    made = list(make_arms(ablation, chosen, tmp_path, tmp_path / "out", (0,)))
    assert [one.arm.name for one in made] == [BASE, "natural", "worn"]
    assert made[0].parameters == 0 < made[1].parameters == made[2].parameters
    frames = [np.stack(list(open_clip(one.items[0].video).frames())) for one in made]
    assert abs(frames[0].astype(int) - frames[2]).mean() > 0, "its clips are the tuned norms'"
    lost = made[2].items[0].video
    before = frames[2]
    lost.unlink()
    again = list(make_arms(ablation, chosen, tmp_path, tmp_path / "out", (0,)))
    assert abs(np.stack(list(open_clip(again[2].items[0].video).frames())).astype(int) - before).mean() < 1, (
        "from the release"
    )
    options = EvaluateSettings(metrics=("dynamic_degree",), flow={"backend": "dis"})  # type: ignore[arg-type]
    found = measure(ablation, made, tmp_path / "run", options)
    assert [claim.metric for claim in found.claims] == ["sharpness"]
    assert "tuned on worn" in write_page(found, chosen, made, tmp_path / "page").read_text(encoding="utf-8")


def test_sharpness_falls_with_every_blur(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3)).astype(np.uint8)
    found = []
    for number, size in enumerate((48, 24, 12)):
        small = noise[:, :: 48 // size, :: 48 // size]
        write_video(path := tmp_path / f"{number}.mp4", enlarge(small, (96, 96)), 8.0)
        found.append(clip_sharpness(path))
    assert found[0] > found[1] > found[2] > 0


def planted(shift: float, seeds: int = 3, people: int = 20) -> tuple[dict, dict, dict]:  # type: ignore[type-arg]
    """Values of two arms that differ by `shift` but for a little noise, and which seed each clip is of."""
    rng = np.random.default_rng(0)
    keys = {(f"p{k}", 0, 100 * s + k): s for s in range(seeds) for k in range(people)}
    worse = {key: float(rng.normal(0.5, 0.1)) for key in keys}
    better = {key: value + shift + float(rng.normal(0, 0.01)) for key, value in worse.items()}
    return better, worse, keys


@pytest.mark.parametrize(("shift", "verdict"), [(0.05, "holds"), (-0.05, "reversed"), (0.0, "undecided")])
def test_claims_are_told_whichever_way_they_fall(shift: float, verdict: str) -> None:
    better, worse, seed_of = planted(shift)
    values = {"Full": {"id_similarity": better}, "F": {"id_similarity": worse}}
    (found,) = told_claims((PaperClaim("Full", "F", "identity", "x"),), values, facts_by_name(), seed_of)
    assert found.verdict == verdict
    assert found.difference.mean == pytest.approx(shift, abs=0.01)
    assert np.mean(found.seeds) == pytest.approx(found.difference.mean)


def test_where_lower_is_better_the_claim_turns() -> None:
    from mmbench.studies.ablations.colour import COLOUR

    better, worse, seed_of = planted(-0.05)
    values = {"Full": {COLOUR.name: better}, "image only": {COLOUR.name: worse}}
    (found,) = told_claims((PaperClaim("Full", "image only", "colour", "x"),), values, {COLOUR.name: COLOUR}, seed_of)
    assert (found.verdict, found.difference.mean < 0) == ("holds", True)
