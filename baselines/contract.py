"""What every generator agrees to: `Request` in, `Video` out, `Baseline` between; `FirstFrame` for opening pictures.

Nothing of torch is imported here, so a worker in another environment, or a plug-in, can import it for free.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from mmbench.baselines.checks import check_first_frame, check_numbers, check_references
from mmbench.baselines.options import Options as Options
from mmbench.baselines.options import Setting as Setting
from mmbench.baselines.options import as_mapping, changed, read_options
from mmbench.baselines.options import option as option
from mmbench.errors import RequestError
from mmbench.files import versions
from mmbench.trigger import without_trigger

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmbench.weights import WeightFile

Kind = Literal["identity", "i2v", "t2v"]
PromptKind = Literal["long", "short"]
Size = tuple[int, int]
"""(height, width) in pixels."""


@dataclass(frozen=True)
class Request:
    """One video to make. A field that is None means the model's own published value.

    `prompt` is the long enhanced prompt, `short_prompt` its original; both may carry the trigger word after
    `class_word` ("a young woman img smiles"). The wrapper picks the one its model was published with, removes the
    trigger where it means nothing, and crops `first_frame` to its size. `references` and `first_frame` are RGB
    `PIL.Image`s. `size` is (height, width). `options` are the model's own, by name (`Baseline.options_type`).
    """

    prompt: str
    seed: int
    short_prompt: str = ""
    class_word: str = ""
    references: tuple[Image, ...] = ()
    first_frame: Image | None = None
    size: Size | None = None
    frames: int | None = None
    steps: int | None = None
    guidance: float | None = None
    negative: str | None = None
    options: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True)
class VideoInfo:
    """How a video was made.

    `peak_bytes` is the accelerator's peak allocation during `generate`, None on a CPU. `truncated` says that the
    text encoder cut the prompt. `settings` holds every effective value: variant, steps, guidance, size, ...
    """

    seed: int
    seconds: float
    peak_bytes: int | None
    prompt_used: str
    truncated: bool
    settings: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True)
class Video:
    """`frames` uint8 RGB (T, H, W, 3), `fps` frames per second, `info` its provenance."""

    frames: NDArray[np.uint8]
    fps: float
    info: VideoInfo

    def __post_init__(self) -> None:
        shape = self.frames.shape
        if self.frames.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or 0 in shape:
            raise RequestError(
                f"A model returned frames of shape {shape}, dtype {self.frames.dtype}.",
                "Frames must be uint8 RGB of shape (T, H, W, 3).",
            )


@dataclass(frozen=True)
class Native:
    """The values a model was published with: (height, width), frame count, frames per second, steps, guidance."""

    size: Size
    frames: int
    fps: float
    steps: int | None = None
    guidance: float | None = None


@dataclass(frozen=True)
class Parameters:
    """Parameter counts by two conventions: `paper` (what Table 3 / v2 Table 6 count) and everything loaded.

    `parts` names every network in memory with its count; `paper_parts` are the names the paper's figure sums.
    `buffers` are learned tables kept outside the parameters (CogVideoX-I2V's positions), counted by both.
    """

    parts: Mapping[str, int]
    paper_parts: tuple[str, ...]

    @property
    def paper(self) -> int:
        """Sum of the parts that the paper's figure counts."""
        return sum(self.parts[name] for name in self.paper_parts)

    @property
    def everything(self) -> int:
        """Sum of all parts in memory."""
        return sum(self.parts.values())


class Model(ABC):
    """Something with weights: a video generator or a first-frame maker.

    `variants` lists the published checkpoints, the paper's first; `tiny_variants` are small random weights in the
    published layout (see `mmbench.baselines.loading.tiny`), for tests and for trying a run out. `options_type` declares
    what can be set beyond the fields every model has.
    """

    name: ClassVar[str]
    variants: ClassVar[tuple[str, ...]] = ("default",)
    tiny_variants: ClassVar[tuple[str, ...]] = ()
    options_type: ClassVar[type[Options]] = Options
    libraries: ClassVar[tuple[str, ...]] = (
        "accelerate", "av", "diffusers", "numpy", "pillow", "torch", "torchvision", "transformers",
    )  # fmt: skip
    """Distributions whose version can change a picture."""
    licence: ClassVar[str] = ""
    """One line on what its weights and the videos made with them may be used for, or that nothing is said of videos.

    The registry of weights holds the details per file."""
    conditioned_on: ClassVar[tuple[str, ...]] = ()
    """Recognisers (names of weight files) that it sees the person through or was trained against.

    A column measured by one of them is no independent witness, and says so. Empty where it sees pixels, or CLIP's
    features, alone."""

    def recognisers(self, variant: str) -> tuple[str, ...]:
        """`conditioned_on` of a variant; none of random weights."""
        return self.conditioned_on if variant in self.variants else ()

    def weights(self, variant: str | None = None) -> tuple[WeightFile, ...]:
        """Files of a variant in the shared registry; empty for a model without registered weights."""
        return ()

    def require(self, weights_dir: Path, variant: str) -> None:
        """Raise MissingWeights, naming every absent file, where the model could not be loaded from `weights_dir`."""
        if variant in self.variants and (files := self.weights(variant)):
            from mmbench.weights.folders import require

            require(weights_dir, files)

    def weights_in_use(self, weights_dir: Path, variant: str) -> list[dict[str, str]]:
        """Name, revision and sha256 of every file that makes this variant's pictures; none where nobody trained them.

        A model whose files are not in the registry overrides this, or its videos do not say what made them.
        """
        if variant not in self.variants or not (files := self.weights(variant)):
            return []
        from mmbench.weights.folders import digests

        return digests(weights_dir, files)

    def versions(self) -> dict[str, str]:
        """Versions of what can change a picture, as installed where the model runs."""
        return versions(self.libraries)

    @abstractmethod
    def load(self, device: str, dtype: str, variant: str, weights_dir: Path) -> None:
        """Read the weights. `dtype` is "float32", "float16", "bfloat16", or "auto" for the published one.

        Raises MissingWeights for a file that is absent, WeightsError for one that does not fit.
        """

    def parameters(self) -> Parameters:
        """Counts of the loaded networks."""
        return Parameters({}, ())

    def close(self) -> None:  # noqa: B027 - a model without state has nothing to give back
        """Drop the networks. `mmbench.baselines.session.Session` frees the memory after it."""

    def pick_variant(self, variant: str | None) -> str:
        """`variant` when it exists, the first published one for None; RequestError otherwise."""
        known = self.variants + self.tiny_variants
        if variant is None:
            return self.variants[0]
        if variant not in known:
            raise RequestError(f"{self.name} has no variant {variant!r}.", f"Choose one of: {', '.join(known)}.")
        return variant

    def resolve_options(self, given: Mapping[str, Setting]) -> dict[str, Setting]:
        """Every option of this model by name, `given` ones checked. Raises RequestError for an unknown one."""
        return as_mapping(read_options(self.options_type, given, self.name))

    def changed_options(self, given: Mapping[str, Setting]) -> dict[str, Setting]:
        """The options of `given` that differ from the published ones: they set this model's videos apart."""
        return changed(self.options_type, self.resolve_options(given))


class Baseline(Model):
    """A video generator. The paper's rivals, Magic Mirror and any user's own model are all one of these."""

    kind: ClassVar[Kind]
    default_prompt_kind: ClassVar[PromptKind] = "long"
    edition: ClassVar[int] = 1
    """Raised when the same request and weights give other videos: those of before are then another folder's."""
    needs_trigger: ClassVar[bool] = False

    def __init__(self, prompt_kind: PromptKind | None = None) -> None:
        self.prompt_kind: PromptKind = prompt_kind or self.default_prompt_kind

    @abstractmethod
    def native(self, variant: str | None = None) -> Native:
        """Published size, frame count and rate of a variant."""

    @abstractmethod
    def generate(self, request: Request) -> Video:
        """Make one video: same request, same frames. Leaves the global random states alone."""

    def check(self, request: Request, variant: str | None = None) -> None:
        """Raise RequestError for a request this model cannot serve. Needs no weights and runs in microseconds."""
        variant = self.pick_variant(variant)
        if not without_trigger(self.prompt_for(request)).strip():
            raise RequestError(
                f"{self.name} takes the {self.prompt_kind} prompt, and this request has none.",
                f"Fill `{'short_prompt' if self.prompt_kind == 'short' else 'prompt'}`.",
            )
        check_numbers(request)
        if self.kind == "identity":
            check_references(request, self.name)
        if self.kind == "i2v":
            check_first_frame(request, self.name)
        self.resolve_options(request.options)
        native = self.native(variant)
        self.check_shape(request.size or native.size, request.frames or native.frames, variant)

    def check_shape(self, size: Size, frames: int, variant: str) -> None:
        """Raise RequestError unless the model can make `frames` pictures of `size`; the default allows only native."""
        native = self.native(variant)
        if size != native.size:
            raise RequestError(
                f"{self.name} ({variant}) makes {native.size[0]}x{native.size[1]} videos, not {size[0]}x{size[1]}.",
                f"Leave `size` out or set it to {native.size[0]}x{native.size[1]} (height x width).",
            )
        if frames != native.frames:
            raise RequestError(
                f"{self.name} ({variant}) makes {native.frames} frames, not {frames}.",
                f"Leave `frames` out or set it to {native.frames}.",
            )

    def prompt_for(self, request: Request) -> str:
        """The prompt this model gets: long or short by `prompt_kind`, without the trigger unless it needs it."""
        text = request.short_prompt if self.prompt_kind == "short" else request.prompt
        return text if self.needs_trigger else without_trigger(text)


@dataclass(frozen=True)
class Opening:
    """An opening picture (RGB) and how it was made: whether the prompt was cut, and every effective setting."""

    image: Image
    truncated: bool | None = None
    settings: Mapping[str, Setting] = field(default_factory=dict)


class FirstFrame(Model):
    """Makes the opening picture of an image-to-video model from the long prompt and the references.

    `options` are what it was created with (`mmbench.baselines.registry.create_first_frame`).
    """

    options: Options = Options()

    @abstractmethod
    def make(
        self, prompt: str, references: Sequence[Image], size: Size, seed: int, negative: str | None = None
    ) -> Image:
        """RGB picture of `size` (height, width); `prompt` carries the trigger. Raises RequestError without one."""

    def opening(self, prompt: str, references: Sequence[Image], size: Size, seed: int) -> Opening:
        """What `make` makes, with its account; a maker that has none to give leaves this as it is."""
        return Opening(self.make(prompt, references, size, seed))
