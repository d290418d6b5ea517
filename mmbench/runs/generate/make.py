"""Make the videos of one model for a test set: first frames first, then video after video; to be continued."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mmbench.baselines.contract import Baseline
from mmbench.config import GenerateSettings
from mmbench.engine.ray import RayCluster, run_on_ray
from mmbench.engine.shard import Shard, shard_of
from mmbench.errors import WorkerDied
from mmbench.files import Progress
from mmbench.runs.evaluate.record import attempt_facts
from mmbench.runs.generate.first_frames import FrameStore
from mmbench.runs.generate.folder import RunFolder
from mmbench.runs.generate.plan import (
    Job,
    check_settings,
    choose_jobs,
    label_of,
    plan_jobs,
    testset_digest,
    what_is_asked,
)
from mmbench.runs.generate.work import GenerateWork, Outcome
from mmbench.testsets.face_form import FACE
from mmbench.testsets.types import TestSet


@dataclass(frozen=True)
class Generated:
    """What a run did: videos there before, made now, and failed with their reasons; and the manifest of all.

    `elsewhere` videos are being made by other processes in the same folder. `random_weights` says that the model was
    an untrained one, whose videos are noise.
    """

    label: str
    folder: Path
    manifest: Path
    before: int
    made: int
    failed: tuple[tuple[str, str], ...]
    elsewhere: int = 0
    random_weights: bool = False


def generate(
    settings: GenerateSettings,
    testset: str | Path,
    out: Path,
    *,
    progress: Progress | None = None,
    cluster: RayCluster | None = None,
) -> Generated:
    """Make the videos of one model for a test set in `out`, skipping those that are there.

    `mmbench.runs.generate.folder` describes the layout. Several processes may work in one folder at once, each on what
    no other is making. Killed at any moment, it loses the video in the making, and the same call finishes the rest. A
    request that fails is recorded and does not stop the others. With a `cluster` its actors load the model once each
    and make the videos; all nodes see the same files. Raises RequestError, MissingWeights, ManifestError before the
    first video, and then leaves no run behind.
    """
    with opened_model(settings) as model:
        work, plan = planned(settings, testset, out, model, progress)
        run = work.run
        weights = work.weights()
        # what is compared when the run is continued: the set by its content, the variant by its name
        attempt = {**attempt_facts(), **({"shard": str(plan.shard)} if plan.shard.count > 1 else {})}
        asked = what_is_asked(settings, model, work.variant, plan.testset.name)
        run.open(asked, testset_digest(plan.testset), attempt, plan.wanted)
        try:
            if cluster is None:
                carry_out(work, weights)
            else:
                make_on_cluster(work, testset, cluster)
        except BaseException:
            if not work.made and not work.failed:
                run.abandon()
            raise
        random = work.variant in model.tiny_variants
    manifest = run.write_manifest()
    failed = tuple(sorted(work.failed.items()))
    return Generated(run.label, out, manifest, work.before, work.made, failed, work.elsewhere, random)


@dataclass(frozen=True)
class VideoPlan:
    """What a call is about: the set, this process's part, and the videos that all parts make together."""

    testset: TestSet
    shard: Shard
    wanted: tuple[Job, ...]


def planned(
    settings: GenerateSettings, testset: str | Path, out: Path, model: Baseline, progress: Progress | None = None
) -> tuple[GenerateWork, VideoPlan]:
    """The work of a call, looked at and not begun. Raises as `generate`."""
    from mmbench.testsets.load import load_testset

    chosen = load_testset(testset)
    variant = model.pick_variant(settings.variant)
    everything = plan_jobs(chosen, settings.seed, settings.prompt_kind == FACE)
    shard = shard_of(settings.shard)
    wanted = choose_jobs(everything, settings.prompts, settings.limit)
    jobs = choose_jobs(everything, settings.prompts, settings.limit, shard)
    check_settings(model, variant, jobs, settings)
    run = RunFolder(out, label_of(settings, model, variant), everything)
    work = GenerateWork(run, model, variant, settings, jobs, progress)
    work.plan_openings(settings.first_frames or out / "first_frames")
    return work, VideoPlan(chosen, shard, tuple(wanted))


def carry_out(work: GenerateWork, weights: Path) -> None:
    """Make what `work` lacks, one network in memory at a time."""
    from mmbench.baselines.session import Session

    with Session(weights, work.settings.device, work.settings.dtype) as session:
        work.make(session)


def make_on_cluster(work: GenerateWork, testset: str | Path, cluster: RayCluster) -> None:
    """Make what `work` lacks over a Ray cluster: all opening pictures first, then the videos.

    This process counts and writes the manifest; actors write videos, and failures where they met them. A job at which
    three actors die is a failure with that reason.
    """
    by_name = {job.name: job for job in work.pending}

    def lost(name: str, died: WorkerDied) -> tuple[Outcome, str]:
        work.run.note_failure(by_name[name], died, "video")
        return "failed", f"video: WorkerDied: {died.message}"

    for stage in ("opening", "video") if isinstance(work.openings, FrameStore) else ("video",):
        names = [name for name in by_name if name not in work.failed]
        setup = partial(_served, work.settings, str(testset), work.run.folder, stage)

        def on_result(name: str, told: tuple[Outcome, str], stage: str = stage) -> None:
            if stage == "video" or told[0] == "failed":
                work.count(by_name[name], *told)

        if names:
            run_on_ray(names, setup, cluster, on_result=on_result, lost=lost)


@contextmanager
def _served(
    settings: GenerateSettings, testset: str, out: Path, stage: str, worker: int
) -> Iterator[Callable[[str], tuple[Outcome, str]]]:
    """An actor's side: the model, loaded once, and a function that makes the job of a name and says what came of it."""
    from mmbench.baselines.session import Session
    from mmbench.testsets.load import load_testset

    with opened_model(settings) as model:
        variant = model.pick_variant(settings.variant)
        jobs = plan_jobs(load_testset(testset), settings.seed, settings.prompt_kind == FACE)
        work = GenerateWork(RunFolder(out, label_of(settings, model, variant), jobs), model, variant, settings, ())
        work.plan_openings(settings.first_frames or out / "first_frames")
        weights = work.weights()
        by_name = {job.name: job for job in jobs}
        with Session(weights, settings.device, settings.dtype) as session:
            if stage == "video":
                work.load(session)
            make = work.make_video if stage == "video" else work.make_opening

            def do(name: str) -> tuple[Outcome, str]:
                outcome = make(by_name[name], session)
                return outcome, work.failed.pop(name, "")

            yield do


@contextmanager
def opened_model(settings: GenerateSettings) -> Iterator[Baseline]:
    """The unloaded model of `settings`: in this process, or in another interpreter's, which ends with the block."""
    from mmbench.baselines import registry
    from mmbench.baselines.remote.client import Remote

    kind = None if settings.prompt_kind == FACE else settings.prompt_kind
    if settings.python is None:
        yield registry.create(settings.model, kind)
        return
    far = Remote(settings.model, settings.python, kind)
    try:
        yield far
    finally:
        far.close()


def default_folder(settings: GenerateSettings, testset: str | Path) -> Path:
    """`runs/SET/MODEL` below the current folder."""
    with opened_model(settings) as model:
        label = label_of(settings, model, model.pick_variant(settings.variant))
    return Path("runs") / Path(testset).name / label
