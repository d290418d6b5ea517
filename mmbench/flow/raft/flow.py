"""RAFT (Teed and Deng, ECCV 2020) on torchvision's network, without the work whose result nobody reads.

Against the stock forward: each frame is encoded once instead of twice, and the upsampling mask is computed and
applied after the last iteration only. Both leave the flow equal to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mmbench.device import torch_device
from mmbench.flow.raft.correlation import CorrelationLookup, coordinates, correlation_pyramid
from mmbench.flow.raft.update import SplitUpdate
from mmbench.flow.types import FlowBackend, Precision
from mmbench.flow.vbench_rule import pad_amounts
from mmbench.scores import Provenance
from mmbench.video.clip import Frame

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torchvision.models.optical_flow import RAFT

ITERATIONS = 20
GPU_BUDGET = 8 * 2**30
GPU_FEATURES = 2 * 2**30
LOW_PRECISION_BORDER = 0.01
SPLIT_BORDER = 1e-4


class RaftFlow:
    """Batched RAFT flow.

    `precision` "bf16" or "fp16" runs encoders and updates under autocast, correlation and coordinates in
    float32. `split_gru` runs the iterations by `SplitUpdate` and `CorrelationLookup` instead of torchvision's
    modules; the order of the sums changes, the flow by about 2e-5 px. `border` is the share of the threshold
    within which a score has to be measured again by `exact`, so that neither shortcut ever turns a verdict.
    """

    name = "raft"

    def __init__(
        self,
        network: RAFT,
        provenance: Provenance,
        device: str = "cpu",
        precision: Precision = "fp32",
        split_gru: bool = True,
    ) -> None:
        self.device = torch_device(device)
        self.network = network.to(self.device).eval().requires_grad_(False)
        self.precision = precision
        self.split_gru = split_gru
        settings = {"precision": precision, "gru": "split" if split_gru else "stock", "device": device}
        self.provenance = replace(provenance, versions={**provenance.versions, **settings})
        self.border = LOW_PRECISION_BORDER if precision != "fp32" else SPLIT_BORDER if split_gru else 0.0
        self.min_side = 8 * 2 ** int(network.corr_block.num_levels)
        self._update = SplitUpdate(self.network.update_block, _dtype(precision)) if split_gru else None
        self._exact: FlowBackend | None = None

    @property
    def exact(self) -> FlowBackend:
        """The same weights in float32 with the stock recurrence."""
        if self.border == 0:
            return self
        if self._exact is None:
            self._exact = RaftFlow(self.network, self.provenance, str(self.device), split_gru=False)
        return self._exact

    def encode(self, frames: Sequence[Frame]) -> Tensor:
        """Feature maps of padded frames: float32 (B, 256, H/8, W/8)."""
        import torch

        # one at a time on the processor, where two take more than twice as long (the last bit differs, though)
        step = 1 if self.device.type == "cpu" and self.split_gru else len(frames)
        pixels = self._input(frames)
        with torch.inference_mode(), self._autocast():
            starts = range(0, len(frames), step)
            parts = [self.network.feature_encoder(pixels[k : k + step]).float() for k in starts]
        return torch.cat(parts)

    def flows(self, firsts: Sequence[Frame], features: Tensor, next_features: Tensor) -> Tensor:
        """Flow of each pair in pixels, float32 (B, 2, H_padded, W_padded)."""
        import torch

        network = self.network
        with torch.inference_mode():
            pyramid = correlation_pyramid(features, next_features, network.corr_block.num_levels)
            start = coordinates(features.shape[2], features.shape[3], self.device).expand(len(firsts), -1, -1, -1)
            hidden_size = network.update_block.hidden_state_size
            with self._autocast():
                context = network.context_encoder(self._input(firsts))
                hidden, context = torch.tanh(context[:, :hidden_size]), torch.relu(context[:, hidden_size:])
            iterate = self._stock if self._update is None else self._split
            flow, hidden = iterate(pyramid, start, hidden, context)
            with self._autocast():
                mask = network.mask_predictor(hidden)
            return upsample(flow, mask.float())

    def _stock(self, pyramid: list[Tensor], start: Tensor, hidden: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """The last flow in cells and the last hidden state, by torchvision's own update block."""
        network = self.network
        network.corr_block.corr_pyramid = pyramid
        now = start.clone()
        for _ in range(ITERATIONS):
            correlation = network.corr_block.index_pyramid(centroids_coords=now)
            with self._autocast():
                hidden, step = network.update_block(hidden, context, correlation, now - start)
            now = now + step.float()
        network.corr_block.corr_pyramid = []
        return now - start, hidden

    def _split(self, pyramid: list[Tensor], start: Tensor, hidden: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """The same by the split update block."""
        assert self._update is not None
        look_up = CorrelationLookup(pyramid, self.network.corr_block.radius)
        state = self._update.start(hidden, context)
        now = start.clone()
        for _ in range(ITERATIONS):
            now = now + self._update.step(state, now - start, look_up(now)).float()
        return now - start, state.hidden

    def pairs_at_once(self, height: int, width: int) -> int:
        """Pairs that fit the GPU's budget; one on the processor, where a batch gains nothing."""
        if self.device.type == "cpu":
            return 1
        return max(1, GPU_BUDGET // self.memory(height, width))

    def memory(self, height: int, width: int) -> int:
        """float32 correlation of cells of 8 x 8 px with its pyramid, then activations: about 60,000 bytes a cell."""
        cells = math.ceil(height / 8) * math.ceil(width / 8)
        return cells * cells * 16 // 3 + cells * 60_000

    def features_kept(self, height: int, width: int) -> int:
        """Frames whose features stay on the GPU; none on the processor."""
        if self.device.type == "cpu":
            return 0
        return GPU_FEATURES // (math.ceil(height / 8) * math.ceil(width / 8) * 256 * 4)

    def _input(self, frames: Sequence[Frame]) -> Tensor:
        """Frames as RAFT takes them: float32 (B, 3, H_padded, W_padded) in [-1, 1], edges replicated."""
        import torch
        import torch.nn.functional as F

        # contiguous: convolutions of another memory layout add in another order (1e-5 px against VBench)
        pixels = torch.from_numpy(np.stack(frames)).to(self.device).permute(0, 3, 1, 2).contiguous().float()
        padded = F.pad(pixels, pad_amounts(*pixels.shape[-2:]), mode="replicate")
        return 2 * (padded / 255.0) - 1.0

    def _autocast(self) -> AbstractContextManager[Any]:
        import torch

        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=_dtype(self.precision))


def _dtype(precision: Precision) -> torch.dtype:
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def upsample(flow: Tensor, mask: Tensor) -> Tensor:
    """Convex upsampling (RAFT, section 3.3): each fine vector is a weighted mean of nine coarse ones.

    `flow` (B, 2, h, w) in cells, `mask` (B, 9 * 64, h, w) of logits -> (B, 2, 8 h, 8 w) in pixels.
    """
    import torch
    import torch.nn.functional as F

    batch, _, height, width = flow.shape
    weights = torch.softmax(mask.view(batch, 1, 9, 8, 8, height, width), dim=2)
    neighbours = F.unfold(8 * flow, kernel_size=3, padding=1).view(batch, 2, 9, 1, 1, height, width)
    fine = torch.sum(weights * neighbours, dim=2)
    return fine.permute(0, 1, 4, 2, 5, 3).reshape(batch, 2, 8 * height, 8 * width)
