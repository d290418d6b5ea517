"""Read one still picture, turned upright, as uint8 RGB."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmbench.errors import MediaError, machine_fault
from mmbench.files import is_file
from mmbench.remote.path import path_of
from mmbench.video.clip import Frame
from mmbench.video.limits import DEFAULT_LIMITS, MediaLimits

if TYPE_CHECKING:
    from PIL import Image

SCAN = b"\xff\xda"
"""What every scan of a JPEG begins with; never found in coded pixels."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM")


def read_image(path: Path | str, limits: MediaLimits = DEFAULT_LIMITS) -> Frame:
    """Pixels of a picture file, (H, W, 3) uint8 RGB, EXIF orientation applied, transparency laid on white.

    Raises MediaError naming the file when it is absent, empty, no picture, damaged or larger than `limits`.
    """
    with open_image(path, limits) as image:
        return to_rgb(image)


@contextmanager
def open_image(
    path: Path | str, limits: MediaLimits = DEFAULT_LIMITS, formats: tuple[str, ...] = FORMATS
) -> Iterator[Image.Image]:
    """A Pillow image whose size has been checked, with every way a damaged file can fail turned to a MediaError."""
    from PIL import Image

    file = path_of(path)
    os.fspath(file)  # of a picture elsewhere: fetched, or the error that says why it cannot be had
    if not is_file(file):
        raise MediaError(f"{file}: there is no such picture.", "Check the path.")
    if not limits.check_file(file):
        raise MediaError(f"{file}: the file is empty.", "Write it again.")
    try:
        with warnings.catch_warnings():
            # Pillow only warns of large pictures and broken EXIF data; our limits decide.
            warnings.simplefilter("ignore")
            with Image.open(file, formats=formats) as image:
                limits.check_size(str(file), *image.size)
                if image.info.get("progressive"):
                    limits.check_scans(str(file), count_scans(file))
                yield image
    # What Pillow's readers raise on damaged or hostile bytes; found by mutating files of every format.
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        IndexError,
        KeyError,
        TypeError,
        OverflowError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    ) as error:
        if machine := machine_fault(error, str(file)):
            raise machine from error
        raise MediaError(
            f"{file}: it cannot be read as a picture ({type(error).__name__}: {error}).",
            f"Give an undamaged file of one of the kinds {', '.join(formats)}.",
        ) from error


def count_scans(file: Path) -> int:
    """How often a JPEG file is drawn over: scans of its picture and of previews in it."""
    count, last = 0, b""
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            count += (last + block).count(SCAN)
            last = block[-1:]
    return count


def to_rgb(image: Image.Image) -> Frame:
    """Pixels of an opened picture: upright, 8 bits, RGB; transparent parts become white."""
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16") or upright.mode == "I":
        # Pillow would clip 16-bit grey at 255 instead of scaling it.
        deep = np.asarray(upright).astype(np.float64) / 257
        grey = np.round(deep.clip(0, 255)).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        layer = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.array(upright.convert("RGB"), dtype=np.uint8)
