"""The clips that come with the nano test set: one a person of each of five systems, whose right order is known.

- `truth`: the person, rendered, doing what the caption says. What a perfect model would make.
- `stranger`: another person of the same group in the same clip.
- `copy-paste`: the picture shown, panned.
- `magic-mirror-nano`: the trained nano model.
- `base-nano`: the same model with the identity switched off.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mmbench.config import Setting
from mmbench.items import Item
from mmbench.studies.nano.testset import SIDE, before_wall, captions_of
from mmbench.synth.identity import GROUPS, parse_name
from mmbench.synth.kit import Kit, load_kit
from mmbench.synth.picture import render_cutout
from mmbench.synth.world.grammar import COLOURS, Caption
from mmbench.synth.world.people import FRAMES, SIZE, clip_states, world_person, world_scene
from mmbench.trigger import without_trigger
from mmbench.video.write import enlarge, write_video

if TYPE_CHECKING:
    from mmbench.testsets.types import Identity, TestSet

FPS: Final = 8.0
CONTROLS: Final = ("truth", "stranger", "copy-paste")
MODELS: Final[dict[str, dict[str, Setting]]] = {
    "magic-mirror-nano": {"identity_guidance": "split", "identity_guidance_scale": 4.0},
    "base-nano": {"identity_scale": 0.0},
}
"""The nano model's options behind each name; of the scales 2, 4 and 6 dlib knew 70 people of validation best at 4."""
CLIPS: Final = "clips"

Frames = NDArray[np.uint8]
Progress = Callable[[int, int, str], None]


def build_clips(testset: Path, work: Path, *, controls: bool = True, progress: Progress | None = None) -> Path:
    """Make the clips of every system below `testset/clips` and the set's manifest. Control clips that are there stay.

    The models' videos are made below `work`. Without `controls` only theirs are made, which needs no face kit. Returns
    the manifest. Raises KitError, ManifestError.
    """
    from mmbench.runs.inputs.manifest import write_manifest
    from mmbench.testsets.load import load_testset

    held = load_testset(testset)
    place = held.folder / CLIPS
    if controls:
        build_controls(held.identities, place, progress)
    for name in MODELS:
        build_model(held, name, place, work, progress)
    items = [
        item_of(name, identity, place / name / f"{identity.id}.mp4")
        for name in (*CONTROLS, *MODELS)
        for identity in held.identities
        if (place / name / f"{identity.id}.mp4").is_file()
    ]
    write_manifest(held.folder / "manifest.csv", items)
    return held.folder / "manifest.csv"


def item_of(model: str, identity: Identity, video: Path) -> Item:
    """The manifest's line of one clip."""
    prompt = identity.prompts[0]
    return Item(
        id=f"{model}/{identity.id}",
        model=model,
        identity=identity.id,
        group=identity.group,
        video=video,
        references=identity.references,
        shown=identity.shown,
        prompt=without_trigger(prompt.short),
        prompt_long=without_trigger(prompt.long),
        prompt_index=prompt.index,
        seed=0,
        fps=FPS,
    )


def build_controls(identities: tuple[Identity, ...], place: Path, progress: Progress | None = None) -> None:
    """Render the control systems' clips of everybody, half a second each."""
    kit, names = load_kit(), [identity.id for identity in identities]
    for done, identity in enumerate(identities, start=1):
        paths = {name: place / name / f"{identity.id}.mp4" for name in CONTROLS}
        if not all(path.is_file() for path in paths.values()):
            caption = captions_of(identity.id)[0]
            made = {
                "truth": performance(kit, identity.id, identity.id, caption),
                "stranger": performance(kit, stranger_to(identity.id, names), identity.id, caption),
                "copy-paste": panned(identity.shown[0]),
            }
            for name, frames in made.items():
                paths[name].parent.mkdir(parents=True, exist_ok=True)
                write_video(paths[name], enlarge(frames, (SIDE, SIDE)), FPS)
        if progress is not None:
            progress(done, len(identities), "people's control clips")


def stranger_to(name: str, names: list[str]) -> str:
    """The next person of the same group. Raises ValueError where the group has nobody else."""
    group = [other for other in names if parse_name(other)[0] == parse_name(name)[0]]
    if len(group) < 2:
        raise ValueError(f"{name} is alone in its group")
    return group[(group.index(name) + 1) % len(group)]


def performance(kit: Kit, who: str, whose: str, caption: Caption) -> Frames:
    """Frames (9, 64, 64, 3) of `who` in the clip of `whose`: the caption's action, shirt and wall."""
    group, seed = parse_name(whose)
    rng = np.random.default_rng([seed, GROUPS.index(group), 17])
    person, scene = world_person(kit, who), world_scene(rng, caption.shirt)
    wall = np.array(COLOURS[caption.wall]) * 255
    states = clip_states(caption.action, int(rng.integers(1 << 30)))
    return np.stack([before_wall(render_cutout(person, scene, state)[0], wall) for state in states])


def panned(picture: Path) -> Frames:
    """Frames (9, 64, 64, 3): a picture moving to the left by a tenth of its width."""
    from PIL import Image

    with Image.open(picture) as opened:
        wide = opened.convert("RGB").resize((SIZE * 11 // 10, SIZE * 11 // 10), Image.Resampling.BICUBIC)
    pixels = np.asarray(wide)
    room = pixels.shape[1] - SIZE
    return np.stack([pixels[:SIZE, (shift := round(room * k / (FRAMES - 1))) : shift + SIZE] for k in range(FRAMES)])


def build_model(testset: TestSet, name: str, place: Path, work: Path, progress: Progress | None) -> None:
    """Generate everybody's first prompt with the trained nano model; the run below `work` resumes."""
    from mmbench.config import GenerateSettings
    from mmbench.runs.generate.make import generate
    from mmbench.runs.inputs.manifest import collect_manifest

    settings = GenerateSettings(
        models=("magic_mirror",),
        variant="nano-trained",
        options=MODELS[name],
        label=name,
        limit=len(testset.identities),
    )
    made = generate(settings, testset.folder, work / name, progress=progress)
    (place / name).mkdir(parents=True, exist_ok=True)
    for item in collect_manifest(made.manifest).items:
        shutil.copyfile(item.video, place / name / f"{item.identity}.mp4")
