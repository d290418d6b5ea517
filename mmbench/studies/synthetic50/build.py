"""Builds the set: screen identities, render references and control clips, write prompts, manifest and data card.

    python -m mmbench.studies.synthetic50.build --out DIR [--only references controls tables card] [--shard 0/2]

Everything is resumable: what is on disk stays. `identities.json` (committed) holds the fifty (group, seed) pairs, so
only a change of the sampler needs `--only screen`. Needs the face kit (`mmbench synth kit build`) and, for references,
screening and card, dlib.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmbench.studies.synthetic50.still import write_still
from mmbench.studies.synthetic50.wording import CLASS_WORD, TRIGGER, prompts
from mmbench.synth.control import SYSTEMS, Cast, ClipPlan, System, control_clip
from mmbench.synth.expression import Expression
from mmbench.synth.identity import GROUPS, Group, Identity, parse_name
from mmbench.synth.kit import load_kit
from mmbench.synth.person import Gaze, Pose
from mmbench.synth.picture import render
from mmbench.synth.sampling import sample_identity
from mmbench.synth.scene import State
from mmbench.synth.views import random_scene
from mmbench.testsets.synthetic50 import root
from mmbench.video.write import write_video

Picture = NDArray[np.uint8]
Progress = Callable[[int, int, str], None]

FPS, FRAMES, SIZE, CRF = 8, 24, 256, 25
SIDES = (256, 320, 384)
LICENCE = "CC0-1.0: rendered by mmbench, no real person (LICENSE)"
EXPRESSIONS = (
    Expression(),
    Expression(smile=0.55),
    Expression(smile=0.25),
    Expression(brow_up=0.3, smile=0.15),
)


@dataclass(frozen=True)
class Member:
    """One of the fifty: its place in the set and its group mates in a ring (stranger +1, drift +2)."""

    number: int
    name: str
    group: Group
    seed: int
    stranger: str
    becomes: str

    @property
    def prompt_index(self) -> int:
        """Which of the four prompts the control clips play."""
        return self.number % 4

    @property
    def n_references(self) -> int:
        return 1 + (self.number * 3 + self.number // 4) % 4


def members(folder: Path) -> list[Member]:
    """The fifty in order, from identities.json (one fixed derangement inside each group)."""
    document = json.loads((folder / "identities.json").read_text(encoding="utf-8"))
    names = [str(row["id"]) for row in document["identities"]]
    by_group = {g: [n for n in names if parse_name(n)[0] == g] for g in GROUPS}
    made = []
    for number, name in enumerate(names):
        group, seed = parse_name(name)
        ring = by_group[group]
        at = ring.index(name)
        made.append(Member(number, name, group, seed, ring[(at + 1) % len(ring)], ring[(at + 2) % len(ring)]))
    return made


def _identity(name: str) -> Identity:
    return sample_identity(load_kit(), *parse_name(name))


def reference_paths(member: Member) -> list[str]:
    return [f"references/{member.name}/{k}.jpg" for k in range(1, member.n_references + 1)]


def build_references(out: Path, fifty: Sequence[Member], say: Progress) -> None:
    """1-4 stills a person: own light, backdrop, clothes, size; redrawn until dlib's HOG detector finds the face."""
    from PIL import Image

    from mmbench.studies.synthetic50 import dlib_faces
    from mmbench.studies.synthetic50.screen import face_centre

    cast = Cast(load_kit())
    for done, member in enumerate(fifty, start=1):
        young = member.group in ("boy", "girl", "baby")
        for k, name in enumerate(reference_paths(member)):
            path = out / name
            if path.is_file():
                continue
            person = cast.person(_identity(member.name))
            rng = np.random.default_rng([member.seed, GROUPS.index(member.group), k, 17])
            for _ in range(12):
                side = SIDES[int(rng.integers(len(SIDES)))]
                scene = replace(random_scene(rng, side, gentle=True), zoom=float(rng.uniform(1.0, 1.18)))
                face = EXPRESSIONS[int(rng.integers(len(EXPRESSIONS)))].scaled(0.8 if young else 1.0)
                pose = Pose(float(rng.uniform(-16, 16)), float(rng.uniform(-6, 6)), float(rng.uniform(-4, 4)))
                state = State(expression=face, gaze=Gaze(float(rng.uniform(-4, 4)), 0.0), pose=pose)
                image = render(person, scene, state, seed=k)
                if dlib_faces.detect(image, face_centre(person, scene, state)) is not None:
                    break
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            Image.fromarray(image).save(part, "JPEG", quality=90)
            part.replace(path)
        say(done, len(fifty), "people with references")


