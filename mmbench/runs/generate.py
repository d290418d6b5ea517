"""Make the videos of one model for a test set: first frames first, then video after video; to be continued."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.baselines.contract import Baseline
from mmbench.errors import GenerationError
from mmbench.runs.first_frames import FrameStore, make_first_frames, maker_label, pick_first_frame_variant
from mmbench.runs.generate_claims import claim
from mmbench.runs.generate_folder import RunFolder, generator_versions
from mmbench.runs.generate_plan import (
    Job,
    Shard,
    VideoSettings,
    check_settings,
    choose_jobs,
    label_of,
    plan_jobs,
    request_for,
    testset_digest,
)
from mmbench.runs.generate_weights import prepare_weights
from mmbench.runs.manifest import attempt_facts
from mmbench.weights.cache import sha256_of

if TYPE_CHECKING:
    from mmbench.baselines.session import Session

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Machine:
    """Where to compute: "cpu", "cuda" or "cuda:1"; "auto" dtype is the published one.

    `weights` is a folder instead of the cache, `python` the interpreter of another environment to run the
    model in.
    """

    device: str = "cpu"
    dtype: str = "auto"
    weights: Path | None = None
    python: Path | None = None


@dataclass(frozen=True)
class Generated:
    """What a run did: videos there before, made now, and failed with their reasons; and the manifest of all.

    `elsewhere` videos are being made by other processes in the same folder.
    """

    label: str
    folder: Path
    manifest: Path
    before: int
    made: int
    failed: tuple[tuple[str, str], ...]
    elsewhere: int = 0


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
    """Make the videos of `settings` in `out`, skipping those that are there; see `generate_folder` for the
    layout.

    `limit` takes only the first videos of the set, `shard` an equal part of them; several shards may write to
    one folder at once. `first_frames` is a folder that models may share. Killed at any moment, it loses the
    video in the making, and the same call finishes the rest. A request that fails is recorded and does not
    stop the others. Raises RequestError, MissingWeights, ManifestError before the first video.
    """
    from mmbench.baselines.session import Session
    from mmbench.testsets.load import load_testset

    machine = machine or Machine()
    testset = load_testset(settings.testset)
    model = create_model(settings, machine.python)
    variant = model.pick_variant(settings.variant)
    run = RunFolder(out, label_of(settings, model, variant))
    everything = plan_jobs(testset, settings.seed)
    jobs = choose_jobs(everything, prompts, limit, shard)
    check_settings(model, variant, jobs, settings)
    # what is compared when the run is continued: the set by its content, the variant by its name
    fixed = settings.model_copy(update={"variant": variant, "testset": testset.name})
    run.open(fixed, testset_digest(testset), attempt_facts())
    work = _Work(run, model, variant, settings, jobs, machine.device, progress)
    with Session(prepare_weights(machine.weights, model, variant), machine.device, machine.dtype) as session:
        if model.kind == "i2v":
            work.prepare_first_frames(first_frames or out / "first_frames", session)
        work.make_videos(session)
    manifest = run.write_manifest(everything, work.conditions(everything))
    failed = tuple(sorted(work.failed.items()))
    return Generated(run.label, out, manifest, work.before, work.made, failed, work.elsewhere)


def create_model(settings: VideoSettings, python: Path | None = None) -> Baseline:
    """The unloaded model of `settings`, in this process or in the environment of the interpreter `python`."""
    from mmbench.baselines import registry
    from mmbench.baselines.remote import Remote

    if python is not None:
        return Remote(settings.model, python, settings.prompt_kind)
    return registry.create(settings.model, settings.prompt_kind)


def default_folder(settings: VideoSettings, python: Path | None = None) -> Path:
    """`runs/SET/MODEL` below the current folder."""
    model = create_model(settings, python)
    label = label_of(settings, model, model.pick_variant(settings.variant))
    model.close()
    return Path("runs") / Path(settings.testset).name / label


class _Work:
    """One invocation: the jobs it is to do, and what has come of them."""

    def __init__(
        self,
        run: RunFolder,
        model: Baseline,
        variant: str,
        settings: VideoSettings,
        jobs: Sequence[Job],
        device: str,
        progress: Progress | None,
    ) -> None:
        self.run = run
        self.model = model
        self.variant = variant
        self.settings = settings
        self.device = device
        self.progress = progress
        self.total = len(jobs)
        self.pending = [job for job in jobs if not run.is_done(job)]
        self.before = len(jobs) - len(self.pending)
        self.made = 0
        self.elsewhere = 0
        self.failed: dict[str, str] = {}
        self.store: FrameStore | None = None

    def prepare_first_frames(self, folder: Path, session: Session) -> None:
        """Make the opening pictures that are lacking; a job without one has failed."""
        from mmbench.baselines import registry

        maker = registry.create_first_frame(self.settings.first_frame)
        variant = pick_first_frame_variant(maker, self.settings.first_frame_variant, self.model, self.variant)
        size = self.settings.size or self.model.native(self.variant).size
        self.store = FrameStore(folder, maker_label(maker, variant), size)
        prepare_weights(session.weights_dir, maker, variant)
        make_first_frames(self.pending, self.store, maker, variant, session, self._failed_frame, self.progress)
        self.pending = [job for job in self.pending if job.name not in self.failed]

    def make_videos(self, session: Session) -> None:
        """Load the model, if there is anything to do, and make one video after the other."""
        self._report()
        if self.pending:
            session.load(self.model, self.variant)
        for job in self.pending:
            with claim(self.run.folder, job.name) as mine:
                if not mine:
                    self.elsewhere += 1
                elif self.run.is_done(job):
                    self.before += 1
                else:
                    self._make(job, session)
            self._report()

    def conditions(self, jobs: Sequence[Job]) -> dict[str, Path]:
        """The opening picture of each job, for the manifest."""
        return {job.name: self.store.path(job) for job in jobs} if self.store else {}

    def _make(self, job: Job, session: Session) -> None:
        self.run.clean(job)
        try:
            self.run.copy_references(job)
            first_frame = self.store.open(job) if self.store else None
            video = self.model.generate(request_for(job, self.settings, first_frame))
            self.run.keep(job, video, self._facts(job))
        except Exception as error:
            # One request must not stop the others; its reason is kept and the next run tries it again.
            self._fail(job, error, "video")
            self._restart(error, session)
        else:
            self.made += 1

    def _restart(self, error: Exception, session: Session) -> None:
        """Load a model anew whose process may have died; one of this process is still there."""
        from mmbench.baselines.remote import Remote

        if isinstance(self.model, Remote) and isinstance(error, GenerationError):
            session.close()
            session.load(self.model, self.variant)

    def _failed_frame(self, job: Job, error: Exception) -> None:
        self._fail(job, error, "first frame")

    def _fail(self, job: Job, error: Exception, stage: str) -> None:
        self.run.note_failure(job, error, stage)
        self.failed[job.name] = f"{stage}: {type(error).__name__}: {error}"

    def _report(self) -> None:
        if self.progress:
            self.progress(
                self.before + self.made + len(self.failed) + self.elsewhere, self.total, f"videos of {self.run.label}"
            )

    def _facts(self, job: Job) -> dict[str, Any]:
        store = self.store
        return {
            "variant": self.variant,
            "random_weights": self.variant in self.model.tiny_variants,
            "prompt_kind": self.model.prompt_kind,
            "base_seed": self.settings.seed,
            "references": [sha256_of(path) for path in job.identity.references],
            "first_frame": {"maker": store.maker, "sha256": sha256_of(store.path(job))} if store else None,
            "licence": self.model.licence,
            "device": self.device,
            "versions": generator_versions(),
        }
