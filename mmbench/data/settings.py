"""`DataSettings`: everything that decides which records are built of a source, read from one YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from mmbench.config import Settings

TEXT_WORDS = ("text", "caption", "words", "letters", "watermark", "logo", "sign", "title")
TEMPLATE = "A squared ID photo of a {word} img, with pure black on two sides"
"""The paper's caption of source B, the trigger after its word for the person."""


class FaceBounds(Settings):
    """What a picture and its face have to be.

    `score` is the detector's, `side` the shorter one of the face's box in pixels, `share` its part of the picture's
    area; a `second` face of that share of its area spoils it. `short_side`: of the picture. `nsfw`: the judge's score
    from which a picture is dropped.
    """

    short_side: int = Field(default=720, ge=0)
    score: float = Field(default=0.9, ge=0, le=1)
    side: float = Field(default=128.0, ge=0)
    share: float = Field(default=0.03, ge=0, le=1)
    second: float = Field(default=0.5, gt=0)
    nsfw: float = Field(default=0.5, gt=0)


class PairBounds(Settings):
    """Pairs of a picture and a made one.

    `cosine` above which they are one person, `duplicate` above which two identities are one, `per_identity` prompts
    each; at least the share `turned` of the pairs differs by `degrees` in yaw or pitch.
    """

    cosine: float = Field(default=0.65, ge=-1, le=1)
    duplicate: float = Field(default=0.6, ge=-1, le=1)
    per_identity: int = Field(default=2, ge=1)
    degrees: float = Field(default=10.0, ge=0)
    turned: float = Field(default=0.5, ge=0, le=1)


class ClipBounds(Settings):
    """What a video's clips have to be.

    `short_side` of the video; `cut`, the mean change of hue, saturation and value (0-255) between frames that ends a
    shot; `per_shot` clips of each shot; the face in the share `face_rate` of the frames, its shorter side at least
    `face_side`; mean flow at 240 lines from `least_flow` to `most_flow` pixels a frame. `references` pictures are made
    of each clip, from its best frames.
    """

    short_side: int = Field(default=720, ge=0)
    cut: float = Field(default=27.0, gt=0)
    per_shot: int = Field(default=1, ge=1)
    face_rate: float = Field(default=0.8, ge=0, le=1)
    face_side: float = Field(default=96.0, ge=0)
    least_flow: float = Field(default=1.0, ge=0)
    most_flow: float = Field(default=20.0, gt=0)
    references: int = Field(default=4, ge=1, le=4)


class FetchSettings(Settings):
    """Downloads. One host is asked for one file at a time, `delay` seconds after the last or what its robots.txt says;
    `hosts` at once. `plain_http`: unencrypted addresses too; `internal`: addresses of this network too."""

    delay: float = Field(default=1.0, ge=0)
    hosts: int = Field(default=8, ge=1, le=64)
    robots: bool = True
    picture_bytes: int = Field(default=50 * 2**20, ge=1)
    video_bytes: int = Field(default=2 * 2**30, ge=1)
    seconds: float = Field(default=600.0, gt=0)
    plain_http: bool = False
    internal: bool = False


class ToolSettings(Settings):
    """Networks by name (see mmbench/data/README.md), or `module:function` of the user's own, called without arguments.

    `weights`: folder of registered files, the cache by default. `base`: folder or hub name of the base whose
    codec and text encoder are used, or `small:NAME`, a small model's."""

    faces: str = "insightface"
    captioner: str = "minigemini"
    generator: str = "photomaker_v2"
    judge: str = ""
    flow: Literal["dis", "raft"] = "dis"
    base: str = "THUDM/CogVideoX-5b"
    device: str = "cpu"
    weights: Path | None = None


class DataSettings(Settings):
    """One source. Paths are relative to the settings file.

    `source`: A (LAION-Face), B (SFHQ), C (FFHQ with PhotoMaker-V2), D (Pexels, Mixkit), own or rendered.
    `input`: a folder, or for A and D a list of addresses. `prompts`: a pool, one prompt a line (C, D). `attributes`:
    CSV with the columns file, age, gender (B, C). `height`, `width` and `frames` at `fps` are the record's;
    `text_words` drop a caption.
    """

    source: Literal["A", "B", "C", "D", "own", "rendered"]
    input: Path
    licence: str = ""
    prompts: Path | None = None
    attributes: Path | None = None
    seed: int = Field(default=0, ge=0)
    height: int = Field(default=480, ge=16)
    width: int = Field(default=720, ge=16)
    frames: int = Field(default=49, ge=1)
    fps: float = Field(default=8.0, gt=0)
    text_words: tuple[str, ...] = TEXT_WORDS
    template: str = TEMPLATE
    shard_records: int = Field(default=512, ge=1)
    faces: FaceBounds = FaceBounds()
    pairs: PairBounds = PairBounds()
    clips: ClipBounds = ClipBounds()
    fetch: FetchSettings = FetchSettings()
    tools: ToolSettings = ToolSettings()

    @field_validator("input", "prompts", "attributes")
    @classmethod
    def _beside_the_settings(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        folder = (info.context or {}).get("folder")
        return path if path is None or folder is None else Path(folder) / path

    @field_validator("frames")
    @classmethod
    def _whole_latents(cls, frames: int) -> int:
        if frames % 4 != 1:
            raise ValueError(f"{frames} frames: a clip has 4 k + 1 of them")
        return frames
