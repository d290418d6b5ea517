"""Checks of a request that hold for every model, made before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmbench.errors import RequestError

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmbench.baselines.contract import Request

MAX_REFERENCES = 4
"""The test set has 1-4 reference pictures per identity (paper, section 4.1)."""

MAX_PIXELS = 64_000_000
"""Upper bound on one input picture, against pictures that are small on disk and huge in memory."""


def check_numbers(request: Request) -> None:
    """Raise RequestError for a seed, number of steps or frames, guidance or size that no model can serve."""
    if not 0 <= request.seed < 2**63:
        raise RequestError(f"Seed {request.seed} is out of range.", "Use 0 <= seed < 2**63.")
    if request.steps is not None and request.steps < 1:
        raise RequestError(f"{request.steps} sampling steps make no video.", "Use steps >= 1.")
    if request.guidance is not None and not 0 <= request.guidance < 1000:
        raise RequestError(f"Guidance {request.guidance} is out of range.", "Use 0 <= guidance < 1000.")
    if request.frames is not None and request.frames < 1:
        raise RequestError(f"A video of {request.frames} frames cannot be made.", "Use frames >= 1.")
    if request.size is not None and min(request.size) < 8:
        raise RequestError(f"A video of size {request.size} cannot be made.", "Give (height, width) in pixels.")


def check_references(request: Request, name: str) -> None:
    """Raise RequestError unless the identity model `name` gets 1-4 usable pictures."""
    if not 1 <= len(request.references) <= MAX_REFERENCES:
        raise RequestError(
            f"{name} needs 1-{MAX_REFERENCES} reference pictures, got {len(request.references)}.",
            "Give the identity's references.",
        )
    for picture in request.references:
        check_picture(picture, "reference")


def check_first_frame(request: Request, name: str) -> None:
    """Raise RequestError unless the image-to-video model `name` gets a usable first frame."""
    if request.first_frame is None:
        raise RequestError(
            f"{name} animates a first frame, and this request has none.",
            "Make one first, for example with photomaker_v2.",
        )
    check_picture(request.first_frame, "first frame")


def check_picture(picture: Image, what: str) -> None:
    """Raise RequestError unless `picture` is RGB, at least 8 pixels a side and of bounded area."""
    if picture.mode != "RGB":
        raise RequestError(f"A {what} is {picture.mode}, not RGB.", "Convert it with `image.convert('RGB')`.")
    width, height = picture.size
    if min(width, height) < 8 or width * height > MAX_PIXELS:
        raise RequestError(
            f"A {what} is {width}x{height} pixels.", f"Use at least 8x8 and at most {MAX_PIXELS} pixels."
        )
