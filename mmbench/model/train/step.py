"""One forward pass of a batch with its losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mmbench.model.train.loss.objective import denoising_loss

if TYPE_CHECKING:
    from mmbench.model.train.batch import Batch
    from mmbench.model.train.build import Parts


@dataclass(frozen=True)
class SampleLosses:
    """float32 [B] each: the whole, the denoising part, and the cosine of the identity loss (NaN where none)."""

    total: Tensor
    denoising: Tensor
    cosine: Tensor


def sample_losses(parts: Parts, model: nn.Module, batch: Batch) -> SampleLosses:
    """Noise a batch, ask the model, and take the losses of every sample."""
    clean = batch.latents * parts.scaling
    noisy = parts.noising.add_noise(clean, batch.noise, batch.timestep)
    target = parts.noising.velocity(clean, batch.noise, batch.timestep)
    v = model(
        noisy=noisy,
        text=batch.text,
        word_positions=batch.word_positions,
        timestep=batch.timestep,
        rotary=parts.rotary(noisy),
        pixels=batch.pixels,
        features=batch.features,
        id_vectors=batch.id_vectors,
        ref_valid=batch.ref_valid,
        keep_identity=batch.keep_identity,
        keep_text=batch.keep_text,
    ).float()
    denoising = denoising_loss(v, target, batch.face_cells, batch.face_only)
    if parts.identity is None:
        return SampleLosses(denoising, denoising, torch.full_like(denoising, torch.nan))
    estimate = parts.noising.clean(v, noisy, batch.timestep) / parts.scaling
    abar = parts.noising.abar[batch.timestep]
    own = nn.functional.normalize(batch.id_vectors, dim=-1) * batch.ref_valid[..., None]
    extra, cosine = parts.identity(estimate, abar, batch.timestep, batch.points, own.sum(dim=1), batch.keep_identity)
    return SampleLosses(denoising + extra, denoising, cosine)
