"""Dense inverse search flow (Kroeger et al., ECCV 2016) of OpenCV: no weights, a stand-in that is never RAFT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmbench.flow.vbench_rule import pad_amounts
from mmbench.scores import Provenance
from mmbench.video.clip import Frame

if TYPE_CHECKING:
    from torch import Tensor


class DisFlow:
    """OpenCV's DIS flow, preset "medium", on grey frames padded as RAFT's are. Runs on the processor."""

    name = "dis"
    min_side = 16
    border = 0.0

    def __init__(self) -> None:
        import cv2

        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self.provenance = Provenance("dis", versions={"opencv": cv2.__version__})

    @property
    def exact(self) -> DisFlow:
        """Itself: nothing was traded away."""
        return self

    def encode(self, frames: Sequence[Frame]) -> Tensor:
        """Grey frames, replicate-padded: uint8 (B, H_padded, W_padded)."""
        import cv2
        import torch

        left, right, top, bottom = pad_amounts(*frames[0].shape[:2])
        padded = [
            cv2.copyMakeBorder(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), top, bottom, left, right, cv2.BORDER_REPLICATE)
            for frame in frames
        ]
        return torch.from_numpy(np.stack(padded))

    def flows(self, firsts: Sequence[Frame], features: Tensor, next_features: Tensor) -> Tensor:
        """Flow of each pair in pixels, float32 (B, 2, H_padded, W_padded)."""
        import torch

        fields = [
            self._dis.calc(now.numpy(), then.numpy(), None)  # type: ignore[call-overload]
            for now, then in zip(features, next_features, strict=True)
        ]
        return torch.from_numpy(np.stack(fields)).permute(0, 3, 1, 2)

    def pairs_at_once(self, height: int, width: int) -> int:
        """One: OpenCV has no batch."""
        return 1

    def memory(self, height: int, width: int) -> int:
        """Grey and coloured frames, flows and what their change is computed of: measured, about 170 bytes a pixel."""
        return 170 * height * width

    def features_kept(self, height: int, width: int) -> int:
        """None: a grey frame is read from a file faster than it is worth keeping."""
        return 0
