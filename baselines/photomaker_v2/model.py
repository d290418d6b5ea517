"""PhotoMaker-V2: pictures of a person from references, on stock SDXL. Makes the image-to-video models' first frames.

Recipe of github.com/TencentARC/PhotoMaker `inference_scripts/inference_pmv2.py`: RealVisXL 4.0, Euler, 50 steps,
guidance 5, LoRA folded in at scale 1, text alone for the first fifth of the steps (at most 30), then text fused with
the identity. Only the fused text differs from plain SDXL, so the stock pipeline runs it: a callback swaps the text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmbench.baselines.checks import check_picture
from mmbench.baselines.contract import FirstFrame, Opening, Parameters, Setting, Size
from mmbench.baselines.loading.checkpoint import read_tensors, tensors_only
from mmbench.baselines.loading.diffusers_folder import open_folder, quiet_libraries
from mmbench.baselines.loading.lora import locate_processor, merge
from mmbench.baselines.options import Options, option
from mmbench.baselines.photomaker_v2.trigger import trigger_ids
from mmbench.baselines.pictures import clip_pixels, cover
from mmbench.baselines.runtime import count_parameters, is_cut, pick_dtype, place, seeded
from mmbench.device import beside_torch, torch_device
from mmbench.errors import RequestError, WeightsError
from mmbench.face.analyser import surest_of_each
from mmbench.face.stand_in import PictureFaces
from mmbench.trigger import without_trigger
from mmbench.weights.folders import registered, repo_folder, require_file

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from mmbench.baselines.photomaker_v2.id_encoder import IdentityEncoder
    from mmbench.face.types import Analyser
    from mmbench.weights import WeightFile

BASE_REPO = "SG161222/RealVisXL_V4.0"
ADAPTER_REPO = "TencentARC/PhotoMaker-V2"
NEGATIVE = "(asymmetry, worst quality, low quality, illustration, 3d, 2d, painting, cartoons, sketch), open mouth"
STEPS, TINY_STEPS, GUIDANCE = 50, 3, 5.0
DETECTOR_SIZES = (*range(640, 256, -64), 256)
BUCKETS: tuple[Size, ...] = (
    (1024, 1024), (896, 1152), (832, 1216), (768, 1280), (768, 1344), (640, 1536),
    (1152, 896), (1216, 832), (1280, 768), (1344, 768), (1536, 640),
)  # fmt: skip
"""Sizes (height, width) that SDXL was trained at, near one megapixel."""


@dataclass(frozen=True)
class PhotoMakerOptions(Options):
    """What its script can be told; None follows the published rule."""

    steps: int | None = option(None, "sampling steps; 50 were published", 1, 1000)
    guidance: float = option(GUIDANCE, "guidance weight", 0, 1000)
    start_merge_step: int | None = option(None, "last step of text alone; a fifth of the steps, at most 30", 0, 1000)


class PhotoMakerV2(FirstFrame):
    """The paper's maker of first frames: long prompt with the trigger, all references."""

    name: ClassVar[str] = "photomaker_v2"
    conditioned_on: ClassVar[tuple[str, ...]] = ("buffalo-l-w600k-r50",)
    variants: ClassVar[tuple[str, ...]] = ("realvisxl4",)
    tiny_variants: ClassVar[tuple[str, ...]] = ("tiny",)
    options_type: ClassVar[type[Options]] = PhotoMakerOptions
    licence: ClassVar[str] = (
        "Apache-2.0; base OpenRAIL++-M, whose restrictions of use hold for its pictures and videos made from them too; "
        "insightface buffalo_l: non-commercial research only"
    )

    def __init__(self) -> None:
        self.options: Options = PhotoMakerOptions()
        self.variant: str | None = None
        self.pipe: Any = None
        self.encoder: IdentityEncoder | None = None
        self.faces: Analyser = PictureFaces()
        self.merged = 0

    def weights(self, variant: str | None = None) -> tuple[WeightFile, ...]:
        from mmbench.face.packs import BUFFALO_L

        if self.pick_variant(variant) in self.tiny_variants:
            return ()
        return registered(BASE_REPO, ADAPTER_REPO, names=BUFFALO_L.names)

    def load(self, device: str, dtype: str, variant: str, weights_dir: Path) -> None:
        self.variant = None
        variant = self.pick_variant(variant)
        with quiet_libraries():
            self.read(str(torch_device(device)), dtype, variant, weights_dir)
        self.variant = variant

    def read(self, device: str, dtype: str, variant: str, weights_dir: Path) -> None:
        """Base pipeline, LoRA folded in, identity encoder, face networks."""
        from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

        from mmbench.baselines.photomaker_v2.id_encoder import build_encoder
        from mmbench.face.packs import BUFFALO_L, open_analyser

        files = self.weights(variant)
        number = pick_dtype(dtype, "bfloat16", device)
        base = repo_folder(weights_dir, BASE_REPO, files)
        path = require_file(repo_folder(weights_dir, ADAPTER_REPO, files) / "photomaker-v2.bin")
        adapter: dict[str, Any] = read_tensors(path)
        if set(adapter) != {"id_encoder", "lora_weights"}:
            raise WeightsError(
                f"{path} holds {sorted(adapter)}, not id_encoder and lora_weights.",
                "Use photomaker-v2.bin of TencentARC/PhotoMaker-V2.",
            )
        self.pipe = open_folder(StableDiffusionXLPipeline, base, number)
        self.merged = merge(self.pipe.unet, tensors_only(adapter["lora_weights"], path), locate_processor, str(path))
        self.pipe.scheduler = EulerDiscreteScheduler.from_config(self.pipe.scheduler.config)
        self.pipe.set_progress_bar_config(disable=True)
        self.encoder = build_encoder(tensors_only(adapter["id_encoder"], path), path).to(device, number)
        tiny = variant in self.tiny_variants
        self.faces = PictureFaces() if tiny else open_analyser(BUFFALO_L, weights_dir, beside_torch(device))
        place(self.pipe, device, 10 * 1024**3)

    def make(
        self, prompt: str, references: Sequence[Image], size: Size, seed: int, negative: str | None = None
    ) -> Image:
        return self._make(prompt, references, size, seed, NEGATIVE if negative is None else negative).image

    def opening(self, prompt: str, references: Sequence[Image], size: Size, seed: int) -> Opening:
        return self._make(prompt, references, size, seed, NEGATIVE)

    def _make(self, prompt: str, references: Sequence[Image], size: Size, seed: int, negative: str) -> Opening:
        import torch

        if self.variant is None or self.encoder is None:
            raise RequestError(f"{self.name} is not loaded.", "Call `load` first, or use a Session.")
        for picture in references:
            check_picture(picture, "reference")
        found = self.known(references)
        height, width = self.bucket(size)
        chosen = self.options
        assert isinstance(chosen, PhotoMakerOptions)
        steps = chosen.steps or (TINY_STEPS if self.variant in self.tiny_variants else STEPS)
        start = merge_step(steps) if chosen.start_merge_step is None else chosen.start_merge_step
        if chosen.start_merge_step is not None and start > steps - 2:
            raise RequestError(
                f"{self.name}: with start_merge_step {start} none of {steps} steps sees the identity.",
                f"Use at most {max(steps - 2, 0)}.",
            )
        with torch.inference_mode(), quiet_libraries():
            plain, fused = self.embeddings(prompt, found, negative)
            picture = self.pipe(
                **plain,
                height=height,
                width=width,
                num_inference_steps=steps,
                guidance_scale=chosen.guidance,
                generator=seeded(seed),
                callback_on_step_end=swap_text(plain, fused, start, chosen.guidance > 1),
                callback_on_step_end_tensor_inputs=["latents", "prompt_embeds", "add_text_embeds"],
                add_watermarker=False,
            ).images[0]
        settings: dict[str, Setting] = {
            "variant": self.variant,
            "scheduler": type(self.pipe.scheduler).__name__,
            "dtype": str(self.pipe.unet.dtype).removeprefix("torch."),
            "device": str(self.pipe._execution_device),
            "height": height,
            "width": width,
            "steps": steps,
            "guidance": chosen.guidance,
            "start_merge_step": start,
            "negative": negative,
            "references_used": len(found),
            "random_weights": self.variant in self.tiny_variants,
        }
        cut = is_cut(self.pipe.tokenizer, without_trigger(prompt), self.pipe.tokenizer.model_max_length)
        return Opening(cover(picture.convert("RGB"), size), cut, settings)

    def known(self, references: Sequence[Image]) -> list[tuple[Image, NDArray[np.float32]]]:
        """The references that show a face, each with its ArcFace vector. Raises ReferenceFaceError without any."""
        pictures = [np.asarray(picture, dtype=np.uint8) for picture in references]
        found = surest_of_each(self.faces, pictures, DETECTOR_SIZES)
        return [(references[at], self.faces.embed(pictures[at], face)) for at, face in found]

    def embeddings(
        self, prompt: str, found: Sequence[tuple[Image, NDArray[np.float32]]], negative: str
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """The pipeline's text arguments without identity, and `prompt_embeds`, `pooled` with it."""
        import torch

        assert self.encoder is not None
        device = self.pipe._execution_device
        names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
        plain = dict(
            zip(
                names,
                self.pipe.encode_prompt(without_trigger(prompt), device=device, negative_prompt=negative),
                strict=True,
            )
        )
        rows, pooled, mask = [], None, None
        copies = len(found) * self.encoder.tau_id.num_tokens
        for tokenizer, text_encoder in (
            (self.pipe.tokenizer, self.pipe.text_encoder),
            (self.pipe.tokenizer_2, self.pipe.text_encoder_2),
        ):
            words = trigger_ids(tokenizer, prompt, copies)
            out = text_encoder(torch.tensor([words.ids], device=device), output_hidden_states=True)
            rows.append(out.hidden_states[-2])
            pooled, mask = out[0], torch.tensor(words.mask, device=device)
        dtype = self.pipe.text_encoder_2.dtype
        parameter = next(self.encoder.parameters())
        vectors = torch.from_numpy(np.stack([vector for _, vector in found]))
        side = self.encoder.image_size
        fused = self.encoder(
            clip_pixels([picture for picture, _ in found], side).to(parameter.device, parameter.dtype),
            vectors.to(parameter.device, parameter.dtype),
            torch.cat(rows, dim=-1).to(device, dtype),
            mask,
        )
        assert pooled is not None
        return plain, {"prompt_embeds": fused, "pooled": pooled}

    def bucket(self, size: Size) -> Size:
        """SDXL's training size nearest in shape to `size`; for tiny weights, `size` itself in whole latent blocks."""
        if self.variant in self.tiny_variants:
            return (math.ceil(size[0] / 16) * 16, math.ceil(size[1] / 16) * 16)
        return min(BUCKETS, key=lambda b: abs(math.log(b[1] / b[0]) - math.log(size[1] / size[0])))

    def parameters(self) -> Parameters:
        if self.pipe is None or self.encoder is None:
            return Parameters({}, ())
        parts = {
            "unet": count_parameters(self.pipe.unet),
            "text_encoder": count_parameters(self.pipe.text_encoder),
            "text_encoder_2": count_parameters(self.pipe.text_encoder_2),
            "vae": count_parameters(self.pipe.vae),
            "id_encoder": count_parameters(self.encoder),
        }
        return Parameters(parts, tuple(parts))

    def close(self) -> None:
        self.pipe = self.encoder = self.variant = None


def merge_step(steps: int) -> int:
    """The last step that sees text alone: a fifth of the steps, at most 30 (upstream's style strength of 20 %)."""
    return min(steps // 5, 30)


def swap_text(plain: dict[str, torch.Tensor], fused: dict[str, torch.Tensor], at: int, guided: bool) -> Any:
    """The step callback that puts the fused text in place of the plain one after step `at`."""
    import torch

    def join(negative: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
        return torch.cat([negative, positive]) if guided else positive

    def swap(pipe: object, step: int, timestep: object, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if step != at:
            return {}
        return {
            "prompt_embeds": join(plain["negative_prompt_embeds"], fused["prompt_embeds"]),
            "add_text_embeds": join(plain["negative_pooled_prompt_embeds"], fused["pooled"]),
        }

    return swap
