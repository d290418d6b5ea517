"""What every model that runs on torch in this process does the same way: resolve, time, count, convert."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmbench.baselines.contract import Baseline, Parameters, PromptKind, Request, Setting, Size, Video, VideoInfo
from mmbench.baselines.loading.diffusers_folder import quiet_libraries
from mmbench.baselines.options import Options, as_mapping, read_options
from mmbench.device import torch_device
from mmbench.errors import GenerationError, RequestError

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


@dataclass(frozen=True)
class Plan:
    """A request with every None replaced by the value of the model and variant."""

    prompt: str
    negative: str
    class_word: str
    seed: int
    size: Size
    frames: int
    steps: int
    guidance: float
    references: tuple[Image, ...]
    first_frame: Image | None
    options: Options


@dataclass(frozen=True)
class Sampled:
    """What a sampler hands back: uint8 RGB frames (T, H, W, 3), whether the prompt was cut, settings to record."""

    frames: NDArray[np.uint8]
    truncated: bool
    settings: Mapping[str, Setting] = field(default_factory=dict)


class TorchBaseline(Baseline):
    """A generator whose networks live in this process. Subclasses fill `read`, `sample` and `networks`."""

    published_dtype: ClassVar[str] = "bfloat16"
    negative: ClassVar[str] = ""
    paper_parts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, prompt_kind: PromptKind | None = None) -> None:
        super().__init__(prompt_kind)
        self.variant: str | None = None
        self.device = "cpu"
        self.dtype: torch.dtype | None = None
        self.placement = "device"

    def load(self, device: str, dtype: str, variant: str, weights_dir: Path) -> None:
        self.close()
        variant = self.pick_variant(variant)
        self.device = str(torch_device(device))
        self.dtype = pick_dtype(dtype, self.published_dtype, device)
        with quiet_libraries():
            self.read(variant, weights_dir)
        self.variant = variant

    @abstractmethod
    def read(self, variant: str, weights_dir: Path) -> None:
        """Read the weights of `variant` onto `self.device` in `self.dtype`."""

    @abstractmethod
    def sample(self, plan: Plan) -> Sampled:
        """Run the sampler; all randomness comes from generators seeded with `plan.seed`."""

    @abstractmethod
    def networks(self) -> Mapping[str, torch.nn.Module]:
        """Every network in memory, by the name it has in `parameters()`; empty when nothing is loaded."""

    def plan(self, request: Request) -> Plan:
        """Resolve `request` for the loaded variant."""
        native = self.native(self.variant)
        if native.steps is None or native.guidance is None:
            raise GenerationError(f"{self.name} states no steps or guidance.", "Fill its Native.")
        return Plan(
            prompt=self.prompt_for(request),
            negative=self.negative if request.negative is None else request.negative,
            class_word=request.class_word,
            seed=request.seed,
            size=request.size or native.size,
            frames=request.frames or native.frames,
            steps=request.steps or native.steps,
            guidance=native.guidance if request.guidance is None else request.guidance,
            references=request.references,
            first_frame=request.first_frame,
            options=read_options(self.options_type, request.options, self.name),
        )

    def generate(self, request: Request) -> Video:
        import torch

        if self.variant is None:
            raise RequestError(f"{self.name} is not loaded.", "Call `load` first, or use a Session.")
        self.check(request, self.variant)
        plan = self.plan(request)
        on_cuda = self.device.startswith("cuda")
        if on_cuda:
            torch.cuda.reset_peak_memory_stats(self.device)
        started = time.perf_counter()
        with torch.inference_mode(), quiet_libraries():
            sampled = self.sample(plan)
        seconds = time.perf_counter() - started
        if len(sampled.frames) != plan.frames or sampled.frames.shape[1:3] != plan.size:
            raise GenerationError(
                f"{self.name} returned {sampled.frames.shape} for {plan.frames} frames of {plan.size}.",
                "This is a fault of the wrapper; please report it.",
            )
        settings: dict[str, Setting] = {
            "variant": self.variant,
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": self.device,
            "placement": self.placement,
            "prompt_kind": self.prompt_kind,
            "height": plan.size[0],
            "width": plan.size[1],
            "frames": plan.frames,
            "steps": plan.steps,
            "guidance": plan.guidance,
            "negative": plan.negative,
            "random_weights": self.variant in self.tiny_variants,
            **as_mapping(plan.options),
            **sampled.settings,
        }
        return Video(
            frames=sampled.frames,
            fps=self.native(self.variant).fps,
            info=VideoInfo(
                seed=plan.seed,
                seconds=seconds,
                peak_bytes=torch.cuda.max_memory_allocated(self.device) if on_cuda else None,
                prompt_used=plan.prompt,
                truncated=sampled.truncated,
                settings=settings,
            ),
        )

    def parameters(self) -> Parameters:
        parts = {name: count_parameters(module) for name, module in self.networks().items()}
        return Parameters(parts, tuple(name for name in self.paper_parts if name in parts))


def pick_dtype(name: str, published: str, device: str) -> torch.dtype:
    """Torch dtype of `name`; "auto" is the published one on an accelerator and float32 on a CPU."""
    import torch

    if name == "auto":
        name = "float32" if device == "cpu" else published
    known = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    if name not in known:
        raise RequestError(f"There is no number type {name!r}.", f"Choose auto or one of {', '.join(known)}.")
    return known[name]


def seeded(seed: int, device: str = "cpu") -> torch.Generator:
    """A fresh generator; on the CPU by default, so that noise does not depend on the kind of GPU."""
    import torch

    return torch.Generator(device=device).manual_seed(seed)


def count_parameters(module: torch.nn.Module) -> int:
    """Number of parameters, each shared tensor once."""
    return sum(parameter.numel() for parameter in module.parameters())


def to_uint8(frames: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Frames (T, H, W, 3) in [0, 1] to uint8, rounded. Raises GenerationError for a value that is not finite."""
    if not np.isfinite(frames).all():
        raise GenerationError(
            "The model produced values that are not finite.", "Load it with dtype float32 or bfloat16."
        )
    whole: NDArray[np.uint8] = np.round(np.clip(frames, 0.0, 1.0) * 255).astype(np.uint8)
    return whole


def place(pipe: object, device: str, need_bytes: int) -> str:
    """Put a diffusers pipeline on `device`; return "device", or "offload" when fewer than `need_bytes` are free.

    Offload moves one network at a time to the accelerator; on a CPU it does not exist.
    """
    import torch

    if device.startswith("cuda") and torch.cuda.mem_get_info(device)[0] < need_bytes:
        pipe.enable_model_cpu_offload(device=device)  # type: ignore[attr-defined]
        return "offload"
    pipe.to(device)  # type: ignore[attr-defined]
    return "device"


def is_cut(tokenizer: object, text: str, limit: int) -> bool:
    """Whether `tokenizer` has to cut `text` to fit `limit` tokens, special tokens included."""
    return len(tokenizer(text, truncation=False, verbose=False).input_ids) > limit  # type: ignore[operator]
