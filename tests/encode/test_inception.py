from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmbench.encode.inception.classes import InceptionPass, make_inception
from mmbench.encode.inception.net import FidInception
from mmbench.errors import MissingWeights, WeightsError
from mmbench.video.clip import ClipInfo


@pytest.fixture(scope="module")
def tiny():
    return make_inception(tiny=True)


def run(inception, frames: np.ndarray, batch: int):
    n, height, width, _ = frames.shape
    clip = ClipInfo(Path("a.mp4"), n, width, height, 8.0, "container", 8.0, False, "0" * 64)
    inception_pass = InceptionPass(inception, batch)
    inception_pass.start(clip)
    for index, frame in enumerate(frames):
        inception_pass.feed(index, frame)
    return inception_pass.finish()


def test_log_probabilities_of_every_frame_whatever_the_batch(tiny):
    frames = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)
    frames[1, :, :15], frames[2] = 0, frames[2] // 4
    results = [run(tiny, frames, batch) for batch in (1, 2, 3)]
    assert results[0].log_probs.shape == (3, 1008) and results[0].log_probs.dtype == np.float32
    np.testing.assert_allclose(np.exp(results[0].log_probs).sum(1), 1, rtol=1e-5)
    assert np.ptp(results[0].log_probs, axis=0).max() > 0.1, "random weights must tell pictures apart"
    for other in results[1:]:
        np.testing.assert_allclose(other.log_probs, results[0].log_probs, atol=1e-5)
    assert results[0].provenance.random_weights and results[0].provenance.backend == "inception"
    again = run(make_inception(tiny=True), frames, 3)
    np.testing.assert_allclose(again.log_probs, results[2].log_probs, atol=1e-5)  # equal weights elsewhere in memory


def test_the_real_network_has_the_published_keys_and_size():
    with torch.device("meta"):
        network = FidInception()
    state = network.state_dict()
    assert len(state) == 566
    assert {"Conv2d_1a_3x3.conv.weight", "Mixed_7c.branch_pool.bn.running_var", "fc.bias"} <= set(state)
    assert state["fc.weight"].shape == (1008, 2048)
    assert {module.eps for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)} == {1e-3}


def test_the_last_bias_is_left_out(tiny):
    pictures = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8)
    before = tiny.network(pictures)
    with torch.no_grad():
        tiny.network.fc.bias.add_(5)
    assert torch.equal(tiny.network(pictures), before)


def test_a_wrong_file_and_a_missing_one_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("MMBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(MissingWeights, match="inception-2015-12-05"):
        make_inception()
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "mine.pth")
    with pytest.raises(WeightsError, match="missing"):
        make_inception(weights=tmp_path / "mine.pth")
