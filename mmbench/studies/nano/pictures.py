"""Batches of the nano world: rendered people before fresh walls, with captions and references of the same person.

Every batch is drawn anew: wall, mirror image and gain differ each time a picture is seen. All draws come from one
generator on the processor, so that a batch is the same on every device.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import torch
from torch import Tensor

from mmbench.synth.identity import GROUPS
from mmbench.synth.world.grammar import ACTIONS, COLOURS, POSING, Caption
from mmbench.synth.world.people import CLIPS, FRAMES, PER_PERSON, SIZE
from mmbench.synth.world.store import World

_WORDS_OF_ACTION: Final = (*ACTIONS, POSING)
_COLOURS: Final = tuple(COLOURS)
CAPTIONS: Final = len(GROUPS) * len(_WORDS_OF_ACTION) * len(_COLOURS) ** 2
"""Number of different captions; `caption_of` lists them."""


def caption_of(number: int) -> Caption:
    """The caption of a number 0 <= number < `CAPTIONS`."""
    number, wall = divmod(number, len(_COLOURS))
    number, shirt = divmod(number, len(_COLOURS))
    group, action = divmod(number, len(_WORDS_OF_ACTION))
    return Caption(GROUPS[group], _WORDS_OF_ACTION[action], _COLOURS[shirt], _COLOURS[wall])


def number_of(caption: Caption) -> int:
    """The number of a caption: the inverse of `caption_of`."""
    group, action = GROUPS.index(caption.group), _WORDS_OF_ACTION.index(caption.action)
    shirt, wall = _COLOURS.index(caption.shirt), _COLOURS.index(caption.wall)
    return ((group * len(_WORDS_OF_ACTION) + action) * len(_COLOURS) + shirt) * len(_COLOURS) + wall


Look = Literal["natural", "worn", "slow"]
"""How clips look: as rendered; blurred and grainy, as a worn film; at half their speed (each frame shown twice)."""
_BLUR: Final = 1.0
_GRAIN: Final = 0.12


@dataclass(frozen=True)
class Drawn:
    """A batch. `frames` float [B, 3, T, 64, 64] in [-1, 1]; `captions` int [B] into `caption_of`; `people` int [B];
    `first` int [B], the picture that is the first frame; `mirrored` bool [B]; `five` float [B, T, 5, 2] pixels.
    """

    frames: Tensor
    captions: Tensor
    people: Tensor
    first: Tensor
    mirrored: Tensor
    five: Tensor


class WorldPictures:
    """Draws batches from a split that lies in memory. `state_dict` holds the generator, so that drawing resumes."""

    def __init__(self, world: World, device: str | torch.device = "cpu", seed: int = 0) -> None:
        self.device = torch.device(device)
        self.frames = torch.from_numpy(world.frames).to(self.device)
        self.five = torch.from_numpy(world.five)
        self.actions = torch.from_numpy(world.actions).long()
        self.shirts = torch.from_numpy(world.shirts).long()
        self.groups = torch.from_numpy(world.groups)
        self.people = len(world.names)
        self.generator = torch.Generator().manual_seed(seed)
        self._palette = torch.tensor([COLOURS[name] for name in _COLOURS])

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])

    def images(self, count: int, people: Tensor | None = None) -> Drawn:
        """Single pictures (T = 1): clips' frames and stills alike; only stills are said to be posing."""
        people = self._draw(self.people, count) if people is None else people
        picture, wall, mirrored = self._draw(PER_PERSON, count), self._draw(len(_COLOURS), count), self._coin(count)
        still = picture >= CLIPS * FRAMES
        clip = torch.where(still, 0, picture // FRAMES)
        scene = torch.where(still, picture - CLIPS * FRAMES + CLIPS, clip)
        action = torch.where(still, len(ACTIONS), self.actions[people, clip])
        frames = self._composite(people, picture[:, None], wall, mirrored)
        captions = self._captions(people, action, self.shirts[people, scene], wall)
        return Drawn(frames, captions, people, picture, mirrored, self._points(people, picture[:, None], mirrored))

    def clips(self, count: int, people: Tensor | None = None) -> Drawn:
        """Clips of nine frames."""
        people = self._draw(self.people, count) if people is None else people
        clip, wall, mirrored = self._draw(CLIPS, count), self._draw(len(_COLOURS), count), self._coin(count)
        picture = clip[:, None] * FRAMES + torch.arange(FRAMES)
        frames = self._composite(people, picture, wall, mirrored)
        captions = self._captions(people, self.actions[people, clip], self.shirts[people, clip], wall)
        return Drawn(frames, captions, people, picture[:, 0], mirrored, self._points(people, picture, mirrored))

    def looking(self, drawn: Drawn, look: Look) -> Drawn:
        """The batch in another look. Raises ValueError where single pictures are to be slow."""
        if look == "natural":
            return drawn
        if look == "slow":
            if (count := drawn.frames.shape[2]) == 1:
                raise ValueError("single pictures have no speed")
            half = torch.arange(count) // 2
            return replace(drawn, frames=drawn.frames[:, :, half], five=drawn.five[:, half])
        from torchvision.transforms.v2.functional import gaussian_blur

        soft = gaussian_blur(drawn.frames.transpose(1, 2), [5, 5], [_BLUR, _BLUR]).transpose(1, 2)
        seed = int(self._draw(1 << 62, 1))
        grain = torch.randn(soft.shape, generator=torch.Generator().manual_seed(seed)).to(self.device)
        return replace(drawn, frames=(soft + _GRAIN * grain).clamp(-1, 1))

    def references(self, drawn: Drawn, count: int = 1) -> Tensor:
        """`count` other pictures of each person on other walls, mirrored alike: float [B, count, 3, 64, 64].

        A reference is never a frame of the drawn clip, nor the drawn picture.
        """
        batch = len(drawn.people)
        shown = drawn.first[:, None] + torch.arange(drawn.frames.shape[2])
        scores = torch.rand(batch, PER_PERSON, generator=self.generator).scatter(1, shown, -1.0)
        picture = scores.topk(count, dim=1).indices
        return self.pictures(drawn.people, picture, drawn.mirrored)

    def pictures(self, people: Tensor, picture: Tensor, mirrored: Tensor | None = None) -> Tensor:
        """Named pictures [B, n] of `people` [B] before drawn walls: float [B, n, 3, 64, 64]."""
        batch, count = picture.shape
        rows, columns = people.repeat_interleave(count), picture.reshape(-1, 1)
        flip = torch.zeros(len(rows), dtype=torch.bool) if mirrored is None else mirrored.repeat_interleave(count)
        walls = self._draw(len(_COLOURS), batch * count)
        made: Tensor = self._composite(rows, columns, walls, flip)[:, :, 0].unflatten(0, (batch, count))
        return made

    def _draw(self, below: int, count: int) -> Tensor:
        return torch.randint(below, (count,), generator=self.generator)

    def _coin(self, count: int) -> Tensor:
        return torch.rand(count, generator=self.generator) < 0.5

    def _captions(self, people: Tensor, action: Tensor, shirt: Tensor, wall: Tensor) -> Tensor:
        number = (self.groups[people] * len(_WORDS_OF_ACTION) + action) * len(_COLOURS) + shirt
        return number * len(_COLOURS) + wall

    def _points(self, people: Tensor, picture: Tensor, mirrored: Tensor) -> Tensor:
        five = self.five[people[:, None], picture]
        turned = five[..., [1, 0, 2, 4, 3], :] * torch.tensor([-1.0, 1.0]) + torch.tensor([float(SIZE), 0.0])
        return torch.where(mirrored.view(-1, 1, 1, 1), turned, five)

    def _composite(self, people: Tensor, picture: Tensor, wall: Tensor, mirrored: Tensor) -> Tensor:
        """Pictures [B, T] before walls near the named colours, brighter or darker towards the floor."""
        batch = len(people)
        gain = 1 + 0.10 * torch.randn(batch, 1, generator=self.generator)
        tint = 0.02 * torch.randn(batch, 3, generator=self.generator)
        slope = 0.16 * (torch.rand(batch, 1, generator=self.generator) - 0.5)
        colour = (self._palette[wall] * gain + tint).clamp(0.02, 0.95)
        height = torch.linspace(-1, 1, SIZE)
        rows = (colour[:, :, None] * (1 + slope[:, :, None] * height)).clamp(0, 1).to(self.device)
        rgba = self.frames[people.to(self.device)[:, None], picture.to(self.device)].float() / 255
        cover = rgba[..., 3:]
        behind = rows.permute(0, 2, 1)[:, None, :, None, :]
        image = rgba[..., :3] * cover + behind * (1 - cover)
        image = torch.where(mirrored.to(self.device).view(-1, 1, 1, 1, 1), image.flip(3), image)
        return image.permute(0, 4, 1, 2, 3) * 2 - 1
