from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mmbench.errors import ManifestError, MediaError
from mmbench.video import ahead, read
from mmbench.video.limits import MediaLimits
from mmbench.video.read import content_digest, decode, open_clip, probe

KINDS = [
    "h264.mp4",
    "UPPER.MP4",
    "h264.mov",
    "h264.mkv",
    "vp8.webm",
    "vp9.webm",
    "mpeg4.avi",
    "mjpeg.avi",
    "plain.gif",
    "moving.webp",
    "folder",
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_every_frame_in_order(kind, media, frames, collect):
    info = decode(media[kind], [collect])
    assert info.n_frames == len(collect.frames) == len(frames)
    assert collect.indices == list(range(len(frames)))
    assert (info.height, info.width, 3) == collect.frames[0].shape == frames[0].shape
    # Each decoded frame is nearest to the drawn one of the same index: none is lost, doubled or swapped.
    for index, frame in enumerate(collect.frames):
        distances = [np.abs(frame.astype(int) - drawn).mean() for drawn in frames]
        assert int(np.argmin(distances)) == index
        assert distances[index] < 12


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("folder", "moving.webp", "plain.gif")])
def test_pixels_rate_and_count_equal_opencv(kind, media, collect):
    cv2 = pytest.importorskip("cv2")
    info = decode(media[kind], [collect])
    capture = cv2.VideoCapture(str(media[kind]))
    assert info.container_fps == pytest.approx(capture.get(cv2.CAP_PROP_FPS))
    for frame in collect.frames:
        ok, theirs = capture.read()
        assert ok
        difference = np.abs(frame.astype(int) - theirs[..., ::-1]).max()
        assert difference <= 2, "another build of the same scaler may round once"
    assert not capture.read()[0]


@pytest.mark.parametrize("kind", KINDS)
def test_probe_and_decode_agree(kind, media, collect):
    assert probe(media[kind]) == decode(media[kind], [collect])


@pytest.mark.parametrize(
    ("kind", "given", "fps", "source"),
    [
        ("h264.mp4", None, 16.0, "container"),
        ("h264.mp4", 24.0, 24.0, "manifest"),
        ("folder", None, 8.0, "assumed"),
        ("folder", 12, 12.0, "manifest"),
        ("moving.webp", None, 1000 / 62, "container"),
        ("plain.gif", None, 1000 / 60, "container"),
    ],
)
def test_rate_comes_from_manifest_then_container_then_assumption(kind, given, fps, source, media):
    info = probe(media[kind], fps=given)
    assert info.fps == pytest.approx(fps, rel=0.01)
    assert info.fps_source == source
    assert any("assumed_fps" in warning for warning in info.warnings) == (source == "assumed")


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_impossible_manifest_rate_is_refused(fps, media):
    with pytest.raises(ManifestError, match="positive"):
        probe(media["h264.mp4"], fps=fps)


def test_times_are_the_containers(media):
    assert probe(media["h264.mp4"]).times == pytest.approx(np.arange(20) / 16)
    assert probe(media["moving.webp"]).times == pytest.approx(np.arange(20) * 0.062)
    assert probe(media["folder"]).times == ()


def test_all_passes_share_one_decode(media, monkeypatch):
    decodes = []
    original = read.stream_frames
    monkeypatch.setattr(read, "stream_frames", lambda *given: decodes.append(1) or original(*given))
    passes = [Count() for _ in range(4)]
    decode(media["h264.mp4"], passes)
    assert [each.count for each in passes] == [20] * 4
    assert len(decodes) == 1


def test_probe_decodes_one_frame_at_most(media, monkeypatch):
    monkeypatch.setattr(read, "stream_frames", lambda *given: pytest.fail("probe decoded the clip"))
    assert probe(media["vp9.webm"]).n_frames == 20


def test_frames_cannot_be_written_to(media):
    frame = next(open_clip(media["h264.mp4"]).frames())
    with pytest.raises(ValueError, match="read-only"):
        frame[0] = 0


