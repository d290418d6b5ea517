"""PatchPCA: a linear video codec with the interface of CogVideoX's VAE, for models small enough for a CPU.

The first frame stands alone (repeated four times), then groups of four; every p x p patch of a group is
projected on its principal components and whitened. Fitted in under a second; linear, so gradients through
the decoder are cheap.
"""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor, nn

GROUP = 4
"""Frames per latent frame: CogVideoX's temporal compression."""


class PatchPCACodec(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers is untyped
    """Frames in [-1, 1], [B, 3, 4k+1, H, W] <-> latents [B, components, k+1, H/p, W/p] of unit variance.

    `patch` is a power of two; `block_out_channels` is there because pipelines read the spatial factor off its
    length. `fit` must be called once; an unfitted codec returns its mean.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        patch: int = 8,
        latent_channels: int = 64,
        temporal_compression_ratio: int = GROUP,
        scaling_factor: float = 1.0,
        block_out_channels: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        levels = patch.bit_length()
        if patch != 1 << (levels - 1):
            raise ValueError(f"patch must be a power of two, got {patch}")
        self.register_to_config(block_out_channels=(latent_channels,) * levels)
        width = GROUP * 3 * patch * patch
        self.mean = nn.Parameter(torch.zeros(width), requires_grad=False)
        self.basis = nn.Parameter(torch.zeros(latent_channels, width), requires_grad=False)
        self.deviation = nn.Parameter(torch.ones(latent_channels), requires_grad=False)

    @torch.no_grad()
    def fit(self, clips: Tensor, whiten: float = 1.0) -> None:
        """Principal components of the groups' patches of `clips` [n, 3, 4k+1, H, W] in [-1, 1].

        `whiten` 1 gives every component unit variance; 0.5 leaves the strong ones stronger, which a small denoiser
        needs to put first things first, and gives unit variance on average.
        """
        rows = self._patches(clips).flatten(0, 3).double()
        mean = rows.mean(dim=0)
        values, vectors = torch.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
        keep = self.basis.shape[0]
        top, basis = values[-keep:].flip(0), vectors[:, -keep:].flip(1).T
        # the sign of an eigenvector is arbitrary: make the largest entry positive
        basis = basis * basis.gather(1, basis.abs().argmax(dim=1, keepdim=True)).sign()
        self.mean.copy_(mean)
        self.basis.copy_(basis)
        spread = top.clamp_min(1e-8).sqrt()
        scale = spread**whiten
        self.deviation.copy_(scale * (spread / scale).square().mean().sqrt())

    @apply_forward_hook  # type: ignore[untyped-decorator]
    def encode(self, x: Tensor) -> AutoencoderKLOutput:
        """Latents as a distribution without spread, so that `.latent_dist.sample()` and `.mode()` agree."""
        coded = (self._patches(x) - self.mean) @ self.basis.T / self.deviation
        latents = coded.permute(0, 4, 1, 2, 3)
        spread = torch.full_like(latents, -30.0)
        return AutoencoderKLOutput(
            latent_dist=DiagonalGaussianDistribution(torch.cat([latents, spread], dim=1), deterministic=True)
        )

    @apply_forward_hook  # type: ignore[untyped-decorator]
    def decode(self, z: Tensor, return_dict: bool = True) -> DecoderOutput | tuple[Tensor]:
        """Latents [B, C, k+1, h, w] -> frames [B, 3, 4k+1, h * p, w * p]."""
        p = self.config.patch
        rows = (z.permute(0, 2, 3, 4, 1) * self.deviation) @ self.basis + self.mean
        grid = rows.reshape(*rows.shape[:-1], GROUP, 3, p, p)  # b t h w g c y x
        frames = grid.permute(0, 5, 1, 4, 2, 6, 3, 7).flatten(6, 7).flatten(4, 5).flatten(2, 3)
        first = frames[:, :, :GROUP].mean(dim=2, keepdim=True)
        frames = torch.cat([first, frames[:, :, GROUP:]], dim=2)
        return DecoderOutput(sample=frames) if return_dict else (frames,)

    def forward(self, sample: Tensor) -> Tensor:
        """Encode and decode."""
        decoded: Tensor = self.decode(self.encode(sample).latent_dist.mode(), return_dict=False)[0]
        return decoded

    def enable_tiling(self) -> None:
        """Nothing to do: every patch is coded alone."""

    def enable_slicing(self) -> None:
        """Nothing to do: every clip is coded alone."""

    def _patches(self, frames: Tensor) -> Tensor:
        """[B, 3, 4k+1, H, W] -> [B, k+1, H/p, W/p, 4 * 3 * p * p]."""
        p = self.config.patch
        if (frames.shape[2] - 1) % GROUP:
            raise ValueError(f"a clip must have 4k+1 frames, got {frames.shape[2]}")
        frames = torch.cat([frames[:, :, :1].expand(-1, -1, GROUP - 1, -1, -1), frames], dim=2)
        batch, channels, count, height, width = frames.shape
        grid = frames.reshape(batch, channels, count // GROUP, GROUP, height // p, p, width // p, p)  # b c t g h y w x
        return grid.permute(0, 2, 4, 6, 3, 1, 5, 7).flatten(4)
