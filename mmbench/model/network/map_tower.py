"""A small recogniser's dense map in the place of CLIP's patch tokens, for models small enough for a processor."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from mmbench.errors import WeightsError
from mmbench.face.nano.recogniser import NanoRecogniser
from mmbench.model.network.pixels import CLIP_MEAN, CLIP_STD


class MapTower(nn.Module):
    """CLIP-normalised pictures [B, 3, 64, 64] to [B, 1 + 64, C]: the map's mean, then its cells with their places.

    Every channel is standardised by `mean` and `deviation`, measured once (`calibrate`). Sines and cosines of a cell's
    row and column are added, since the perceivers behind it know no places. It stands for both of
    CLIP's states that they read.
    """

    mean: Tensor
    deviation: Tensor
    pixel_mean: Tensor
    pixel_deviation: Tensor
    places: Tensor

    def __init__(
        self,
        widths: tuple[int, int, int],
        pixel_mean: tuple[float, float, float],
        pixel_deviation: tuple[float, float, float],
    ) -> None:
        super().__init__()
        self.recogniser = NanoRecogniser(widths)
        channels = widths[-1]
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_deviation", torch.tensor(pixel_deviation).view(3, 1, 1), persistent=False)
        self.register_buffer("places", cell_places(channels), persistent=False)

    @torch.no_grad()
    def calibrate(self, pictures: Tensor) -> None:
        """Measure the channels' mean and deviation on pictures [B, 3, 64, 64] in [-1, 1]."""
        cells = self.recogniser.features(pictures).flatten(0, 1).double()
        self.mean.copy_(cells.mean(dim=0))
        self.deviation.copy_(cells.std(dim=0).clamp_min(1e-3))

    def tokens(self, pictures: Tensor) -> Tensor:
        """Tokens [B, 1 + 64, C] of pictures [B, 3, 64, 64] in [-1, 1]."""
        cells = (self.recogniser.features(pictures) - self.mean) / self.deviation
        return torch.cat([cells.mean(dim=1, keepdim=True), cells + self.places], dim=1)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Tokens of CLIP-normalised pictures."""
        return self.tokens((pixel_values * self.pixel_deviation + self.pixel_mean) * 2 - 1)

    def save(self, path: Path) -> None:
        """One safetensors file: the recogniser, the channels' mean and deviation, the widths in its metadata."""
        from safetensors.torch import save_file

        state = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        save_file(state, path, {"widths": ",".join(map(str, self.recogniser.widths))})


def load_tower(path: Path) -> MapTower:
    """A frozen tower from its file. Raises WeightsError for a file of another kind."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            first, second, third = (int(width) for width in file.metadata()["widths"].split(","))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
        tower = MapTower((first, second, third), CLIP_MEAN, CLIP_STD)
        tower.load_state_dict(state)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError, AttributeError) as cause:
        raise WeightsError(f"{path} is no vision tower: {cause}.", "Make one: mmbench nano eyes.") from cause
    return tower.eval().requires_grad_(False)


def cell_places(channels: int, side: int = 8) -> Tensor:
    """Codes [side * side, channels] of the cells' rows (first half) and columns (second half)."""
    half = channels // 2
    rates = torch.exp(torch.arange(half // 2) * (-math.log(side * 2.0) / max(half // 2 - 1, 1)))
    angles = torch.arange(side)[:, None] * rates * math.pi / 2
    code = torch.cat([angles.sin(), angles.cos()], dim=1)  # [side, half]
    rows = code[:, None].expand(side, side, -1)
    columns = code[None].expand(side, side, -1)
    places = torch.cat([rows, columns], dim=2).flatten(0, 1)
    return nn.functional.pad(places, (0, channels - places.shape[1]))
