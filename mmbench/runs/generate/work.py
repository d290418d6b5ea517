"""One invocation of a generation run: what is to be done, and what has come of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmbench.baselines.contract import Baseline, FirstFrame
from mmbench.config import GenerateSettings
from mmbench.errors import GenerationError
from mmbench.files import Progress, sha256_file
from mmbench.runs.generate.first_frames import (
    FrameStore,
    GivenFrame,
    make_first_frames,
    maker_label,
    pick_first_frame_variant,
)
from mmbench.runs.generate.folder import RunFolder
from mmbench.runs.generate.plan import Job, request_for
from mmbench.runs.generate.weights import prepare_weights, require_weights, weights_account
from mmbench.testsets.face_form import FACE

if TYPE_CHECKING:
    from mmbench.baselines.session import Session

Outcome = Literal["made", "before", "elsewhere", "failed"]
"""What came of a job; `before`: it was there, `elsewhere`: another process makes it."""

MANIFEST_EVERY = 10
"""Videos between two writings of the manifest, so that a killed run can be measured as far as it came."""


class GenerateWork:
    """Makes the videos of `jobs` that are not in `run` yet, and counts: before, made, failed, elsewhere."""

    def __init__(
        self,
        run: RunFolder,
        model: Baseline,
        variant: str,
        settings: GenerateSettings,
        jobs: Sequence[Job],
        progress: Progress | None = None,
    ) -> None:
        self.run = run
        self.model = model
        self.variant = variant
        self.settings = settings
        self.progress = progress
        self.total = len(jobs)
        self.pending = [job for job in jobs if not run.is_done(job)]
        self.before = len(jobs) - len(self.pending)
        self.made = 0
        self.elsewhere = 0
        self.failed: dict[str, str] = {}
        self.openings: FrameStore | GivenFrame | None = None
        self.maker: FirstFrame | None = None
        self.maker_variant = ""
        self.model_weights: list[dict[str, str]] = []

    def plan_openings(self, folder: Path, given: Path | None = None) -> None:
        """Where the opening pictures of an image-to-video model are, or will be; `given` is the user's own."""
        from mmbench.baselines.registry import create_first_frame

        if self.model.kind != "i2v":
            return
        if given is not None:
            self.openings = GivenFrame(given)
        else:
            self.maker = create_first_frame(self.settings.first_frame, self.settings.first_frame_options)
            self.maker_variant = pick_first_frame_variant(
                self.maker, self.settings.first_frame_variant, self.model, self.variant
            )
            size = self.settings.size or self.model.native(self.variant).size
            options = self.maker.changed_options(self.settings.first_frame_options)
            self.openings = FrameStore(
                folder, maker_label(self.maker, self.maker_variant), size, options, self.settings.dtype
            )
        self.run.conditions = self.openings.path

    def weights(self) -> Path:
        """The folder of weights. Raises MissingWeights now, not after hours, for what has yet to be loaded."""
        folder = self.settings.weights
        if self.pending:
            require_weights(folder, self.model, self.variant)
            if isinstance(self.openings, FrameStore) and not all(map(self.openings.is_done, self.pending)):
                assert self.maker is not None
                require_weights(folder, self.maker, self.maker_variant)
        return prepare_weights(folder, self.model, self.variant)

    def make(self, session: Session) -> None:
        """Make what is lacking: opening pictures first, then one video after the other."""
        if isinstance(self.openings, FrameStore):
            assert self.maker is not None
            if self.pending:
                prepare_weights(self.settings.weights, self.maker, self.maker_variant)
            make_first_frames(
                self.pending, self.openings, self.maker, self.maker_variant, session, self._failed_frame, self.progress
            )
            self.pending = [job for job in self.pending if job.name not in self.failed]
        self.make_videos(session)

    def make_opening(self, job: Job, session: Session) -> Outcome:
        """Make the opening picture of one job; nothing where the model takes none, or it is there."""
        if isinstance(self.openings, FrameStore):
            assert self.maker is not None
            make_first_frames([job], self.openings, self.maker, self.maker_variant, session, self._failed_frame)
        return "failed" if job.name in self.failed else "made"

    def make_videos(self, session: Session) -> None:
        """Load the model, if there is anything to do, and make one video after the other."""
        self._report()
        if self.pending:
            self.load(session)
        for job in self.pending:
            self.count(job, self.make_video(job, session))

    def load(self, session: Session) -> None:
        """Load the model."""
        session.load(self.model, self.variant)
        self.model_weights = weights_account(self.settings.weights, self.model, self.variant)

    def make_video(self, job: Job, session: Session) -> Outcome:
        """Make one video with the loaded model, where it is not there and nobody else makes it."""
        with self.run.claim(job) as mine:
            if not mine:
                return "elsewhere"
            if self.run.is_done(job):
                return "before"
            return self._make(job, session)

    def count(self, job: Job, outcome: Outcome, reason: str = "") -> None:
        """What has come of a job, in this process or elsewhere (then with the `reason` of a failure)."""
        if outcome == "failed":
            self.failed[job.name] = reason or self.failed[job.name]
        else:
            setattr(self, outcome, getattr(self, outcome) + 1)
        self._report()
        if self.made and self.made % MANIFEST_EVERY == 0:
            self.run.write_manifest()

    def _make(self, job: Job, session: Session) -> Outcome:
        self.run.clean(job)
        try:
            self.run.copy_references(job)
            first_frame = self.openings.open(job) if self.openings else None
            video = self.model.generate(request_for(job, self.settings, first_frame))
            self.run.keep(job, video, self._facts(job))
        except Exception as error:
            if self.run.single:
                raise
            # One request must not stop the others; its reason is kept and the next run tries it again.
            self._fail(job, error, "video")
            self._restart(error, session)
            return "failed"
        return "made"

    def _restart(self, error: Exception, session: Session) -> None:
        """Load a model anew whose process may have died; one of this process is still there."""
        from mmbench.baselines.remote.client import Remote

        if isinstance(self.model, Remote) and isinstance(error, GenerationError):
            session.close()
            session.load(self.model, self.variant)

    def _failed_frame(self, job: Job, error: Exception) -> None:
        if self.run.single:
            raise error
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
        return {
            "variant": self.variant,
            "random_weights": self.variant in self.model.tiny_variants,
            "prompt_kind": FACE if job.face else self.model.prompt_kind,
            "base_seed": self.settings.seed,
            "options": self.model.resolve_options(self.settings.options),
            "references": [sha256_file(path) for path in job.identity.shown],
            "first_frame": self.openings.account(job) if self.openings else None,
            "licence": self.model.licence,
            "device": self.settings.device,
            "versions": self.model.versions(),
            "weights": self.model_weights,
            "conditioned_on": self._conditioned_on(),
        }

    def _conditioned_on(self) -> list[str]:
        """The recognisers through which the model, or the maker of its opening picture, knows the person."""
        names = [*self.model.recognisers(self.variant)]
        if self.maker is not None:
            names += self.maker.recognisers(self.maker_variant)
        return list(dict.fromkeys(names))
