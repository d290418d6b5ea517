"""Trains the arms of an ablation, each with every seed, and makes their clips. Everything resumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.errors import ManifestError
from mmbench.model.train.release import RELEASES
from mmbench.studies.ablations.arms import BASE, Ablation, Arm

if TYPE_CHECKING:
    from mmbench.items import Item
    from mmbench.model.train.loop import Report
    from mmbench.model.train.settings import StageSettings, TrainSettings
    from mmbench.studies.training import Validation

POINTS = 4
"""Measurements of a curve, the last one at its end."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """One arm trained with one seed: its folder, its settings, how many parameters it trained."""

    arm: Arm
    seed: int
    folder: Path
    parameters: int
    items: tuple[Item, ...]

    def at(self, step: int) -> tuple[Item, ...]:
        """The clips of one step."""
        return tuple(item for item in self.items if item.step == step)


def total_steps(settings: TrainSettings) -> int:
    """Steps of all stages: what every arm is trained for."""
    return sum(stage.steps for stage in settings.stages)


def arm_settings(settings: TrainSettings, arm: Arm, seed: int, points: int) -> TrainSettings:
    """The settings of one arm: its variant and stages, and clips at `points` equally spaced steps.

    Raises ManifestError where the settings lack the arm's stages (`image` and `video` for both), or the steps cannot be
    divided.
    """
    by_name = {stage.name: stage for stage in settings.stages}
    if arm.train == "adapter" and set(by_name) != {"image", "video"}:
        raise ManifestError("An ablation needs two stages.", "Call them image and video (preset nano-ablation).")
    total = total_steps(settings) if arm.train == "adapter" else by_name[arm.stages].steps
    if total % points:
        raise ManifestError(f"{total} steps cannot be measured at {points} equal distances.", "Change stages.steps.")
    stages: tuple[StageSettings, ...] = settings.stages
    if arm.stages != "both":
        stages = (by_name[arm.stages].model_copy(update={"steps": total}),)
    model = settings.model.model_copy(
        update={
            "variant": arm.variant,
            "train": arm.train,
            "face_encoder": {**settings.model.face_encoder, **arm.face_encoder},
        }
    )
    validation = settings.validation.model_copy(update={"every": total // points})
    changed: dict[str, object] = {"seed": seed, "model": model, "stages": stages, "validation": validation}
    if arm.shown == "stranger":  # no identity to learn, so none to be asked for
        changed["samples"] = settings.samples.model_copy(update={"shown": "stranger"})
        changed["loss"] = settings.loss.model_copy(update={"identity": None})
    return settings.model_copy(update=changed)


def make_arms(
    ablation: Ablation,
    settings: TrainSettings,
    folder: Path,
    out: Path,
    seeds: Sequence[int],
    *,
    tell: Tell | None = None,
    report: Report | None = None,
) -> Iterator[Trained]:
    """Train every arm with every seed below `out/arms`, seed by seed, and make its clips; what is there is kept.

    The first arm's clips before any training are the base's. An arm that two ablations share is trained once where
    they share `out`. Raises what training raises.
    """
    points = POINTS if ablation.curve else 1
    for seed in seeds:
        for number, arm in enumerate(ablation.arms):
            if tell is not None:
                tell(f"{arm.name}, seed {seed}")
            yield from _one(arm, arm_settings(settings, arm, seed, points), folder, out, number == 0, report)


def _one(
    arm: Arm, settings: TrainSettings, folder: Path, out: Path, base_too: bool, report: Report | None
) -> Iterator[Trained]:
    from mmbench.engine.alone import alone
    from mmbench.model.train.loop import train
    from mmbench.studies.training import Validation

    place = out / "arms" / arm.slug / f"seed-{settings.seed}"
    clips = Validation(settings, folder, place / "clips")
    steps = [settings.validation.every * k for k in range(1, total_steps(settings) // settings.validation.every + 1)]
    clips.check()
    done = place / "run" / ("adapter/fp32" if arm.train == "adapter" else RELEASES[arm.train])
    if done.is_dir():
        _same_training(place / "run" / "settings.yaml", settings)
    else:
        result = train(settings, folder, place / "run", resume=True, report=report, validate=clips.make)
        if result.interrupted:  # told to stop, it has saved: the same call goes on from there
            raise KeyboardInterrupt
    missing = [step for step in steps if not clips.has(step)]
    for step in missing:
        if step != steps[-1]:
            raise ManifestError(f"{place}: was trained without clips at step {step}.", "Delete that folder.")
    if missing:
        _make_again(settings, folder, done, clips, steps[-1])
    base = Arm(BASE, arm.variant, says="the base model, before any training")
    if base_too:
        slug = BASE if arm.train == "adapter" else f"{BASE}-{arm.train}"
        held = Validation(settings, folder, out / "arms" / slug / f"seed-{settings.seed}" / "clips")
        if not held.has(0):
            with alone(held.out, "making clips"):
                _make_again(settings, folder, None, held, 0)
        yield _trained(base, settings.seed, held.out.parent, 0, held)
    yield _trained(arm, settings.seed, place, _parameters(done), clips)


def _same_training(path: Path, settings: TrainSettings) -> None:
    """Raise ManifestError where an arm that is there was trained with other settings."""
    from mmbench.model.train.settings import TrainSettings, changed_settings

    if changed := changed_settings(TrainSettings.from_yaml(path).of_learning(), settings.of_learning()):
        raise ManifestError(
            f"{path.parent}: was trained with other settings: {changed[:300]}.", "Use those, or another --out."
        )


def _make_again(settings: TrainSettings, folder: Path, trained: Path | None, clips: Validation, step: int) -> None:
    """The clips of a release on disk, or of what nobody has trained: an adapter starts by changing nothing."""
    import torch

    from mmbench.device import torch_device
    from mmbench.model.train.build import build

    given: dict[str, Path | None] = {"adapter": None if trained is None else trained.resolve()}
    if settings.model.train == "norm-only":  # untrained norms are those that the settings name, or the base's
        given = {} if trained is None else {"norms": trained.resolve() / "norms.safetensors"}
    model = settings.model.model_copy(update=given)
    with torch.no_grad():
        clips.make(
            build(settings.model_copy(update={"model": model}), folder, torch_device(settings.machine.device)), step
        )


def _parameters(release: Path) -> int:
    from safetensors.torch import load_file

    from mmbench.model.pipeline.adapter_file import read_adapter

    if (norms := release / "norms.safetensors").is_file():
        return sum(tensor.numel() for tensor in load_file(norms).values())
    held = read_adapter(str(release))
    return sum(tensor.numel() for part in (held.transformer, held.face_encoder) for tensor in part.values())


def _trained(arm: Arm, seed: int, folder: Path, parameters: int, clips: Validation) -> Trained:
    """The clips under the arm's name. A clip's seed tells the training's too, so that arms are paired within one."""
    items = tuple(
        replace(item, id=f"{arm.name}/{seed}/{item.step}/{item.video.stem}", model=arm.name) for item in clips.items()
    )
    return Trained(arm, seed, folder, parameters, items)
