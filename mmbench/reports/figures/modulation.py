"""The map of modulation scales (Fig. 9 of the paper), from what `mmbench ablate modulation` leaves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmbench.errors import ManifestError
from mmbench.reports.figures.style import colour_of, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIELDS = ("kind", "layer", "step", "xy", "kinds")


def read_modulation(folder: Path) -> dict[str, NDArray[Any]]:
    """Arrays of a folder's `modulation.npz`: kind, layer, step [N], xy [N, 2], kinds [K]. Raises ManifestError."""
    path = folder / "modulation.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in FIELDS}
    except (OSError, ValueError, KeyError) as cause:
        raise ManifestError(f"{path}: {cause}.", "Name the folder of `mmbench ablate modulation`.") from cause


def modulation_figure(held: Mapping[str, NDArray[Any]]) -> Figure:
    """The map twice: coloured by what the scale is of, and by the layer; darker points are later steps of sampling."""
    kinds = [str(name) for name in held["kinds"]]
    colours = colour_of(kinds)
    xy, step = held["xy"], held["step"]
    size = 3 + 6 * step / max(1, int(step.max()))
    with styled():
        figure, axes = panels(2, size=(4.2, 3.6))
        for number, name in enumerate(kinds):
            chosen = held["kind"] == number
            axes[0].scatter(xy[chosen, 0], xy[chosen, 1], s=size[chosen], color=colours[name], label=name, linewidths=0)
        axes[0].legend(markerscale=2)
        axes[0].set_title("by modality", loc="left")
        drawn = axes[1].scatter(xy[:, 0], xy[:, 1], s=size, c=held["layer"], cmap="viridis", linewidths=0)
        axes[1].set_title("by layer", loc="left")
        figure.colorbar(drawn, ax=axes[1], label="layer")
        for panel in axes:
            panel.set_xticks([])
            panel.set_yticks([])
    return figure
