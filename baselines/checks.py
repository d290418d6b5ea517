"""Checks of a request that hold for every model, made before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmbench.baselines.contract import MAX_REFERENCES, without_trigger
from mmbench.errors import RequestError

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmbench.baselines.contract import Baseline, Request

MAX_PIXELS = 64_000_000
"""Upper bound on one input picture, against pictures that are small on disk and huge in memory."""


def check_request(model: Baseline, request: Request) -> None:
    """Raise RequestError for a request that no variant of `model` can serve."""
    if not without_trigger(model.prompt_for(request)):
        raise RequestError(
            f"{model.name} takes the {model.prompt_kind} prompt, and this request has none.",
            f"Fill `{'short_prompt' if model.prompt_kind == 'short' else 'prompt'}`.",
        )
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
    if model.kind == "identity":
        if not 1 <= len(request.references) <= MAX_REFERENCES:
            raise RequestError(
                f"{model.name} needs 1-{MAX_REFERENCES} reference pictures, got {len(request.references)}.",
                "Give the identity's references.",
            )
        for picture in request.references:
            check_picture(picture, "reference")
    if model.kind == "i2v":
        if request.first_frame is None:
            raise RequestError(
                f"{model.name} animates a first frame, and this request has none.",
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
