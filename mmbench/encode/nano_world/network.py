"""A small encoder of nine-frame clips and of the nano world's captions, and a classifier of single frames.

It stands where ViCLIP and Inception stand for real videos, for the nano world alone: a closed grammar of captions and
rendered heads and shoulders of 64 x 64 pixels. What it says of other clips means nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmbench.errors import RequestError, WeightsError

SIDE: Final = 64
"""Pixels a side of the frames it takes."""
FRAMES: Final = 9
"""Frames of a clip."""
WIDTH: Final = 64
"""Numbers of a clip's and a caption's vector."""


class NanoClipEncoder(nn.Module):
    """Clips [B, 9, 3, 64, 64] in [-1, 1] and captions to vectors [B, 64]; frames to class logits [B, 9, classes].

    `words`: what captions are made of, single words and neighbouring pairs ("red shirt"), so that a red shirt before a
    blue wall is not a blue shirt before a red wall. `classes`: names of what the frames' classifier tells apart;
    `actions`: the captions' words for what is done.
    """

    def __init__(self, words: Sequence[str], classes: Sequence[str], actions: Sequence[str] = ()) -> None:
        super().__init__()
        self.words, self.classes, self.actions = tuple(words), tuple(classes), tuple(actions)
        self._number = {word: number for number, word in enumerate(self.words)}
        layers: list[nn.Module] = []
        for inner, outer in ((3, 24), (24, 48), (48, 64)):
            layers += [nn.Conv2d(inner, outer, 3, 2, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU()]
        layers += [nn.Conv2d(64, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.squeeze = nn.Conv2d(64, 16, 1)
        self.frame = nn.Linear(16 * 64, 128)
        self.classifier = nn.Linear(128, len(self.classes))
        self.motion = nn.Sequential(nn.Conv1d(256, 128, 3, padding=1), nn.ReLU(), nn.Conv1d(128, 128, 3, padding=1))
        self.video_head = nn.Linear(128 + 256, WIDTH)
        self.caption = nn.EmbeddingBag(max(1, len(self.words)), 128, mode="mean")
        self.text_head = nn.Sequential(nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, WIDTH))
        self.log_scale = nn.Parameter(torch.tensor(2.3))

    def frames(self, clips: Tensor) -> Tensor:
        """What it sees in every frame: [B, T, 128]."""
        batch = clips.shape[:2]
        grid = torch.relu(self.squeeze(self.trunk(clips.flatten(0, 1))))
        seen: Tensor = torch.relu(self.frame(grid.flatten(1)))
        by_clip: Tensor = seen.unflatten(0, batch)
        return by_clip

    def video(self, seen: Tensor) -> Tensor:
        """Unit vectors [B, 64] of clips from `frames`; motion is read from the differences between frames."""
        step = nn.functional.pad(seen[:, 1:] - seen[:, :-1], (0, 0, 1, 0))
        both = torch.cat([seen, step], dim=2).transpose(1, 2)
        moved = self.motion(both)
        pooled = torch.cat([seen.mean(dim=1), moved.mean(dim=2), moved.amax(dim=2)], dim=1)
        return nn.functional.normalize(self.video_head(pooled), dim=1)

    def text(self, captions: Sequence[str]) -> Tensor:
        """Unit vectors [B, 64] of captions without trigger. Raises RequestError for a word it never saw."""
        rows = [self._rows(caption) for caption in captions]
        starts = torch.tensor([0, *torch.tensor([len(row) for row in rows]).cumsum(0).tolist()[:-1]])
        flat = torch.tensor([number for row in rows for number in row])
        device = self.log_scale.device
        return nn.functional.normalize(self.text_head(self.caption(flat.to(device), starts.to(device))), dim=1)

    def with_other_actions(self, caption: str) -> list[str]:
        """The caption with each other action in the place of its own; none where it names no action."""
        words = caption.split()
        said = [number for number, word in enumerate(words) if word.lower().strip(".") in self.actions]
        if len(said) != 1:
            return []
        own = words[said[0]].lower().strip(".")
        others = [action for action in self.actions if action != own]
        return [" ".join([*words[: said[0]], action, *words[said[0] + 1 :]]) for action in others]

    def _rows(self, caption: str) -> list[int]:
        parts = words_of(caption)
        if unknown := [part for part in parts if part not in self._number]:
            raise RequestError(
                f"{caption!r} is no caption of the nano world: {unknown[0]!r} does not occur there.",
                "This column is for clips of its grammar (mmbench nano testset).",
            )
        return [self._number[part] for part in parts]

    def save(self, path: Path, facts: dict[str, str] | None = None) -> None:
        """One safetensors file, half precision; words, classes and `facts` in its metadata."""
        from safetensors.torch import save_file

        state = {n: v.half() if v.is_floating_point() else v for n, v in self.state_dict().items()}
        state = {name: value.cpu().contiguous() for name, value in state.items()}
        lists = {name: json.dumps(getattr(self, name)) for name in ("words", "classes", "actions")}
        save_file(state, path, {**lists, **(facts or {})})


def words_of(caption: str) -> list[str]:
    """The words of a caption and its neighbouring pairs, lower case."""
    words = caption.lower().replace(".", " ").split()
    return words + [f"{a} {b}" for a, b in pairwise(words)]


def load_clip_encoder(path: Path) -> NanoClipEncoder:
    """A frozen encoder from its file. Raises WeightsError for a file of another kind."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata()
            network = NanoClipEncoder(*(json.loads(facts[name]) for name in ("words", "classes", "actions")))
            network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118  # not a dict
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as cause:
        raise WeightsError(
            f"{path} is no encoder of the nano world: {cause}.", "Train one: mmbench nano judges."
        ) from cause
    return network.float().eval().requires_grad_(False)


def small_square(frame: NDArray[np.uint8]) -> Tensor:
    """A frame's largest square in the middle, (H, W, 3) uint8, averaged down to [3, 64, 64] in [-1, 1]."""
    height, width = frame.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    pixels = torch.from_numpy(frame[top : top + side, left : left + side].copy()).permute(2, 0, 1)[None].float()
    small = nn.functional.interpolate(pixels, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    return (small[0] / 127.5 - 1).detach()
