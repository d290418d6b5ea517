"""Phantom (Liu et al. 2025) on Wan 2.1: subjects to video, each picture a frame of latents behind the video's own.

Recipe of github.com/Phantom-video/Phantom (`generate.py` and its README): up to four pictures, fitted into the frame on
white (LANCZOS, centred); UniPC with 50 steps at the noise levels of Wan's own scheduler, shift 5; 480x832; the 1.3B 81
frames at 16 fps, the 14B 121 at 24; velocity = nothing + 5 (pictures - nothing) + 7.5 (pictures and prompt - pictures),
where nothing has zeros for the pictures' latents and Wan's negative prompt. The prompt has to describe the person: take
the long one. Both take the autoencoder and UMT5 of Wan 2.1's 1.3B folder. The 14B lies in float32 and needs about 90 GB
of memory while it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mmbench.baselines.contract import Kind, Native
from mmbench.baselines.loading.checkpoint import read_shards, read_tensors, tensors_only
from mmbench.baselines.loading.diffusers_folder import components, open_part, read_config
from mmbench.baselines.loading.repository import Repository
from mmbench.baselines.options import Options, option
from mmbench.baselines.runtime import Plan, Sampled, place, seeded
from mmbench.baselines.wan.loader import NEGATIVE, OF_VIDEOS, WanBaseline, use_unipc
from mmbench.baselines.wan.loop import Subjects, denoise, encode_pictures, on_white, wan_levels
from mmbench.baselines.wan.names import load_published
from mmbench.weights.folders import file_of, registered

if TYPE_CHECKING:
    from mmbench.weights import WeightFile

LICENCE: Final = "Apache-2.0"
BASE: Final = Repository("Wan-AI/Wan2.1-T2V-1.3B-Diffusers", LICENCE, 12 * 10**9, without=("transformer",))
REPO: Final = "bytedance-research/Phantom"
FILES: Final[dict[str, tuple[str, ...]]] = {
    "1.3b": ("phantom-wan-1.3b",),
    "14b": ("phantom-wan-14b-index", *(f"phantom-wan-14b-{number}" for number in range(1, 7))),
}
"""Registered files of a variant; of the large one the index, then the shards."""
TINY: Final[dict[str, str]] = {"tiny": "phantom.pth", "tiny-14b": "phantom.safetensors.index.json"}
"""The tiny weights' checkpoint or index of shards, beside the parts of its base."""
LARGE: Final[dict[str, Any]] = {"num_attention_heads": 40, "ffn_dim": 13824, "num_layers": 40}
"""What differs in the large model's configuration, which no file of its release holds."""
RESIDENT: Final[dict[str, int]] = {"1.3b": 20 * 1024**3, "14b": 50 * 1024**3}
"""Bytes of weights in bfloat16 (autoencoder in float32) with room for a video; estimated, not measured."""


@dataclass(frozen=True)
class PhantomOptions(Options):
    """What the published script can be told beyond a request's fields; its guidance is the text's."""

    shift: float = option(5.0, "shift of the flow sigmas", 0.1, 100)
    picture_guidance: float = option(5.0, "weight of pictures against nothing")


class Phantom(WanBaseline):
    """Subjects to video: all pictures of the person are shown."""

    name: ClassVar[str] = "phantom"
    kind: ClassVar[Kind] = "identity"
    variants: ClassVar[tuple[str, ...]] = tuple(FILES)
    tiny_variants: ClassVar[tuple[str, ...]] = tuple(TINY)
    licence: ClassVar[str] = f"{LICENCE} (Phantom, Wan); {OF_VIDEOS}"
    negative: ClassVar[str] = NEGATIVE
    paper_parts: ClassVar[tuple[str, ...]] = ("transformer", "text_encoder", "vae")
    options_type: ClassVar[type[Options]] = PhantomOptions
    repositories: ClassVar[Mapping[str, Repository]] = dict.fromkeys(FILES, BASE)

    def native(self, variant: str | None = None) -> Native:
        variant = self.pick_variant(variant)
        large = variant.endswith("14b")
        if variant in self.tiny_variants:
            return Native(size=(32, 48), frames=9, fps=24 if large else 16, steps=2, guidance=7.5)
        frames, fps = (121, 24) if large else (81, 16)
        return Native(size=(480, 832), frames=frames, fps=fps, steps=50, guidance=7.5)

    def weights(self, variant: str | None = None) -> tuple[WeightFile, ...]:
        return registered(names=FILES.get(self.pick_variant(variant), ()))

    def read(self, variant: str, weights_dir: Path) -> None:
        import torch
        from diffusers import WanPipeline

        self.require(weights_dir, variant)
        folder = self.folder(weights_dir, variant)
        tiny = variant in self.tiny_variants
        source = folder / TINY[variant] if tiny else file_of(FILES[variant][0], weights_dir)
        state = read_shards(source) if source.suffix == ".json" else tensors_only(read_tensors(source), source)
        config = {**read_config(folder / "transformer" / "config.json"), **(LARGE if variant == "14b" else {})}
        parts = {
            name: open_part(library, class_name, folder / name, torch.float32 if name == "vae" else self.dtype)
            for name, (library, class_name) in components(folder).items()
            if name in ("vae", "text_encoder")
        }
        parts["transformer"] = load_published(config, state, source, self.dtype)
        self.pipe = WanPipeline.from_pretrained(folder, local_files_only=True, **parts)
        self.pipe.set_progress_bar_config(disable=True)
        self.placement = place(self.pipe, self.device, RESIDENT.get(variant, 0))

    def sample(self, plan: Plan) -> Sampled:
        options = plan.options
        assert isinstance(options, PhantomOptions)
        pipe = self.pipe
        use_unipc(pipe, options.shift)
        said, nothing = self.embed(plan.prompt, plan.negative)
        pictures = [on_white(picture, plan.size) for picture in plan.references]
        shown = encode_pictures(pipe.vae, pictures)
        noise = self.noise(plan, seeded(plan.seed))
        velocity = Subjects(pipe.transformer, said, nothing, shown, options.picture_guidance, plan.guidance)
        latents = denoise(pipe.scheduler, noise, plan.steps, velocity, wan_levels(plan.steps))
        return self.finish(latents, pipe.scheduler, plan.prompt, len(pictures))
