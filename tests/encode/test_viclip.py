from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmbench.encode.viclip.alignment import VideoTextPass, centre_cut, make_viclip, normalise
from mmbench.encode.viclip.net import LARGE, TINY, VideoTower, text_tower
from mmbench.errors import MissingWeights, WeightsError
from mmbench.video.clip import ClipInfo


@pytest.fixture(scope="module")
def tiny():
    return make_viclip(tiny=True)


def clip_info(n: int, height: int, width: int) -> ClipInfo:
    return ClipInfo(Path("a.mp4"), n, width, height, 8.0, "container", 8.0, False, "0" * 64)


def run(encoder, frames: np.ndarray):
    n, height, width, _ = frames.shape
    video_pass = VideoTextPass(encoder)
    video_pass.start(clip_info(n, height, width))
    for index, frame in enumerate(frames):
        video_pass.feed(index, frame)
    return video_pass.finish()


@pytest.mark.parametrize("size", [(480, 720), (256, 256), (512, 320), (224, 300), (100, 130), (721, 1283)])
def test_pixels_equal_vbenchs_torchvision_pipeline(size):
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize

    from mmbench.encode.viclip.alignment import MEAN, STD

    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    pipeline = Compose([Resize(224, InterpolationMode.BICUBIC, antialias=False), CenterCrop(224)])
    theirs = pipeline(torch.from_numpy(frame[None]).permute(0, 3, 1, 2))
    ours = centre_cut(frame)
    assert ours.dtype == np.uint8 and ours.shape == (3, 224, 224)
    assert torch.equal(torch.from_numpy(ours), theirs[0])
    expected = Normalize(MEAN, STD)(theirs.float().div(255.0))[0]
    assert torch.equal(normalise(torch.from_numpy(ours)), expected)


def test_the_real_checkpoint_has_447_entries_and_427_million_numbers():
    with torch.device("meta"):
        video, text = VideoTower(LARGE).state_dict(), text_tower(LARGE).state_dict()
    assert (len(video), len(text)) == (297, 149)
    numbers = sum(tensor.numel() for state in (video, text) for tensor in state.values())
    assert numbers + 1 == 427_590_145
    assert video["temporal_positional_embedding"].shape == (1, 8, 1024)
    assert video["positional_embedding"].shape == (257, 1024) and video["proj"].shape == (1024, 768)
    assert text["positional_embedding"].shape == (32, 768)


def test_the_video_tower_equals_the_plain_forward_of_every_token():
    """The last block is computed for the class token alone; the plain forward computes it for all tokens."""
    torch.manual_seed(0)
    tower = VideoTower(TINY).eval()
    frames = torch.randn(2, 8, 3, 224, 224)
    with torch.inference_mode():
        tokens = torch.stack([tower.conv1(frames[:, t]).flatten(2).transpose(1, 2) for t in range(8)], 1)
        tokens = tokens + tower.positional_embedding[1:] + tower.temporal_positional_embedding.unsqueeze(2)
        first = (tower.class_embedding + tower.positional_embedding[0]).expand(2, 1, -1)
        x = tower.transformer(tower.ln_pre(torch.cat([first, tokens.flatten(1, 2)], 1)))
        expected = tower.ln_post(x[:, 0]) @ tower.proj
        torch.testing.assert_close(tower(frames), expected, rtol=0, atol=2e-6)


def test_frames_are_the_middles_of_eight_parts_and_unit_features_come_out(tiny):
    frames = np.random.default_rng(1).integers(0, 256, (49, 30, 40, 3), dtype=np.uint8)
    seen = run(tiny, frames)
    assert seen.indices == (2, 8, 14, 20, 26, 32, 38, 45)
    assert seen.video.shape == (768,) and seen.video.dtype == np.float32
    assert np.linalg.norm(seen.video) == pytest.approx(1, abs=1e-6)
    changed = frames.copy()
    changed[[0, 1, 3, 48]] = 0
    np.testing.assert_array_equal(run(tiny, changed).video, seen.video)
    changed[20] = 0
    assert not np.array_equal(run(tiny, changed).video, seen.video)


def test_a_short_clip_repeats_its_last_frame(tiny):
    frames = np.random.default_rng(2).integers(0, 256, (5, 30, 30, 3), dtype=np.uint8)
    short = run(tiny, frames)
    assert short.indices == (0, 1, 2, 3, 4, 4, 4, 4)
    np.testing.assert_array_equal(run(tiny, frames[list(short.indices)]).video, short.video)


def test_text_features_are_kept_and_truncation_is_counted(tiny, monkeypatch):
    short = tiny.text("a man walks a dog")
    assert (short.pieces, short.dropped) == (5, 0)
    assert np.linalg.norm(short.feature) == pytest.approx(1, abs=1e-6)
    assert tiny.text("a man walks a dog") is short
    exact, over = tiny.text("dog " * 30), tiny.text("dog " * 41)
    assert (exact.dropped, over.dropped) == (0, 11)
    np.testing.assert_array_equal(exact.feature, over.feature)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("a photo of a cat", [49406, 320, 1125, 539, 320, 2368, 49407]),
        ("", [49406, 49407]),
        ("Café &amp; naïve", [49406, 15304, 261, 1097, 35689, 563, 49407]),
        ("dog " * 40, [49406, *[1929] * 30, 49407]),
    ],
)
def test_tokens_of_fixed_texts(tiny, text, ids):
    tiny.text("x")
    tokens = tiny._tokenizer([text])[0].tolist()
    assert (len(tokens) == 32 and tokens[: len(ids)] == ids) or text.startswith("Café")
    assert tokens[0] == 49406 and 49407 in tokens


def test_the_checkpoint_layouts_load(tmp_path, monkeypatch):
    import mmbench.encode.viclip.net as net

    monkeypatch.setattr(net, "LARGE", TINY)
    torch.manual_seed(5)
    video, text = VideoTower(TINY), text_tower(TINY)
    state = {f"vision_encoder.{key}": tensor for key, tensor in video.state_dict().items()}
    state |= {f"text_encoder.{key}": tensor for key, tensor in text.state_dict().items()}
    original = {**state, "vision_encoder.conv1.weight": state["vision_encoder.conv1.weight"].unsqueeze(2)}
    torch.save({"model": {**original, "temp": torch.tensor(0.01)}}, tmp_path / "a.pth")
    from safetensors.torch import save_file

    contiguous = {key: tensor.clone().contiguous() for key, tensor in original.items()}
    save_file({f"model.{key}": tensor for key, tensor in contiguous.items()}, tmp_path / "b.safetensors")
    frames = np.random.default_rng(1).integers(0, 256, (8, 3, 224, 224), dtype=np.uint8)
    features = []
    for name in ("a.pth", "b.safetensors"):
        encoder = make_viclip(weights=tmp_path / name)
        assert encoder.provenance.weights.keys() == {name} and not encoder.provenance.random_weights
        features.append(encoder.video(frames))
        assert torch.equal(encoder.video_tower.conv1.weight, video.conv1.weight)
    np.testing.assert_allclose(*features, rtol=0, atol=1e-6)  # a file's weights lie elsewhere: sums round otherwise
    torch.save({"model": {**original, "extra": torch.zeros(1)}}, tmp_path / "c.pth")
    with pytest.raises(WeightsError, match="extra"):
        make_viclip(weights=tmp_path / "c.pth")


def test_missing_weights_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("MMBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(MissingWeights, match="viclip"):
        make_viclip()
