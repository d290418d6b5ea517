"""The set's pictures: reference stills, and the clips of the eight control systems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mmbench.files import Progress, whole
from mmbench.studies.synthetic50.members import CRF, FPS, FRAMES, SIZE, Member, clip_path, reference_paths
from mmbench.studies.synthetic50.still import write_still
from mmbench.synth.control import SYSTEMS, Cast, ClipPlan, control_clip
from mmbench.synth.expression import Expression
from mmbench.synth.identity import GROUPS, SyntheticIdentity, parse_name
from mmbench.synth.kit import load_kit
from mmbench.synth.person import Gaze, Pose
from mmbench.synth.picture import render
from mmbench.synth.sampling import sample_identity
from mmbench.synth.scene import State
from mmbench.synth.views import random_scene
from mmbench.video.write import write_video

SIDES = (256, 320, 384)
EXPRESSIONS = (
    Expression(),
    Expression(smile=0.55),
    Expression(smile=0.25),
    Expression(brow_up=0.3, smile=0.15),
)


def identity_of(name: str) -> SyntheticIdentity:
    """The person of a name such as "man-00"."""
    return sample_identity(load_kit(), *parse_name(name))


def build_references(out: Path, fifty: Sequence[Member], say: Progress) -> None:
    """1-4 stills a person: own light, backdrop, clothes, size; redrawn until dlib's HOG detector finds the face."""
    from PIL import Image

    from mmbench.studies.synthetic50.looking import face_at
    from mmbench.studies.synthetic50.screen import face_centre

    cast = Cast(load_kit())
    for done, member in enumerate(fifty, start=1):
        young = member.group in ("boy", "girl", "baby")
        for k, name in enumerate(reference_paths(member)):
            path = out / name
            if path.is_file():
                continue
            person = cast.person(identity_of(member.name))
            rng = np.random.default_rng([member.seed, GROUPS.index(member.group), k, 17])
            for _ in range(12):
                side = SIDES[int(rng.integers(len(SIDES)))]
                scene = replace(random_scene(rng, side, gentle=True), zoom=float(rng.uniform(1.0, 1.18)))
                face = EXPRESSIONS[int(rng.integers(len(EXPRESSIONS)))].scaled(0.8 if young else 1.0)
                pose = Pose(float(rng.uniform(-16, 16)), float(rng.uniform(-6, 6)), float(rng.uniform(-4, 4)))
                state = State(expression=face, gaze=Gaze(float(rng.uniform(-4, 4)), 0.0), pose=pose)
                image = render(person, scene, state, seed=k)
                if face_at(image, face_centre(person, scene, state)) is not None:
                    break
            with whole(path) as part:
                Image.fromarray(image).save(part, "JPEG", quality=90)
        say(done, len(fifty), "people with references")


def clip_plan(out: Path, member: Member) -> ClipPlan:
    """One plan for all eight systems: scene and performance depend on identity and prompt, never on the system."""
    from PIL import Image

    rng = np.random.default_rng([member.seed, GROUPS.index(member.group), member.prompt_index, 23])
    with Image.open(out / reference_paths(member)[0]) as photo:
        pixels = np.asarray(photo.convert("RGB"))
    return ClipPlan(
        identity=identity_of(member.name),
        other=identity_of(member.stranger),
        becomes=identity_of(member.becomes),
        photo=pixels,
        scene=random_scene(rng, SIZE),
        prompt_index=member.prompt_index,
        frames=FRAMES,
        seed=int(rng.integers(1 << 20)),
    )


def build_controls(out: Path, fifty: Sequence[Member], say: Progress) -> None:
    """The eight systems' clips, 24 frames of 256x256 at 8 frames a second."""
    cast = Cast(load_kit())
    for done, member in enumerate(fifty, start=1):
        missing = [system for system in SYSTEMS if not (out / clip_path(system, member)).is_file()]
        if missing:
            plan = clip_plan(out, member)
        for system in missing:
            frames = control_clip(cast, system, plan)
            path = out / clip_path(system, member)
            if system == "still":
                write_still(path, next(iter(frames)), FRAMES, FPS)
            else:
                write_video(path, frames, FPS, crf=CRF)
        say(done, len(fifty), "people with clips")
