"""What a generation run will make: one job a video, and what is asked of the model, before anything is loaded."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.baselines.contract import Baseline, Request
from mmbench.config import GenerateSettings
from mmbench.engine.shard import Shard
from mmbench.errors import ManifestError, MediaError, RequestError
from mmbench.files import sha256, sha256_file
from mmbench.testsets.face_form import FACE, face_rules
from mmbench.testsets.types import Identity, Prompt, TestSet

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Job:
    """One video to make; `name` is its file name without ending: identity and two digits of the prompt's index.

    `face`: models are given the face-enhanced form of the prompt for both of its texts; the seed is the plain one's.
    """

    name: str
    identity: Identity
    prompt: Prompt
    seed: int
    face: bool = False

    @property
    def given(self) -> tuple[str, str]:
        """(long, short) as models are given them, with the trigger."""
        return (self.prompt.face,) * 2 if self.face else (self.prompt.long, self.prompt.short)


def seed_for(base: int, identity: str, prompt: str) -> int:
    """Seed of 32 bits from the run's base seed, the identity's name and the prompt's id.

    The first four bytes, big-endian, of the sha256 of `base|identity|prompt`: models are compared on equal seeds, and a
    video's seed depends neither on the other videos of the run nor on how it is split among machines.
    """
    return int(sha256(f"{base}|{identity}|{prompt}".encode())[:8], 16)


def plan_jobs(testset: TestSet, base_seed: int, face: bool = False) -> list[Job]:
    """One job for each prompt of each identity, in the set's order; `face`: in its face-enhanced form.

    Raises ManifestError where two videos would get one file name.
    """
    jobs = [
        Job(f"{who.id}_{prompt.index:02d}", who, prompt, seed_for(base_seed, who.id, prompt.id), face)
        for who in testset.identities
        for prompt in who.prompts
    ]
    if len({job.name for job in jobs}) < len(jobs):
        raise ManifestError(f"{testset.folder}: two videos would have one name.", "Rename an identity.")
    return jobs


def choose_jobs(
    jobs: Sequence[Job], prompts: Collection[str] = (), limit: int | None = None, shard: Shard | None = None
) -> list[Job]:
    """The jobs of the prompts asked for, at most `limit` of those, and the shard's part of those.

    A limit takes identities in turn, one video of each, then a second one of each: in the set's order again.

    Raises RequestError for a prompt id the set does not have.
    """
    if unknown := sorted(set(prompts) - {job.prompt.id for job in jobs}):
        raise RequestError(f"The test set has no prompts {unknown}.", "Their ids are in its prompts.csv.")
    chosen = [job for job in jobs if not prompts or job.prompt.id in prompts]
    if limit is not None:
        turn: Counter[str] = Counter()
        rounds = []
        for job in chosen:
            rounds.append(turn[job.identity.id])
            turn[job.identity.id] += 1
        taken = sorted(sorted(range(len(chosen)), key=lambda at: (rounds[at], at))[:limit])
        chosen = [chosen[at] for at in taken]
    return (shard or Shard()).of(chosen, lambda job: job.name)


def what_is_asked(settings: GenerateSettings, model: Baseline, variant: str, testset: str) -> dict[str, Any]:
    """The settings that decide frames, as JSON-ready values: a folder belongs to one set of them.

    `options` are those that differ from the published ones. Where a video is made (device, weights folder, interpreter)
    and which of the set's videos are made is left out. Raises RequestError for an unknown option.
    """
    kept = ("label", "seed", "size", "frames", "steps", "guidance", "negative", "prompt_kind", "dtype")
    openings = ("first_frame", "first_frame_variant")
    asked = settings.model_dump(mode="json", include={*kept, *openings})
    from mmbench.baselines.registry import create_first_frame

    maker = settings.first_frame_options and create_first_frame(settings.first_frame)
    return {
        "model": settings.model,
        "testset": testset,
        **asked,
        "variant": variant,
        **({"edition": model.edition} if model.edition > 1 else {}),
        "options": model.changed_options(settings.options),
        **({"face_form": face_rules().digest} if settings.prompt_kind == FACE else {}),
        "first_frame_options": maker.changed_options(settings.first_frame_options) if maker else {},
    }


def label_of(settings: GenerateSettings, model: Baseline, variant: str) -> str:
    """The model's name in tables and ids: `label`, else its own with what differs from its published form."""
    face = [FACE] if settings.prompt_kind == FACE else []
    if settings.label:
        return file_name("-".join([settings.label, *face]))
    if settings.model.startswith("folder:"):
        return file_name(Path(settings.model.removeprefix("folder:")).resolve().name)
    parts = [model.name]
    if variant != model.variants[0]:
        parts.append(variant)
    if model.prompt_kind != model.default_prompt_kind:
        parts.append(model.prompt_kind)
    parts += face
    return file_name("-".join(parts))


def file_name(text: str) -> str:
    """`text` with everything but letters, digits, dot, dash and underscore made an underscore."""
    return re.sub(r"[^\w.-]", "_", text).strip(".") or "model"


def open_references(identity: Identity) -> tuple[Image, ...]:
    """The pictures of the identity that models are given, as RGB. Raises MediaError for an absent or damaged one."""
    return tuple(open_picture(path) for path in identity.shown)


def open_picture(path: Path) -> Image:
    """A picture as RGB. Raises MediaError for an absent or damaged one."""
    from mmbench.testsets.pictures import decode

    try:
        data = path.read_bytes()
    except OSError as cause:
        raise MediaError(f"{path}: {cause.strerror}.", "Give the path of a picture.") from cause
    return decode(data, str(path))


def request_for(job: Job, settings: GenerateSettings, first_frame: Image | None) -> Request:
    """What the model is asked for; both prompts carry the trigger, which the wrapper removes where it means nothing."""
    long, short = job.given
    return Request(
        prompt=long,
        seed=job.seed,
        short_prompt=short,
        class_word=job.identity.class_word,
        references=open_references(job.identity),
        first_frame=first_frame,
        size=settings.size,
        frames=settings.frames,
        steps=settings.steps,
        guidance=settings.guidance,
        negative=settings.negative,
        options=settings.options,
    )


def check_settings(
    model: Baseline, variant: str, jobs: Sequence[Job], settings: GenerateSettings, opening: Image | None = None
) -> None:
    """Raise RequestError before anything is loaded when the model cannot make what is asked for.

    Of first frames that are yet to be made a blank one stands in.
    """
    from PIL import Image as pillow

    if model.kind == "i2v" and opening is None:
        height, width = settings.size or model.native(variant).size
        opening = pillow.new("RGB", (width, height))
    for job in jobs:
        model.check(request_for(job, settings, opening), variant)


def testset_digest(testset: TestSet) -> str:
    """sha256 over names, groups, prompts and the bytes of all pictures: two sets that agree in it are one set."""
    parts = []
    for identity in testset.identities:
        parts.append(repr((identity.id, identity.group, identity.class_word, identity.prompts)).encode())
        for path in identity.references:
            parts.append(bytes.fromhex(sha256_file(Path(path))))
    return sha256(b"".join(parts))
