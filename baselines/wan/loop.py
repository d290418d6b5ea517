"""The latent loop of models on Wan 2.1: pictures into latents, steps with a velocity of the model's own, frames out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Generator, Tensor

    Velocity = Callable[[Tensor, Tensor], Tensor]
    """The guided velocity [1, 16, T, h, w] of latents of that shape at a timestep, a number of 0 to 1000."""


def at_hand(network: Any) -> Any:
    """The network, on the device where it computes: one that is offloaded comes back at its own `forward` alone.

    For whoever calls its parts by themselves, or asks where it is before calling it.
    """
    if (hook := getattr(network, "_hf_hook", None)) is not None:
        hook.pre_forward(network)
    return network


def encode_pictures(
    vae: Any, pictures: Sequence[Image], generator: Generator | None = None, *, blank: bool = False
) -> Tensor:
    """RGB pictures of one size as latents float32 [1, 16, K, h, w], each by itself a video of one frame.

    The mode of the autoencoder's distribution, or a draw from it by `generator`, less the mean and over the spread of
    its channels, as Wan's own code. `blank` takes zeros, the middle between black and white, for every pixel.
    """
    import torch

    found = []
    for picture in pictures:
        pixels = torch.from_numpy(np.asarray(picture, np.float32) / 127.5 - 1).permute(2, 0, 1)[None, :, None]
        found.append(encode_video(vae, pixels * (0.0 if blank else 1.0), generator))
    return torch.cat(found, dim=2)


def encode_video(vae: Any, pixels: Tensor, generator: Generator | None = None) -> Tensor:
    """Frames [1, 3, 4T - 3, H, W] in [-1, 1] as latents float32 [1, 16, T, h, w]; `generator` as above."""
    mean, spread = _scale(at_hand(vae))
    coded = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist
    drawn = coded.mode() if generator is None else coded.sample(generator)
    found: Tensor = (drawn.float() - mean) / spread
    return found


def on_white(picture: Image, size: tuple[int, int]) -> Image:
    """The picture as large as it fits into `size` (height, width), LANCZOS, centred on white; RGB."""
    from PIL import Image, ImageOps

    height, width = size
    if picture.width * height > picture.height * width:
        within = (width, max(1, int(width * picture.height / picture.width)))
    else:
        within = (max(1, int(height * picture.width / picture.height)), height)
    small = picture.convert("RGB").resize(within, Image.Resampling.LANCZOS)
    left, top = (width - within[0]) // 2, (height - within[1]) // 2
    return ImageOps.expand(small, (left, top, width - within[0] - left, height - within[1] - top), fill="white")


@dataclass(frozen=True)
class Subjects:
    """Guidance of models that see their pictures as frames of latents behind the video's own (Phantom, SkyReels).

    `said` and `nothing` are embedded prompts [1, L, C], `shown` latents [1, 16, K, h, w]. The velocity is
    nothing + `pictures` (seen - nothing) + `text` (both - seen), three forwards, where nothing has zeros for `shown`.
    """

    transformer: Any
    said: Tensor
    nothing: Tensor
    shown: Tensor
    pictures: float
    text: float

    def __call__(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """The guided velocity; see `denoise`."""
        neither = self.answer(latents, timestep, self.nothing, self.shown * 0)
        seen = self.answer(latents, timestep, self.nothing, self.shown)
        both = self.answer(latents, timestep, self.said, self.shown)
        return neither + self.pictures * (seen - neither) + self.text * (both - seen)

    def unguided(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """The velocity with pictures and prompt, one forward: of models that were taught their guidance."""
        return self.answer(latents, timestep, self.said, self.shown)

    def answer(self, latents: Tensor, timestep: Tensor, text: Tensor, beside: Tensor) -> Tensor:
        """One forward, in float32, of the video's frames alone."""
        import torch

        given = torch.cat([latents, beside], dim=2).to(self.transformer.dtype)
        found: Tensor = self.transformer(given, timestep.expand(1), text, return_dict=False)[0].float()
        return found[:, :, : latents.shape[2]]


def decode_frames(vae: Any, latents: Tensor) -> NDArray[np.float32]:
    """Latents [1, 16, T, h, w] as frames float32 (4T - 3, H, W, 3) in [0, 1]."""
    mean, spread = _scale(at_hand(vae))
    video = vae.decode((latents.float() * spread + mean).to(vae.dtype)).sample[0].float()
    found: NDArray[np.float32] = (video.permute(1, 2, 3, 0) / 2 + 0.5).clamp(0, 1).cpu().numpy()
    return found


def _scale(vae: Any) -> tuple[Tensor, Tensor]:
    import torch

    shape = (1, -1, 1, 1, 1)
    both = (vae.config.latents_mean, vae.config.latents_std)
    mean, spread = (torch.tensor(values, device=vae.device).view(shape) for values in both)
    return mean, spread


def wan_levels(steps: int) -> list[float]:
    """The noise levels of Wan's own scheduler before its shift, `steps` of them: even from 0.999 towards 0.

    diffusers' flow sigmas go from 1 towards 0.001: their last of 50 is 0.0968 by shift 5, not 0.0925.
    """
    return [0.999 * (1 - step / steps) for step in range(steps)]


def denoise(
    scheduler: Any, latents: Tensor, steps: int, velocity: Velocity, sigmas: list[float] | None = None
) -> Tensor:
    """Noise [1, 16, T, h, w] to latents, in `steps` steps of `scheduler` along what `velocity` answers.

    `sigmas`, before the scheduler's shift, are the steps' own where they are not those it would choose.
    """
    scheduler.set_timesteps(steps, device=latents.device, **({"sigmas": np.array(sigmas)} if sigmas else {}))
    scheduler.set_begin_index(0)  # else it looks the first timestep up, and takes the second of two that round alike
    for timestep in scheduler.timesteps:
        latents = scheduler.step(velocity(latents, timestep), timestep, latents, return_dict=False)[0]
    return latents
