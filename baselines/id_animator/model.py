"""ID-Animator (He et al. 2024): AnimateDiff v2 on Realistic Vision with a face adapter, on diffusers' classes.

Recipe of github.com/ID-Animator/ID-Animator `infer.py`: 16 frames of 512x512 (variant `v1`; Magic Mirror's paper ran
480x720 with the same weights), DDIM with linear betas, 30 steps, guidance 8, adapter scale 0.8, prompt cut to 77
tokens. Upstream's own code on current diffusers silently loads no
adapter at all; here every key of the checkpoint must be used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmbench.baselines.contract import Kind, Native, Parameters, PromptKind, Size
from mmbench.baselines.loading.diffusers_folder import open_part
from mmbench.baselines.options import Options, option
from mmbench.baselines.pictures import clip_pixels
from mmbench.baselines.runtime import Plan, Sampled, TorchBaseline, is_cut, place, seeded, to_uint8
from mmbench.device import beside_torch
from mmbench.errors import RequestError
from mmbench.face.analyser import surest_of_each
from mmbench.face.cut import aligned
from mmbench.face.stand_in import PictureFaces
from mmbench.weights.folders import registered, repo_folder, require_file

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from mmbench.face.types import Analyser, Face
    from mmbench.weights import WeightFile

REPO = "ID-Animator/ID-Animator"
"""A hub Space, not a model repository; it carries no licence."""
NEGATIVE_TERMS = (
    "semi-realistic", "cgi", "3d", "render", "sketch", "cartoon", "drawing", "anime", "text", "close up", "cropped",
    "out of frame", "worst quality", "low quality", "jpeg artifacts", "ugly", "duplicate", "morbid", "mutilated",
    "extra fingers", "mutated hands", "poorly drawn hands", "poorly drawn face", "mutation", "deformed", "blurry",
    "dehydrated", "bad anatomy", "bad proportions", "extra limbs", "cloned face", "disfigured", "gross proportions",
    "malformed limbs", "missing arms", "missing legs", "extra arms", "extra legs", "fused fingers",
    "too many fingers", "long neck",
)  # fmt: skip
DETECTOR_SIZE = 320


@dataclass(frozen=True)
class IDAnimatorOptions(Options):
    """The adapter's strength, and which of two norms the motion modules use."""

    adapter_scale: float = option(0.8, "strength of the face adapter; its web demo takes 1", 0, 2)
    per_frame_norm: bool = option(True, "each frame normalised by itself, as trained; false is diffusers' way")


