"""From a reference picture and a prompt to a file that plays."""

from __future__ import annotations

import av

from mmbench.video.write import write_video


def test_generated_clip_is_a_playable_mp4(pipe, run, tmp_path):
    frames = (run().frames[0] * 255).round().astype("uint8")
    path = tmp_path / "clip.mp4"
    assert write_video(path, frames, pipe.fps) == 9
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        shapes = [frame.to_ndarray(format="rgb24").shape for frame in container.decode(stream)]
        assert stream.average_rate == 8
    assert shapes == [(32, 32, 3)] * 9
