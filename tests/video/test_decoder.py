"""The choice of decoder: a GPU's gives the processor's pixels or is not used; what is not there is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import VideoReformatter

from mmbench.config import EvaluateSettings
from mmbench.errors import MMBenchError
from mmbench.flow.cache import FlowCache
from mmbench.items import Item
from mmbench.runs.evaluate.clip import make_metrics
from mmbench.runs.evaluate.inputs import Inputs
from mmbench.scores import Provenance
from mmbench.video.container import reader, shown
from mmbench.video.container.decoder import PLANAR, accelerator_of, check_decoder
from mmbench.video.read import open_clip
from tests.video.conftest import encode

CODECS = [("libx264", "yuv420p", "nv12"), ("libx265", "yuv420p10le", "p010le"), ("libvpx-vp9", "yuv420p", "nv12")]


def written(path: Path, frames: list[Any], codec: str, pixels: str) -> Path:
    return encode(path, frames, codec, pixels)


@pytest.mark.parametrize(("codec", "pixels", "packed"), CODECS)
def test_planes_in_a_gpus_order_are_the_same_picture(
    tmp_path: Path, frames: list[Any], codec: str, pixels: str, packed: str
) -> None:
    assert PLANAR[packed] == pixels
    path = written(tmp_path / "clip.mkv", frames[:4], codec, pixels)
    reformatter = VideoReformatter()
    with av.open(str(path)) as container:
        for picture in container.decode(video=0):
            assert picture.format.name == pixels
            as_gpu = reformatter.reformat(picture, format=packed)
            expected = shown.pixels(picture, reformatter, np.eye(2))
            np.testing.assert_array_equal(shown.pixels(as_gpu, reformatter, np.eye(2)), expected)


def test_the_processor_needs_no_accelerator() -> None:
    check_decoder("cpu")
    assert accelerator_of("cpu") is None


@pytest.mark.parametrize("name", ["vaapi", "mps", "gpu0", "cuda:99"])
def test_what_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(MMBenchError, match=name):
        check_decoder(name)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", ""])
def test_settings_take_known_decoders_alone(name: str) -> None:
    with pytest.raises(ValueError):
        EvaluateSettings(decode=name)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """FFmpeg's own decoder under the GPU's name; the list is whom each decode asked."""
    asked: list[str] = []

    def accelerator(name: str) -> None:
        asked.append(name)

    monkeypatch.setattr(reader, "accelerator_of", accelerator)
    return asked


def test_a_decoder_that_gives_the_same_pixels_is_used(tmp_path: Path, frames: list[Any], stand_in: list[str]) -> None:
    path = written(tmp_path / "clip.mp4", frames, "libx264", "yuv420p")
    expected = list(open_clip(path).frames())
    asked = len(stand_in)
    clip = open_clip(path, decode="cuda")
    given = list(clip.frames())
    assert stand_in[asked:].count("cuda") == 2 and not clip.info.warnings  # the comparison, and the clip itself
    np.testing.assert_array_equal(given, expected)


def test_a_decoder_that_gives_others_is_told_and_not_used(
    tmp_path: Path, frames: list[Any], stand_in: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "clip.mp4", frames, "libx264", "yuv420p")
    expected = list(open_clip(path).frames())
    right = shown.pixels

    def wrong(*given: Any) -> Any:
        frame = right(*given)
        return frame if stand_in[-1] == "cpu" else frame ^ 1

    monkeypatch.setattr(shown, "pixels", wrong)
    clip = open_clip(path, decode="cuda")
    assert [warning for warning in clip.info.warnings if warning.startswith("decoder: cuda")]
    np.testing.assert_array_equal(list(clip.frames()), expected)


def test_a_clip_that_the_gpu_does_not_take_is_told_and_decoded(
    tmp_path: Path, frames: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "clip.mp4", frames, "libx264", "yuv420p")
    expected = list(open_clip(path).frames())

    def accelerator(name: str) -> None:
        if name != "cpu":
            raise av.error.ExternalError(1, "no decoder for this size")

    monkeypatch.setattr(reader, "accelerator_of", accelerator)
    clip = open_clip(path, decode="cuda")
    (said,) = [warning for warning in clip.info.warnings if warning.startswith("decoder")]
    assert "does not take it" in said and "processor decodes" in said and clip.info.decoder == "cpu"
    np.testing.assert_array_equal(list(clip.frames()), expected)


def test_what_a_gpu_decoded_is_kept_apart(tmp_path: Path, frames: list[Any], stand_in: list[str]) -> None:
    path = written(tmp_path / "clip.mp4", frames, "libx264", "yuv420p")
    here, there = open_clip(path).info, open_clip(path, decode="cuda:1").info
    assert (here.decoder, there.decoder) == ("cpu", "cuda") and here.sha256 == there.sha256
    flows = FlowCache(tmp_path, {}, Provenance("dis"))
    assert flows.path(here) != flows.path(there)
    item = Item("m/0", "m", "p", path)
    metrics = make_metrics(EvaluateSettings(metrics=("face_rate", "motion_smoothness")))
    keys = []
    for decode in ("cpu", "cuda", "cuda:1"):
        inputs = Inputs(EvaluateSettings(decode=decode), metrics, [item])
        keys.append((inputs.limits, *inputs.parts(item).values()))
    assert keys[1] == keys[2] and not set(keys[0]) & set(keys[1])


def test_codecs_that_leave_bits_open_are_decoded_on_the_processor(
    tmp_path: Path, frames: list[Any], stand_in: list[str]
) -> None:
    path = written(tmp_path / "clip.mkv", frames, "mpeg4", "yuv420p")
    clip = open_clip(path, decode="cuda")
    assert len(list(clip.frames())) == len(frames) and "cuda" not in stand_in
    assert [warning for warning in clip.info.warnings if warning.startswith("decoder: cuda is not asked for mpeg4")]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("codec", "pixels", "packed"), CODECS)
def test_a_gpu_decodes_to_the_processors_pixels(
    tmp_path: Path, frames: list[Any], codec: str, pixels: str, packed: str
) -> None:
    large = [np.ascontiguousarray(np.kron(frame, np.ones((4, 4, 1), np.uint8))) for frame in frames]
    path = written(tmp_path / "clip.mkv", large, codec, pixels)
    check_decoder("cuda")
    clip = open_clip(path, decode="cuda")
    np.testing.assert_array_equal(list(clip.frames()), list(open_clip(path).frames()))
    assert not [warning for warning in clip.info.warnings if warning.startswith("decoder")]
