"""The nano world's encoder: what it is given, what it refuses, and that a file brings it back."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmbench.encode.nano_world.eyes import NanoViewPass
from mmbench.encode.nano_world.network import NanoClipEncoder, load_clip_encoder, small_square, words_of
from mmbench.errors import RequestError, WeightsError
from mmbench.scores import Provenance

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


@pytest.mark.parametrize("shape", [(64, 64), (256, 256), (96, 200), (200, 96)])
def test_frames_are_their_middle_squares_made_small(shape: tuple[int, int]) -> None:
    frame = np.full((*shape, 3), 51, np.uint8)
    if shape[1] > shape[0]:
        frame[:, :5] = frame[:, -5:] = 255  # beside the square
    torch.testing.assert_close(small_square(frame), torch.full((3, 64, 64), 51 / 127.5 - 1))


@pytest.mark.parametrize(
    ("count", "wanted"), [(9, [*range(9)]), (17, [*range(0, 17, 2)]), (2, [0, 0, 0, 0, 0, 1, 1, 1, 1])]
)
def test_a_clip_is_nine_of_its_frames(encoder: NanoClipEncoder, count: int, wanted: list[int]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)
    seen = NanoViewPass(encoder, Provenance("encoder"))
    seen.start(SimpleNamespace(n_frames=count))  # type: ignore[arg-type]  # it asks no other fact
    for index, frame in enumerate(frames):
        seen.feed(index, frame)
    clip = torch.stack([small_square(frames[index]) for index in wanted])[None]
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(seen.finish().video), encoder.video(encoder.frames(clip))[0])


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
