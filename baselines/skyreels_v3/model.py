"""SkyReels-V3, reference to video (Skywork AI 2026): subjects to video by Phantom's scheme, distilled to eight steps.

Recipe of github.com/SkyworkAI/SkyReels-V3 (`generate_video.py`, `reference_to_video_pipeline.py`): up to four pictures,
fitted into the frame on white (LANCZOS, centred), each a frame of latents behind the video's own, drawn from the
autoencoder's distribution; where there are fewer, frames of zeros make up the four. UniPC with shift 5; 8 steps without
guidance, an empty negative prompt; five seconds at 24 fps. Its script takes the frame's shape from the first picture
(720P); here all videos have one shape, its 720x1280. The pipeline's own defaults are those of the model before it was
distilled: `--steps 50 --guidance 7.5 --option picture_guidance=5`, three forwards a step, 544x960.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from mmbench.baselines.contract import Kind, Native
from mmbench.baselines.loading.diffusers_folder import components, open_part
from mmbench.baselines.loading.repository import Repository
from mmbench.baselines.options import Options, option
from mmbench.baselines.runtime import Plan, Sampled, place, seeded
from mmbench.baselines.wan.loader import WanBaseline, use_unipc
from mmbench.baselines.wan.loop import Subjects, denoise, encode_pictures, on_white

LICENCE: Final = "Skywork Community License"
LIMITS: Final = (
    "commercial use under its terms, which have to be read for videos too; no internet service without a security "
    "review; nothing unlawful"
)
REPOSITORY: Final = Repository("Skywork/SkyReels-V3-R2V-14B", LICENCE, 41 * 10**9, LIMITS)
PICTURES: Final = 4
"""Frames of latents for pictures, whatever their number."""
RESIDENT: Final = 60 * 1024**3
"""Bytes of weights in bfloat16 (autoencoder in float32) with room for a video; estimated, not measured."""


@dataclass(frozen=True)
class SkyReelsOptions(Options):
    """What the published pipeline can be told beyond a request's fields; its guidance is the text's."""

    shift: float = option(5.0, "shift of the flow sigmas", 0.1, 100)
    picture_guidance: float = option(1.0, "weight of pictures against nothing, where there is guidance")


class SkyReelsV3(WanBaseline):
    """Subjects to video: up to four pictures of the person are shown."""

    name: ClassVar[str] = "skyreels_v3"
    kind: ClassVar[Kind] = "identity"
    variants: ClassVar[tuple[str, ...]] = ("14b",)
    tiny_variants: ClassVar[tuple[str, ...]] = ("tiny",)
    licence: ClassVar[str] = f"{LICENCE}; {LIMITS}"
    negative: ClassVar[str] = ""
    paper_parts: ClassVar[tuple[str, ...]] = ("transformer", "text_encoder", "vae")
    options_type: ClassVar[type[Options]] = SkyReelsOptions
    repositories: ClassVar[Mapping[str, Repository]] = {"14b": REPOSITORY}

    def native(self, variant: str | None = None) -> Native:
        if self.pick_variant(variant) in self.tiny_variants:
            return Native(size=(32, 48), frames=9, fps=24, steps=2, guidance=1.0)
        return Native(size=(720, 1280), frames=121, fps=24, steps=8, guidance=1.0)

    def read(self, variant: str, weights_dir: Path) -> None:
        import torch
        from diffusers import UniPCMultistepScheduler, WanPipeline
        from transformers import AutoTokenizer

        folder = self.folder(weights_dir, variant)
        # The folder's index names a class of its makers' own code, which has the keys of diffusers' Wan.
        given = {**components(folder), "transformer": ("diffusers", "WanTransformer3DModel")}
        parts = {
            name: open_part(*given[name], folder / name, torch.float32 if name == "vae" else self.dtype)
            for name in ("vae", "text_encoder", "transformer")
        }
        tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        self.pipe = WanPipeline(tokenizer=tokenizer, scheduler=UniPCMultistepScheduler(), **parts)
        self.pipe.set_progress_bar_config(disable=True)
        self.placement = place(self.pipe, self.device, RESIDENT)

    def sample(self, plan: Plan) -> Sampled:
        import torch

        options = plan.options
        assert isinstance(options, SkyReelsOptions)
        pipe = self.pipe
        use_unipc(pipe, options.shift)
        said, nothing = self.embed(plan.prompt, plan.negative)
        generator = seeded(plan.seed)
        noise = self.noise(plan, generator)
        pictures = [on_white(picture, plan.size) for picture in plan.references]
        shown = encode_pictures(pipe.vae, pictures, generator)
        empty = torch.zeros_like(shown[:, :, :1]).repeat(1, 1, PICTURES - len(pictures), 1, 1)
        shown = torch.cat([shown, empty], dim=2)
        subjects = Subjects(pipe.transformer, said, nothing, shown, options.picture_guidance, plan.guidance)
        velocity = subjects if plan.guidance > 1 else subjects.unguided
        latents = denoise(pipe.scheduler, noise, plan.steps, velocity)
        return self.finish(latents, pipe.scheduler, plan.prompt, len(pictures))
