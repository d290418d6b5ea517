"""Pictures from outside: decoded defensively, cropped exactly, written without what they carried."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbench.errors import MediaError
from mmbench.model.pipeline.faces import to_rgb as pipeline_pixels
from mmbench.testsets.pictures import MAX_SIDE, crop_face, decode, fit, save_png
from mmbench.video.image import read_image

JPEG = b"\xff\xd8"


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.fixture
def ramp() -> Image.Image:
    """Left to right red, top to bottom green, so that a crop's place can be read from its pixels."""
    y, x = np.mgrid[0:120, 0:160]
    return Image.fromarray(np.dstack([x, y, np.zeros_like(x)]).astype(np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_known_types_become_rgb(ramp, kind):
    assert decode(encoded(ramp, kind), "x").mode == "RGB"


def test_every_door_shows_one_picture(tmp_path, ramp):
    """A set's picture, a frame and the pipeline's reference: the same pixels, clear parts white, deep grey scaled."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (12, 9, 4), dtype=np.uint8)
    deep = rng.integers(0, 65536, (12, 9), dtype=np.uint16)
    palette = Image.fromarray(colours[..., :3]).quantize(7)
    turned = Image.Exif()
    turned[0x0112] = 6
    cases = {
        "rgba": encoded(Image.fromarray(colours), "PNG"),
        "grey-alpha": encoded(Image.fromarray(colours).convert("LA"), "PNG"),
        "palette": encoded(palette, "PNG", transparency=3),
        "keyed": encoded(Image.fromarray(colours[..., :3]), "PNG", transparency=tuple(map(int, colours[0, 0, :3]))),
        "deep": encoded(Image.fromarray(deep), "PNG"),
        "bits": encoded(ramp.convert("1"), "PNG"),
        "inks": encoded(ramp.convert("CMYK"), "JPEG"),
        "turned": encoded(ramp, "JPEG", exif=turned),
    }
    for name, data in cases.items():
        file = tmp_path / f"{name}.{'jpg' if data[:2] == JPEG else 'png'}"
        file.write_bytes(data)
        shown = np.asarray(decode(data, name))
        assert np.array_equal(shown, read_image(file)), name
        with Image.open(file) as opened:
            assert np.array_equal(shown, pipeline_pixels(opened)), name
    assert np.array_equal(np.asarray(decode(cases["deep"], "deep"))[..., 0], np.round(deep / 257))
    clear = colours.copy()
    clear[..., 3] = 0
    assert np.asarray(decode(encoded(Image.fromarray(clear), "PNG"), "clear")).min() == 255


@pytest.mark.parametrize(
    "data",
    [b"", b"<svg/>", b"%PDF-1.4", b"\xff\xd8\xff\xe0 cut", b"II*\0" + b"\0" * 50],
    ids=["none", "svg", "pdf", "jpeg", "tiff"],
)
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(MediaError, match="somewhere"):
        decode(data, "somewhere")


def test_truncated_picture_is_refused(ramp):
    with pytest.raises(MediaError, match="damaged"):
        decode(encoded(ramp, "JPEG")[:600], "x")


@pytest.mark.parametrize("size", [(7000, 7000), (20_000, 20_000), (60_000, 60_000)])
def test_decompression_bombs_are_refused(size):
    with pytest.raises(MediaError):
        decode(png_header(*size), "bomb")


def test_crop_takes_the_box_with_its_margin(ramp):
    crop = crop_face(ramp, (60, 40, 100, 80), 0.25, 8, "x")
    pixels = np.asarray(crop)
    assert crop.size == (60, 60)
    assert tuple(pixels[0, 0, :2]) == (50, 30)
    assert tuple(pixels[-1, -1, :2]) == (109, 89)


def test_crop_is_cut_at_the_edges_and_stays_square_inside(ramp):
    assert crop_face(ramp, (0, 0, 40, 40), 0.25, 8, "x").size == (50, 50)
    assert crop_face(ramp, (60, 40, 100, 60), 0.25, 8, "x").size == (60, 60), "the longer side counts"


@pytest.mark.parametrize("box", [(-1, 0, 40, 40), (0, 0, 161, 40), (130, 90, 150, 121)])
def test_box_outside_is_refused(ramp, box):
    with pytest.raises(MediaError, match="outside the 160x120 picture"):
        crop_face(ramp, box, 0.25, 8, "x")


def test_small_and_large_crops(ramp):
    with pytest.raises(MediaError, match="below 200 pixels"):
        fit(ramp, 200, "x")
    assert fit(ramp.resize((4096, 2048)), 8, "x").size == (MAX_SIDE, MAX_SIDE // 2)


def test_picture_is_turned_upright_and_its_metadata_left_behind(ramp, tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    exif[0x010E] = "where I live"
    image = decode(encoded(ramp, "JPEG", exif=exif), "x")
    assert image.size == (120, 160)
    save_png(image, tmp_path / "out.png")
    assert b"where I live" not in (tmp_path / "out.png").read_bytes()
    with Image.open(tmp_path / "out.png") as written:
        assert not written.getexif()
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]
