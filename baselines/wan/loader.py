"""Opening a diffusers folder of a Wan 2.1 model: its autoencoder in float32, all else in the model's precision.

The autoencoder keeps float32 because Wan's own code runs it so; in bfloat16 its pictures lose fine detail.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mmbench.baselines.contract import PromptKind, Size
from mmbench.baselines.loading.diffusers_folder import components, open_part
from mmbench.baselines.loading.repository import Repository
from mmbench.baselines.runtime import Plan, Sampled, TorchBaseline, is_cut, to_uint8
from mmbench.baselines.wan.loop import decode_frames
from mmbench.errors import RequestError
from mmbench.weights.folders import digests, require

if TYPE_CHECKING:
    import torch

TEXT_TOKENS: Final = 512
"""Tokens of UMT5 that Wan was trained with."""

OF_VIDEOS: Final = "Wan's makers claim no rights over videos made with it"
"""What Wan's README says of them, for the licences of models on it."""

NEGATIVE: Final = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，"
    "丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，"
    "静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
)
"""Wan's published negative prompt, a constant of the recipe (github.com/Wan-Video/Wan2.1, shared configuration)."""


class WanBaseline(TorchBaseline):
    """A generator on Wan 2.1: its files are one diffusers folder a variant, `repositories`."""

    repositories: ClassVar[Mapping[str, Repository]] = {}

    def __init__(self, prompt_kind: PromptKind | None = None) -> None:
        super().__init__(prompt_kind)
        self.pipe: Any = None

    def check_shape(self, size: Size, frames: int, variant: str) -> None:
        own = self.native(variant)
        if frames % 4 != 1:
            raise RequestError(f"{self.name} makes 4k+1 frames, not {frames}.", f"Use {own.frames}, or for example 49.")
        if any(side % 16 for side in size):
            said = f"{self.name} makes sizes in sixteens, not {size[0]}x{size[1]}."
            raise RequestError(said, f"Use {own.size[0]}x{own.size[1]}.")

    def require(self, weights_dir: Path, variant: str) -> None:
        if variant in self.repositories:
            self.repositories[variant].require(weights_dir)
        require(weights_dir, self.weights(variant))

    def weights_in_use(self, weights_dir: Path, variant: str) -> list[dict[str, str]]:
        of_folder = self.repositories[variant].in_use(weights_dir) if variant in self.repositories else []
        return [*of_folder, *digests(weights_dir, self.weights(variant))]

    def networks(self) -> Mapping[str, torch.nn.Module]:
        if self.pipe is None:
            return {}
        names = ("transformer", "transformer_2", "text_encoder", "vae")
        return {name: one for name in names if (one := getattr(self.pipe, name, None)) is not None}

    def close(self) -> None:
        self.pipe = self.variant = None

    def embed(self, text: str, negative: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Prompt and negative prompt as UMT5 reads them, each [1, 512, C], where and as the transformer runs."""
        said, nothing = self.pipe.encode_prompt(
            text,
            negative,
            max_sequence_length=TEXT_TOKENS,
            device=self.pipe._execution_device,
            dtype=self.pipe.transformer.dtype,
        )
        return said, nothing

    def noise(self, plan: Plan, generator: torch.Generator) -> torch.Tensor:
        """The video's first latents, float32 [1, 16, T, h, w]."""
        found: torch.Tensor = self.pipe.prepare_latents(
            1, 16, *plan.size, plan.frames, None, self.pipe._execution_device, generator
        )
        return found

    def finish(self, latents: torch.Tensor, scheduler: object, sent: str, pictures: int) -> Sampled:
        """The video of denoised `latents`, of a prompt `sent` and so many `pictures` of the person."""
        frames = decode_frames(self.pipe.vae, latents)
        self.pipe.maybe_free_model_hooks()
        return Sampled(
            frames=to_uint8(frames),
            truncated=is_cut(self.pipe.tokenizer, sent, TEXT_TOKENS),
            settings={"scheduler": type(scheduler).__name__, "references_used": pictures},
        )

    def folder(self, weights_dir: Path, variant: str) -> Path:
        """The folder of a variant, complete; a tiny one lies where the first published one would."""
        return self.repositories.get(variant, self.repositories[self.variants[0]]).require(weights_dir)


def open_wan(pipeline: Any, folder: Path, dtype: torch.dtype | None) -> Any:
    """A pipeline of class `pipeline` from a local Wan folder; raises WeightsError for keys that do not fit."""
    import torch

    parts = {
        name: open_part(library, class_name, folder / name, torch.float32 if name == "vae" else dtype)
        for name, (library, class_name) in components(folder).items()
        if (folder / name / "config.json").is_file()
    }
    return pipeline.from_pretrained(folder, local_files_only=True, **parts)


def use_unipc(pipe: Any, shift: float) -> None:
    """Put UniPC with flow sigmas of `shift` in the place of the folder's scheduler."""
    from diffusers import UniPCMultistepScheduler

    pipe.scheduler = UniPCMultistepScheduler.from_config(
        pipe.scheduler.config, prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
    )
