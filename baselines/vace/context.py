"""What VACE's control layers are shown: the pictures as frames of latents before a video that is all to be made.

As github.com/ali-vilab/VACE `vace/models/wan/wan_vace.py`. diffusers' pipeline has the pictures in the reverse order,
and rounds their sides down to eights before it fits them into the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mmbench.baselines.wan.loop import encode_video

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

MASK_CHANNELS: Final = 64
"""The mask of the 8x8 pixels of a latent."""


def fitted(picture: Image, size: tuple[int, int]) -> Tensor:
    """The picture float32 [3, H, W] in [-1, 1], as large as it fits into `size`, bilinear, centred on white.

    Its sides are cut to whole pixels as the makers cut them, so the longer may come one short of the frame's.
    """
    import torch
    from torch.nn.functional import interpolate

    pixels = torch.from_numpy(np.asarray(picture.convert("RGB"), np.float32) / 127.5 - 1).permute(2, 0, 1)
    scale = min(size[0] / picture.height, size[1] / picture.width)
    height, width = max(1, int(picture.height * scale)), max(1, int(picture.width * scale))
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    canvas = torch.ones(3, *size)
    small = interpolate(pixels[None], size=(height, width), mode="bilinear", align_corners=False)[0]
    canvas[:, top : top + height, left : left + width] = small
    return canvas


def context(vae: Any, pictures: Sequence[Image], size: tuple[int, int], frames: int) -> Tensor:
    """Control latents float32 [1, 96, K + T, h, w] of K pictures and a video of `frames` (4T - 3), nothing of it given.

    Sixteen channels of what is kept, sixteen of what is made anew, and the mask: one where it is made.
    """
    import torch

    grey = encode_video(vae, torch.zeros(1, 3, frames, *size))
    shown = [encode_video(vae, fitted(picture, size)[None, :, None]) for picture in pictures]
    kept, made = torch.cat([*shown, grey], dim=2), torch.cat([*(one * 0 for one in shown), grey], dim=2)
    mask = kept.new_zeros(1, MASK_CHANNELS, *kept.shape[2:])
    mask[:, :, len(shown) :] = 1
    return torch.cat([kept, made, mask], dim=1)


@dataclass(frozen=True)
class Guided:
    """The guided velocity under control: nothing + `weight` (said - nothing), two forwards; see `denoise`.

    `said` and `nothing` are embedded prompts [1, L, C], `control` what `context` gives. A weight of 1 needs one
    forward.
    """

    transformer: Any
    said: Tensor
    nothing: Tensor
    control: Tensor
    weight: float

    def __call__(self, latents: Tensor, timestep: Tensor) -> Tensor:
        said = self.answer(latents, timestep, self.said)
        if self.weight == 1:
            return said
        nothing = self.answer(latents, timestep, self.nothing)
        return nothing + self.weight * (said - nothing)

    def answer(self, latents: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        """One forward, in float32, the pictures' frames among it."""
        dtype = self.transformer.dtype
        given = {"control_hidden_states": self.control.to(dtype), "return_dict": False}
        found: Tensor = self.transformer(latents.to(dtype), timestep.expand(1), text, **given)[0].float()
        return found
