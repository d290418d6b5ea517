"""Stand-In (Xue et al., CVPR 2026) on Wan 2.1 or 2.2 text to video, 14B: the face as tokens beside the video's.

Recipe of github.com/WeChatCV/Stand-In (`infer.py`, `pipelines/wan_video.py`): one picture, cut by `faces`; 480x832, 81
frames, Euler with shift 5, 20 steps, guidance 5 of the text alone (the face is seen in both answers), Wan's negative
prompt. Its script writes 25 frames a second although Wan makes 16, and so do we: measured is what is written. The
prompt says "a man" or "a woman" and nothing of how the person looks: take the short one. Of Wan 2.2, one network
answers at timesteps from 875 on, the other below, each with adapters of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mmbench.baselines.contract import Kind, Native, PromptKind
from mmbench.baselines.loading.checkpoint import read_tensors, tensors_only
from mmbench.baselines.loading.repository import Repository
from mmbench.baselines.options import Options, option
from mmbench.baselines.runtime import Plan, Sampled, place, seeded
from mmbench.baselines.stand_in.faces import PARSER, FaceCutter, PlainCutter, open_cutter
from mmbench.baselines.wan.loader import NEGATIVE, OF_VIDEOS, WanBaseline, open_wan
from mmbench.baselines.wan.loop import denoise, encode_pictures
from mmbench.face.packs import ANTELOPE_V2
from mmbench.weights.folders import file_of, registered
from mmbench.weights.load import load_strict

if TYPE_CHECKING:
    import torch

    from mmbench.weights import WeightFile

LICENCE: Final = (
    f"Apache-2.0 (Stand-In, Wan); {OF_VIDEOS}; antelopev2 and the face parser: non-commercial research only"
)
REPOSITORIES: Final = {
    "2.1": Repository("Wan-AI/Wan2.1-T2V-14B-Diffusers", "Apache-2.0", 41 * 10**9),
    "2.2": Repository("Wan-AI/Wan2.2-T2V-A14B-Diffusers", "Apache-2.0", 69 * 10**9),
}
ADAPTERS: Final = {"2.1": ("stand-in-wan21",), "2.2": ("stand-in-wan22-high", "stand-in-wan22-low")}
TINY: Final = "stand_in.ckpt"
"""The tiny weights' adapters, beside the parts of their base."""
TINY_RANK, TINY_FACE = 4, 32
RESIDENT: Final = {"2.1": 60 * 1024**3, "2.2": 90 * 1024**3}
"""Bytes of weights in bfloat16 (autoencoder and adapters in float32) with room for a video; estimated, not measured."""


@dataclass(frozen=True)
class StandInOptions(Options):
    """What the published script can be told beyond a request's fields."""

    shift: float = option(5.0, "shift of the flow sigmas", 0.1, 100)
    switch: float = option(0.875, "of Wan 2.2: share of the steps' range above which the first network answers")


