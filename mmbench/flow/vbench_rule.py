"""VBench's dynamic degree as arithmetic: which threshold, how many pairs, what a pair scores.

Source: VBench (Huang et al., CVPR 2024), `vbench/dynamic_degree.py` of the PyPI package 0.1.5. Python's
`round` rounds halves to even, and VBench's numbers depend on it (12 and 20 fps both give an interval of 2),
so it is used here on purpose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

TOP_SHARE = 0.05


def pair_threshold(height: int, width: int) -> float:
    """Flow length in pixels above which a pair moves: 6 px at 256 px of short side, of the unpadded frame."""
    return 6.0 * (min(height, width) / 256.0)


def count_needed(n_sampled: int) -> int:
    """How many pairs have to move: 4 for 16 frames, in proportion. 2 frames need 0 (see `is_dynamic`)."""
    return round(4 * (n_sampled / 16.0))


def is_dynamic(hits: int, pairs: int, needed: int) -> bool:
    """The verdict. VBench counts while walking the pairs: without any pair it never says True, and with two
    frames (0 needed, one pair) it says True whatever the motion."""
    return pairs > 0 and hits >= needed


def pad_amounts(height: int, width: int, multiple: int = 8) -> tuple[int, int, int, int]:
    """(left, right, top, bottom) that make both sides multiples of `multiple`; odd rests go right and bottom."""
    rest_h, rest_w = -height % multiple, -width % multiple
    return rest_w // 2, rest_w - rest_w // 2, rest_h // 2, rest_h - rest_h // 2


def pair_score(flow: Tensor) -> float:
    """Mean length in pixels of the longest 5 % of the flow vectors of one pair.

    `flow` is float32 (2, H, W) at padded size. On the processor every rounding is VBench's own: numpy's
    float32 lengths, sorted downwards, and numpy's float32 mean.
    """
    count = max(1, int(flow[0].numel() * TOP_SHARE))
    if flow.is_cuda:
        longest = flow.square().sum(0).sqrt().flatten().topk(count).values.cpu().numpy()
        return float(np.mean(longest))
    u, v = flow.numpy()
    lengths = np.sqrt(np.square(u) + np.square(v)).flatten()
    longest = np.partition(lengths, len(lengths) - count)[-count:]
    return float(np.mean(np.sort(longest)[::-1].copy()))
