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

from mmbench.flow.backend import FlowBackend, Precision
from mmbench.flow.raft_gru import SplitRecurrence
from mmbench.flow.vbench_rule import pad_amounts
from mmbench.score import Provenance
from mmbench.video.clip import Frame

if TYPE_CHECKING:
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
    float32. `split_gru` computes the context's share of the recurrence once instead of 20 times; the order of
    the sums changes, the flow by about 2e-5 px. `border` is the share of the threshold within which a score
    has to be measured again by `exact`, so that neither shortcut ever turns a verdict.
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
        import torch

        self.network = network.to(device).eval().requires_grad_(False)
        self.device = torch.device(device)
        self.precision = precision
        self.split_gru = split_gru
        settings = {"precision": precision, "gru": "split" if split_gru else "stock", "device": device}
        self.provenance = replace(provenance, versions={**provenance.versions, **settings})
        self.border = LOW_PRECISION_BORDER if precision != "fp32" else SPLIT_BORDER if split_gru else 0.0
        self.min_side = 8 * 2 ** int(network.corr_block.num_levels)
        self._recurrence = SplitRecurrence(network.update_block) if split_gru else None
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

        with torch.inference_mode(), self._autocast():
            features: Tensor = self.network.feature_encoder(self._input(frames)).float()
        return features

    def flows(self, firsts: Sequence[Frame], features: Tensor, next_features: Tensor) -> Tensor:
        """Flow of each pair in pixels, float32 (B, 2, H_padded, W_padded)."""
        import torch

        network = self.network
        with torch.inference_mode():
            network.corr_block.corr_pyramid = correlation_pyramid(
                features, next_features, network.corr_block.num_levels
            )
            hidden_size = network.update_block.hidden_state_size
            with self._autocast():
                context = network.context_encoder(self._input(firsts))
                hidden, context = context.split([hidden_size, context.shape[1] - hidden_size], dim=1)
                hidden, context = torch.tanh(hidden), torch.relu(context)
                shares = self._recurrence.context_shares(context) if self._recurrence else None
            height, width = features.shape[-2:]
            start = coordinates(height, width, self.device).expand(len(firsts), -1, -1, -1)
            now = start.clone()
            for _ in range(ITERATIONS):
                correlation = network.corr_block.index_pyramid(centroids_coords=now)
                flow = now - start
                with self._autocast():
                    if self._recurrence is None or shares is None:
                        hidden, step = network.update_block(hidden, context, correlation, flow)
                    else:
                        motion = network.update_block.motion_encoder(flow, correlation)
                        hidden = self._recurrence(hidden, motion, shares)
                        step = network.update_block.flow_head(hidden)
                now = now + step.float()
            with self._autocast():
                mask = network.mask_predictor(hidden)
            network.corr_block.corr_pyramid = []
            return upsample(now - start, mask.float())

    def pairs_at_once(self, height: int, width: int) -> int:
        """Pairs that fit the GPU's budget; one on the processor, where a batch gains nothing."""
        if self.device.type == "cpu":
            return 1
        cells = math.ceil(height / 8) * math.ceil(width / 8)
        # float32 correlation with its pyramid, then activations: about 60,000 bytes a cell of 8 x 8 px
        return max(1, GPU_BUDGET // (cells * cells * 16 // 3 + cells * 60_000))

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
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float16
        return torch.autocast(self.device.type, dtype=dtype)


def correlation_pyramid(features: Tensor, next_features: Tensor, levels: int) -> list[Tensor]:
    """All-pairs correlation (RAFT, equation 1) and its average-pooled levels.

    Each level is (B * h * w, 1, h / 2**level, w / 2**level): the row of one cell against the next frame.
    """
    import torch
    import torch.nn.functional as F

    batch, channels, height, width = features.shape
    rows = features.flatten(2).transpose(1, 2)
    volume = torch.matmul(rows, next_features.flatten(2)).div_(math.sqrt(channels))
    pyramid = [volume.view(batch * height * width, 1, height, width)]
    for _ in range(levels - 1):
        pyramid.append(F.avg_pool2d(pyramid[-1], kernel_size=2, stride=2))
    return pyramid


def coordinates(height: int, width: int, device: Any) -> Tensor:
    """Own position of each cell, x first: float32 (1, 2, height, width)."""
    import torch

    rows = torch.arange(height, device=device, dtype=torch.float32)
    columns = torch.arange(width, device=device, dtype=torch.float32)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y])[None]


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