class StandIn(WanBaseline):
    """Identity model that takes one reference, the first."""

    name: ClassVar[str] = "stand_in"
    kind: ClassVar[Kind] = "identity"
    default_prompt_kind: ClassVar[PromptKind] = "short"
    variants: ClassVar[tuple[str, ...]] = ("2.1", "2.2")
    tiny_variants: ClassVar[tuple[str, ...]] = ("tiny",)
    licence: ClassVar[str] = LICENCE
    negative: ClassVar[str] = NEGATIVE
    paper_parts: ClassVar[tuple[str, ...]] = ("transformer", "adapters", "text_encoder", "vae")
    options_type: ClassVar[type[Options]] = StandInOptions
    repositories: ClassVar[Mapping[str, Repository]] = REPOSITORIES

    def __init__(self, prompt_kind: PromptKind | None = None) -> None:
        super().__init__(prompt_kind)
        self.adapters: list[Any] = []
        self.cutter: FaceCutter | None = None

    def native(self, variant: str | None = None) -> Native:
        if self.pick_variant(variant) in self.tiny_variants:
            return Native(size=(32, 48), frames=9, fps=25, steps=2, guidance=5.0)
        return Native(size=(480, 832), frames=81, fps=25, steps=20, guidance=5.0)

    def weights(self, variant: str | None = None) -> tuple[WeightFile, ...]:
        chosen = self.pick_variant(variant)
        return registered(names=(*ADAPTERS[chosen], *ANTELOPE_V2.names, PARSER)) if chosen in ADAPTERS else ()

    def read(self, variant: str, weights_dir: Path) -> None:
        from diffusers import WanPipeline

        self.require(weights_dir, variant)
        folder = self.folder(weights_dir, variant)
        self.pipe = open_wan(WanPipeline, folder, self.dtype)
        self.pipe.set_progress_bar_config(disable=True)
        tiny = variant in self.tiny_variants
        files = [folder / TINY] if tiny else [file_of(name, weights_dir) for name in ADAPTERS[variant]]
        self.adapters = [self._adapters(path, one) for path, one in zip(files, self._experts(), strict=True)]
        self.cutter = PlainCutter(TINY_FACE) if tiny else open_cutter(weights_dir, self.device)
        self.placement = place(self.pipe, self.device, RESIDENT.get(variant, 0))

    def _experts(self) -> list[Any]:
        """The transformers of the folder: one of Wan 2.1, two of 2.2, that of the early steps first."""
        return [one for one in (self.pipe.transformer, getattr(self.pipe, "transformer_2", None)) if one is not None]

    def _adapters(self, path: Path, transformer: Any) -> Any:
        """A checkpoint's adapters on the model's device. Raises WeightsError for keys that do not fit."""
        from mmbench.baselines.stand_in.branch import FaceAdapters

        given = read_tensors(path)
        inner = given.get("state_dict", given)
        state = tensors_only(inner if isinstance(inner, dict) else given, path)
        config = transformer.config
        width = config.num_attention_heads * config.attention_head_dim
        rank = next((value.shape[0] for name, value in state.items() if name.endswith("down.weight")), 0)
        adapters = FaceAdapters(config.num_layers, width, rank)
        load_strict(adapters, state, str(path))
        return adapters.eval().to(self.device)

    def sample(self, plan: Plan) -> Sampled:
        import torch
        from diffusers import FlowMatchEulerDiscreteScheduler

        from mmbench.baselines.stand_in.branch import see_face, velocity_with

        options, pipe = plan.options, self.pipe
        assert isinstance(options, StandInOptions) and self.cutter is not None
        experts = self._experts()
        dtype = experts[0].dtype
        said, nothing = self.embed(plan.prompt, plan.negative)
        face = encode_pictures(pipe.vae, [self.cutter.cut(plan.references[0])]).to(dtype)
        noise = self.noise(plan, seeded(plan.seed))
        patch = experts[0].config.patch_size
        grid = [length // side for length, side in zip(noise.shape[2:], patch, strict=True)]
        known: dict[int, Any] = {}

        def velocity(latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
            at = len(experts) - 1 if timestep < options.switch * 1000 else 0
            network = experts[at]
            if at not in known:  # depends on neither step, text nor video
                known[at] = see_face(network, self.adapters[at], face, said, grid)
            given, time = latents.to(dtype), timestep.to(dtype).expand(1)  # rounded as the published code does
            both = velocity_with(network, known[at], given, time, said)
            alone = velocity_with(network, known[at], given, time, nothing)
            return alone + plan.guidance * (both - alone)

        scheduler = FlowMatchEulerDiscreteScheduler(shift=options.shift)
        sigmas = torch.linspace(1.0, 0.0, plan.steps + 1)[:-1].tolist()
        return self.finish(denoise(scheduler, noise, plan.steps, velocity, sigmas), scheduler, plan.prompt, 1)

    def networks(self) -> Mapping[str, torch.nn.Module]:
        adapters = {f"adapters{'_2' if n else ''}": one for n, one in enumerate(self.adapters)}
        return {**super().networks(), **adapters}

    def close(self) -> None:
        super().close()
        self.adapters, self.cutter = [], None
