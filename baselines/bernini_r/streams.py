"""Bernini's forward on a stock Wan transformer, its guidance, and its look at a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    Source = tuple[float, Tensor]
    """A picture's number, 1 and up, and its latents [1, 16, 1, h, w]."""

STRIDE: Final = 16
"""Pixels that a side of a picture is rounded to: two patches of latents."""
TRAINED: Final = 5
"""The most pictures it was trained with: the numbers of more are spread over 1 to this."""
BOUNDARY: Final = 875
"""Timestep from which on the second transformer works, where there is one."""
LATER: Final = 0.8
"""What both weights are multiplied with from there on."""


def fitted(picture: Image, longest: int) -> Image:
    """RGB, in its own shape, no side above `longest` pixels nor enlarged, sides rounded to sixteens; bicubic."""
    from PIL import Image

    scale = min(longest / max(picture.size), 1.0)
    sides = _rounded(picture.width * scale), _rounded(picture.height * scale)
    if max(sides) > longest:
        scale = longest / max(sides)
        sides = _rounded(sides[0] * scale), _rounded(sides[1] * scale)
    whole = picture.convert("RGB")
    return whole if sides == whole.size else whole.resize(sides, Image.Resampling.BICUBIC)


def _rounded(side: float) -> int:
    return max(STRIDE, round(round(side) / STRIDE) * STRIDE)


def numbers(count: int) -> list[float]:
    """The numbers of `count` pictures: 1, 2, ..., or spread evenly over 1 to 5 where there are more."""
    if count <= TRAINED:
        return [float(number) for number in range(1, count + 1)]
    return [1 + (TRAINED - 1) * place / (count - 1) for place in range(count)]


def answer(transformer: Any, latents: Tensor, sources: Sequence[Source], timestep: Tensor, text: Tensor) -> Tensor:
    """One forward of a `WanTransformer3DModel`, float32 [1, 16, T, h, w], with the tokens of `sources` before its own.

    Each source keeps positions of its own, turned by its number in every pair of a head; the video has number 0, so
    without sources this is the stock forward. The network is run whole, by hooks, so that offloading finds it.
    """
    import torch

    patch = transformer.config.patch_size
    dtype = transformer.dtype
    given = [(number, source.to(latents.device, dtype)) for number, source in sources]
    before = sum(math.prod(side // edge for side, edge in zip(one.shape[2:], patch, strict=True)) for _, one in given)

    def with_tokens(module: Any, _: Any, out: Tensor) -> Tensor:
        return torch.cat([*(module.forward(one).flatten(2) for _, one in given), out.flatten(2)], dim=2)

    def with_positions(module: Any, _: Any, out: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        tables = [(number, module.forward(one)) for number, one in given]
        turned = [*(turn(cos, sin, number) for number, (cos, sin) in tables), out]
        return torch.cat([cos for cos, _ in turned], dim=1), torch.cat([sin for _, sin in turned], dim=1)

    def own_tokens(module: Any, _: Any, out: Tensor) -> Tensor:
        return out[:, before:]

    with (
        transformer.patch_embedding.register_forward_hook(with_tokens),
        transformer.rope.register_forward_hook(with_positions),
        transformer.proj_out.register_forward_hook(own_tokens),
    ):
        found: Tensor = transformer(latents.to(dtype), timestep.expand(1), text, return_dict=False)[0]
    return found.float()


def turn(cos: Tensor, sin: Tensor, number: float) -> tuple[Tensor, Tensor]:
    """Rotary tables [1, S, 1, D], each angle stored twice, with `number` / 10000^(2j / D) added to the jth angle."""
    import torch

    width = cos.shape[-1]
    steps = torch.arange(0, width, 2, dtype=torch.float64) / width
    more = (number / 10000**steps).repeat_interleave(2)
    by_cos, by_sin = more.cos().to(cos), more.sin().to(sin)
    return cos * by_cos - sin * by_sin, sin * by_cos + cos * by_sin


def projected(delta: Tensor, onto: Tensor, along: float, threshold: float) -> Tensor:
    """Adaptive projected guidance (Sadat et al. 2024) of `delta` [1, C, T, H, W], each frame by itself.

    A frame longer than `threshold` is cut to that length; of its part along `onto` the share `along` is kept.
    """
    import torch

    axes = (1, 3, 4)
    length, size = (torch.linalg.vector_norm(one, dim=axes, keepdim=True) for one in (delta, onto.double()))
    cut = (delta * (threshold / length).clamp(max=1)).double()
    unit = onto.double() / size.clamp(min=1e-12)
    parallel = (cut * unit).sum(dim=axes, keepdim=True) * unit
    found: Tensor = (cut - parallel).to(delta.dtype) + along * parallel.to(delta.dtype)
    return found


@dataclass(frozen=True)
class Chain:
    """The guided velocity: nothing, then pictures, then pictures and prompt, each step projected.

    It works on clean latents, latents - sigma x velocity. `later` is the second transformer, or None.
    """

    transformer: Any
    later: Any
    scheduler: Any
    said: Tensor
    nothing: Tensor
    sources: Sequence[Source]
    pictures: float
    text: float
    along: float
    threshold: float

    def __call__(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """The velocity at a step of the scheduler; three forwards; see `mmbench.baselines.wan.loop.denoise`."""
        second = self.later is not None and float(timestep) < BOUNDARY
        network, weight = (self.later, LATER) if second else (self.transformer, 1.0)
        sigma = self.scheduler.sigmas[self.scheduler.step_index or 0].to(latents.device)

        def clean(sources: Sequence[Source], text: Tensor) -> Tensor:
            found: Tensor = latents - sigma * answer(network, latents, sources, timestep, text)
            return found

        bare, seen, both = clean((), self.nothing), clean(self.sources, self.nothing), clean(self.sources, self.said)
        guided = bare + weight * self.pictures * projected(seen - bare, seen, self.along, self.threshold)
        guided = guided + weight * self.text * projected(both - seen, both, self.along, self.threshold)
        velocity: Tensor = (latents - guided) / sigma
        return velocity
