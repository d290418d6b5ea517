"""The latent loop of models on Wan 2.1: pictures into latents, steps with a velocity of the model's own, frames out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    Velocity = Callable[[Tensor, Tensor], Tensor]
    """The guided velocity [1, 16, T, h, w] of latents of that shape at a timestep, a number of 0 to 1000."""


def encode_pictures(vae: Any, pictures: Sequence[Image]) -> Tensor:
    """RGB pictures of one size as latents float32 [1, 16, K, h, w], each by itself a video of one frame.

    The mode of the autoencoder's distribution, less the mean and over the spread of its channels, as Wan's own code.
    """
    import torch

    with_axis = [torch.from_numpy(np.asarray(picture, np.float32) / 127.5 - 1) for picture in pictures]
    mean, spread = _scale(vae)
    found = []
    for pixels in with_axis:
        video = pixels.permute(2, 0, 1)[None, :, None].to(vae.device, vae.dtype)
        found.append((vae.encode(video).latent_dist.mode().float() - mean) / spread)
    return torch.cat(found, dim=2)


def decode_frames(vae: Any, latents: Tensor) -> NDArray[np.float32]:
    """Latents [1, 16, T, h, w] as frames float32 (4T - 3, H, W, 3) in [0, 1]."""
    mean, spread = _scale(vae)
    video = vae.decode((latents.float() * spread + mean).to(vae.dtype)).sample[0].float()
    found: NDArray[np.float32] = (video.permute(1, 2, 3, 0) / 2 + 0.5).clamp(0, 1).cpu().numpy()
    return found


def _scale(vae: Any) -> tuple[Tensor, Tensor]:
    import torch

    shape = (1, -1, 1, 1, 1)
    both = (vae.config.latents_mean, vae.config.latents_std)
    mean, spread = (torch.tensor(values, device=vae.device).view(shape) for values in both)
    return mean, spread


def denoise(scheduler: Any, latents: Tensor, steps: int, velocity: Velocity) -> Tensor:
    """Noise [1, 16, T, h, w] to latents, in `steps` steps of `scheduler` along what `velocity` answers."""
    scheduler.set_timesteps(steps, device=latents.device)
    for timestep in scheduler.timesteps:
        latents = scheduler.step(velocity(latents, timestep), timestep, latents, return_dict=False)[0]
    return latents
