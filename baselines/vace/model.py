"""VACE (Jiang et al. 2025) on Wan 2.1, reference to video: diffusers' networks, its makers' context and noise levels.

Recipe of github.com/ali-vilab/VACE `vace/vace_wan_inference.py`: 81 frames of 480x832 (14B: the same here, of its two
sizes), 16 fps, UniPC with 50 steps and shift 16, guidance 5, Wan's negative prompt, everything generated (no video, no
mask). diffusers' documentation has another recipe, shift 3 at 480P and 30 steps: `--option shift=3` and `--steps 30`.
Each reference is fitted into the frame on white, and they come in the order given. The prompt describes the person:
take the long one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final

from mmbench.baselines.contract import Kind, Native
from mmbench.baselines.loading.repository import Repository
from mmbench.baselines.options import Options, option
from mmbench.baselines.runtime import Plan, Sampled, place, seeded
from mmbench.baselines.vace.context import Guided, context
from mmbench.baselines.wan.loader import NEGATIVE, OF_VIDEOS, WanBaseline, open_wan, use_unipc
from mmbench.baselines.wan.loop import denoise, wan_levels

GIB: Final = 1024**3
LICENCE: Final = f"Apache-2.0 (VACE, Wan); {OF_VIDEOS}"
REPOSITORIES: Final[dict[str, Repository]] = {
    "1.3b": Repository("Wan-AI/Wan2.1-VACE-1.3B-diffusers", LICENCE, 16 * 10**9),
    "14b": Repository("Wan-AI/Wan2.1-VACE-14B-diffusers", LICENCE, 46 * 10**9),
}
RESIDENT: Final[dict[str, int]] = {"1.3b": 24 * GIB, "14b": 60 * GIB}
"""Bytes of weights in bfloat16 (autoencoder in float32) with room for a video; estimated, not measured."""


@dataclass(frozen=True)
class VACEOptions(Options):
    """What the published script can be told beyond a request's fields."""

    shift: float = option(16.0, "shift of the flow sigmas; diffusers' documentation takes 3 at 480P", 0.1, 100)


class VACE(WanBaseline):
    """Reference to video: all references are shown, each fitted into the frame on white."""

    name: ClassVar[str] = "vace"
    kind: ClassVar[Kind] = "identity"
    variants: ClassVar[tuple[str, ...]] = ("1.3b", "14b")
    tiny_variants: ClassVar[tuple[str, ...]] = ("tiny",)
    licence: ClassVar[str] = LICENCE
    edition: ClassVar[int] = 2  # its makers' context and noise levels; the first one was diffusers' pipeline
    repositories: ClassVar[Mapping[str, Repository]] = REPOSITORIES
    negative: ClassVar[str] = NEGATIVE
    paper_parts: ClassVar[tuple[str, ...]] = ("transformer", "text_encoder", "vae")
    options_type: ClassVar[type[Options]] = VACEOptions

    def native(self, variant: str | None = None) -> Native:
        if self.pick_variant(variant) in self.tiny_variants:
            return Native(size=(32, 48), frames=9, fps=16, steps=2, guidance=5.0)
        return Native(size=(480, 832), frames=81, fps=16, steps=50, guidance=5.0)

    def read(self, variant: str, weights_dir: Path) -> None:
        from diffusers import WanVACEPipeline

        self.pipe = open_wan(WanVACEPipeline, self.folder(weights_dir, variant), self.dtype)
        self.pipe.set_progress_bar_config(disable=True)
        self.placement = place(self.pipe, self.device, RESIDENT.get(variant, 0))

    def sample(self, plan: Plan) -> Sampled:
        assert isinstance(plan.options, VACEOptions)
        pipe = self.pipe
        use_unipc(pipe, plan.options.shift)
        said, nothing = self.embed(plan.prompt, plan.negative)
        pictures = len(plan.references)
        control = context(pipe.vae, plan.references, plan.size, plan.frames)
        noise = self.noise(replace(plan, frames=plan.frames + 4 * pictures), seeded(plan.seed))
        velocity = Guided(pipe.transformer, said, nothing, control, plan.guidance)
        latents = denoise(pipe.scheduler, noise, plan.steps, velocity, wan_levels(plan.steps))
        return self.finish(latents[:, :, pictures:], pipe.scheduler, plan.prompt, pictures)
