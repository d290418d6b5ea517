"""DynamiCrafter (Xing et al. 2023): image to video at 576x1024 (the paper's default here), 320x512 or 256x256.

Recipe of github.com/Doubiiu/DynamiCrafter `scripts/run.sh` and `configs/`: DDIM 50 steps, eta 1, guidance 7.5 with
rescale 0.7, no negative prompt, float32 weights under float16 autocast, frames coded and decoded one by one. The
paper does not say which variant it ran; it only says that DynamiCrafter needed first frames of its own size.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mmbench.baselines.contract import Kind, Native, PromptKind, Request
from mmbench.baselines.dynamicrafter.layout import RECIPES, Layout, Recipe
from mmbench.baselines.options import Options, option
from mmbench.baselines.pictures import CLIP_MEAN, CLIP_STD, cover
from mmbench.baselines.runtime import Plan, Sampled, TorchBaseline, seeded, to_uint8
from mmbench.errors import RequestError
from mmbench.weights.folders import registered, repo_folder, require_file

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from mmbench.baselines.dynamicrafter.weights import CheckpointNetworks
    from mmbench.weights import WeightFile

GUIDANCE, STEPS, ETA = 7.5, 50, 1.0
TEXT_TOKENS = 77
TINY = {"tiny": "1024", "tiny-256": "256"}
"""Tiny variants and the published recipe each follows."""


@dataclass(frozen=True)
class DynamiCrafterOptions(Options):
    """The sampler's own; None is what the variant was published with."""

    eta: float = option(ETA, "noise that DDIM puts back at each step", 0, 1)
    guidance_rescale: float | None = option(None, "how far guided output is brought back to its spread", 0, 1)
    rate_condition: int | None = option(None, "the frame rate (256: the frame stride) that the network is told", 1)


class DynamiCrafter(TorchBaseline):
    """Image-to-video model. The number of frames is built into its image tokens."""

    name: ClassVar[str] = "dynamicrafter"
    kind: ClassVar[Kind] = "i2v"
    default_prompt_kind: ClassVar[PromptKind] = "short"
    variants: ClassVar[tuple[str, ...]] = tuple(RECIPES)
    tiny_variants: ClassVar[tuple[str, ...]] = tuple(TINY)
    licence: ClassVar[str] = (
        "code Apache-2.0; weights for personal, research and non-commercial use, says their model card, and trained on "
        "WebVid-10M, whose terms allow research only; of videos nothing is said"
    )
    published_dtype: ClassVar[str] = "float16"
    options_type: ClassVar[type[Options]] = DynamiCrafterOptions
    paper_parts: ClassVar[tuple[str, ...]] = ("unet", "resampler", "text", "vision", "vae")

    def __init__(self, prompt_kind: PromptKind | None = None) -> None:
        super().__init__(prompt_kind)
        self.networks_: CheckpointNetworks | None = None
        self.layout = Layout()

    def recipe(self, variant: str | None) -> Recipe:
        """What the variant was published with; a tiny one follows its model."""
        variant = self.pick_variant(variant)
        return RECIPES[TINY.get(variant, variant)]

    def native(self, variant: str | None = None) -> Native:
        if self.pick_variant(variant) in TINY:
            return Native(size=(64, 96), frames=8, fps=8, steps=2, guidance=GUIDANCE)
        recipe = self.recipe(variant)
        return Native(size=recipe.size, frames=16, fps=8, steps=STEPS, guidance=GUIDANCE)

    def weights(self, variant: str | None = None) -> tuple[WeightFile, ...]:
        return () if self.pick_variant(variant) in TINY else registered(self.recipe(variant).repo)

    def check(self, request: Request, variant: str | None = None) -> None:
        super().check(request, variant)
        if request.negative:
            raise RequestError(
                f"{self.name} has no negative prompt: its unconditional text is empty.", "Leave `negative` out."
            )

    def read(self, variant: str, weights_dir: Path) -> None:
        from mmbench.baselines.dynamicrafter.weights import read_checkpoint

        if variant in TINY:
            from mmbench.baselines.dynamicrafter.tiny import LAYOUT

            self.layout = LAYOUT
        else:
            self.layout = Layout()
        recipe = self.recipe(variant)
        folder = repo_folder(weights_dir, recipe.repo, self.weights(variant))
        self.networks_ = read_checkpoint(require_file(folder / "model.ckpt"), self.layout, recipe)
        for network in self.networks().values():
            network.to(self.device)

    def sample(self, plan: Plan) -> Sampled:
        import torch

        from mmbench.baselines.dynamicrafter.sampler import ddim_step, guide, initial_noise, make_schedule

        assert self.networks_ is not None and plan.first_frame is not None
        nets, recipe = self.networks_, self.recipe(self.variant)
        chosen = plan.options
        assert isinstance(chosen, DynamiCrafterOptions)
        rescale = recipe.guidance_rescale if chosen.guidance_rescale is None else chosen.guidance_rescale
        rate = recipe.rate if chosen.rate_condition is None else chosen.rate_condition
        generator = seeded(plan.seed)
        picture = to_signed(cover(plan.first_frame, plan.size)).to(self.device)
        with self.autocast():
            factor = nets.vae.config.scaling_factor
            latent = nets.vae.encode(picture).latent_dist.sample(generator) * factor
            ids, truncated = tokenise(plan.prompt)
            positive = torch.cat([self.text_tokens(ids), self.image_tokens(picture)], dim=1)
            negative = torch.cat(
                [self.text_tokens(tokenise("")[0]), self.image_tokens(torch.zeros_like(picture))], dim=1
            )
            nets.unet.time_embedding.rate = float(rate)
            schedule = make_schedule(plan.steps, zero_snr=recipe.zero_snr, base_scale=recipe.base_scale, eta=chosen.eta)
            shape = (1, 4, plan.frames, *latent.shape[-2:])
            still = latent.float()[:, :, None].expand(shape)
            x = initial_noise(shape, generator).to(self.device)
            for index, step in enumerate(schedule.timesteps):
                joined = torch.cat([x, still], dim=1)
                output = nets.unet(joined, step, positive).sample.float()
                if plan.guidance != 1:
                    other = nets.unet(joined, step, negative).sample.float()
                    output = guide(other, output, plan.guidance, rescale)
                noise = initial_noise(shape, generator).to(self.device)
                x = ddim_step(x, output, noise, schedule, index, recipe.prediction)
            frames = [nets.vae.decode(x[:, :, t] / factor).sample[0].float().cpu() for t in range(plan.frames)]
        pictures = torch.stack(frames).permute(0, 2, 3, 1).numpy()
        return Sampled(
            frames=to_uint8((pictures + 1) / 2),
            truncated=truncated,
            settings={
                "scheduler": "DDIM trailing, zero SNR" if recipe.zero_snr else "DDIM uniform",
                "guidance_rescale": rescale,
                "rate_condition": rate,
                "dynamic_rescale": recipe.base_scale,
            },
        )

    def autocast(self) -> AbstractContextManager[object]:
        """float16 (or bfloat16) autocast over float32 weights on an accelerator, as upstream; nothing otherwise."""
        import torch

        if self.device == "cpu" or self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(torch.device(self.device).type, dtype=self.dtype)

    def text_tokens(self, ids: torch.Tensor) -> torch.Tensor:
        """(1, 77, width): the last-but-one layer, then the final norm."""
        assert self.networks_ is not None
        text = self.networks_.text
        hidden = text(ids.to(self.device), output_hidden_states=True).hidden_states[-2]
        norm = getattr(text, "text_model", text).final_layer_norm
        found: torch.Tensor = norm(hidden)
        return found

    def image_tokens(self, picture: torch.Tensor) -> torch.Tensor:
        """(1, frames x tokens, width) of a picture (1, 3, H, W) in [-1, 1]: un-normed CLIP tokens, resampled."""
        assert self.networks_ is not None
        seen = self.networks_.vision(clip_view(picture, self.layout.vision_pixels)).last_hidden_state
        found: torch.Tensor = self.networks_.resampler(seen)
        return found

    def networks(self) -> Mapping[str, torch.nn.Module]:
        if self.networks_ is None:
            return {}
        nets = self.networks_
        return {
            "unet": nets.unet, "resampler": nets.resampler, "text": nets.text, "vision": nets.vision, "vae": nets.vae,
        }  # fmt: skip

    def close(self) -> None:
        self.networks_ = self.variant = None


