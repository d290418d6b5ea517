"""What a request must satisfy, checked before any network runs, and the references' shapes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbench.errors import RequestError
from mmbench.model.network.face_embeds import FaceEmbeds
from mmbench.model.pipeline.guidance import DynamicGuidance
from mmbench.model.pipeline.prompt import IdentityPrompt, parse_prompt
from mmbench.trigger import without_trigger

logger = logging.getLogger(__name__)
RECOMMENDED_FRAMES = 49


def check_size(height: int, width: int, num_frames: int, spatial: int, patch: int, temporal: int) -> None:
    """Height and width divisible by spatial * patch (16 at full size), frames 1 or temporal * N + 1 (4N + 1)."""
    unit = spatial * patch
    if height % unit or width % unit or height <= 0 or width <= 0:
        near = [max(unit, round(x / unit) * unit) for x in (height, width)]
        raise RequestError(
            f"height {height} and width {width} must both divide by {unit}.", f"Try {near[0]} and {near[1]}."
        )
    if num_frames < 1 or (num_frames - 1) % temporal:
        near_frames = max(0, round((num_frames - 1) / temporal)) * temporal + 1
        raise RequestError(
            f"num_frames {num_frames} must be 1 (an image) or {temporal}N + 1; 8N + 1 up to {RECOMMENDED_FRAMES} "
            "is what the base was trained for.",
            f"Try {near_frames}.",
        )


def check_steps(num_inference_steps: int, num_train_timesteps: int, spacing: str) -> None:
    """At least one step; a warning where the schedulers' integer stride misses timesteps of the schedule."""
    if not _is_whole(num_inference_steps) or not 1 <= num_inference_steps <= num_train_timesteps:
        raise RequestError(
            f"num_inference_steps is {num_inference_steps!r}.", f"Use 1 to {num_train_timesteps}; 50 is the default."
        )
    if spacing == "trailing" and num_train_timesteps % num_inference_steps:
        logger.warning(
            "%d steps do not divide %d: this scheduler then computes some previous timesteps wrongly. "
            "Use a divisor (20, 25, 40, 50, 100).",
            num_inference_steps,
            num_train_timesteps,
        )


def check_embeds(
    prompt: Any,
    prompt_embeds: Tensor | None,
    negative_prompt_embeds: Tensor | None,
    identity_mask: Tensor | None,
    needs_mask: bool,
    text_dim: int,
) -> None:
    """Precomputed text embeddings: [B, N, text_dim], both halves alike, with a mask [B, N] where one is needed."""
    if (prompt is None) == (prompt_embeds is None):
        raise RequestError("Give either prompt or prompt_embeds.", "Leave the other out.")
    if prompt_embeds is None:
        if identity_mask is not None:
            raise RequestError("identity_mask goes with prompt_embeds.", "With a prompt the mask is found for you.")
        return
    if prompt_embeds.ndim != 3 or prompt_embeds.shape[-1] != text_dim:
        raise RequestError(
            f"prompt_embeds has shape {tuple(prompt_embeds.shape)}, expected [B, tokens, {text_dim}].",
            "Make it with pipe.encode_prompt().",
        )
    if negative_prompt_embeds is not None and negative_prompt_embeds.shape != prompt_embeds.shape:
        raise RequestError(
            f"negative_prompt_embeds {tuple(negative_prompt_embeds.shape)} and prompt_embeds "
            f"{tuple(prompt_embeds.shape)} differ in shape.",
            "Encode both with the same number of tokens.",
        )
    if not needs_mask:
        return
    want = tuple(prompt_embeds.shape[:2])
    if identity_mask is None or tuple(identity_mask.shape) != want or identity_mask.dtype != torch.bool:
        got = None if identity_mask is None else f"{tuple(identity_mask.shape)} of {identity_mask.dtype}"
        raise RequestError(
            f"With prompt_embeds and an identity, identity_mask bool {want} is needed, got {got}.",
            "Make it with pipe.identity_mask(prompt).",
        )
    if not bool(identity_mask.any(dim=1).all()):
        raise RequestError(
            "identity_mask names no token of some prompt, so the identity would not enter its text.",
            "Make it with pipe.identity_mask(prompt).",
        )


