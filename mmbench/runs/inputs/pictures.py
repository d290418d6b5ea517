"""Pictures that a caller holds in memory, written into the run: whoever reads its rows later finds them."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmbench.files import sha256, whole
from mmbench.items import Item, is_picture
from mmbench.remote.path import path_of

PICTURES = "pictures"


def placed(item: Item, run: Path) -> Item:
    """The item with every picture in memory as a PNG in `run/pictures`, named by its content; else the item itself.

    The pixels are those that a file of the picture gives (`mmbench.video.image.to_rgb`); nothing else of it is kept.
    Raises MediaError for a picture that is empty or too large.
    """
    given: tuple[Any, ...] = (*item.references, *item.shown, item.condition)
    if not any(map(is_picture, given)):
        return item
    references, shown = (tuple(_written(one, run) for one in given) for given in (item.references, item.shown))
    condition = None if item.condition is None else _written(item.condition, run)
    return replace(item, references=references, shown=shown, condition=condition)


def _written(picture: Any, run: Path) -> Path:
    if not is_picture(picture):
        return path_of(picture)
    from PIL import Image

    from mmbench.video.image import to_rgb
    from mmbench.video.limits import DEFAULT_LIMITS

    DEFAULT_LIMITS.check_size("A picture in memory", *picture.size)
    stream = io.BytesIO()
    Image.fromarray(to_rgb(picture)).save(stream, "PNG")
    data = stream.getvalue()
    path = run.absolute() / PICTURES / f"{sha256(data)[:24]}.png"
    if not path.is_file():
        with whole(path) as part:
            part.write_bytes(data)
    return path
