"""Makes what training in the nano world stands on: the codec, the recogniser that conditions, the one that judges."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from mmbench.device import torch_device
from mmbench.face.nano.recogniser import NanoRecogniser
from mmbench.files import sha256_file, versions, write_json
from mmbench.model.network.map_tower import MapTower
from mmbench.model.network.pixels import CLIP_MEAN, CLIP_STD
from mmbench.model.small.codec import PatchPCACodec
from mmbench.studies.nano.clip_eyes import Reading, reading, train_clip_encoder
from mmbench.studies.nano.eyes import Progress, Recognition, recognition, train_recogniser
from mmbench.studies.nano.pictures import WorldPictures
from mmbench.synth.world.store import World, load_world

CODEC: Final = "codec"
CONDITIONING: Final = "recogniser.safetensors"
TOWER: Final = "tower.safetensors"
JUDGE: Final = "judge.safetensors"
CARD: Final = "eyes.json"
WHITEN: Final = 0.5


CLIP_ENCODER: Final = "clip_encoder.safetensors"
JUDGES_CARD: Final = "judges.json"

Codec = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class EyesOptions:
    """How much an eye is trained: steps of `batch` pictures (of clips: an eighth as many); clips the codec fits to."""

    steps: int = 1500
    batch: int = 256
    codec_clips: int = 700
    seed: int = 0


def make_eyes(
    world: Path, out: Path, device: str = "cpu", options: EyesOptions | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Fit the codec, and train what a model sees its references with: a recogniser of half of the training people.

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
    seen = WorldPictures(every_other(people, 0), place, options.seed)
    card = _card(people, unseen, place, options)
    network, card[CONDITIONING] = _recogniser(
        seen, unseen, out / CONDITIONING, (24, 48, 96), codec, options, options.seed, progress
    )
    vision_tower(network, seen).save(out / TOWER)
    write_json(out / CARD, card)
    return card


def make_judges(
    world: Path,
    codec: Path,
    out: Path,
    device: str = "cpu",
    options: EyesOptions | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train what measures: a recogniser of the other half of the people, and an encoder of clips and captions.

    `codec` is the folder of `make_eyes`' codec: half of what they learn from has passed it, as everything that a model
    makes has. Returns the card, also written as `judges.json`. Raises RequestError without people.
    """
    options = options or EyesOptions()
    place = torch_device(device)
    people = load_world(world, "train")
    unseen = WorldPictures(load_world(world, "validation"), place, seed=99)
    out.mkdir(parents=True, exist_ok=True)
    through = PatchPCACodec.from_pretrained(str(codec)).eval().to(place)
    card = _card(people, unseen, place, options)
    seen = WorldPictures(every_other(people, 1), place, options.seed + 1)
    _, card[JUDGE] = _recogniser(seen, unseen, out / JUDGE, (32, 64, 96), through, options, options.seed + 1, progress)
    began = time.monotonic()
    everybody = WorldPictures(people, place, options.seed + 2)
    encoder = train_clip_encoder(
        everybody, options.steps, max(2, options.batch // 8), options.seed + 2, through, progress
    )
    facts = {"people": str(everybody.people), "steps": str(options.steps), "seed": str(options.seed + 2)}
    encoder.save(out / CLIP_ENCODER, facts)
    card[CLIP_ENCODER] = {
        **facts,
        "seconds": round(time.monotonic() - began, 1),
        "sha256": sha256_file(out / CLIP_ENCODER),
        "clips": _shares(reading(encoder, unseen)),
        "through_codec": _shares(reading(encoder, unseen, codec=through)),
    }
    write_json(out / JUDGES_CARD, card)
    return card


def _card(people: World, unseen: WorldPictures, place: torch.device, options: EyesOptions) -> dict[str, Any]:
    return {
        "options": asdict(options),
        "train_people": len(people.names),
        "validation_people": unseen.people,
        "device": str(place),
        "versions": versions(("torch", "numpy")),
    }


def _recogniser(
    seen: WorldPictures,
    unseen: WorldPictures,
    path: Path,
    widths: tuple[int, int, int],
    codec: Codec,
    options: EyesOptions,
    seed: int,
    progress: Progress | None,
) -> tuple[NanoRecogniser, dict[str, Any]]:
    """Train one recogniser and save it. Returns it, on the pictures' device, with its part of the card."""
    began = time.monotonic()
    network = train_recogniser(seen, options.steps, options.batch, seed, widths, codec, progress)
    facts = {"people": str(seen.people), "steps": str(options.steps), "seed": str(seed)}
    network.cpu().save(path, facts)
    network.to(seen.device)
    told: dict[str, Any] = {
        **facts,
        "seconds": round(time.monotonic() - began, 1),
        "sha256": sha256_file(path),
        "pictures": _shares(recognition(network, unseen)),
        "through_codec": _shares(recognition(network, unseen, codec)),
    }
    return network, told


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


def _shares(found: Recognition | Reading) -> dict[str, float | int]:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(found).items()}
