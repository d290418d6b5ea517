"""`TrainSettings`: everything that decides a training run, read from one YAML file or a preset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from mmbench.config import Settings, faults
from mmbench.errors import ManifestError

PRESETS = Path(__file__).parent / "presets"


class SourceSettings(Settings):
    """Shards of records, or `live`: a `module:function` that returns a `LiveSource` and takes `options`. `share`: of
    the stage's steps that draw from it; `batch`: samples of such a step, over all processes, where it differs from the
    stage's."""

    shards: tuple[Path, ...] = ()
    live: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    share: float = Field(default=1.0, gt=0)
    batch: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_kind(self) -> SourceSettings:
        if bool(self.shards) == (self.live is not None):
            raise ValueError("a source has either shards or live")
        return self


class StageSettings(Settings):
    """One stage: its data, steps, global batch (samples of one optimiser step over all processes) and learning rate.

    The rate rises over `warmup` steps, then falls to `lr_end`: "cosine" over the rest, "tail" linearly over the last
    30 %, "constant" not at all. Optimiser and EMA start anew with every stage.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    data: tuple[SourceSettings, ...] = Field(min_length=1)
    steps: int = Field(ge=1)
    batch: int = Field(ge=1)
    lr: float = Field(default=1e-5, gt=0)
    lr_end: float = Field(default=1e-6, ge=0)
    warmup: int = Field(default=0, ge=0)
    decay: Literal["cosine", "tail", "constant"] = "cosine"


class ModelSettings(Settings):
    """What is trained. `base`: a diffusers folder or hub name, or "random" (weights of the size that nobody trained).
    `transformer`: fields of the size that differ (of random weights only). `photomaker`: photomaker-v2.bin, for the
    frozen face towers; `tower`: a small size's vision tower (`mmbench nano eyes`). `adapter`: an identity adapter to
    start from. `norms`: norms.safetensors of a "norm-only" training, laid over the base. `train`: "adapter" (Magic
    Mirror), "norm-only" (norm1.linear and norm2.linear of the base, the paper's figure 14) or "all" (the whole base).
    `codec`: folder of the codec that made the latents, where it is not the base's. `dtype` is the frozen weights';
    trained ones are float32.
    """

    size: str = "5b"
    base: str = "random"
    transformer: dict[str, Any] = Field(default_factory=dict)
    face_encoder: dict[str, Any] = Field(default_factory=dict)
    codec: Path | None = None
    photomaker: Path | None = None
    tower: Path | None = None
    adapter: Path | None = None
    norms: Path | None = None
    variant: str = "Full"
    train: Literal["adapter", "norm-only", "all"] = "adapter"
    dtype: Literal["bf16", "fp32"] = "bf16"


class DropSettings(Settings):
    """Shares of samples that lose the identity, the text, or both."""

    identity: float = Field(default=0.05, ge=0, le=1)
    text: float = Field(default=0.05, ge=0, le=1)
    both: float = Field(default=0.05, ge=0, le=1)

    @model_validator(mode="after")
    def _at_most_all(self) -> DropSettings:
        if self.identity + self.text + self.both > 1:
            raise ValueError("the three shares exclude each other: their sum is at most 1")
        return self


class IdentitySettings(Settings):
    """The identity loss. `recogniser`: an ArcFace ONNX file, or `module:function` that returns a frozen torch network
    with an attribute `side`. `weight` times abar_t is lambda; `latents`: latent frames decoded to see frame 0."""

    recogniser: str
    weight: float = Field(default=0.1, ge=0)
    max_timestep: int = Field(default=336, ge=0)
    crop: int = Field(default=24, ge=4)
    latents: int = Field(default=3, ge=1)


class LossSettings(Settings):
    """`face_share`: of samples whose denoising loss is taken over the face alone."""

    face_share: float = Field(default=0.5, ge=0, le=1)
    drops: DropSettings = DropSettings()
    identity: IdentitySettings | None = None


class OptimiserSettings(Settings):
    """AdamW, or its 8-bit forms by bitsandbytes or torchao; gradients are clipped to `clip` over all parameters."""

    kind: Literal["adamw", "adamw8bit-bitsandbytes", "adamw8bit-torchao"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 1e-4
    clip: float = Field(default=1.0, gt=0)


class SampleSettings(Settings):
    """How records become samples.

    `augment` varies crop, side and colour of references that are the target itself; a sample takes one to `references`
    of its record's references. `shown`: "own", or "stranger" for those of the next sample, which makes a model of the
    same size and training that learns everything but the identity.
    """

    texts: Path = Path("texts")
    augment: bool = True
    references: int = Field(default=4, ge=1, le=4)
    shown: Literal["own", "stranger"] = "own"


class MachineSettings(Settings):
    """How the work is spread; none of it changes what is learnt but for rounding.

    `micro_batch`: samples of one forward pass in one process. `parallel`: "ddp" or "fsdp" (FSDP2). `allreduce`:
    "bf16" halves what DDP sends. `workers` read records. `tf32`: float32 products in TF32 on a GPU.
    """

    device: str = "cpu"
    micro_batch: int = Field(default=1, ge=1)
    checkpointing: bool = True
    parallel: Literal["ddp", "fsdp"] = "ddp"
    allreduce: Literal["fp32", "bf16"] = "fp32"
    workers: int = Field(default=0, ge=0)
    tf32: bool = True


class ValidationSettings(Settings):
    """Clips made and measured every `every` steps (0: never). `testset`: a set's name or folder; `limit`: its first
    videos only; `metrics` empty means all that can be measured. `enlarged`: how often clips are enlarged (bicubic), for
    face detectors cannot read small ones. `text`: a folder with `tokenizer` and `text_encoder`, where they are not the
    base's; `analyser`: `module:function` that returns the face analyser of the references, where it is not insightface
    (at small sizes: the tower's recogniser, or a stand-in)."""

    every: int = Field(default=0, ge=0)
    testset: str = "synthetic50"
    limit: int = Field(default=4, ge=1)
    steps: int = Field(default=50, ge=1)
    guidance_scale: float = 6.0
    identity_guidance: Literal["shared", "null", "base", "split"] = "shared"
    frames: int | None = None
    metrics: tuple[str, ...] = ()
    random_weights: bool = False
    enlarged: int = Field(default=1, ge=1, le=16)
    text: Path | None = None
    analyser: str | None = None


class KeepSettings(Settings):
    """A checkpoint every `every` steps, the last `last` of them kept; `trackers` are accelerate's names."""

    every: int = Field(default=500, ge=1)
    last: int = Field(default=2, ge=1)
    trackers: tuple[Literal["trackio", "wandb", "tensorboard"], ...] = ()


class TrainSettings(Settings):
    """One training run. Paths are relative to the settings file. `ema`: decay of the averaged weights, 0 for none."""

    seed: int = Field(default=0, ge=0)
    model: ModelSettings = ModelSettings()
    stages: tuple[StageSettings, ...] = Field(min_length=1)
    loss: LossSettings = LossSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    samples: SampleSettings = SampleSettings()
    ema: float = Field(default=0.0, ge=0, lt=1)
    machine: MachineSettings = MachineSettings()
    keep: KeepSettings = KeepSettings()
    validation: ValidationSettings = ValidationSettings()

    @model_validator(mode="after")
    def _no_loss_of_strangers(self) -> TrainSettings:
        if self.samples.shown == "stranger" and self.loss.identity is not None:
            raise ValueError("loss.identity asks for the person shown: with samples.shown stranger there is none")
        return self

    def of_learning(self) -> dict[str, Any]:
        """What a resumed run has to share with the one before: all but where, how often and beside what it runs."""
        held = self.model_dump(mode="json")
        for name in ("machine", "keep", "validation"):
            del held[name]
        return held


def preset_names() -> list[str]:
    """Names of the presets."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def read_settings(source: str) -> tuple[TrainSettings, Path]:
    """Settings of a YAML file or of a preset's name, and the folder that their paths are relative to.

    A file may begin with `preset: NAME` and then only say what differs; mappings are merged, lists replaced.
    Raises ManifestError naming the file and every wrong key.
    """
    path = Path(source)
    if not path.is_file():
        if source in preset_names():
            return _validated(_yaml(PRESETS / f"{source}.yaml"), source), Path.cwd()
        raise ManifestError(
            f"{source}: there is no such settings file.", f"Name a YAML file, or a preset: {', '.join(preset_names())}."
        )
    held = _yaml(path)
    if (preset := held.pop("preset", None)) is not None:
        if preset not in preset_names():
            raise ManifestError(f"{path}: no preset is called {preset!r}.", f"There are: {', '.join(preset_names())}.")
        held = _merged(_yaml(PRESETS / f"{preset}.yaml"), held)
    return _validated(held, str(path)), path.resolve().parent


def _yaml(path: Path) -> dict[str, Any]:
    try:
        held = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as cause:
        raise ManifestError(f"{path}: cannot be read as YAML: {cause}.", "Mend the file.") from cause
    if not isinstance(held, dict):
        raise ManifestError(f"{path}: holds no mapping.", "Write `name: value` lines.")
    return held


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    held = dict(under)
    for name, value in over.items():
        below = held.get(name)
        held[name] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return held


def _validated(held: Mapping[str, Any], where: str) -> TrainSettings:
    try:
        return TrainSettings.model_validate(held)
    except ValidationError as cause:
        raise ManifestError(
            f"{where}: {faults(cause)}.", "`mmbench train --show PRESET` prints a complete file."
        ) from cause


def as_learned(held: Mapping[str, Any]) -> dict[str, Any]:
    """Kept settings (`TrainSettings.of_learning`) in today's form: a setting that did not exist yet has its default.

    Settings that are none any more stay as they were kept, and differ.
    """
    try:
        return TrainSettings.model_validate(dict(held)).of_learning()
    except ValidationError:
        return dict(held)


def changed_settings(old: Mapping[str, Any], new: Mapping[str, Any], within: str = "") -> str:
    """The settings that differ, "seed was 0, now 1"."""
    parts = []
    for name in sorted(set(old) | set(new)):
        a, b = old.get(name), new.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            if inner := changed_settings(a, b, f"{within}{name}."):
                parts.append(inner)
        elif a != b:
            parts.append(f"{within}{name} was {a}, now {b}")
    return ", ".join(parts)
