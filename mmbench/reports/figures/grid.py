"""Qualitative grids: rows of pictures, the reference at the left, frames of each column's video beside it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmbench.errors import MMBenchError, RequestError
from mmbench.reports.figures.style import styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mmbench.items import Item
    from mmbench.video.clip import Frame

SIDE = 1.0
"""Inches of one picture."""


def grid_figure(
    items: Sequence[Item], columns: Sequence[str] = (), rows: int = 6, shares: Sequence[float] = (0.0, 1.0)
) -> Figure:
    """A row a person and prompt, a column a model: frames at `shares` (0 first, 1 last) of each clip's length.

    `columns` are models in the order to show, all of them where none is named. At most `rows` rows are shown, evenly
    spaced over all that every column has; a clip that cannot be read is an empty place. Raises RequestError where the
    columns share no clip.
    """
    names = list(columns) or sorted({item.model for item in items})
    held = {name: {_key(item): item for item in items if item.model == name} for name in names}
    shared = [key for key in held[names[0]] if all(key in held[name] for name in names)]
    if not shared:
        raise RequestError("No clip of one person, prompt and seed is there in every column.", "Name other columns.")
    shared = [shared[int(k)] for k in np.linspace(0, len(shared) - 1, min(rows, len(shared))).round()]
    with styled():
        return _draw(names, held, shared, shares)


def _draw(
    names: Sequence[str],
    held: dict[str, dict[tuple[str, int | None, int | None], Item]],
    keys: Sequence[tuple[str, int | None, int | None]],
    shares: Sequence[float],
) -> Figure:
    from matplotlib.figure import Figure

    wide = 1 + len(names) * len(shares)
    figure = Figure(figsize=(SIDE * wide, SIDE * 1.2 * len(keys) + 0.3), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)  # type: ignore[union-attr,call-arg]
    axes = figure.subplots(len(keys), wide, squeeze=False)
    for place in axes.flat:
        place.set_axis_off()
    for row, key in enumerate(keys):
        item = held[names[0]][key]
        axes[row, 0].set_title(textwrap.fill(item.prompt or item.identity, 28)[:84], loc="left", fontsize=5)
        if item.shown:
            axes[row, 0].imshow(_picture(item.shown[0]))
        for column, name in enumerate(names):
            for number, frame in enumerate(_frames(held[name][key].video, shares)):
                axes[row, 1 + column * len(shares) + number].imshow(frame)
            if row == 0:
                axes[0, 1 + column * len(shares)].set_title(name, loc="left", fontsize=7)
    return figure


def _picture(path: Path) -> Frame:
    from mmbench.video.image import read_image

    return read_image(path)


def _frames(video: Path, shares: Sequence[float]) -> list[NDArray[np.uint8]]:
    """The frames at the shares of the clip's length; none for a clip that cannot be read."""
    from mmbench.video.read import open_clip

    try:
        clip = open_clip(video)
        wanted = [round(share * (clip.info.n_frames - 1)) for share in shares]
        found = {index: frame.copy() for index, frame in enumerate(clip.frames()) if index in wanted}
        return [found[index] for index in wanted]
    except MMBenchError:
        return []


def _key(item: Item) -> tuple[str, int | None, int | None]:
    return item.identity, item.prompt_index, item.seed
