"""Bernini-R (ByteDance 2026), reference to video: each picture a stream of tokens of its own before the video's.

Recipe of github.com/bytedance/Bernini (`scripts/bernini_r/run_r2v.sh`, guidance mode `r2v_apg`): pictures in their own
shape, no side above 848, numbered in their rotary positions; UniPC with 40 steps; 480x848, 81 frames at 16 fps; a chain
of nothing, pictures, pictures and prompt with weights 4.5 and 4.0 and projected guidance (half of the parallel part, at
most 50 long); Wan's negative prompt; a fixed sentence before the prompt. The 14B has Wan 2.2's two transformers. Its
script passes shift 5 to the scheduler; the first release ignored that and ran with the folder's 3: `--option shift=3`.
The prompt has to name the pictures "image0", "image1", ...; here they are named after the class word. Its prompt
enhancer, which its makers recommend, asks a service and is left out. The 1.3B lags on people, says its README.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

from mmbench.baselines.bernini_r.streams import Chain, fitted, numbers
from mmbench.baselines.contract import Kind, Native
from mmbench.baselines.loading.diffusers_folder import open_part
from mmbench.baselines.loading.repository import Repository
from mmbench.baselines.options import Options, option
from mmbench.baselines.runtime import Plan, Sampled, place, seeded
from mmbench.baselines.wan.loader import NEGATIVE, OF_VIDEOS, WanBaseline, use_unipc
from mmbench.baselines.wan.loop import denoise, encode_pictures
from mmbench.trigger import word_end

GIB: Final = 1024**3
LICENCE: Final = "Apache-2.0"
PARTS: Final = ("tokenizer", "text_encoder", "vae", "scheduler", "transformer")
REPOSITORIES: Final[dict[str, Repository]] = {
    "1.3b": Repository("ByteDance/Bernini-R-1.3B-Diffusers", LICENCE, 15 * 10**9, parts=PARTS),
    "14b": Repository("ByteDance/Bernini-R-Diffusers", LICENCE, 69 * 10**9, parts=(*PARTS, "transformer_2")),
}
TINY: Final[dict[str, str]] = {"tiny": "1.3b", "tiny-14b": "14b"}
RESIDENT: Final[dict[str, int]] = {"1.3b": 24 * GIB, "14b": 90 * GIB}
"""Bytes of weights in bfloat16 (autoencoder in float32) with room for a video; estimated, not measured."""
PREFIX: Final = "You are a helpful assistant specialized in subject-to-video generation."
"""The published sentence of this task, which stands before every prompt: a constant of the recipe."""


@dataclass(frozen=True)
class BerniniOptions(Options):
    """What the published script can be told beyond a request's fields; its guidance is the text's."""

    shift: float = option(5.0, "shift of the flow sigmas; 3 is the folder's own and the first release's", 0.1, 100)
    picture_guidance: float = option(4.5, "weight of pictures against nothing")
    parallel: float = option(0.5, "share kept of what points along the guided picture")
    threshold: float = option(50.0, "length that a step of guidance is cut to, a frame of latents")
    longest: int = option(848, "longest side of a picture in pixels", 16, 4096)


class BerniniR(WanBaseline):
    """Reference to video: all pictures of the person are shown, each by its number."""

    name: ClassVar[str] = "bernini_r"
    kind: ClassVar[Kind] = "identity"
    variants: ClassVar[tuple[str, ...]] = ("1.3b", "14b")
    tiny_variants: ClassVar[tuple[str, ...]] = tuple(TINY)
    licence: ClassVar[str] = f"{LICENCE} (Bernini-R, Wan); {OF_VIDEOS}"
    negative: ClassVar[str] = NEGATIVE
    paper_parts: ClassVar[tuple[str, ...]] = ("transformer", "transformer_2", "text_encoder", "vae")
    options_type: ClassVar[type[Options]] = BerniniOptions
    repositories: ClassVar[Mapping[str, Repository]] = REPOSITORIES

    def native(self, variant: str | None = None) -> Native:
        if self.pick_variant(variant) in self.tiny_variants:
            return Native(size=(32, 48), frames=9, fps=16, steps=2, guidance=4.0)
        return Native(size=(480, 848), frames=81, fps=16, steps=40, guidance=4.0)

    def read(self, variant: str, weights_dir: Path) -> None:
        import torch
        from diffusers import UniPCMultistepScheduler, WanPipeline
        from transformers import AutoTokenizer

        folder = self.folder(weights_dir, TINY.get(variant, variant))
        parts: dict[str, Any] = {"transformer_2": None}
        parts["vae"] = open_part("diffusers", "AutoencoderKLWan", folder / "vae", torch.float32)
        parts["text_encoder"] = open_part("transformers", "UMT5EncoderModel", folder / "text_encoder", self.dtype)
        for name in self.repositories[TINY.get(variant, variant)].parts:
            if name.startswith("transformer"):
                parts[name] = open_part("diffusers", "WanTransformer3DModel", folder / name, self.dtype)
        tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        self.pipe = WanPipeline(tokenizer=tokenizer, scheduler=UniPCMultistepScheduler(), **parts)
        self.pipe.set_progress_bar_config(disable=True)
        self.placement = place(self.pipe, self.device, RESIDENT.get(variant, 0))

    def sample(self, plan: Plan) -> Sampled:
        options = plan.options
        assert isinstance(options, BerniniOptions)
        pipe = self.pipe
        use_unipc(pipe, options.shift)
        sent = PREFIX + name_pictures(plan.prompt, plan.class_word, len(plan.references))
        said, nothing = self.embed(sent, plan.negative)
        pictures = [encode_pictures(pipe.vae, [fitted(picture, options.longest)]) for picture in plan.references]
        sources = list(zip(numbers(len(pictures)), pictures, strict=True))
        noise = self.noise(plan, seeded(plan.seed))
        velocity = Chain(
            pipe.transformer,
            pipe.transformer_2,
            pipe.scheduler,
            said,
            nothing,
            sources,
            options.picture_guidance,
            plan.guidance,
            options.parallel,
            options.threshold,
        )
        latents = denoise(pipe.scheduler, noise, plan.steps, velocity)
        made = self.finish(latents, pipe.scheduler, sent, len(pictures))
        return replace(made, settings={**made.settings, "prompt_sent": sent})


def name_pictures(prompt: str, class_word: str, count: int) -> str:
    """The prompt with "from image0 and image1" after its first `class_word`, or before all where it has none."""
    names = [f"image{number}" for number in range(count)]
    spoken = " and ".join([", ".join(names[:-1]), names[-1]] if count > 1 else names)
    end = word_end(prompt, class_word)
    if end is None:
        return f"The person from {spoken}: {prompt}"
    return f"{prompt[:end]} from {spoken}{prompt[end:]}"
