"""Settings: frozen, typed, read from and written to YAML; unknown keys are refused; the hash is stable."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from mmbench.errors import ManifestError, RequestError

Setting = str | int | float | bool | None
"""The value of a model's own option."""


class Settings(BaseModel):
    """Base of all settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def from_yaml(cls, path: Path) -> Self:
        """Read a settings file. Raises ManifestError naming the file and every wrong key."""
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as cause:
            raise ManifestError(f"{path}: cannot be read as YAML: {cause}.", "Mend the file.") from cause
        try:
            return cls.model_validate(data or {}, context={"folder": path.resolve().parent})
        except ValidationError as cause:
            remedy = f"Its keys are the fields of mmbench.config.{cls.__name__}."
            raise ManifestError(f"{path}: {faults(cause)}.", remedy) from cause

    @classmethod
    def filled(cls, **values: Any) -> Self:
        """Settings of these values. Raises RequestError naming every wrong one."""
        try:
            return cls(**values)
        except ValidationError as cause:
            raise RequestError(f"{faults(cause)}.", "Give another value.") from cause

    def to_yaml(self) -> str:
        """The settings as YAML, defaults included, so a stored file says everything."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    def digest(self) -> str:
        """sha256 of the canonical JSON: equal for equal settings, whatever the file's order or comments."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


class FaceSettings(Settings):
    """One face pass for all face metrics. `backend` finds faces and points; the identity columns are dlib's recogniser
    on them whatever it is, ArcFace has a column of its own. `frames`: "all" is needed by fm_inter_rate, "sampled" is
    faster, and joins by overlap across the gaps between samples: a face that grows or moves fast may be lost there."""

    backend: Literal["dlib", "retinaface", "insightface"] = "dlib"
    frames: Literal["all", "sampled"] = "all"


class FlowSettings(Settings):
    """`backend` "raft" is VBench's network; "dis" needs no weights and is labelled as another measure.
    `mode` "full" computes every pair, which motion smoothness needs; "early" stops when the verdict of dynamic
    degree is certain. `precision` below fp32 is faster on a GPU: pairs near the threshold are measured again in fp32.
    `split_gru` reorders the network's sums (2e-5 px); without it the flow has the original's bits. `weights` is a
    checkpoint of your own, relative to the settings file.
    """

    backend: Literal["raft", "dis"] = "raft"
    mode: Literal["early", "full"] = "full"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    split_gru: bool = True
    weights: Path | None = None

    @field_validator("weights")
    @classmethod
    def _beside_the_settings(cls, weights: Path | None, info: ValidationInfo) -> Path | None:
        return _beside(weights, info)


class TextSettings(Settings):
    """Which prompt text alignment is scored against; long prompts are cut at 32 tokens, and rows say so."""

    prompt: Literal["short", "long"] = "short"


class SuccessSettings(Settings):
    """Limits of the success rates; the paper does not publish its own. A check passes when its number reaches the
    limit (motion: when the clip is dynamic and its smoothness does not exceed it)."""

    motion_smoothness_max: float = 0.5
    text_alignment_min: float = 0.2
    face_rate_min: float = 0.5
    identity_metric: str = "id_rank1"
    identity_min: float = 0.5


class LimitSettings(Settings):
    """What one clip, picture or network may cost before it is refused.

    Fields and defaults are those of `mmbench.video.limits.MediaLimits`. A clip beyond a limit is a row that names it.
    """

    max_bytes: int = Field(default=4 * 2**30, gt=0)
    max_side: int = Field(default=16_384, gt=0)
    max_pixels: int = Field(default=8192 * 4608, gt=0)
    max_scans: int = Field(default=100, gt=0)
    max_frame_pixels: int = Field(default=4096 * 2304, gt=0)
    max_frames: int = Field(default=30_000, gt=0)
    max_clip_pixels: int = Field(default=4_000_000_000, gt=0)
    max_pixels_per_byte: int = Field(default=50_000, gt=0)
    seconds: float = Field(default=600.0, gt=0)
    clip_seconds: float = Field(default=7200.0, gt=0)
    memory: int = Field(default=8 * 2**30, gt=0)


class EvaluateSettings(Settings):
    """Everything that can change a number. `metrics` empty means all installed ones.

    `device` is where networks run: "cpu", "cuda" or "cuda:1". It reaches RAFT, ViCLIP, CLIP, Inception, RetinaFace,
    dlib's two networks and, with the extra insightface-gpu, insightface; HOG, dlib's landmarks and DIS stay on the
    processor.

    `decode` is who decodes videos: "cpu", or "cuda" ("cuda:1") for a GPU's own decoder, which takes H.264, HEVC, VP9
    and AV1 and gives the same pixels; each clip's first frame is compared. Other files are decoded on the processor.

    `network_gib` is how much of an accelerator's memory a process's networks may take with their weights; beyond it
    those used longest ago wait in main memory for their next turn (torch's, not onnxruntime's). None: all stay.

    `precision` is how ViCLIP, CLIP and Inception multiply: "fp32", "tf32" (on an NVIDIA GPU) or "bf16"; RAFT has its
    own (`flow.precision`), and faces are always found in fp32, because landmarks need its bits. Rows name it, and what
    it changes is measured anew.

    `random_weights` replaces every network whose weights must be downloaded by its tiny untrained form: for testing
    the machinery only; rows are marked and tables leave them out.
    """

    metrics: tuple[str, ...] = ()
    face: FaceSettings = FaceSettings()
    flow: FlowSettings = FlowSettings()
    text: TextSettings = TextSettings()
    success: SuccessSettings = SuccessSettings()
    fm_version: Literal[1, 2] = 2
    device: str = "cpu"
    decode: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    network_gib: float | None = Field(default=None, gt=0)
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    random_weights: bool = False
    limits: LimitSettings = LimitSettings()


class GenerateSettings(Settings):
    """Everything that decides a video and where it is made. None means the model's published value.

    `models` are registered names, `module:Class` or `folder:PATH`; whoever makes videos takes one at a time
    (`for_model`). `each` gives settings to one of them: `{id_animator: {size: [480, 720]}}`. `options` are a model's
    own (`mmbench generators` lists them).

    Which videos: `limit` takes only so many, identities in turn, `prompts` only those of these ids, `shard` "2/4"
    the second of four parts of what is left, "auto" the part that the environment names (`mmbench.engine.shard`).
    `seed` is the base of every video's own seed.

    How: `label` is the model's name in tables where its own will not do; `size` is (height, width), or
    "HEIGHTxWIDTH"; `first_frame` is what makes the opening pictures of an image-to-video model, `first_frames` a folder
    of them that models share.

    Where: `device` is "cpu", "cuda" or "cuda:1"; `dtype` "auto" is the published one; `weights` is a folder instead of
    the cache, `python` the interpreter of another environment to run the model in. Paths are relative to the settings
    file.
    """

    models: tuple[str, ...] = ()
    each: dict[str, dict[str, Any]] = {}
    variant: str | None = None
    options: dict[str, Setting] = {}
    limit: int | None = Field(default=None, ge=1)
    prompts: tuple[str, ...] = ()
    shard: str | None = Field(default=None, pattern=r"^(auto|[1-9]\d*/[1-9]\d*)$")
    seed: int = Field(default=0, ge=0)
    label: str | None = None
    size: tuple[int, int] | None = None
    frames: int | None = Field(default=None, ge=1)
    steps: int | None = Field(default=None, ge=1)
    guidance: float | None = None
    negative: str | None = None
    prompt_kind: Literal["long", "short", "face"] | None = None
    first_frame: str = "photomaker_v2"
    first_frame_variant: str | None = None
    first_frame_options: dict[str, Setting] = {}
    first_frames: Path | None = None
    device: str = "cpu"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    weights: Path | None = None
    python: Path | None = None

    @property
    def model(self) -> str:
        """The one model of these settings. Raises RequestError for none or several."""
        if len(self.models) != 1:
            raise RequestError(f"{len(self.models)} models are named, and one makes videos at a time.", "Name one.")
        return self.models[0]

    def for_model(self, name: str) -> GenerateSettings:
        """These settings for one of their models, with what `each` says of it. Raises RequestError."""
        common = {key: value for key, value in self if key not in ("models", "each")}
        return self.filled(**{**common, **self.each.get(name, {}), "models": (name,)})

    @field_validator("models", mode="after")
    @classmethod
    def _names(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_model_name(name) for name in models)

    @field_validator("each")
    @classmethod
    def _read_each(cls, each: dict[str, dict[str, Any]], info: ValidationInfo) -> dict[str, dict[str, Any]]:
        found = {}
        for name, own in each.items():
            if common := sorted(set(own) & {"models", "each", "seed", "limit", "prompts", "shard"}):
                raise ValueError(f"{name}: {', '.join(common)} is the same for all models")
            try:
                read = cls.model_validate(own, context=info.context)
            except ValidationError as cause:
                raise ValueError(f"{name}: {faults(cause)}") from cause
            found[_model_name(name)] = read.model_dump(exclude_unset=True)
        return found

    @field_validator("size", mode="before")
    @classmethod
    def _read_size(cls, size: object) -> object:
        if not isinstance(size, str):
            return size
        found = re.fullmatch(r"(\d+)x(\d+)", size.strip().lower())
        if found is None:
            raise ValueError(f"{size!r} is no size; write HEIGHTxWIDTH, for example 480x720")
        return int(found[1]), int(found[2])

    @field_validator("first_frames", "weights", "python")
    @classmethod
    def _beside_the_settings(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        return _beside(path, info)

    @model_validator(mode="after")
    def _check_each(self) -> GenerateSettings:
        if unknown := sorted(set(self.each) - set(self.models)):
            raise ValueError(f"each: {', '.join(unknown)} is not among the models")
        if self.label is not None and len(self.models) > 1:
            raise ValueError("label: several models cannot have one name; set it in each")
        return self


class ReportSettings(Settings):
    """How numbers are summarised. `metrics` empty means the default columns; `seed` is the bootstrap's.

    `order` of the models: "overall" (nobody above a model with a better overall verdict), "manifest", or the metric
    whose means order them. `guards` are the columns of the overall verdict; empty means the declared set.
    `face_form`: columns taken from clips of face-enhanced prompts, as the paper's Table 1 takes its ID similarities;
    both forms of a model then stand in one row.

    Paired differences are of all pairs of up to eight models; `pairs` of models, and every model `against` one, where
    they are named.
    """

    title: str = "mmbench leaderboard"
    metrics: tuple[str, ...] = ()
    order: str = "overall"
    guards: tuple[str, ...] = ()
    random_weights: Literal["hide", "show", "rank"] = "hide"
    seed: int = 0
    face_form: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    against: tuple[str, ...] = ()


class RunSettings(Settings):
    """One run: generate (or take existing videos), evaluate, report. Paths are relative to the settings file.

    `strict` refuses videos of which anything is passed over, cut, merged or overruled, before any is measured.
    """

    testset: str | None = None
    manifest: Path | None = None
    strict: bool = False
    generate: GenerateSettings = GenerateSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    report: ReportSettings = ReportSettings()


class BoardSettings(Settings):
    """The rules of a board that others join with `mmbench submit`: what was measured, how, and what is shown.

    `testset` is the one that every model's videos are of. `prompts_per_identity` says for how many of a person's
    prompts there have to be videos, at the least; None for all. `evaluate` are the settings under which numbers are
    comparable: `metrics` are asked of everybody, device and limits are anybody's own. `clips` is how many videos of
    each model come with a submission, chosen by `mmbench.runs.submit.format.chosen`. `pictures` puts the test set's
    own on the page: for sets whose licence lets everybody show them.
    """

    testset: str
    prompts_per_identity: int | None = Field(default=None, ge=1)
    clips: int = Field(default=4, ge=1, le=64)
    pictures: bool = False
    evaluate: EvaluateSettings = EvaluateSettings()
    report: ReportSettings = ReportSettings()


def _model_name(name: str) -> str:
    """A registered name as the registry has it; hyphens count as underscores there, not in `module:Class` and paths."""
    return name if ":" in name else name.replace("-", "_")


def _beside(path: Path | None, info: ValidationInfo) -> Path | None:
    """A relative path of a settings file, from that file's folder; a bare command name stays one."""
    folder = (info.context or {}).get("folder")
    if path is None or folder is None or (info.field_name == "python" and len(path.parts) == 1):
        return path
    return Path(folder) / path


def faults(cause: ValidationError) -> str:
    """Every wrong setting by name, in one line."""
    found = []
    for error in cause.errors():
        unknown = error["type"] == "extra_forbidden"
        name = ".".join(map(str, error["loc"])) or "file"
        found.append(f"{name}: {'there is no such setting' if unknown else error['msg']}")
    return "; ".join(found)


def plain(settings: BaseModel) -> dict[str, Any]:
    """Settings as JSON-ready values."""
    return settings.model_dump(mode="json")
