"""Inception probabilities and score against pytorch-gan-metrics 0.5.3 (EvalCrafter's) and torch-fidelity's layers."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from mmbench.encode.inception.classes import InceptionPass, make_inception
from mmbench.metrics.inception_score import inception_scores
from mmbench.video.clip import ClipInfo


def needs(package: str):
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"needs the package {package}")


pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (20, 12, 18, 3), dtype=np.uint8)
    noisy = np.kron(coarse, np.ones((1, 20, 20, 1))) + rng.normal(0, 20, (20, 240, 360, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def file(tmp_path_factory, frames) -> Path:
    """One random checkpoint in the published layout, batch-norm statistics random too.

    The last layer is made blind to what all frames share, so that predictions differ from frame to frame.
    """
    from mmbench.encode.inception.net import FidInception

    torch.manual_seed(0)
    network = FidInception()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.8, 1.6)
    features: list[torch.Tensor] = []
    network.Mixed_7c.register_forward_hook(lambda module, given, out: features.append(out.mean((2, 3))))
    with torch.no_grad():
        network.eval()(torch.from_numpy(frames[::4]).permute(0, 3, 1, 2).contiguous())
        shared = torch.nn.functional.normalize(features[0].mean(0), dim=0)
        network.fc.weight.sub_(torch.outer(network.fc.weight @ shared, shared))
        spread = (features[0] @ network.fc.weight.T).std()
        network.fc.weight.mul_(4 / spread)
    path = tmp_path_factory.mktemp("inception") / "inception.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def ours(file, frames) -> np.ndarray:
    inception_pass = InceptionPass(make_inception(weights=file), batch=10)
    inception_pass.start(ClipInfo(file, 20, 360, 240, 8.0, "container", 8.0, False, "0" * 64))
    for index, frame in enumerate(frames):
        inception_pass.feed(index, frame)
    return inception_pass.finish().log_probs


@needs("pytorch_gan_metrics")
def test_probabilities_and_score_equal_pytorch_gan_metrics(file, frames, ours, note, monkeypatch):
    from pytorch_gan_metrics import inception
    from pytorch_gan_metrics.core import calculate_inception_score

    state = torch.load(file, weights_only=True)
    monkeypatch.setattr(inception, "load_state_dict_from_url", lambda *args, **kwargs: state)
    network = inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[1008]]).eval()
    pictures = torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous() / 255
    with torch.no_grad():
        theirs = torch.cat([network(pictures[start : start + 10])[0] for start in (0, 10)])
    difference = np.abs(np.exp(ours) - theirs.numpy()).max()
    score, std = calculate_inception_score(theirs, splits=10, use_torch=True)
    mine = inception_scores([ours])
    note(
        f"Inception probabilities: largest {theirs.max():.3f}, difference {difference:.1e} (exp of stored logs); "
        f"score {float(score):.7f} against {mine.value:.7f}, deviation {float(std):.7f} against {mine.std:.7f}"
    )
    assert difference <= 1e-6
    assert mine.value > 1.2
    assert mine.value == pytest.approx(float(score), rel=1e-6)
    assert mine.std == pytest.approx(float(std), rel=1e-3)


@needs("pytorch_gan_metrics")
def test_logits_equal_pytorch_gan_metrics(file, frames, note, monkeypatch):
    from pytorch_gan_metrics import inception

    state = torch.load(file, weights_only=True)
    monkeypatch.setattr(inception, "load_state_dict_from_url", lambda *args, **kwargs: state)
    network = inception.InceptionV3([4]).eval()
    pictures = torch.from_numpy(frames[:5]).permute(0, 3, 1, 2).contiguous()
    with torch.no_grad():
        theirs = network(pictures / 255)[0]
        mine = torch.softmax(make_inception(weights=file).network(pictures), 1)
    note(f"Inception softmax of the same logits: difference {(mine - theirs).abs().max()}")
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)  # two copies of the weights


@needs("torch_fidelity")
def test_torch_fidelitys_layers_agree_on_the_same_preprocessed_input(file, frames, note):
    import torch.nn.functional as F
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    theirs = FeatureExtractorInceptionV3("inception", ["logits_unbiased"], feature_extractor_weights_path=str(file))
    pictures = torch.from_numpy(frames[:5]).permute(0, 3, 1, 2).contiguous()
    with torch.no_grad():
        x = 2 * F.interpolate(pictures.float() / 255, size=(299, 299), mode="bilinear", align_corners=False) - 1
        x = theirs.MaxPool_1(theirs.Conv2d_2b_3x3(theirs.Conv2d_2a_3x3(theirs.Conv2d_1a_3x3(x))))
        x = theirs.MaxPool_2(theirs.Conv2d_4a_3x3(theirs.Conv2d_3b_1x1(x)))
        for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"):
            x = getattr(theirs, f"Mixed_{name}")(x)
        logits = torch.flatten(theirs.AvgPool(x), 1).mm(theirs.fc.weight.T)
        mine = make_inception(weights=file).network(pictures)
        own_resize = theirs(pictures)[0]
    note(
        f"Inception logits of torch-fidelity's layers: difference {(mine - logits).abs().max()}; "
        f"with its own TensorFlow-1 resize {(mine - own_resize).abs().max():.3f}"
    )
    torch.testing.assert_close(mine, logits, rtol=0, atol=1e-5)


@needs("torch_fidelity")
def test_torchmetrics_network_differs_by_its_resize_and_scaling_alone(file, frames, note):
    """Our layers behind its antialiased resize and its (x - 128) / 128 give its logits; behind ours they do not."""
    import torch.nn.functional as F
    from torchmetrics.image.fid import NoTrainInceptionV3

    network = make_inception(weights=file).network
    theirs = NoTrainInceptionV3("inception", ["logits_unbiased"], feature_extractor_weights_path=str(file))
    pictures = torch.from_numpy(frames[:5]).permute(0, 3, 1, 2).contiguous()
    with torch.no_grad():
        logits = theirs(pictures)
        ours = network(pictures)
        x = F.interpolate(pictures.float(), (299, 299), mode="bilinear", align_corners=False, antialias=True)
        after_theirs = network.layers((x - 128) / 128)
    note(
        f"torchmetrics' Inception logits: {(ours - logits).abs().max():.3f} from ours, "
        f"{(after_theirs - logits).abs().max():.1e} with its resize and scaling before our layers"
    )
    torch.testing.assert_close(after_theirs, logits, rtol=0, atol=1e-4)
    assert (ours - logits).abs().max() > 0.1
