"""CogVideoX-5B and CogVideoX-5B-I2V, run by diffusers as their authors run them.

Recipe of github.com/zai-org/CogVideo `inference/cli_demo.py`: DPM scheduler with trailing timesteps, 50 steps,
guidance 6 with dynamic guidance on, no negative prompt, CPU generator. Dynamic guidance makes the weight jump between
1 and 7 with these timesteps (mean 3.8 over 50 steps); it is kept because it is what was published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mmbench.baselines.contract import Kind, Native, Parameters, PromptKind, Size
from mmbench.baselines.loading.diffusers_folder import open_folder
from mmbench.baselines.options import Options, option
from mmbench.baselines.pictures import cover
from mmbench.baselines.runtime import Plan, Sampled, TorchBaseline, is_cut, place, seeded, to_uint8
from mmbench.errors import RequestError
from mmbench.weights.folders import registered, repo_folder

if TYPE_CHECKING:
    import torch

    from mmbench.weights import WeightFile

GIB = 1024**3
LICENCE: Final = (
    "CogVideoX licence: research free, commercial use by registration and up to a million visits a month, no military "
    "use; its videos belong to whoever makes them, as far as the law there has it"
)


@dataclass(frozen=True)
class CogVideoXOptions(Options):
    """What the published script can be told beyond a request's fields."""

    dynamic_guidance: bool = option(True, "guidance follows diffusers' wave over the steps")


