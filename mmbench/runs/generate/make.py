"""Make the videos of one model for a test set: first frames first, then video after video; to be continued."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mmbench.baselines.contract import Baseline
from mmbench.config import GenerateSettings
from mmbench.engine.shard import shard_of
from mmbench.files import Progress
from mmbench.runs.evaluate.record import attempt_facts
from mmbench.runs.generate.folder import RunFolder
from mmbench.runs.generate.plan import (
    FACE,
    check_settings,
    choose_jobs,
    label_of,
    plan_jobs,
    testset_digest,
    what_is_asked,
)
from mmbench.runs.generate.work import GenerateWork


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
    settings: GenerateSettings, testset: str | Path, out: Path, *, progress: Progress | None = None
) -> Generated:
    """Make the videos of one model for a test set in `out`, skipping those that are there.

    `mmbench.runs.generate.folder` describes the layout. Several processes may work in one folder at once, each on what
    no other is making. Killed at any moment, it loses the video in the making, and the same call finishes the rest. A
    request that fails is recorded and does not stop the others. Raises RequestError, MissingWeights, ManifestError
    before the first video, and then leaves no run behind.
    """
    from mmbench.testsets.load import load_testset

    chosen = load_testset(testset)
    with opened_model(settings) as model:
        variant = model.pick_variant(settings.variant)
        everything = plan_jobs(chosen, settings.seed, settings.prompt_kind == FACE)
        shard = shard_of(settings.shard)
        wanted = choose_jobs(everything, settings.prompts, settings.limit)
        jobs = choose_jobs(everything, settings.prompts, settings.limit, shard)
        check_settings(model, variant, jobs, settings)
        run = RunFolder(out, label_of(settings, model, variant), everything)
        work = GenerateWork(run, model, variant, settings, jobs, progress)
        work.plan_openings(settings.first_frames or out / "first_frames")
        weights = work.weights()
        # what is compared when the run is continued: the set by its content, the variant by its name
        attempt = {**attempt_facts(), **({"shard": str(shard)} if shard.count > 1 else {})}
        run.open(what_is_asked(settings, model, variant, chosen.name), testset_digest(chosen), attempt, wanted)
        try:
            carry_out(work, weights)
        except BaseException:
            if not work.made and not work.failed:
                run.abandon()
            raise
    manifest = run.write_manifest()
    failed = tuple(sorted(work.failed.items()))
    random = variant in model.tiny_variants
    return Generated(run.label, out, manifest, work.before, work.made, failed, work.elsewhere, random)


def carry_out(work: GenerateWork, weights: Path) -> None:
    """Make what `work` lacks, one network in memory at a time."""
    from mmbench.baselines.session import Session

    with Session(weights, work.settings.device, work.settings.dtype) as session:
        work.make(session)


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
