"""What a generation run will make: its settings, and one job a video, known before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mmbench.baselines.contract import Baseline, Request
from mmbench.config import Settings
from mmbench.errors import ManifestError, RequestError
from mmbench.files import sha256, sha256_file
from mmbench.runs.generate.seeds import seed_for
from mmbench.testsets.types import Identity, Prompt, TestSet

if TYPE_CHECKING:
    from PIL.Image import Image


class VideoSettings(Settings):
    """Everything that decides the frames. None means the model's published value.

    `model` is a registered name, `module:Class` or `folder:PATH`, `label` its name in tables where its own will not
    do; `size` is (height, width); `first_frame` is what makes the opening pictures of an image-to-video model. `seed`
    is the base of every video's own seed.
    """

    model: str
    testset: str
    label: str | None = None
    variant: str | None = None
    seed: int = 0
    size: tuple[int, int] | None = None
    frames: int | None = None
    steps: int | None = None
    guidance: float | None = None
    negative: str | None = None
    prompt_kind: Literal["long", "short"] | None = None
    first_frame: str = "photomaker_v2"
    first_frame_variant: str | None = None


@dataclass(frozen=True)
class Job:
    """One video to make; `name` is its file name without ending: identity and two digits of the prompt's index."""

    name: str
    identity: Identity
    prompt: Prompt
    seed: int


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 1) of `count` equal parts."""

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """ "2/4" -> the second of four. Raises RequestError."""
        index, _, count = text.partition("/")
        if not (index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
            raise RequestError(f"{text!r} is no shard.", "Write i/n with 1 <= i <= n, for example 2/4.")
        return cls(int(index), int(count))

    def of(self, jobs: Sequence[Job]) -> list[Job]:
        """Every `count`-th job, beginning with number `index`."""
        return list(jobs[self.index - 1 :: self.count])


def plan_jobs(testset: TestSet, base_seed: int) -> list[Job]:
    """One job for each prompt of each identity, in the set's order.

    Raises ManifestError where two videos would get one file name.
    """
    jobs = [
        Job(f"{who.id}_{prompt.index:02d}", who, prompt, seed_for(base_seed, who.id, prompt.id))
        for who in testset.identities
        for prompt in who.prompts
    ]
    if len({job.name for job in jobs}) < len(jobs):
        raise ManifestError(f"{testset.folder}: two videos would have one name.", "Rename an identity.")
    return jobs


def choose_jobs(
    jobs: Sequence[Job], prompts: Collection[str] = (), limit: int | None = None, shard: Shard | None = None
) -> list[Job]:
    """The jobs of the prompts asked for, the first of those, and the shard's part of those.

    Raises RequestError for a prompt id the set does not have.
    """
    if unknown := sorted(set(prompts) - {job.prompt.id for job in jobs}):
        raise RequestError(f"The test set has no prompts {unknown}.", "Their ids are in its prompts.csv.")
    chosen = [job for job in jobs if not prompts or job.prompt.id in prompts]
    return (shard or Shard()).of(chosen[:limit])


def label_of(settings: VideoSettings, model: Baseline, variant: str) -> str:
    """The model's name in tables and ids: `label`, else its own with what differs from its published form."""
    if settings.label:
        return file_name(settings.label)
    if settings.model.startswith("folder:"):
        return file_name(Path(settings.model.removeprefix("folder:")).resolve().name)
    parts = [model.name]
    if variant != model.variants[0]:
        parts.append(variant)
    if model.prompt_kind != model.default_prompt_kind:
        parts.append(model.prompt_kind)
    return file_name("-".join(parts))


def file_name(text: str) -> str:
    """`text` with everything but letters, digits, dot, dash and underscore made an underscore."""
    return re.sub(r"[^\w.-]", "_", text).strip(".") or "model"


def open_references(identity: Identity) -> tuple[Image, ...]:
    """The identity's pictures as RGB. Raises MediaError for a damaged one."""
    from mmbench.testsets.pictures import decode

    return tuple(decode(path.read_bytes(), str(path)) for path in identity.references)


def request_for(job: Job, settings: VideoSettings, first_frame: Image | None) -> Request:
    """What the model is asked for; both prompts carry the trigger, which the wrapper removes where it means nothing."""
    return Request(
        prompt=job.prompt.long,
        seed=job.seed,
        short_prompt=job.prompt.short,
        class_word=job.identity.class_word,
        references=open_references(job.identity),
        first_frame=first_frame,
        size=settings.size,
        frames=settings.frames,
        steps=settings.steps,
        guidance=settings.guidance,
        negative=settings.negative,
    )


def check_settings(model: Baseline, variant: str, jobs: Sequence[Job], settings: VideoSettings) -> None:
    """Raise RequestError before anything is loaded when the model cannot make what is asked for."""
    for job in jobs:
        blank = _blank_frame(model, variant, settings) if model.kind == "i2v" else None
        model.check(request_for(job, settings, blank), variant)


def _blank_frame(model: Baseline, variant: str, settings: VideoSettings) -> Image:
    from PIL import Image as pillow

    height, width = settings.size or model.native(variant).size
    return pillow.new("RGB", (width, height))


def testset_digest(testset: TestSet) -> str:
    """sha256 over names, groups, prompts and the bytes of all pictures: two sets that agree in it are one set."""
    parts = []
    for identity in testset.identities:
        parts.append(repr((identity.id, identity.group, identity.class_word, identity.prompts)).encode())
        for path in identity.references:
            parts.append(bytes.fromhex(sha256_file(Path(path))))
    return sha256(b"".join(parts))
