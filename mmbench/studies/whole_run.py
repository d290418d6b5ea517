"""The whole way of `mmbench run`: generate (or take videos), evaluate, report. Every step resumes by itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mmbench.config import RunSettings
from mmbench.errors import ManifestError, MissingWeights
from mmbench.files import Progress

if TYPE_CHECKING:
    from mmbench.reports.build import ReportPaths
    from mmbench.runs.evaluate.evaluate import EvaluateResult
    from mmbench.runs.generate.make import Generated
    from mmbench.runs.inputs.collection import Collection


@dataclass(frozen=True)
class WholeRun:
    """What a whole run leaves behind; `lacking` says which models made no videos for want of their weights."""

    evaluation: EvaluateResult
    report: ReportPaths
    generated: tuple[Generated, ...] = ()
    lacking: tuple[MissingWeights, ...] = ()

    @property
    def complete(self) -> bool:
        """True when every video was made and measured."""
        return self.evaluation.complete and not self.lacking and not any(run.failed for run in self.generated)


def default_settings() -> Path:
    """The embedded settings: the bundled synthetic set and its control systems."""
    import mmbench.testsets

    return Path(mmbench.testsets.__path__[0]) / "synthetic50" / "leaderboard.yaml"


def run_all(
    settings: RunSettings,
    base: Path,
    out: Path,
    report: Path | None = None,
    *,
    workers: int = 1,
    progress: Progress | None = None,
    tell: Callable[[Collection], None] | None = None,
    strict: bool = False,
) -> WholeRun:
    """Generate, evaluate and report into `out`; paths in `settings` are relative to `base`.

    `tell` is given the videos, with what was passed over, before any is measured. With `strict`, or where the settings
    say so, nothing is measured when anything was passed over, cut, merged or overruled.

    Raises ManifestError when the settings name neither models nor videos, and for what `strict` refuses; errors of the
    steps pass through.
    """
    from mmbench.reports.build import build_report, check_folder, report_options
    from mmbench.runs.evaluate.evaluate import evaluate
    from mmbench.runs.inputs.collection import Collection
    from mmbench.runs.inputs.manifest import collect_manifest

    place = report or out / "report"
    check_folder(place)
    generated, lacking = generated_videos(settings, out, progress) if settings.generate.models else ((), ())
    if generated:
        found = [collect_manifest(run.manifest) for run in generated]
        inputs = Collection(
            tuple(item for one in found for item in one.items),
            (*(note for one in found for note in one.notes), *(f"no videos: {cause.message}" for cause in lacking)),
        )
    else:
        inputs = given_items(settings, base)
    if tell:
        tell(inputs)
    if strict or settings.strict:
        inputs.strict()
    done = evaluate(
        inputs.items, out / "evaluation", settings.evaluate, workers=workers, notes=inputs.notes, progress=progress
    )
    return WholeRun(done, build_report(done.run, place, report_options(settings.report)), generated, lacking)


def given_items(settings: RunSettings, base: Path) -> Collection:
    """Items of existing videos: the settings' manifest, or the clips bundled with the test set."""
    from mmbench.runs.inputs.manifest import collect_manifest

    if settings.manifest is not None:
        return collect_manifest(base / settings.manifest)
    if settings.testset is None:
        raise ManifestError("The settings name no videos.", "Set `manifest`, or `testset`, or `generate.models`.")
    from mmbench.testsets.load import load_testset

    bundled = load_testset(settings.testset).folder / "manifest.csv"
    if not bundled.is_file():
        raise ManifestError(
            f"The test set {settings.testset} has no clips of its own.", "Name models to generate: `generate.models`."
        )
    return collect_manifest(bundled)


def generated_videos(
    settings: RunSettings, out: Path, progress: Progress | None
) -> tuple[tuple[Generated, ...], tuple[MissingWeights, ...]]:
    """Videos of the test set by each of the settings' models, one model after the other; finished ones are kept.

    Where the report takes columns from face-enhanced prompts, each model makes those videos too, from opening pictures
    of such prompts: given ones (`generate.first_frames`) are of the plain form. A model whose weights
    are missing makes none and is told; the others go on. Raises MissingWeights where it is all of them.
    """
    from mmbench.runs.generate.make import generate

    if settings.testset is None:
        raise ManifestError("The settings name models but no test set.", "Set `testset`.")
    wanted = settings.generate
    forms: tuple[Literal["face"] | None, ...] = (None, "face") if settings.report.face_form else (None,)
    made: list[Generated] = []
    lacking: list[MissingWeights] = []
    for model in wanted.models:
        folder = out / "videos" / re.sub(r"[^A-Za-z0-9._-]+", "_", model)
        for form in forms:
            place, frames = folder, wanted.first_frames or out / "first_frames"
            if form is not None:
                if model.startswith("folder:"):  # finished videos have the form they have
                    continue
                place, frames = folder.with_name(f"{folder.name}-{form}"), out / f"first_frames-{form}"
            one = wanted.model_copy(update={"first_frames": frames}).for_model(model)
            if form is not None:
                one = one.model_copy(update={"prompt_kind": form})
            try:
                made.append(generate(one, settings.testset, place, progress=progress))
            except MissingWeights as cause:
                lacking.append(cause)
                break
    if not made:
        raise lacking[0]
    return tuple(made), tuple(lacking)