class IDAnimator(TorchBaseline):
    """Identity model; several references are averaged as face tokens."""

    name: ClassVar[str] = "id_animator"
    kind: ClassVar[Kind] = "identity"
    variants: ClassVar[tuple[str, ...]] = ("paper", "v1")
    tiny_variants: ClassVar[tuple[str, ...]] = ("tiny",)
    licence: ClassVar[str] = (
        "no licence given by its authors: ask them; base CreativeML OpenRAIL-M, whose restrictions of use hold for its "
        "videos too; insightface buffalo_l: non-commercial research only"
    )
    published_dtype: ClassVar[str] = "float16"
    options_type: ClassVar[type[Options]] = IDAnimatorOptions
    negative: ClassVar[str] = ", ".join(NEGATIVE_TERMS)
    # The paper's 1.52 B leaves out the face adapter and the CLIP-H tower; with them it is 2.21 B.
    paper_parts: ClassVar[tuple[str, ...]] = ("unet", "motion_modules", "text_encoder", "vae")

    def __init__(self, prompt_kind: PromptKind | None = None) -> None:
        super().__init__(prompt_kind)
        self.pipe: Any = None
        self.image_encoder: Any = None
        self.faces: Analyser = PictureFaces()

    def native(self, variant: str | None = None) -> Native:
        if self.pick_variant(variant) in self.tiny_variants:
            return Native(size=(64, 64), frames=6, fps=8, steps=2, guidance=8.0)
        # the paper's Table 1 is digit for digit the 480x720 row of its v2 Table 4; v2 Table 6 counts at 512x512
        size = (480, 720) if self.pick_variant(variant) == "paper" else (512, 512)
        # Its own writer saves at 9 frames per second; every video of the board is 8.
        return Native(size=size, frames=16, fps=8, steps=30, guidance=8.0)

    def check_shape(self, size: Size, frames: int, variant: str) -> None:
        if size[0] % 8 or size[1] % 8:
            raise RequestError(
                f"{self.name} makes sizes in multiples of 8, not {size[0]}x{size[1]}.",
                "The paper uses 480x720 (Table 1) and, in v2 Table 4, 512x512 too.",
            )
        if not 2 <= frames <= 32:
            raise RequestError(f"{self.name} has 32 frame positions, not {frames}.", "It was published with 16.")

    def weights(self, variant: str | None = None) -> tuple[WeightFile, ...]:
        from mmbench.face.packs import BUFFALO_L

        if self.pick_variant(variant) in self.tiny_variants:
            return ()
        return registered(REPO, names=BUFFALO_L.names)

    def read(self, variant: str, weights_dir: Path) -> None:
        from mmbench.baselines.id_animator.norm import normalise_per_frame
        from mmbench.baselines.id_animator.weights import build_pipeline
        from mmbench.face.packs import BUFFALO_L, open_analyser

        folder = repo_folder(weights_dir, REPO, self.weights(variant))
        self.pipe = build_pipeline(
            sd=folder / "animatediff" / "sd",
            image_layers=require_file(folder / "realisticVisionV60B1_v51VAE.safetensors"),
            motion=require_file(folder / "mm_sd_v15_v2.ckpt"),
            adapter=require_file(folder / "animator.ckpt"),
        )
        normalise_per_frame(self.pipe.unet)
        self.pipe.unet.encoder_hid_proj.register_forward_hook(average_references)
        self.pipe.set_progress_bar_config(disable=True)
        self.pipe.to(dtype=self.dtype)
        self.image_encoder = open_part(
            "transformers", "CLIPVisionModelWithProjection", folder / "image_encoder", self.dtype
        ).to(self.device)
        tiny = variant in self.tiny_variants
        self.faces = PictureFaces() if tiny else open_analyser(BUFFALO_L, weights_dir, beside_torch(self.device))
        self.placement = place(self.pipe, self.device, 6 * 1024**3)

    def sample(self, plan: Plan) -> Sampled:
        from mmbench.baselines.id_animator.norm import choose_norm

        assert isinstance(plan.options, IDAnimatorOptions)
        self.pipe.set_ip_adapter_scale(plan.options.adapter_scale)
        choose_norm(self.pipe.unet, per_frame=plan.options.per_frame_norm)
        pictures = [np.asarray(picture, dtype=np.uint8) for picture in plan.references]
        found = surest_of_each(self.faces, pictures, (DETECTOR_SIZE,))
        crops = [crop_face(pictures[at], face) for at, face in found]
        frames = self.pipe(
            prompt=plan.prompt,
            negative_prompt=plan.negative,
            num_frames=plan.frames,
            height=plan.size[0],
            width=plan.size[1],
            num_inference_steps=plan.steps,
            guidance_scale=plan.guidance,
            generator=seeded(plan.seed),
            ip_adapter_image_embeds=[self.face_features(crops)],
            decode_chunk_size=1,
            output_type="np",
        ).frames[0]
        return Sampled(
            frames=to_uint8(frames),
            truncated=is_cut(self.pipe.tokenizer, plan.prompt, self.pipe.tokenizer.model_max_length),
            settings={
                "scheduler": "DDIMScheduler",
                "references_used": len(found),
            },
        )

    def face_features(self, crops: list[Image]) -> torch.Tensor:
        """CLIP-H tokens (2, n, tokens, width) of n face crops; row 0 is the unconditional half.

        That half is the tower's view of an all-zero normalised picture, not zero features.
        """
        import torch

        pixels = clip_pixels(crops, self.image_encoder.config.image_size).to(self.device, self.dtype)
        seen = torch.cat([torch.zeros_like(pixels), pixels])
        features: torch.Tensor = self.image_encoder(seen, output_hidden_states=True).hidden_states[-2]
        return features.view(2, len(crops), *features.shape[1:])

    def networks(self) -> Mapping[str, torch.nn.Module]:
        if self.pipe is None:
            return {}
        return {
            "unet": self.pipe.unet,
            "text_encoder": self.pipe.text_encoder,
            "vae": self.pipe.vae,
            "image_encoder": self.image_encoder,
        }

    def parameters(self) -> Parameters:
        counts = super().parameters()
        if self.pipe is None:
            return counts
        parts = dict(counts.parts)
        named = list(self.pipe.unet.named_parameters())
        motion = sum(value.numel() for name, value in named if "motion_modules" in name)
        adapter = sum(value.numel() for name, value in named if "_ip." in name or "encoder_hid_proj" in name)
        parts |= {"unet": parts["unet"] - motion - adapter, "motion_modules": motion, "face_adapter": adapter}
        return Parameters(parts, self.paper_parts)

    def close(self) -> None:
        self.pipe = self.image_encoder = self.variant = None


def crop_face(picture: NDArray[np.uint8], face: Face) -> Image:
    """ArcFace's aligned 112-pixel crop, enlarged to 224 (bicubic), as upstream feeds CLIP."""
    from PIL import Image as Pil

    return Pil.fromarray(aligned(picture, face.points)).resize((224, 224), Pil.Resampling.BICUBIC)


def average_references(module: object, arguments: object, tokens: list[torch.Tensor]) -> list[torch.Tensor]:
    """Forward hook: face tokens (batch, references, 16, width) averaged over the references, kept as one."""
    return [found.mean(dim=1, keepdim=True) for found in tokens]
