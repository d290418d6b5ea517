from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmbench.flow.flow_pass import FlowPass, FlowResult
from mmbench.video.clip import ClipInfo


def clip_info(frames: np.ndarray, fps: float = 8.0, is_folder: bool = False) -> ClipInfo:
    n, height, width, _ = frames.shape
    return ClipInfo(Path("clip.mp4"), n, width, height, fps, "container", fps, is_folder, "0" * 64)


def run_flow_pass(flow_pass: FlowPass, frames: np.ndarray, fps: float = 8.0, is_folder: bool = False) -> FlowResult:
    flow_pass.start(clip_info(frames, fps, is_folder))
    for index, frame in enumerate(frames):
        flow_pass.feed(index, frame)
    return flow_pass.finish()


def textured_clip(n: int, height: int, width: int, step: float, seed: int = 0) -> np.ndarray:
    """Smooth random texture moved `step` px a frame to the right, uint8 (n, height, width, 3)."""
    import cv2

    rng = np.random.default_rng(seed)
    margin = int(abs(step) * n) + 8
    field = rng.uniform(0, 255, (height + 16, width + 2 * margin, 3)).astype(np.float32)
    field = cv2.GaussianBlur(field, (0, 0), 3)
    field = (field - field.min()) / (field.max() - field.min()) * 255
    frames = []
    for index in range(n):
        shift = np.float32([[1, 0, step * index - margin], [0, 1, -8]])
        frames.append(cv2.warpAffine(field, shift, (width, height), flags=cv2.INTER_LINEAR))
    return np.stack(frames).round().astype(np.uint8)


@pytest.fixture
def make_clip():
    return textured_clip


@pytest.fixture
def run_pass():
    return run_flow_pass