def clip_path(system: System, member: Member) -> str:
    return f"controls/{system}/{member.name}_{member.prompt_index}.mp4"


def clip_plan(out: Path, member: Member) -> ClipPlan:
    """One plan for all eight systems: scene and performance depend on identity and prompt, never on the system."""
    from PIL import Image

    rng = np.random.default_rng([member.seed, GROUPS.index(member.group), member.prompt_index, 23])
    with Image.open(out / reference_paths(member)[0]) as photo:
        pixels = np.asarray(photo.convert("RGB"))
    return ClipPlan(
        identity=_identity(member.name),
        other=_identity(member.stranger),
        becomes=_identity(member.becomes),
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


def build_tables(out: Path, fifty: list[Member]) -> None:
    """prompts.csv, manifest.csv and the references in identities.json."""
    rows, clips = [], []
    for member in fifty:
        texts = prompts(member.group, _identity(member.name).sex, member.number)
        rows += [(member.name, p.index, p.short, p.long) for p in texts]
        chosen = texts[member.prompt_index]
        for system in SYSTEMS:
            clips.append((
                f"{system}/{member.name}_{member.prompt_index}", system, member.name, member.group,
                clip_path(system, member),
                ";".join(reference_paths(member)), _plain(chosen.short), _plain(chosen.long),
                member.prompt_index, 0, FPS,
            ))  # fmt: skip
    clips.sort(key=lambda row: SYSTEMS.index(row[1]))
    _write_csv(out / "prompts.csv", ("identity", "prompt_index", "prompt", "prompt_long"), rows)
    columns = (
        "id",
        "model",
        "identity",
        "group",
        "video",
        "references",
        "prompt",
        "prompt_long",
        "prompt_index",
        "seed",
        "fps",
    )
    _write_csv(out / "manifest.csv", columns, clips)
    write_identities(out, [(m.group, m.seed) for m in fifty])


def write_identities(out: Path, pairs: list[tuple[Group, int]]) -> None:
    """identities.json in the layout every test set has, plus each identity's sampler seed."""
    names = [f"{group.replace(' ', '-')}-{seed:02d}" for group, seed in pairs]
    entries = []
    for number, (name, (group, seed)) in enumerate(zip(names, pairs, strict=True)):
        member = Member(number, name, group, seed, name, name)
        entries.append(
            {
                "id": name,
                "group": group,
                "class_word": CLASS_WORD[group],
                "seed": seed,
                "references": reference_paths(member),
            }
        )
    document = {"name": "synthetic50", "licence": LICENCE, "identities": entries}
    (out / "identities.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _plain(text: str) -> str:
    """A prompt without its trigger word, as text alignment scores it."""
    return text.replace(f" {TRIGGER}", "", 1)


def _write_csv(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def build(
    out: Path,
    steps: Iterable[str],
    shard: tuple[int, int] = (0, 1),
    say: Progress = lambda done, of, what: None,
) -> None:
    """Run steps in order. `shard` (k, n) takes the k-th of n runs of identities, so that n processes can
    share the rendering."""
    steps = list(steps)
    out.mkdir(parents=True, exist_ok=True)
    if "screen" in steps:
        from mmbench.studies.synthetic50.screen import screen

        write_identities(out, screen(out / "screen.jsonl"))
    elif not (out / "identities.json").is_file():
        shutil.copyfile(root() / "identities.json", out / "identities.json")
    fifty = members(out)
    mine = fifty[len(fifty) * shard[0] // shard[1] : len(fifty) * (shard[0] + 1) // shard[1]]  # neighbours share people
    if "references" in steps:
        build_references(out, mine, say)
    if "controls" in steps:
        build_controls(out, mine, say)
    if "tables" in steps:
        build_tables(out, fifty)
    if "card" in steps:
        from mmbench.studies.synthetic50.card import write_card

        write_card(out, fifty, say)


STEPS = ("screen", "references", "controls", "tables", "card")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=root())
    parser.add_argument("--only", nargs="+", choices=STEPS, default=STEPS[1:])
    parser.add_argument("--shard", default="0/1")
    arguments = parser.parse_args()
    part, of = (int(v) for v in arguments.shard.split("/"))
    build(
        arguments.out,
        arguments.only,
        (part, of),
        lambda done, total, what: print(f"{done}/{total} {what}", flush=True),
    )
