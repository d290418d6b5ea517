from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mmbench.errors import MediaError
from mmbench.video.image import read_image
from mmbench.video.limits import MediaLimits


@pytest.fixture
def scene(frames):
    return frames[0]


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "webp", "jpg"])
def test_every_kind(suffix, scene, tmp_path):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(scene).save(path, **({"lossless": True} if suffix == "webp" else {}))
    picture = read_image(path)
    assert (picture.dtype, picture.shape) == (np.uint8, scene.shape)
    assert np.abs(picture.astype(int) - scene).mean() < (6 if suffix == "jpg" else 0.001)


def test_the_bytes_decide_and_not_the_name(scene, tmp_path):
    Image.fromarray(scene).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert np.array_equal(read_image(tmp_path / "a.jpg"), scene)


@pytest.mark.parametrize(("orientation", "turn"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_exif_orientation(orientation, turn, scene, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(scene).save(tmp_path / "a.png", exif=exif.tobytes())
    assert np.array_equal(read_image(tmp_path / "a.png"), np.rot90(scene, turn))


def test_grey_palette_and_sixteen_bits(tmp_path):
    grey = (np.arange(64 * 64).reshape(64, 64) % 256).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    for name in ("grey", "palette", "deep"):
        assert np.array_equal(read_image(tmp_path / f"{name}.png"), np.repeat(grey[..., None], 3, axis=-1)), name


def test_transparent_parts_become_white(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[2:, :, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    picture = read_image(tmp_path / "a.png")
    assert (picture[:2] == 255).all()
    assert (picture[2:] == 0).all()


def test_limits(scene, tmp_path):
    Image.fromarray(scene).save(tmp_path / "a.png")
    with pytest.raises(MediaError, match="96x64"):
        read_image(tmp_path / "a.png", MediaLimits(max_pixels=1000))
    with pytest.raises(MediaError, match="96x64"):
        read_image(tmp_path / "a.png", MediaLimits(max_side=90))


@pytest.mark.parametrize("data", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"])
def test_what_is_no_picture_is_named(data, tmp_path):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(MediaError, match=r"a\.png") as caught:
        read_image(tmp_path / "a.png")
    assert caught.value.remedy


def test_absent(tmp_path):
    with pytest.raises(MediaError, match="no such picture"):
        read_image(tmp_path / "a.png")
