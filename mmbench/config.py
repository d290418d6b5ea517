"""Settings: frozen, typed, read from and written to YAML; unknown keys are refused; the hash is stable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from mmbench.errors import ManifestError
from mmbench.files import sha256


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

    def to_yaml(self) -> str:
        """The settings as YAML, defaults included, so a stored file says everything."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    def digest(self) -> str:
        """sha256 of the canonical JSON: equal for equal settings, whatever the file's order or comments."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return sha256(canonical.encode())


class FaceSettings(Settings):
    """One face pass for all face metrics. `backend` finds faces and points; the identity columns are dlib's recogniser
    on them whatever it is, ArcFace has a column of its own. `frames`: "all" is needed by fm_inter_rate, "sampled" is
    faster."""

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
        folder = (info.context or {}).get("folder")
        return folder / weights if weights and folder else weights


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


class EvaluateSettings(Settings):
    """Everything that can change a number. `metrics` empty means all installed ones.

    `device` is where networks run: "cpu", "cuda" or "cuda:1". It reaches RAFT, ViCLIP, Inception, RetinaFace and,
    with the extra insightface-gpu, insightface; dlib and DIS run where their own builds do.

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
    random_weights: bool = False


class GenerateSettings(Settings):
    """Which models make videos of the test set: registered names, `module:Class`, or `folder:PATH`.

    `variant` None is each model's published checkpoint; `limit` takes only the first videos of the set.
    """

    models: tuple[str, ...] = ()
    variant: str | None = None
    limit: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)
    device: str = "cpu"
    dtype: str = "auto"


class ReportSettings(Settings):
    """How numbers are summarised. `metrics` empty means the paper's columns; `seed` is the bootstrap's."""

    title: str = "mmbench leaderboard"
    metrics: tuple[str, ...] = ()
    random_weights: Literal["hide", "show", "rank"] = "hide"
    seed: int = 0


class RunSettings(Settings):
    """One run: generate (or take existing videos), evaluate, report. Paths are relative to the settings file."""

    testset: str | None = None
    manifest: Path | None = None
    generate: GenerateSettings = GenerateSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    report: ReportSettings = ReportSettings()


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
