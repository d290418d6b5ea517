"""Trains the encoder of the nano world's clips and captions, and says how well it reads people it has never seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor, nn

from mmbench.encode.nano_world.network import NanoClipEncoder, words_of
from mmbench.studies.nano.eyes import Progress
from mmbench.studies.nano.pictures import CAPTIONS, Drawn, WorldPictures, caption_of, number_of
from mmbench.synth.identity import GROUPS
from mmbench.synth.world.grammar import ACTIONS, COLOURS, Caption
from mmbench.trigger import without_trigger

RATE: Final = 2e-3
CLASSES: Final = tuple(f"{group}, {shirt} shirt" for group in GROUPS for shirt in COLOURS)
"""What single frames are told apart by: 42 classes."""


@dataclass(frozen=True)
class Reading:
    """Shares in 0-1 over clips of people not trained on.

    Of the choices of each slot of the caption (others as they are), how often the right one scores highest; `pairs`:
    how often a caption scores its own clip above another drawn one; `frames`: how often the classifier is right about a
    frame.
    """

    action: float
    group: float
    shirt: float
    wall: float
    pairs: float
    frames: float
    clips: int


def texts() -> list[str]:
    """Every caption by its number, without the trigger."""
    return [without_trigger(caption_of(number).text) for number in range(CAPTIONS)]


def new_encoder() -> NanoClipEncoder:
    """An untrained encoder that knows every word of the grammar."""
    words = sorted({part for text in texts() for part in words_of(text)})
    return NanoClipEncoder(words, CLASSES, tuple(ACTIONS))


def train_clip_encoder(
    pictures: WorldPictures,
    steps: int = 1000,
    batch: int = 64,
    seed: int = 0,
    codec: Callable[[Tensor], Tensor] | None = None,
    progress: Progress | None = None,
) -> NanoClipEncoder:
    """An encoder trained to find a clip's caption among those of its batch, and a frame's class.

    Half of every batch goes through `codec`, which maps clips [B, 3, 9, 64, 64] to clips.
    """
    torch.manual_seed(seed)
    network = new_encoder().to(pictures.device)
    captions = texts()
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-2)
    network.train()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 30) * (0.02 + 0.49 * (1 + math.cos(math.pi * step / steps)))
        drawn = pictures.clips(batch)
        clips = drawn.frames
        if codec is not None:
            with torch.no_grad():
                clips = torch.cat([codec(clips[: batch // 2]), clips[batch // 2 :]])
        seen = network.frames(clips.permute(0, 2, 1, 3, 4))
        texts_seen = network.text([captions[int(number)] for number in drawn.captions])
        logits = network.log_scale.exp().clamp(max=100) * network.video(seen) @ texts_seen.T
        same = (drawn.captions[:, None] == drawn.captions[None]).double().to(logits)
        target = same / same.sum(dim=1, keepdim=True)
        loss = nn.functional.cross_entropy(logits, target) + nn.functional.cross_entropy(logits.T, target)
        classes = classes_of(drawn).to(logits.device)
        loss = loss + 0.5 * nn.functional.cross_entropy(network.classifier(seen).mean(dim=1), classes)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if progress is not None and step % 50 == 0:
            progress(step, steps, float(loss.detach()))
    return network.eval().requires_grad_(False)


def classes_of(drawn: Drawn) -> Tensor:
    """The class of each clip's frames, int64 [B] into `CLASSES`."""
    said = [caption_of(int(number)) for number in drawn.captions]
    return torch.tensor([CLASSES.index(f"{caption.group}, {caption.shirt} shirt") for caption in said])


@torch.no_grad()
def reading(
    network: NanoClipEncoder,
    pictures: WorldPictures,
    clips: int = 280,
    codec: Callable[[Tensor], Tensor] | None = None,
) -> Reading:
    """How well `network` reads clips of a split it was not trained on. `codec` is applied to them."""
    captions = texts()
    text = torch.cat([network.text(captions[start : start + 256]) for start in range(0, CAPTIONS, 256)])
    video, numbers, right = [], [], []
    for start in range(0, clips, 70):
        drawn = pictures.clips(min(70, clips - start))
        shown = drawn.frames if codec is None else codec(drawn.frames)
        seen = network.frames(shown.permute(0, 2, 1, 3, 4))
        video.append(network.video(seen))
        numbers.append(drawn.captions)
        right.append((network.classifier(seen).mean(dim=1).argmax(dim=1).cpu() == classes_of(drawn)).double())
    scores, truth = torch.cat(video) @ text.T, torch.cat(numbers)
    own = scores.gather(1, truth[:, None].to(scores.device))
    other = truth.roll(1)
    differs = other != truth
    told = (own[:, 0] > scores.gather(1, other[:, None].to(scores.device))[:, 0]).cpu()[differs]
    slots = {name: _slot(scores.cpu(), truth, name) for name in ("action", "group", "shirt", "wall")}
    return Reading(**slots, pairs=float(told.double().mean()), frames=float(torch.cat(right).mean()), clips=len(truth))


def _slot(scores: Tensor, truth: Tensor, name: str) -> float:
    choices = {"action": tuple(ACTIONS), "group": GROUPS, "shirt": tuple(COLOURS), "wall": tuple(COLOURS)}[name]
    hits = 0
    for row, number in zip(scores, truth.tolist(), strict=True):
        said = caption_of(number)
        rivals = [number_of(_with(said, name, choice)) for choice in choices]
        hits += int(row[rivals].argmax()) == rivals.index(number)
    return hits / len(truth)


def _with(caption: Caption, name: str, choice: str) -> Caption:
    return replace(caption, **{name: choice})  # type: ignore[arg-type]  # a word of the slot's own list
