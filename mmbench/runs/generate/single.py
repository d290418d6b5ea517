"""One video of one prompt, without a test set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.baselines.contract import TRIGGER, Baseline, Request, Size, VideoInfo
from mmbench.errors import MediaError, RequestError
from mmbench.files import sha256_file, write_json
from mmbench.runs.generate.first_frames import pick_first_frame_variant
from mmbench.runs.generate.folder import generator_versions
from mmbench.runs.generate.make import Machine, create_model
from mmbench.runs.generate.plan import VideoSettings
from mmbench.runs.generate.weights import prepare_weights
from mmbench.testsets.pictures import decode
from mmbench.video.write import check_container, write_video

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmbench.baselines.session import Session


@dataclass(frozen=True)
class Made:
    """How the video was made; `random_weights` says that the model was an untrained one, whose videos are noise."""

    info: VideoInfo
    random_weights: bool


def generate_one(
    settings: VideoSettings,
    prompt: str,
    references: Sequence[Path],
    out: Path,
    *,
    first_frame: Path | None = None,
    short_prompt: str = "",
    machine: Machine | None = None,
) -> Made:
    """Write one video to `out` and its account beside it (`.json`).

    `settings.seed` is the video's seed itself; `settings.testset` is not used. `prompt` serves as the short
    prompt too where `short_prompt` is "". An image-to-video model takes `first_frame`, or has one made from
    the prompt, which then needs the trigger word after the class word ("a man img waves"). Raises
    RequestError, MissingWeights, MediaError.
    """
    from PIL import Image as pillow

    from mmbench.baselines.session import Session

    machine = machine or Machine()
    model = create_model(settings, machine.python)
    variant = model.pick_variant(settings.variant)
    check_container(out)
    pictures = tuple(_picture(path) for path in references)
    opening = _picture(first_frame) if first_frame else None
    size = settings.size or model.native(variant).size
    request = Request(
        prompt=prompt,
        seed=settings.seed,
        short_prompt=short_prompt or prompt,
        class_word=class_word_of(prompt),
        references=pictures,
        first_frame=opening or (pillow.new("RGB", (size[1], size[0])) if model.kind == "i2v" else None),
        size=settings.size,
        frames=settings.frames,
        steps=settings.steps,
        guidance=settings.guidance,
        negative=settings.negative,
    )
    model.check(request, variant)
    with Session(prepare_weights(machine.weights, model, variant), machine.device, machine.dtype) as session:
        if model.kind == "i2v" and opening is None:
            request = replace(request, first_frame=_opening(settings, model, variant, request, size, session))
        video = session.load(model, variant).generate(request)
    write_video(out, video.frames, video.fps)
    facts = {
        "model": model.name,
        "variant": variant,
        "random_weights": variant in model.tiny_variants,
        "licence": model.licence,
        "video_sha256": sha256_file(out),
        "versions": generator_versions(),
    }
    write_json(out.with_suffix(".json"), {**asdict(video.info), "settings": dict(video.info.settings), **facts})
    return Made(video.info, variant in model.tiny_variants)


def _picture(path: Path) -> Image:
    try:
        data = path.read_bytes()
    except OSError as cause:
        raise MediaError(f"{path}: {cause.strerror}.", "Give the path of a picture.") from cause
    return decode(data, str(path))


def _opening(
    settings: VideoSettings, model: Baseline, variant: str, request: Request, size: Size, session: Session
) -> Image:
    from mmbench.baselines import registry

    if not request.class_word:
        raise RequestError(
            f"{model.name} animates a first frame, and the prompt has no {TRIGGER!r} to make one from.",
            f'Write {TRIGGER!r} after the class word ("a man {TRIGGER} waves"), or give --first-frame-image.',
        )
    maker = registry.create_first_frame(settings.first_frame)
    maker_variant = pick_first_frame_variant(maker, settings.first_frame_variant, model, variant)
    prepare_weights(session.weights_dir, maker, maker_variant)
    session.load(maker, maker_variant)
    return maker.make(request.prompt, request.references, size, request.seed)


def class_word_of(prompt: str) -> str:
    """The word before the trigger, or "" without one."""
    found = re.search(rf"\b(\w+) {TRIGGER}\b", prompt)
    return found[1] if found else ""
