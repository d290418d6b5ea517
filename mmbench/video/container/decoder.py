"""Who decodes: FFmpeg on the processor, or a GPU's own decoder behind the same reader, which gives the same pixels.

H.264, HEVC, VP9 and AV1 say to the bit what a decoder has to give, so NVIDIA's gives what FFmpeg's does; the planes
come back in another order, and are put into FFmpeg's before anything else looks at them. Everything else, and what the
GPU's decoder does not take (a size, a profile), is decoded on the processor, and the clip says so. A GPU's decoder may
let damage pass that FFmpeg's refuses, so what is measured of its frames is kept apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mmbench.device import kind_and_index
from mmbench.errors import MMBenchError

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter

CPU: Final = "cpu"
EXACT: Final = frozenset({"h264", "hevc", "vp9", "av1"})
"""Codecs whose standard says every bit of what is decoded."""
PLANAR: Final = {"nv12": "yuv420p", "p010le": "yuv420p10le"}
"""FFmpeg's own order of planes for the one that a GPU's decoder leaves."""


def check_decoder(name: str) -> None:
    """Raise MMBenchError where there is no such decoder on this machine: "cpu", "cuda" or "cuda:1"."""
    if name == CPU:
        return
    import av
    import av.error
    from av.codec.hwaccel import hwdevices_available

    kind, _ = kind_and_index(name)
    if kind != "cuda":
        raise MMBenchError(f"There is no decoder {name!r}.", "Set decode to cpu, cuda or cuda:1.")
    if kind not in hwdevices_available():
        raise MMBenchError(
            f"decode is {name!r}, but the FFmpeg of PyAV {av.__version__} was built without it.",
            "Set decode to cpu, or install PyAV built with NVDEC.",
        )
    accelerator = accelerator_of(name)
    assert accelerator is not None
    try:
        accelerator.create(av.Codec("h264", "r"))
    except (av.error.FFmpegError, OSError, RuntimeError, NotImplementedError) as error:
        raise MMBenchError(
            f"decode is {name!r}, but no GPU can be opened for it ({error}).",
            "Set decode to cpu, or install the GPU's driver.",
        ) from error


def accelerator_of(name: str) -> HWAccel | None:
    """What PyAV opens a file with; None for the processor. A stream that the GPU does not take is an error."""
    from av.codec.hwaccel import HWAccel

    if name == CPU:
        return None
    kind, index = kind_and_index(name)
    return HWAccel(kind, str(index), allow_software_fallback=False)


def in_order(picture: VideoFrame, reformatter: VideoReformatter) -> VideoFrame:
    """The picture with its planes in FFmpeg's order, the numbers in them unchanged."""
    planar = PLANAR.get(picture.format.name)
    return picture if planar is None else reformatter.reformat(picture, format=planar)
