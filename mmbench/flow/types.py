"""What an optical-flow method has to offer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from mmbench.scores import Provenance
from mmbench.video.clip import Frame

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 2
"""Raise it with any change to the flow, its scores or its smoothness that changes a number."""

FlowName = Literal["raft", "dis"]
Precision = Literal["fp32", "bf16", "fp16"]


class FlowBackend(Protocol):
    """Dense flow between two frames, split so that each frame is encoded once.

    Sizes are in pixels; `padded` sizes are multiples of 8. All tensors of one call live on the backend's
    device.
    """

    name: str
    min_side: int
    """Smallest padded height or width the method can take."""
    border: float
    """Scores within this share of the threshold are to be measured again by `exact`; 0 where it is exact."""
    provenance: Provenance

    @property
    def exact(self) -> FlowBackend:
        """The full-precision twin, for pairs too close to a threshold; itself where nothing was traded."""

    def encode(self, frames: Sequence[Frame]) -> Tensor:
        """What of each frame is shared by the two pairs it belongs to: (B, ...), one row a frame."""

    def flows(self, firsts: Sequence[Frame], features: Tensor, next_features: Tensor) -> Tensor:
        """Flow in pixels from each first frame to the next: float32 (B, 2, H_padded, W_padded), x first."""

    def pairs_at_once(self, height: int, width: int) -> int:
        """How many pairs of that frame size fit the memory budget; at least 1."""

    def memory(self, height: int, width: int) -> int:
        """About how many bytes one pair of that frame size takes beside the network."""

    def features_kept(self, height: int, width: int) -> int:
        """Features of how many frames may stay on the device; the rest go to a temporary file."""
