"""Make the videos of one model for a test set: first frames first, then video after video; to be continued."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mmbench.baselines.contract import Baseline
from mmbench.files import Progress
from mmbench.runs.evaluate.record import attempt_facts
from mmbench.runs.generate.folder import RunFolder
from mmbench.runs.generate.plan import (
    Shard,
    VideoSettings,
    check_settings,
    choose_jobs,
    label_of,
    plan_jobs,
    testset_digest,
)
from mmbench.runs.generate.weights import prepare_weights
from mmbench.runs.generate.work import Work


@dataclass(frozen=True)
class Machine:
    """Where to compute: "cpu", "cuda" or "cuda:1"; "auto" dtype is the published one.

    `weights` is a folder instead of the cache, `python` the interpreter of another environment to run the model in.
    """

    device: str = "cpu"
    dtype: str = "auto"
    weights: Path | None = None
    python: Path | None = None


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
    settings: VideoSettings,
    out: Path,
    *,
    limit: int | None = None,
    shard: Shard | None = None,
    prompts: Collection[str] = (),
    machine: Machine | None = None,
    first_frames: Path | None = None,
    progress: Progress | None = None,
) -> Generated:
    """Make the videos of `settings` in `out`, skipping those that are there; see `generate_folder` for the layout.

    `prompts` keeps only videos of these prompt ids, `limit` only the first ones, `shard` an equal part of what is
    left. Several processes may work in one folder at once, each on what no other is making. `first_frames` is a
    folder that models may share. Killed at any moment, it loses the video in the making, and the same call finishes
    the rest. A request that fails is recorded and does not stop the others. Raises RequestError, MissingWeights,
    ManifestError before the first video.
    """
    from mmbench.baselines.session import Session
    from mmbench.testsets.load import load_testset

    machine = machine or Machine()
    testset = load_testset(settings.testset)
    model = create_model(settings, machine.python)
    variant = model.pick_variant(settings.variant)
    everything = plan_jobs(testset, settings.seed)
    jobs = choose_jobs(everything, prompts, limit, shard)
    check_settings(model, variant, jobs, settings)
    run = RunFolder(out, label_of(settings, model, variant), everything)
    # what is compared when the run is continued: the set by its content, the variant by its name
    fixed = settings.model_copy(update={"variant": variant, "testset": testset.name})
    run.open(fixed, testset_digest(testset), attempt_facts())
    work = Work(run, model, variant, settings, machine.device, jobs, progress)
    with Session(prepare_weights(machine.weights, model, variant), machine.device, machine.dtype) as session:
        if model.kind == "i2v":
            work.prepare_first_frames(first_frames or out / "first_frames", session)
        work.make_videos(session)
    manifest = run.write_manifest()
    failed = tuple(sorted(work.failed.items()))
    random = variant in model.tiny_variants
    return Generated(run.label, out, manifest, work.before, work.made, failed, work.elsewhere, random)


def create_model(settings: VideoSettings, python: Path | None = None) -> Baseline:
    """The unloaded model of `settings`, in this process or in the environment of the interpreter `python`."""
    from mmbench.baselines import registry
    from mmbench.baselines.remote.client import Remote

    if python is not None:
        return Remote(settings.model, python, settings.prompt_kind)
    return registry.create(settings.model, settings.prompt_kind)


def default_folder(settings: VideoSettings, python: Path | None = None) -> Path:
    """`runs/SET/MODEL` below the current folder."""
    model = create_model(settings, python)
    label = label_of(settings, model, model.pick_variant(settings.variant))
    model.close()
    return Path("runs") / Path(settings.testset).name / label
