"""Lynx, the full model (Sang et al. 2025, arXiv 2509.15496), on Wan 2.1 text to video, 14B.

Recipe of github.com/bytedance/lynx (`infer.py`, `modules/full`): one picture, seen by `faces`; 480x832, 81 frames at 16
fps; the base's own UniPC, 50 steps; velocity = nobody + 2 (person - nobody) + 5 (person and prompt - person), where
nobody is the vector and the picture of zeros, and both without the prompt have the negative one. The picture's latents
are drawn with the seed plus one. The published script looks at its videos with two classifiers and leaves out what they
object to, in silence: here nothing is left out. It runs the autoencoder in bfloat16; here it keeps float32, as all Wan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mmbench.baselines.contract import Kind, Native, PromptKind
from mmbench.baselines.loading.checkpoint import read_tensors, tensors_only
from mmbench.baselines.loading.repository import Repository
from mmbench.baselines.lynx.faces import RECOGNISER, FaceViewer, PlainViewer, open_viewer
from mmbench.baselines.options import Options, option
from mmbench.baselines.runtime import Plan, Sampled, place, seeded
from mmbench.baselines.wan.loader import OF_VIDEOS, WanBaseline, open_wan
from mmbench.baselines.wan.loop import denoise, encode_pictures
from mmbench.face.packs import BUFFALO_L
from mmbench.weights.folders import file_of, registered
from mmbench.weights.load import load_strict

if TYPE_CHECKING:
    import torch

    from mmbench.weights import WeightFile

LICENCE: Final = f"Apache-2.0 (Lynx, Wan); {OF_VIDEOS}; buffalo_l's detector: non-commercial research only"
REPO: Final = "ByteDance/lynx"
BASE: Final = Repository("Wan-AI/Wan2.1-T2V-14B-Diffusers", "Apache-2.0", 41 * 10**9)
FILES: Final = ("lynx-resampler", "lynx-ip-layers", "lynx-ref-layers")
TINY: Final = ("resampler.safetensors", "ip_layers.safetensors", "ref_layers.safetensors")
"""The tiny weights' adapters, beside the parts of their base."""
TINY_FACE = 32
NEGATIVE: Final = (
    "Bright tones, overexposed, blurred background, static, subtitles, style, works, paintings, images, overall gray, "
    "worst quality, low quality, JPEG compression residue, ugly, incomplete, extra fingers, poorly drawn hands, poorly "
    "drawn faces, deformed, disfigured, misshapen limbs, fused fingers, still picture, messy background, three legs, "
    "many people in the background, walking backwards"
)
"""Its published negative prompt, a constant of the recipe."""
RESIDENT: Final = 70 * 1024**3
"""Bytes of weights in bfloat16 (autoencoder in float32) with room for a video; estimated, not measured."""


@dataclass(frozen=True)
class LynxOptions(Options):
    """What the published script can be told beyond a request's fields; its guidance is the text's."""

    person_guidance: float = option(2.0, "weight of the person against nobody")
    identity_scale: float = option(1.0, "weight of what the identity adapter finds")
    reference_scale: float = option(1.0, "weight of what the reference adapter finds")


