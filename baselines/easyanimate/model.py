"""EasyAnimate-I2V 12B: V5 (the paper's, by its date and frame count) and V5.1 (the maintained one), run by diffusers.

Recipe of github.com/aigc-apps/EasyAnimate `predict_i2v.py`: 49 frames, 50 steps, guidance 6, bf16, no TeaCache and no
8-bit weights. The paper shares 480x720 first frames with CogVideoX; upstream's own size is 384x672.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mmbench.baselines.contract import Kind, Native, PromptKind, Size
from mmbench.baselines.loading.diffusers_folder import open_folder
from mmbench.baselines.options import Options, option
from mmbench.baselines.pictures import cover
from mmbench.baselines.runtime import Plan, Sampled, TorchBaseline, is_cut, place, seeded, to_uint8
from mmbench.errors import RequestError
from mmbench.weights.folders import registered, repo_folder

if TYPE_CHECKING:
    import torch

    from mmbench.weights import WeightFile

REPOS = {
    "v5": "alibaba-pai/EasyAnimateV5-12b-zh-InP",
    "v5.1": "alibaba-pai/EasyAnimateV5.1-12b-zh-InP-diffusers",
}
TINY = {"tiny": "v5.1", "tiny-v5": "v5"}
"""Tiny variants and the release whose layout each has."""
NEGATIVE_TERMS = (
    "twisted body",
    "limb deformities",
    "text captions",
    "comic",
    "static",
    "ugly",
    "error",
    "messy code",
)
TEXT_TOKENS = 256
REFERENCE_NOISE = 0.0563
MAX_FRAMES = 49


@dataclass(frozen=True)
class EasyAnimateOptions(Options):
    """What the pipeline takes beyond a request's fields."""

    reference_noise: float = option(REFERENCE_NOISE, "strength of the noise on the first frame", 0, 1)


class EasyAnimate(TorchBaseline):
    """Image-to-video model of free size (multiples of 16)."""

    name: ClassVar[str] = "easyanimate"
    kind: ClassVar[Kind] = "i2v"
    default_prompt_kind: ClassVar[PromptKind] = "short"
    variants: ClassVar[tuple[str, ...]] = tuple(REPOS)
    tiny_variants: ClassVar[tuple[str, ...]] = tuple(TINY)
    licence: ClassVar[str] = (
        "V5: own licence, which nobody here has read: read its LICENSE file for weights and videos; V5.1: Apache-2.0, "
        "which says nothing of videos"
    )
    negative: ClassVar[str] = ", ".join(NEGATIVE_TERMS).capitalize() + "."
    options_type: ClassVar[type[Options]] = EasyAnimateOptions
    paper_parts: ClassVar[tuple[str, ...]] = ("transformer", "text_encoder", "text_encoder_2", "vae")

    def __init__(self, prompt_kind: PromptKind | None = None) -> None:
        super().__init__(prompt_kind)
        self.pipe: Any = None
        self.text: Any = None

    def native(self, variant: str | None = None) -> Native:
        if self.pick_variant(variant) in TINY:
            return Native(size=(64, 96), frames=9, fps=8, steps=2, guidance=6.0)
        return Native(size=(480, 720), frames=MAX_FRAMES, fps=8, steps=50, guidance=6.0)

    def check_shape(self, size: Size, frames: int, variant: str) -> None:
        if size[0] % 16 or size[1] % 16:
            raise RequestError(
                f"{self.name} makes sizes in multiples of 16, not {size[0]}x{size[1]}.", "Use for example 480x720."
            )
        if frames % 4 != 1 or frames > MAX_FRAMES:
            raise RequestError(f"{self.name} makes 4k+1 frames up to {MAX_FRAMES}, not {frames}.", "Use 49.")

    def weights(self, variant: str | None = None) -> tuple[WeightFile, ...]:
        variant = self.pick_variant(variant)
        return () if variant in TINY else registered(REPOS[variant])

    def read(self, variant: str, weights_dir: Path) -> None:
        from diffusers import EasyAnimateInpaintPipeline

        release = TINY.get(variant, variant)
        folder = repo_folder(weights_dir, REPOS[release], self.weights(variant))
        self.text = None
        if release == "v5":
            from mmbench.baselines.easyanimate.v5 import open_v5

            self.pipe, self.text = open_v5(folder, self.dtype)
        else:
            self.pipe = open_folder(EasyAnimateInpaintPipeline, folder, self.dtype)
        if "cache_mag_vae" not in self.pipe.vae.config:
            # diffusers' pipeline reads this key, which its own autoencoder class never registers.
            self.pipe.vae.register_to_config(cache_mag_vae=True)
        self.pipe.set_progress_bar_config(disable=True)
        self.placement = place(self.pipe, self.device, 45 * 1024**3)

    def sample(self, plan: Plan) -> Sampled:
        from diffusers.pipelines.easyanimate.pipeline_easyanimate_inpaint import get_image_to_video_latent

        assert plan.first_frame is not None and isinstance(plan.options, EasyAnimateOptions)
        video, mask = get_image_to_video_latent(cover(plan.first_frame, plan.size), None, plan.frames, plan.size)
        if self.text is None:
            text: dict[str, Any] = {"prompt": plan.prompt, "negative_prompt": plan.negative}
            truncated = is_cut(self.pipe.tokenizer, chat(self.pipe.tokenizer, plan.prompt), TEXT_TOKENS)
        else:
            self.text.to(self.pipe._execution_device)
            text, truncated = self.text.arguments(self.pipe, plan.prompt, plan.negative, plan.guidance > 1)
            if self.placement == "offload":
                self.text.to("cpu")
        frames = self.pipe(
            **text,
            num_frames=plan.frames,
            height=plan.size[0],
            width=plan.size[1],
            video=video,
            mask_video=mask,
            num_inference_steps=plan.steps,
            guidance_scale=plan.guidance,
            noise_aug_strength=plan.options.reference_noise,
            # The pipeline draws the reference noise on the device, where a CPU generator is refused.
            generator=seeded(plan.seed, str(self.pipe._execution_device)),
            output_type="np",
        ).frames[0]
        return Sampled(
            frames=to_uint8(frames),
            truncated=truncated,
            settings={
                "scheduler": type(self.pipe.scheduler).__name__,
                "teacache": False,
            },
        )

    def networks(self) -> Mapping[str, torch.nn.Module]:
        if self.pipe is None:
            return {}
        found = {"transformer": self.pipe.transformer, "vae": self.pipe.vae}
        if self.text is None:
            return {**found, "text_encoder": self.pipe.text_encoder}
        return {**found, "text_encoder": self.text.bert, "text_encoder_2": self.text.t5}

    def close(self) -> None:
        self.pipe = self.text = self.variant = None


def chat(tokenizer: Any, prompt: str) -> str:
    """The prompt in Qwen2-VL's chat template, as the pipeline writes it."""
    messages = [{"role": "user", "content": [{"type": "text", "text": prompt}]}]
    text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return text