def to_signed(picture: Image) -> torch.Tensor:
    """A picture as (1, 3, H, W) float32 in [-1, 1]."""
    import torch

    pixels = np.asarray(picture, dtype=np.float32) / 127.5 - 1
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()


def tokenise(text: str) -> tuple[torch.Tensor, bool]:
    """OpenCLIP's 77 token ids (1, 77), padded with zeros, and whether the text was cut."""
    import torch
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    ids: torch.Tensor = tokenizer([text], context_length=TEXT_TOKENS).to(torch.long)
    return ids, len(tokenizer.encode(text)) > TEXT_TOKENS - 2


def clip_view(picture: torch.Tensor, side: int) -> torch.Tensor:
    """A picture (1, 3, H, W) in [-1, 1] as CLIP's `side` x `side` input: blurred, bicubic, CLIP's mean and deviation.

    The whole picture, its shape not kept. The blur is kornia's `resize(antialias=True)`: per axis sigma
    max((f - 1) / 2, 0.001) for the factor f, kernel int(max(4 sigma, 3)) made odd, reflected edges; corners aligned.
    """
    import torch
    import torch.nn.functional as F

    factors = [edge / side for edge in picture.shape[-2:]]
    if max(factors) > 1:
        for axis, factor in zip((-2, -1), factors, strict=True):
            picture = blur_axis(picture, axis, max((factor - 1) / 2, 0.001))
    resized = F.interpolate(picture, (side, side), mode="bicubic", align_corners=True)
    mean = torch.tensor(CLIP_MEAN, device=picture.device).view(1, 3, 1, 1)
    deviation = torch.tensor(CLIP_STD, device=picture.device).view(1, 3, 1, 1)
    return ((resized + 1) / 2 - mean) / deviation


def blur_axis(picture: torch.Tensor, axis: int, sigma: float) -> torch.Tensor:
    """Gaussian blur of a (1, C, H, W) picture along one axis, edges reflected."""
    import torch
    import torch.nn.functional as F

    taps = int(max(4 * sigma, 3))
    taps += 1 - taps % 2
    at = torch.arange(taps, dtype=torch.float32, device=picture.device) - taps // 2
    kernel = torch.exp(-(at**2) / (2 * sigma**2))
    shape = [1, 1, 1, 1]
    shape[axis] = taps
    kernel = (kernel / kernel.sum()).view(shape).expand(picture.shape[1], 1, *shape[2:])
    half = taps // 2
    padding = (half, half, 0, 0) if axis == -1 else (0, 0, half, half)
    return F.conv2d(F.pad(picture, padding, mode="reflect"), kernel, groups=picture.shape[1])
