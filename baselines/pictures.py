"""Fitting pictures to a model's size."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

    from .contract import Size


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
