"""A picture from outside: decoded defensively, its face box cropped with a margin."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.errors import MediaError
from mmbench.files import whole
from mmbench.testsets.pubfig50.picture_list import Box

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
MAX_PIXELS = 40_000_000
MAX_SIDE = 1024
"""References are at most this large; a face fills half of a crop, and no model reads more than 512 pixels of it."""


def decode(data: bytes, where: str) -> Image:
    """The picture in `data` as `mmbench.video.image.to_rgb` shows it: upright, RGB, white where it is transparent.

    Raises MediaError: no picture, unknown type, damaged, too large.
    """
    from PIL import Image as pillow
    from PIL import UnidentifiedImageError

    from mmbench.video.image import to_rgb

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pillow.DecompressionBombWarning)
            image = pillow.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise MediaError(f"{where}: {image.width}x{image.height} pixels are too many.", "Use a smaller picture.")
        image.load()
        return pillow.fromarray(to_rgb(image))
    except (UnidentifiedImageError, pillow.DecompressionBombError, pillow.DecompressionBombWarning) as cause:
        raise MediaError(f"{where}: not a picture of a known type.", f"Known: {', '.join(FORMATS)}.") from cause
    except (OSError, SyntaxError, ValueError, LookupError, TypeError, EOFError, struct.error, zlib.error) as cause:
        raise MediaError(f"{where}: a damaged picture ({cause}).", "Use another picture.") from cause


def crop_face(image: Image, box: Box, margin: float, min_side: int, where: str) -> Image:
    """Square around `box`, `margin` of its longer side added on each side, cut at the picture's edges.

    Raises MediaError when the box lies outside the picture or the crop is smaller than `min_side`: the
    picture is then not the one the box was drawn on.
    """
    left, top, right, bottom = box
    if left < 0 or top < 0 or right > image.width or bottom > image.height:
        raise MediaError(
            f"{where}: the face box {box} lies outside the {image.width}x{image.height} picture.",
            "Use another picture.",
        )
    half = max(right - left, bottom - top) * (0.5 + margin)
    x, y = (left + right) / 2, (top + bottom) / 2
    cut = (
        max(0, round(x - half)),
        max(0, round(y - half)),
        min(image.width, round(x + half)),
        min(image.height, round(y + half)),
    )
    return fit(image.crop(cut), min_side, where)


def fit(image: Image, min_side: int, where: str) -> Image:
    """`image`, made at most `MAX_SIDE` pixels. Raises MediaError when its shorter side is below `min_side`."""
    from PIL.Image import Resampling

    if min(image.size) < min_side:
        raise MediaError(f"{where}: {image.width}x{image.height}, below {min_side} pixels.", "Use a larger picture.")
    if max(image.size) > MAX_SIDE:
        scale = MAX_SIDE / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Resampling.LANCZOS)
    return image


def save_png(image: Image, path: Path) -> None:
    """Write a PNG that appears only when complete."""
    with whole(path) as part:
        image.save(part, format="PNG")
