"""One video of one prompt, without a test set: a run of one job, whose folder is the video's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from mmbench.config import GenerateSettings
from mmbench.errors import ManifestError, RequestError
from mmbench.files import sha256_file
from mmbench.runs.generate.folder import RunFolder, read_object
from mmbench.runs.generate.make import carry_out, opened_model
from mmbench.runs.generate.plan import Job, check_settings, label_of, open_picture, what_is_asked
from mmbench.runs.generate.work import GenerateWork
from mmbench.testsets.face_form import FACE
from mmbench.testsets.types import Identity, Prompt
from mmbench.trigger import TRIGGER, marked_word
from mmbench.video.write import check_container


@dataclass(frozen=True)
class OneVideo:
    """A video and its account (the sidecar); `made` is False where the same video was there already."""

    path: Path
    account: dict[str, Any]
    made: bool


class SingleRun(RunFolder):
    """The video itself in place of a folder: its sidecar beside it, no manifest, no copies, no list of failures.

    It belongs to no fixed settings: a video of which something else was asked is made again.
    """

    single = True

    def __init__(self, video: Path, label: str, job: Job, asked: dict[str, Any]) -> None:
        super().__init__(video.parent, label, [job])
        self.path = video
        self.asked = asked

    def video(self, job: Job) -> Path:
        return self.path

    def is_done(self, job: Job) -> bool:
        with suppress(FileNotFoundError, ManifestError):
            before = read_object(self.sidecar(job))
            return before.get("asked") == self.asked and super().is_done(job)
        return False

    @contextmanager
    def claim(self, job: Job) -> Iterator[bool]:
        try:
            with super().claim(job) as mine:
                yield mine
        finally:
            with suppress(OSError):
                (self.folder / ".claims").rmdir()

    def keep(self, job: Job, video: Any, facts: dict[str, Any]) -> None:
        super().keep(job, video, {**facts, "asked": self.asked})

    def clean(self, job: Job) -> None:
        for scratch in self.folder.glob(f".{escape(self.path.stem)}.*.part*"):
            scratch.unlink(missing_ok=True)

    def copy_references(self, job: Job) -> None:
        """The pictures stay where they are."""


def generate_one(
    settings: GenerateSettings,
    prompt: str,
    references: Sequence[Path],
    out: Path,
    *,
    first_frame: Path | None = None,
    short_prompt: str = "",
) -> OneVideo:
    """Write one video to `out` and its sidecar beside it (`.json`), or leave both where they are what is asked.

    `settings.seed` is the video's seed itself. `prompt` serves as the short prompt too where `short_prompt` is "". An
    image-to-video model takes `first_frame`, or has one made from the prompt, kept beside the video, which then needs
    the trigger word after the class word ("a man img waves"). Raises RequestError, MissingWeights, MediaError.
    """
    check_container(out)
    job = _job(settings, prompt, short_prompt or prompt, references, out)
    with opened_model(settings) as model:
        variant = model.pick_variant(settings.variant)
        check_settings(model, variant, [job], settings, open_picture(first_frame) if first_frame else None)
        if model.kind == "i2v" and first_frame is None and not job.identity.class_word:
            raise RequestError(
                f"{model.name} animates a first frame, and the prompt has no {TRIGGER!r} to make one from.",
                f'Write {TRIGGER!r} after the class word ("a man {TRIGGER} waves"), or give --first-frame-image.',
            )
        asked = {
            **what_is_asked(settings, model, variant, ""),
            "prompt": [job.prompt.short, job.prompt.long],
            "references": [sha256_file(path) for path in references],
            "first_frame_image": sha256_file(first_frame) if first_frame else None,
        }
        run = SingleRun(out, label_of(settings, model, variant), job, asked)
        work = GenerateWork(run, model, variant, settings, [job])
        work.plan_openings(out.parent, first_frame)
        carry_out(work, work.weights())
    if work.elsewhere:
        raise RequestError(f"{out} is being made by another process.", "Wait for it, or give another --out.")
    return OneVideo(out, read_object(run.sidecar(job)), bool(work.made))


def _job(settings: GenerateSettings, prompt: str, short: str, references: Sequence[Path], out: Path) -> Job:
    text = Prompt(id=out.stem, index=0, short=short, long=prompt)
    person = Identity(
        id=out.stem, group="", class_word=class_word_of(prompt), references=tuple(references), prompts=(text,)
    )
    return Job(out.stem, person, text, settings.seed, settings.prompt_kind == FACE)


def class_word_of(prompt: str) -> str:
    """The word before the trigger, or "" without one."""
    found = marked_word(prompt)
    return found.word if found else ""