def check_latents(latents: Any, shape: tuple[int, ...]) -> None:
    """The caller's noise has the shape that the videos need [videos, T', C, h, w]."""
    if latents is not None and (not isinstance(latents, Tensor) or tuple(latents.shape) != shape):
        got = tuple(latents.shape) if isinstance(latents, Tensor) else type(latents).__name__
        raise RequestError(
            f"latents is {got}, and this request needs {shape} (videos, latent frames, channels, height, width).",
            "Draw noise of that shape, or leave latents out and give a generator.",
        )


def listed(prompt: Any, name: str = "prompt") -> list[str]:
    """One string or a list of strings, as a list."""
    if isinstance(prompt, str):
        return [prompt]
    if not isinstance(prompt, list) or not prompt or not all(isinstance(p, str) for p in prompt):
        raise RequestError(f"{name} is {prompt!r}.", "Pass a string or a list of strings.")
    return prompt


def check_face(face: FaceEmbeds, batch: int, config: Any) -> None:
    """Embeddings of one identity or of one per prompt, in the widths of the transformer's config."""
    num_face_tokens, dim = config.num_face_tokens, config.face_dim
    if not config.face_tokens and not config.face_cross_attention:
        num_face_tokens = face.tokens.shape[1]  # not read
    want = ((config.num_id_tokens, dim), (num_face_tokens, dim))
    got = (tuple(face.identity.shape[1:]), tuple(face.tokens.shape[1:]))
    if got != want or face.identity.shape[0] not in (1, batch) or face.tokens.shape[0] != face.identity.shape[0]:
        raise RequestError(
            f"face_embeds of {face.identity.shape[0]} identities with shapes {got} does not fit {batch} prompt(s) "
            f"and shapes {want}.",
            "Make it with pipe.encode_face() of this pipeline.",
        )


def check_range(name: str, value: Any, low: float, high: float) -> None:
    """A number within [low, high]."""
    if not _is_number(value) or not low <= value <= high:
        raise RequestError(f"{name} is {value!r}.", f"Use a value from {low} to {high}.")


def check_count(name: str, value: Any, low: int, high: int) -> None:
    """A whole number within [low, high]."""
    if not _is_whole(value) or not low <= value <= high:
        raise RequestError(f"{name} is {value!r}.", f"Use a whole number from {low} to {high}.")


def check_generators(generator: Any, count: int) -> None:
    """A list of generators has one for every video."""
    each = generator if isinstance(generator, list) else [generator]
    if generator is not None and not all(isinstance(g, torch.Generator) for g in each):
        raise RequestError("generator is not a torch.Generator.", "Pass one, or a list of one for every video.")
    if isinstance(generator, list) and len(generator) != count:
        raise RequestError(
            f"{len(generator)} generators for {count} videos.", "Give one for each prompt and video, or a single one."
        )


def parse_prompts(
    prompts: Sequence[str], trigger: str, identity_word: str | None, needs_word: bool
) -> list[IdentityPrompt]:
    """Prompts without triggers; where the identity is not fused into the text, a missing identity word is fine."""
    if needs_word:
        return [parse_prompt(prompt, trigger, identity_word) for prompt in prompts]
    return [IdentityPrompt(without_trigger(prompt, trigger), 0, 0) for prompt in prompts]


def dynamic_guidance(value: bool | str | None, stochastic_scheduler: bool) -> DynamicGuidance:
    """`use_dynamic_cfg` by name; None is the base authors' pairing: the wave with DPM, none with DDIM."""
    if value is None:
        return "cogvideox" if stochastic_scheduler else "off"
    if value is True:
        return "cogvideox"
    if value is False or value == "off":
        return "off"
    if value == "cosine":
        return "cosine"
    if value == "cogvideox":
        return "cogvideox"
    raise RequestError(
        f"use_dynamic_cfg={value!r} is unknown.", "Use True or 'cogvideox', 'cosine', or False or 'off'."
    )


def repeat_rows(tensor: Tensor, times: int) -> Tensor:
    """Every row `times` times: a b -> a a b b, the order of `num_videos_per_prompt`."""
    return tensor if times == 1 else torch.repeat_interleave(tensor, times, dim=0)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool | np.bool_)
