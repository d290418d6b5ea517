"""ViCLIP against VBench's own classes: tokens, frames, pixels, both towers and the final cosine."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from mmbench.encode.viclip.alignment import ViClip, VideoTextPass, centre_cut, normalise
from mmbench.encode.viclip.net import LARGE, VideoTower, text_tower
from mmbench.metrics.text_alignment import alignment
from mmbench.scores import Provenance
from mmbench.video.clip import ClipInfo
from mmbench.video.sample import middle_indices
from mmbench.weights import load_strict

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(importlib.util.find_spec("vbench") is None, reason="needs the package vbench"),
    pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="needs VBench's timm 1.0.12"),
]

PROMPTS = [
    "a man walks a dog along the beach at sunset",
    "A young woman with short black hair reads a book in a quiet library.",
    "Café déjà vu &amp; naïve “quotes” — 100% of it…",
    "emoji 🎬 and\ttabs\nand new lines",
    "UPPER CASE, punctuation!!! and numbers 12345.67",
    "",
    "word " * 29,
    "an over-long prompt " * 30,
]


@pytest.fixture(scope="module")
def original(vbench_cache):
    from vbench.third_party.ViCLIP.simple_tokenizer import SimpleTokenizer
    from vbench.third_party.ViCLIP.viclip import ViCLIP

    torch.manual_seed(0)
    words = vbench_cache / "ViCLIP" / "bpe_simple_vocab_16e6.txt.gz"
    network = ViCLIP(tokenizer=SimpleTokenizer(str(words)), pretrain=None)
    with torch.no_grad():  # the parameters its constructor leaves empty or zero
        network.vision_encoder.proj.normal_(0, 1024**-0.5)
        network.vision_encoder.temporal_positional_embedding.normal_(0, 0.02)
        network.text_encoder.positional_embedding.normal_(0, 0.01)
        network.text_encoder.text_projection.normal_(0, 768**-0.5)
    return network


@pytest.fixture(scope="module")
def ours(original) -> ViClip:
    state = original.state_dict()
    assert len(state) == 447
    kernel = state["vision_encoder.conv1.weight"]
    state["vision_encoder.conv1.weight"] = kernel.squeeze(2)
    with torch.device("meta"):
        video = VideoTower(LARGE)
    text = text_tower(LARGE)
    for prefix, tower in (("vision_encoder.", video), ("text_encoder.", text)):
        part = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        load_strict(tower, part, "VBench's class")
    return ViClip(video, text, Provenance("viclip", random_weights=True), "cpu")


def prompt_lines() -> list[str]:
    folder = Path(os.environ.get("MMBENCH_VBENCH_PROMPTS", Path(__file__).parents[3] / "shared/vbench_prompts"))
    return [line for file in sorted(folder.glob("*.txt")) for line in file.read_text("utf-8").splitlines()]


def test_tokens_of_every_prompt(original, note):
    from open_clip.tokenizer import SimpleTokenizer

    lines = prompt_lines() + PROMPTS
    ours = SimpleTokenizer(context_length=32)(lines)
    theirs = torch.cat([original.text_encoder.tokenize(line, context_length=32) for line in lines])
    note(f"ViCLIP tokens of {len(lines)} texts: {int((ours != theirs).any(1).sum())} differ")
    assert torch.equal(ours.long(), theirs.long())


def test_text_features(original, ours, note):
    worst, scale = 0.0, 0.0
    for prompt in PROMPTS:
        with torch.no_grad():
            theirs = original.encode_text(prompt).float()
            mine = ours.text_tower(_tokens(prompt))
        worst, scale = max(worst, (mine - theirs).abs().max().item()), max(scale, theirs.abs().max().item())
        unit = (theirs / theirs.norm(dim=-1, keepdim=True))[0].numpy()
        np.testing.assert_allclose(ours.text(prompt).feature, unit, rtol=0, atol=1e-6)
    note(f"ViCLIP text features of {len(PROMPTS)} prompts: difference {worst:.1e} of {scale:.1f}")
    assert scale > 0.5 and worst <= 5e-6


@pytest.mark.parametrize("n", [1, 2, 5, 7, 8, 9, 16, 48, 49, 81, 400])
def test_frame_indices(n):
    from vbench.utils import get_frame_indices

    assert list(middle_indices(n)) == [int(index) for index in get_frame_indices(8, n, sample="middle")]


def test_video_feature_and_cosine(original, ours, note):
    from vbench.overall_consistency import get_text_features, get_vid_features
    from vbench.utils import clip_transform, get_frame_indices

    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (20, 12, 18, 3), dtype=np.uint8)
    frames = np.kron(coarse, np.ones((1, 20, 20, 1), np.uint8))
    chosen = torch.from_numpy(frames[get_frame_indices(8, 20, sample="middle")]).permute(0, 3, 1, 2)
    pixels = clip_transform(224)(chosen)
    cuts = np.stack([centre_cut(frames[index]) for index in middle_indices(20)])
    torch.testing.assert_close(normalise(torch.from_numpy(cuts)), pixels, rtol=0, atol=1e-6)
    with torch.no_grad():
        raw = original.encode_vision(pixels[None], test=True)
        mine = ours.video_tower(pixels[None])
    video_pass = VideoTextPass(ours)
    video_pass.start(ClipInfo(Path("a.mp4"), 20, 360, 240, 8.0, "container", 8.0, False, "0" * 64))
    for index, frame in enumerate(frames):
        video_pass.feed(index, frame)
    seen = video_pass.finish()
    theirs = get_vid_features(original, pixels[None]) @ get_text_features(original, PROMPTS[0], None).T
    cosine = alignment(seen.video, ours.text(PROMPTS[0]).feature).cosine
    worst = (mine - raw).abs().max().item()
    note(
        f"ViCLIP video feature: pixels equal, difference {worst:.1e} of {raw.abs().max():.1f}; "
        f"cosine {cosine:.8f} against {theirs.item():.8f}"
    )
    assert worst <= 5e-6
    assert cosine == pytest.approx(theirs.item(), abs=1e-6)


def _tokens(prompt: str) -> torch.Tensor:
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer(context_length=32)([prompt])
