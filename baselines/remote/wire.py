"""Requests and videos as JSON and files, for the two ends of a pipe between environments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmbench.baselines.contract import Native, Parameters, Request, Video, VideoInfo

if TYPE_CHECKING:
    from PIL.Image import Image

PLAIN = tuple(field.name for field in fields(Request) if field.name not in ("references", "first_frame"))


def request_to_json(request: Request, folder: Path) -> dict[str, Any]:
    """`request` with its pictures written as PNG files into `folder`."""
    document = {name: getattr(request, name) for name in PLAIN}
    document["options"] = dict(request.options)
    document["references"] = [
        save_picture(picture, folder / f"reference_{index}.png") for index, picture in enumerate(request.references)
    ]
    first = request.first_frame
    document["first_frame"] = None if first is None else save_picture(first, folder / "first_frame.png")
    return document


def request_from_json(document: Mapping[str, Any]) -> Request:
    """The inverse of `request_to_json`."""
    plain = {name: document[name] for name in PLAIN}
    if plain["size"] is not None:
        plain["size"] = (int(plain["size"][0]), int(plain["size"][1]))
    first = document["first_frame"]
    return Request(
        **plain,
        references=tuple(open_picture(Path(path)) for path in document["references"]),
        first_frame=None if first is None else open_picture(Path(first)),
    )


def video_to_json(video: Video, path: Path) -> dict[str, Any]:
    """`video` with its frames in a `.npy` file."""
    np.save(path, video.frames)
    return {
        "frames": str(path),
        "fps": video.fps,
        "info": {**asdict(video.info), "settings": dict(video.info.settings)},
    }


def video_from_json(document: Mapping[str, Any]) -> Video:
    """The inverse of `video_to_json`; the file is deleted once read."""
    path = Path(document["frames"])
    frames = np.load(path, allow_pickle=False)
    path.unlink()
    return Video(frames=frames, fps=document["fps"], info=VideoInfo(**document["info"]))


def native_to_json(native: Native) -> dict[str, Any]:
    """A variant's published values."""
    return asdict(native)


def native_from_json(document: Mapping[str, Any]) -> Native:
    """The inverse of `native_to_json`."""
    height, width = document["size"]
    return Native(**{**document, "size": (int(height), int(width))})


def parameters_to_json(parameters: Parameters) -> dict[str, Any]:
    """Parameter counts."""
    return {"parts": dict(parameters.parts), "paper_parts": list(parameters.paper_parts)}


def parameters_from_json(document: Mapping[str, Any]) -> Parameters:
    """The inverse of `parameters_to_json`."""
    return Parameters(dict(document["parts"]), tuple(document["paper_parts"]))


def save_picture(picture: Image, path: Path) -> str:
    """The path of `picture` as a PNG file."""
    picture.save(path)
    return str(path)


def open_picture(path: Path) -> Image:
    """A picture in memory, its file closed."""
    from PIL import Image as Pil

    with Pil.open(path) as picture:
        return picture.convert("RGB")
