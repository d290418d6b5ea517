"""The nano world's encoder: what it is given, what it refuses, and that a file brings it back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmbench.encode.nano_world.network import NanoClipEncoder, as_clip, load_clip_encoder, words_of
from mmbench.errors import MediaError, RequestError, WeightsError

CAPTION = "a man is nodding in a red shirt before a blue wall"
SWAPPED = "a man is nodding in a blue shirt before a red wall"


@pytest.fixture
def encoder() -> NanoClipEncoder:
    torch.manual_seed(0)
    words = sorted({*words_of(CAPTION), *words_of(SWAPPED), *words_of(CAPTION.replace("nodding", "talking"))})
    return NanoClipEncoder(words, ["man", "woman"], ["nodding", "talking"]).eval()


def test_the_order_of_words_counts(encoder: NanoClipEncoder) -> None:
    assert sorted(CAPTION.split()) == sorted(SWAPPED.split())
    first, second, again = encoder.text([CAPTION, SWAPPED, CAPTION])
    assert not torch.allclose(first, second)
    torch.testing.assert_close(first, again)
    torch.testing.assert_close(first.norm(), torch.tensor(1.0))


def test_a_caption_alone_is_what_it_is_among_others(encoder: NanoClipEncoder) -> None:
    alone, among = encoder.text([CAPTION])[0], encoder.text([SWAPPED, CAPTION, "a man"])[1]
    torch.testing.assert_close(alone, among)


def test_a_foreign_word_is_named(encoder: NanoClipEncoder) -> None:
    with pytest.raises(RequestError, match="'playing'"):
        encoder.text(["a man is playing golf"])


def test_other_actions(encoder: NanoClipEncoder) -> None:
    assert encoder.with_other_actions(CAPTION) == [CAPTION.replace("nodding", "talking")]
    assert encoder.with_other_actions("a man is here") == []


def test_clips_are_nine_small_frames() -> None:
    frames = torch.randint(0, 256, (20, 256, 256, 3), dtype=torch.uint8)
    clip = as_clip(frames)
    assert clip.shape == (1, 9, 3, 64, 64)
    assert clip.abs().max() <= 1
    flat = as_clip(torch.full((3, 64, 64, 3), 51, dtype=torch.uint8))
    torch.testing.assert_close(flat, torch.full((1, 9, 3, 64, 64), 51 / 127.5 - 1))
    with pytest.raises(MediaError, match="square"):
        as_clip(frames[:, :200])


def test_motion_is_seen_in_the_order_of_frames(encoder: NanoClipEncoder) -> None:
    clip = torch.rand(1, 9, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    seen, turned = encoder.frames(clip), encoder.frames(clip.flip(1))
    torch.testing.assert_close(seen.flip(1), turned)
    assert not torch.allclose(encoder.video(seen), encoder.video(turned))


def test_a_file_brings_it_back(encoder: NanoClipEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "e.safetensors", {"people": "2"})
    again = load_clip_encoder(tmp_path / "e.safetensors")
    assert (again.words, again.classes, again.actions) == (encoder.words, encoder.classes, encoder.actions)
    torch.testing.assert_close(again.text([CAPTION]), encoder.text([CAPTION]), atol=2e-3, rtol=0)
    (tmp_path / "e.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="no encoder of the nano world"):
        load_clip_encoder(tmp_path / "e.safetensors")
