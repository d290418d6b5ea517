"""Fitting pictures to a model's size and number range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from mmbench.baselines.contract import Size


def cover(picture: Image, size: Size) -> Image:
    """`picture` resized to cover `size` (height, width) and cropped at the centre, so nothing is stretched.

    diffusers' image-to-video pipelines would stretch. A picture that already fits comes back unchanged.
    """
    from PIL import Image as Pil

    height, width = size
    if picture.size == (width, height):
        return picture
    scale = max(width / picture.width, height / picture.height)
    resized = (max(width, round(picture.width * scale)), max(height, round(picture.height * scale)))
    left, top = (resized[0] - width) // 2, (resized[1] - height) // 2
    return picture.resize(resized, Pil.Resampling.LANCZOS).crop((left, top, left + width, top + height))


CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""Channel means and deviations of OpenAI's CLIP, in [0, 1]."""


def clip_pixels(pictures: Sequence[Image], side: int = 224) -> torch.Tensor:
    """Float32 (n, 3, side, side): short edge to `side` (bicubic), centre crop, CLIP's mean and deviation.

    The arithmetic of `CLIPImageProcessor`'s PIL path, which does not depend on the version of torchvision.
    """
    import torch
    from PIL import Image as Pil

    rows = []
    for picture in pictures:
        short = min(picture.size)
        if short != side:
            width, height = (int(side * edge / short) for edge in picture.size)
            picture = picture.resize((width, height), Pil.Resampling.BICUBIC)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        pixels = np.asarray(picture.crop((left, top, left + side, top + side)), dtype=np.float32) / 255
        rows.append((pixels - np.array(CLIP_MEAN, np.float32)) / np.array(CLIP_STD, np.float32))
    return torch.from_numpy(np.stack(rows).astype(np.float32)).permute(0, 3, 1, 2).contiguous()
