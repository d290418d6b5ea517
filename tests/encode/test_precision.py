"""The arithmetic of the encoders: named in what they say, keyed in what rows are made of, and really another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mmbench.config import EvaluateSettings
from mmbench.device import Arithmetic, check_arithmetic, multiplied
from mmbench.encode.clip.frames import BASE, make_clip
from mmbench.encode.inception.classes import InceptionPass, make_inception
from mmbench.encode.needs import AESTHETIC, CLIP_FRAMES, INCEPTION, VIDEO_TEXT
from mmbench.encode.viclip.alignment import make_viclip
from mmbench.errors import MMBenchError
from mmbench.items import Item
from mmbench.metrics.base import Need
from mmbench.runs.evaluate.evaluate import evaluate

RNG = np.random.default_rng(3)
CUTS = RNG.integers(0, 255, (8, 224, 224, 3), np.uint8)


def of_inception(precision: Arithmetic) -> tuple[Any, Any]:
    inception = make_inception(tiny=True, precision=precision)
    found = InceptionPass(inception)
    found._waiting, found._done = list(CUTS[:2]), []
    result = found.finish()
    return result.log_probs, result.provenance


def of_viclip(precision: Arithmetic) -> tuple[Any, Any]:
    made = make_viclip(tiny=True, precision=precision)
    features = [made.video(CUTS.transpose(0, 3, 1, 2)), made.text("a man waves").feature]
    return np.concatenate(features), made.provenance


def of_clip(precision: Arithmetic) -> tuple[Any, Any]:
    made = make_clip(BASE, tiny=True, precision=precision)
    return np.concatenate([made.pictures(CUTS[:2]).ravel(), made.text("a man waves")[0]]), made.provenance


@pytest.mark.parametrize("of", [of_inception, of_viclip, of_clip])
def test_bf16_is_another_arithmetic_and_says_so(of: Callable[[Arithmetic], tuple[Any, Any]]) -> None:
    exact, said = of("fp32")
    low, of_low = of("bf16")
    again, _ = of("fp32")
    assert said.versions["precision"] == "fp32" and of_low.versions["precision"] == "bf16"
    assert exact.dtype == low.dtype == np.float32
    assert np.array_equal(exact, again)  # what a block has set is put back
    assert not np.array_equal(exact, low)
    assert np.linalg.norm(low - exact) < 0.1 * np.linalg.norm(exact)


@pytest.mark.parametrize("need", [VIDEO_TEXT, INCEPTION, CLIP_FRAMES, AESTHETIC])
def test_numbers_are_keyed_by_it(need: Need[Any]) -> None:
    """Of another arithmetic they are measured again; those of a processor's fp32 hold, whoever measured them."""
    ways: list[tuple[str, Arithmetic]] = [("cpu", "fp32"), ("cpu", "bf16")]
    ways += [("cuda", "fp32"), ("cuda", "tf32"), ("cuda", "bf16")]
    told = [
        need.depends_on(EvaluateSettings(random_weights=True, precision=how, device=device)) for device, how in ways
    ]
    assert all(a != b for n, a in enumerate(told) for b in told[:n])
    assert "precision" not in told[0]


def test_tf32_is_refused_where_there_is_none(tmp_path: Path) -> None:
    check_arithmetic("cuda:1", "tf32")
    for device in ("cpu", "mps"):
        with pytest.raises(MMBenchError, match="TF32"):
            check_arithmetic(device, "tf32")
    item = Item("a", "m", "p", Path("a.mp4"))
    with pytest.raises(MMBenchError, match="TF32"):
        evaluate([item], tmp_path / "run", EvaluateSettings(precision="tf32"))


@pytest.mark.filterwarnings("ignore:.*CUDA is not available")
def test_a_gpus_switches_are_set_within_the_block_and_put_back() -> None:
    """They are process-wide and can be set without a GPU."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    for start in ((False, True), (True, False)):
        matmul.allow_tf32, cudnn.allow_tf32 = start
        for how, wanted in (("fp32", False), ("tf32", True), ("bf16", False)):
            with pytest.raises(RuntimeError, match="inside"), multiplied("cuda", how):  # type: ignore[arg-type]
                assert (matmul.allow_tf32, cudnn.allow_tf32) == (wanted, wanted)
                raise RuntimeError("inside")
            assert (matmul.allow_tf32, cudnn.allow_tf32) == start
    matmul.allow_tf32, cudnn.allow_tf32 = before


def test_a_block_does_not_reach_beyond_itself() -> None:
    layer, given = nn.Linear(4, 4), torch.ones(1, 4)
    with torch.inference_mode():
        with multiplied("cpu", "bf16"):
            assert layer(given).dtype == torch.bfloat16
        assert layer(given).dtype == torch.float32
