"""`FaceEmbeds`: what one face encoding gives to any number of videos."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class FaceEmbeds:
    """Identity tokens x_id [B, 2, face_dim] and face tokens x_face [B, N_f, face_dim]; B identities."""

    identity: Tensor
    tokens: Tensor

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> FaceEmbeds:
        """The same embeddings on another device or in another floating type."""
        return FaceEmbeds(self.identity.to(device, dtype), self.tokens.to(device, dtype))

    def repeat(self, times: int) -> FaceEmbeds:
        """Each identity `times` times in a row: a b -> a a b b."""
        return FaceEmbeds(self.identity.repeat_interleave(times, dim=0), self.tokens.repeat_interleave(times, dim=0))

    def copies(self, times: int) -> FaceEmbeds:
        """The whole batch `times` times: a b -> a b a b, the order of the halves of guidance."""
        return FaceEmbeds(self.identity.repeat(times, 1, 1), self.tokens.repeat(times, 1, 1))
