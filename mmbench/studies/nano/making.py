"""Makes what training in the nano world stands on: the codec, the recogniser that conditions, the one that judges."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch

from mmbench.device import torch_device
from mmbench.face.nano_recogniser import NanoRecogniser
from mmbench.files import sha256_file, versions, write_json
from mmbench.model.network.map_tower import MapTower
from mmbench.model.network.pixels import CLIP_MEAN, CLIP_STD
from mmbench.model.small.codec import PatchPCACodec
from mmbench.studies.nano.eyes import Progress, Recognition, recognition, train_recogniser
from mmbench.studies.nano.pictures import WorldPictures
from mmbench.synth.world.store import World, load_world

CODEC: Final = "codec"
CONDITIONING: Final = "recogniser.safetensors"
TOWER: Final = "tower.safetensors"
JUDGE: Final = "judge.safetensors"
CARD: Final = "eyes.json"
WHITEN: Final = 0.5


@dataclass(frozen=True)
class EyesOptions:
    """How much the eyes are trained: steps of `batch` pictures each; clips that the codec is fitted to."""

    steps: int = 1500
    batch: int = 256
    codec_clips: int = 700
    seed: int = 0


def make_eyes(
    world: Path, out: Path, device: str = "cpu", options: EyesOptions | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Fit the codec and train two recognisers on disjoint halves of the training people; one becomes the vision tower.

    Returns the card, also written as `eyes.json`: accuracy on the validation people, digests, seconds.
    """
    options = options or EyesOptions()
    place = torch_device(device)
    people = load_world(world, "train")
    unseen = WorldPictures(load_world(world, "validation"), place, seed=99)
    out.mkdir(parents=True, exist_ok=True)
    codec = PatchPCACodec(8, 64)
    codec.fit(WorldPictures(people, "cpu", options.seed).clips(options.codec_clips).frames, WHITEN)
    codec.eval().requires_grad_(False).save_pretrained(str(out / CODEC))
    codec.to(place)
    card: dict[str, Any] = {
        "options": asdict(options),
        "train_people": len(people.names),
        "validation_people": unseen.people,
        "device": str(place),
        "versions": versions(("torch", "numpy")),
    }
    for half, (name, widths) in enumerate(((CONDITIONING, (24, 48, 96)), (JUDGE, (32, 64, 96)))):
        began = time.monotonic()
        seen = WorldPictures(every_other(people, half), place, options.seed + half)
        network = train_recogniser(seen, options.steps, options.batch, options.seed + half, widths, codec, progress)
        facts = {"people": str(seen.people), "steps": str(options.steps), "seed": str(options.seed + half)}
        network.cpu().save(out / name, facts)
        network.to(place)
        if name == CONDITIONING:
            vision_tower(network, seen).save(out / TOWER)
        card[name] = {
            **facts,
            "seconds": round(time.monotonic() - began, 1),
            "sha256": sha256_file(out / name),
            "pictures": _shares(recognition(network, unseen)),
            "through_codec": _shares(recognition(network, unseen, codec)),
        }
    write_json(out / CARD, card)
    return card


def vision_tower(recogniser: NanoRecogniser, pictures: WorldPictures) -> MapTower:
    """The vision tower over a recogniser, standardised on 512 pictures of a world, always the same ones."""
    tower = MapTower(recogniser.widths, CLIP_MEAN, CLIP_STD).to(pictures.device)
    tower.recogniser.load_state_dict(recogniser.state_dict())
    before, pictures.generator = pictures.generator, torch.Generator().manual_seed(0)
    tower.eval().requires_grad_(False).calibrate(pictures.images(512).frames[:, :, 0])
    pictures.generator = before
    return tower


def every_other(people: World, half: int) -> World:
    """The people of every other round through the groups: two halves that share nobody."""
    chosen = [k for k in range(len(people.names)) if (k // 7) % 2 == half]
    arrays = {name: getattr(people, name)[chosen] for name in ("frames", "five", "actions", "shirts")}
    return replace(people, names=tuple(people.names[k] for k in chosen), **arrays)


def _shares(found: Recognition) -> dict[str, float | int]:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(found).items()}