@pytest.mark.parametrize("kind", ["h264.mp4", "folder", "moving.webp"])
def test_a_clip_can_be_decoded_again(kind, media):
    clip = open_clip(media[kind])
    assert all(np.array_equal(a, b) for a, b in zip(clip.frames(), clip.frames(), strict=True))


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_rotation_is_applied_as_players_do(degrees, media, turn, tmp_path, collect):
    path = turn(tmp_path / "turned.mp4", media["h264.mp4"], degrees)
    info = decode(path, [collect])
    upright = next(open_clip(media["h264.mp4"]).frames())
    # FFmpeg's angle turns counter-clockwise, as rot90 does.
    expected = np.rot90(upright, degrees // 90)
    assert np.array_equal(collect.frames[0], expected)
    assert (info.height, info.width) == expected.shape[:2]


def test_rotation_equals_opencv(media, turn, tmp_path, collect):
    cv2 = pytest.importorskip("cv2")
    path = turn(tmp_path / "turned.mp4", media["h264.mp4"], 90)
    decode(path, [collect])
    theirs = cv2.VideoCapture(str(path)).read()[1][..., ::-1]
    assert np.abs(collect.frames[0].astype(int) - theirs).max() <= 2


class Count:
    name = "count"

    def start(self, clip):
        self.count = 0

    def feed(self, index, frame):
        self.count += 1

    def finish(self):
        return self.count


class Announces:
    """A source whose packet count is wrong, as with files that hold undecodable packets."""

    def __init__(self, source, n_frames):
        self.source, self.n_frames = source, n_frames

    def scan(self):
        from dataclasses import replace

        return replace(self.source.scan(), n_frames=self.n_frames)

    def frames(self):
        return self.source.frames()


@pytest.mark.parametrize("announced", [17, 23])
def test_wrong_announcement_is_corrected_and_recorded(announced, media, monkeypatch, collect):
    original = read.open_source
    monkeypatch.setattr(read, "open_source", lambda *given: Announces(original(*given), announced))
    info = decode(media["h264.mp4"], [collect])
    assert info.n_frames == collect.clip.n_frames == len(collect.frames) == 20
    assert collect.starts == 2
    assert any("frame_count" in warning for warning in info.warnings)


def test_digest_of_a_file_is_sha256_of_its_bytes(media):
    import hashlib

    expected = hashlib.sha256(media["h264.mp4"].read_bytes()).hexdigest()
    assert content_digest(media["h264.mp4"]) == probe(media["h264.mp4"]).sha256 == expected


def test_digest_of_a_folder_follows_names_and_bytes(frames, tmp_path):
    from PIL import Image

    for name, order in (("a", (0, 1)), ("b", (0, 1)), ("c", (1, 0))):
        (tmp_path / name).mkdir()
        for place, index in enumerate(order):
            Image.fromarray(frames[index]).save(tmp_path / name / f"{place}.png")
    (tmp_path / "b" / "notes.txt").write_text("no picture")
    digests = [content_digest(tmp_path / name) for name in "abc"]
    assert digests[0] == digests[1] != digests[2]
    (tmp_path / "b" / "1.png").rename(tmp_path / "b" / "2.png")
    assert content_digest(tmp_path / "b") != digests[0]


def test_folder_is_read_in_natural_order(media, collect):
    names = [file.name for file in read.frame_files(media["folder"])]
    assert names == [f"frame_{index}.png" for index in range(20)]


def test_time_spent_by_passes_does_not_count(media, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(ahead, "time", SimpleNamespace(thread_time=lambda: float(next(clock))))
    limits = MediaLimits(seconds=30)
    # Each of the 20 frames takes one tick inside the decoder and one outside.
    assert decode(media["h264.mp4"], [Count()], limits=limits).n_frames == 20
    with pytest.raises(MediaError, match="more than 10 s"):
        decode(media["h264.mp4"], [Count()], limits=MediaLimits(seconds=10))
