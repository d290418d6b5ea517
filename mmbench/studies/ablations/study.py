"""The whole of an ablation in one call: train the arms, make their clips, measure, write the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.config import EvaluateSettings, FlowSettings
from mmbench.errors import MissingWeights, RequestError
from mmbench.studies.ablations.arms import ablation_of
from mmbench.studies.ablations.make import Tell, make_arms
from mmbench.studies.ablations.measure import AblationFound, flow_backend, measure
from mmbench.studies.ablations.page import write_page

if TYPE_CHECKING:
    from mmbench.files import Progress
    from mmbench.model.train.loop import Report
    from mmbench.model.train.settings import TrainSettings

SEEDS = (0, 1, 2)
NANO_START = Path("runs") / "nano-start"
"""What the preset nano-ablation starts from, relative to the settings."""


@dataclass(frozen=True)
class AblateOptions:
    """`seeds` of training; `report`: folder of the page (`out/NAME` by default); `workers` of the evaluation.

    `tell` is told each arm when its turn comes, `step` each step of training.
    """

    seeds: Sequence[int] = SEEDS
    report: Path | None = None
    workers: int = 1
    tell: Tell | None = None
    step: Report | None = None


def ablate(
    name: str,
    settings: TrainSettings,
    folder: Path,
    out: Path,
    options: AblateOptions | None = None,
    *,
    progress: Progress | None = None,
) -> tuple[AblationFound, Path]:
    """Run the ablation `name` of `ABLATIONS`; paths in `settings` are relative to `folder`. Everything resumes.

    Arms, clips and rows go below `out`, which ablations of equal settings share. Returns what was found and the page.
    Raises RequestError for an unknown ablation or no seeds, ManifestError for settings without its stages, and what
    training and evaluation raise.
    """
    ablation = ablation_of(name, settings)
    chosen = options or AblateOptions()
    if not chosen.seeds:
        raise RequestError("An ablation needs at least one seed.", "Name three or more.")
    start_from_bundled(settings, folder)
    made = list(make_arms(ablation, settings, folder, out, chosen.seeds, tell=chosen.tell, report=chosen.step))
    wanted = settings.validation
    measured_by = EvaluateSettings(
        metrics=wanted.metrics,
        flow=FlowSettings(backend=flow_backend(settings)),
        device=settings.machine.device,
        random_weights=wanted.random_weights,
    )
    run = out / f"evaluation-{name}"
    found = measure(ablation, made, run, measured_by, workers=chosen.workers, progress=progress)
    return found, write_page(found, settings, made, chosen.report or out / name)


def start_from_bundled(settings: TrainSettings, folder: Path) -> None:
    """Unpack the bundled nano model where the settings start from it and it is not unpacked yet.

    Raises MissingWeights where their people are not rendered yet.
    """
    if settings.model.base != str(NANO_START):
        return
    from mmbench.baselines.magic_mirror.model import TRAINED_NANO
    from mmbench.model.small.trained import unpack

    unpack(TRAINED_NANO, folder / NANO_START)
    for stage in settings.stages:
        for source in stage.data:
            world = folder / str(source.options.get("world", ""))
            if not any(world.glob("train_*.npz")):
                raise MissingWeights(f"There are no rendered people in {world}.", f"mmbench nano world --out {world}")