class Lynx(WanBaseline):
    """Identity model that takes one reference, the first."""

    name: ClassVar[str] = "lynx"
    conditioned_on: ClassVar[tuple[str, ...]] = (RECOGNISER,)
    kind: ClassVar[Kind] = "identity"
    variants: ClassVar[tuple[str, ...]] = ("full",)
    tiny_variants: ClassVar[tuple[str, ...]] = ("tiny",)
    licence: ClassVar[str] = LICENCE
    negative: ClassVar[str] = NEGATIVE
    paper_parts: ClassVar[tuple[str, ...]] = ("transformer", "adapters", "text_encoder", "vae")
    options_type: ClassVar[type[Options]] = LynxOptions
    repositories: ClassVar[Mapping[str, Repository]] = {"full": BASE}

    def __init__(self, prompt_kind: PromptKind | None = None) -> None:
        super().__init__(prompt_kind)
        self.adapters: Any = None
        self.viewer: FaceViewer | None = None

    def native(self, variant: str | None = None) -> Native:
        if self.pick_variant(variant) in self.tiny_variants:
            return Native(size=(32, 48), frames=9, fps=16, steps=2, guidance=5.0)
        return Native(size=(480, 832), frames=81, fps=16, steps=50, guidance=5.0)

    def weights(self, variant: str | None = None) -> tuple[WeightFile, ...]:
        if self.pick_variant(variant) not in self.variants:
            return ()
        return registered(REPO, names=(*BUFFALO_L.names, RECOGNISER))

    def read(self, variant: str, weights_dir: Path) -> None:
        from diffusers import WanPipeline

        self.require(weights_dir, variant)
        folder = self.folder(weights_dir, variant)
        self.pipe = open_wan(WanPipeline, folder, self.dtype)
        self.pipe.set_progress_bar_config(disable=True)
        tiny = variant in self.tiny_variants
        files = [folder / name for name in TINY] if tiny else [file_of(name, weights_dir) for name in FILES]
        self.adapters = self._adapters(files)
        self.viewer = PlainViewer(TINY_FACE) if tiny else open_viewer(weights_dir, self.device)
        self.placement = place(self.pipe, self.device, RESIDENT)

    def _adapters(self, files: list[Path]) -> Any:
        """Resampler, identity and reference layers of three files. Raises WeightsError for keys that do not fit."""
        from mmbench.baselines.lynx.adapters import DEPTH, WIDTH, LynxAdapters
        from mmbench.model.network.perceiver import resampler_keys, take_keys

        resampler, identity, reference = (tensors_only(read_tensors(path), path) for path in files)
        config = self.pipe.transformer.config
        registers, resampled = identity.get("0.registers"), resampler.get("latents")
        made = LynxAdapters(
            config.num_layers,
            config.num_attention_heads * config.attention_head_dim,
            0 if registers is None else registers.shape[1],
            depth=len({name.split(".")[1] for name in resampler if name.startswith("layers.")}) or DEPTH,
            inner=WIDTH if resampled is None else resampled.shape[-1],
        )
        keys = resampler_keys(len(made.resampler.layers), learned_queries=True)
        load_strict(made.resampler, take_keys(resampler, keys, "", str(files[0])), str(files[0]))
        load_strict(made.identity, identity, str(files[1]))
        load_strict(made.reference, reference, str(files[2]))
        return made.eval().to(self.device, self.pipe.transformer.dtype)

    def sample(self, plan: Plan) -> Sampled:
        import torch
        from PIL import Image

        from mmbench.baselines.lynx.adapters import PROMPT, Scales, see_person, velocity_with

        options, pipe, network = plan.options, self.pipe, self.pipe.transformer
        assert isinstance(options, LynxOptions) and self.viewer is not None
        device, dtype = pipe._execution_device, network.dtype
        said, nothing = self.embed(plan.prompt, plan.negative)
        of_a_face, _ = self.embed(PROMPT, plan.negative)
        views = self.viewer.views(plan.references[0])
        vector = torch.from_numpy(views.vector).to(device, dtype)
        people = []
        for shown, known in ((views.picture, vector), (None, vector * 0)):
            picture = shown or Image.new("RGB", views.picture.size)
            latents = encode_pictures(pipe.vae, [picture], seeded(plan.seed + 1), blank=shown is None).to(dtype)
            people.append(see_person(network, self.adapters, known, latents, of_a_face))
        person, nobody = people
        scales = Scales(options.identity_scale, options.reference_scale)
        noise = self.noise(plan, seeded(plan.seed))

        def velocity(latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
            given, time = latents.to(dtype), timestep.expand(1)
            both = velocity_with(network, person, scales, given, time, said)
            neither = velocity_with(network, nobody, scales, given, time, nothing)
            seen = velocity_with(network, person, scales, given, time, nothing)
            return neither + options.person_guidance * (seen - neither) + plan.guidance * (both - seen)

        return self.finish(denoise(pipe.scheduler, noise, plan.steps, velocity), pipe.scheduler, plan.prompt, 1)

    def networks(self) -> Mapping[str, torch.nn.Module]:
        return {**super().networks(), **({} if self.adapters is None else {"adapters": self.adapters})}

    def close(self) -> None:
        super().close()
        self.adapters = self.viewer = None