class CogVideoX(TorchBaseline):
    """Text to video: the base model of Table 3, without any identity."""

    name: ClassVar[str] = "cogvideox"
    kind: ClassVar[Kind] = "t2v"
    variants: ClassVar[tuple[str, ...]] = ("5b",)
    tiny_variants: ClassVar[tuple[str, ...]] = ("tiny",)
    licence: ClassVar[str] = LICENCE
    repo: ClassVar[str] = "THUDM/CogVideoX-5b"
    paper_parts: ClassVar[tuple[str, ...]] = ("transformer", "text_encoder", "vae", "position_table")
    options_type: ClassVar[type[Options]] = CogVideoXOptions
    tiling: ClassVar[bool] = True
    learned_positions: ClassVar[bool] = False
    resident_bytes: ClassVar[int] = 27 * GIB
    """Weights of 21.1 GB and the peak of a 49-frame video with tiling; with less free, networks take turns."""

    def __init__(self, prompt_kind: PromptKind | None = None) -> None:
        super().__init__(prompt_kind)
        self.pipe: Any = None
        self._native: Native | None = None
        self._told: set[int] = set()

    def native(self, variant: str | None = None) -> Native:
        if self.pick_variant(variant) in self.tiny_variants:
            return Native(size=(32, 48), frames=9, fps=8, steps=2, guidance=6.0)
        return Native(size=(480, 720), frames=49, fps=8, steps=50, guidance=6.0)

    def check_shape(self, size: Size, frames: int, variant: str) -> None:
        # 8 frames are accepted by the pipeline and come back as frames of doubtful meaning.
        if frames % 4 != 1:
            raise RequestError(f"{self.name} makes 4k+1 frames, not {frames}.", "Use 49, or for example 25 or 33.")
        native = self.native(variant)
        if frames > native.frames:
            raise RequestError(f"{self.name} was trained on up to {native.frames} frames, not {frames}.", "Use fewer.")
        if self.learned_positions and frames != native.frames:
            # diffusers would put computed positions in place of the learned ones, without a word.
            raise RequestError(
                f"{self.name} has learned positions for {native.frames} frames, not {frames}.",
                f"Leave `frames` out or set it to {native.frames}.",
            )
        super().check_shape(size, native.frames, variant)

    def weights(self, variant: str | None = None) -> tuple[WeightFile, ...]:
        return registered(self.repo) if self.pick_variant(variant) in self.variants else ()

    def read(self, variant: str, weights_dir: Path) -> None:
        from diffusers import CogVideoXDPMScheduler

        folder = repo_folder(weights_dir, self.repo, self.weights(variant))
        self.pipe = open_folder(self.pipeline_class(), folder, self.dtype)
        self.pipe.scheduler = CogVideoXDPMScheduler.from_config(self.pipe.scheduler.config, timestep_spacing="trailing")
        if self.tiling:
            self.pipe.vae.enable_tiling()
            self.pipe.vae.enable_slicing()
        self.pipe.set_progress_bar_config(disable=True)
        self.placement = place(self.pipe, self.device, self.resident_bytes)

    def pipeline_class(self) -> Any:
        """The diffusers pipeline that runs this model."""
        from diffusers import CogVideoXPipeline

        return CogVideoXPipeline

    def inputs(self, plan: Plan) -> dict[str, Any]:
        """Arguments of the pipeline call beyond the text ones."""
        return {}

    def sample(self, plan: Plan) -> Sampled:
        assert isinstance(plan.options, CogVideoXOptions)
        self._tell_of_steps(plan.steps)
        frames = self.pipe(
            prompt=plan.prompt,
            negative_prompt=plan.negative,
            height=plan.size[0],
            width=plan.size[1],
            num_frames=plan.frames,
            num_inference_steps=plan.steps,
            guidance_scale=plan.guidance,
            use_dynamic_cfg=plan.options.dynamic_guidance,
            generator=seeded(plan.seed),
            max_sequence_length=self.pipe.transformer.config.max_text_seq_length,
            output_type="np",
            **self.inputs(plan),
        ).frames[0]
        return Sampled(
            frames=to_uint8(frames),
            truncated=is_cut(self.pipe.tokenizer, plan.prompt, self.pipe.transformer.config.max_text_seq_length),
            settings={
                "scheduler": "CogVideoXDPMScheduler",
                "timestep_spacing": "trailing",
                "vae_tiling": self.tiling,
            },
        )

    def _tell_of_steps(self, steps: int) -> None:
        """Warn once of a number of steps with which diffusers' scheduler misses timesteps, as Magic Mirror does."""
        from mmbench.model.pipeline.inputs import check_steps

        if steps not in self._told:
            self._told.add(steps)
            check_steps(steps, self.pipe.scheduler.config.num_train_timesteps, "trailing")

    def networks(self) -> Mapping[str, torch.nn.Module]:
        if self.pipe is None:
            return {}
        return {"transformer": self.pipe.transformer, "text_encoder": self.pipe.text_encoder, "vae": self.pipe.vae}

    def parameters(self) -> Parameters:
        counts = super().parameters()
        if self.pipe is None or not self.pipe.transformer.config.use_learned_positional_embeddings:
            return counts
        # A buffer in diffusers, yet learned and counted by the paper: 10.548 B + 54.6 M = its 10.6 B.
        table = self.pipe.transformer.patch_embed.pos_embedding.numel()
        return Parameters({**counts.parts, "position_table": table}, (*counts.paper_parts, "position_table"))

    def close(self) -> None:
        self.pipe = self.variant = None


class CogVideoXI2V(CogVideoX):
    """Image to video. The learned positions allow no other size than 480x720 and no other length than 49 frames."""

    name: ClassVar[str] = "cogvideox_i2v"
    kind: ClassVar[Kind] = "i2v"
    default_prompt_kind: ClassVar[PromptKind] = "short"
    repo: ClassVar[str] = "THUDM/CogVideoX-5b-I2V"
    learned_positions: ClassVar[bool] = True
    resident_bytes: ClassVar[int] = 28 * GIB

    def pipeline_class(self) -> Any:
        from diffusers import CogVideoXImageToVideoPipeline

        return CogVideoXImageToVideoPipeline

    def inputs(self, plan: Plan) -> dict[str, Any]:
        if plan.first_frame is None:
            raise RequestError(f"{self.name} needs a first frame.", "")
        return {"image": cover(plan.first_frame, plan.size)}
