"""One call of the pipeline, resolved: defaults filled in, prompts parsed, and refused if it cannot be served.

Nothing here runs a network. Whatever a request can be refused for is found out here or in the reference pictures.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from diffusers.schedulers.scheduling_dpm_cogvideox import CogVideoXDPMScheduler
from torch import Tensor

from mmbench.errors import RequestError
from mmbench.model.network.face_embeds import FaceEmbeds
from mmbench.model.network.transformer import MagicMirrorTransformer3DModel
from mmbench.model.pipeline import inputs
from mmbench.model.pipeline.faces import Picture
from mmbench.model.pipeline.guidance import DynamicGuidance, calls_of
from mmbench.model.pipeline.people import people_in
from mmbench.model.pipeline.prompt import IdentityPrompt

OUTPUT_TYPES = ("pil", "np", "pt", "latent")


@dataclass(frozen=True)
class ResolvedCall:
    """What the pipeline needs beyond the arguments as they came.

    people: the reference pictures, one list a person, None without pictures or without an identity. identity:
    whether an identity takes part; fuse: whether it enters the text. padding: latent frames put before the clip
    because a base joins frames in pairs (CogVideoX 1.5). identity_mask bool [batch, tokens], None without fusion.
    """

    height: int
    width: int
    num_frames: int
    padding: int
    max_length: int
    guided: bool
    wave: DynamicGuidance
    prompts: tuple[IdentityPrompt, ...]
    negative_prompt: list[str] | None
    batch: int
    videos: int
    people: list[list[Picture]] | None
    identity: bool
    fuse: bool
    identity_mask: Tensor | None
    callback_inputs: tuple[str, ...]

    @property
    def texts(self) -> list[str] | None:
        """The prompts without their triggers; None with precomputed embeddings."""
        return [p.text for p in self.prompts] or None


def resolve(pipe: Any, transformer: Any, asked: Mapping[str, Any]) -> ResolvedCall:
    """Check and complete the arguments of `MagicMirrorPipeline.__call__`, by their names there.

    `transformer` is the pipeline's without a compiler's wrapper. Raises RequestError, ReferenceFaceError.
    """
    config, spatial = transformer.config, pipe.vae_scale_factor_spatial
    temporal = pipe.vae_scale_factor_temporal
    _check_values(asked)
    height = asked["height"] or config.sample_height * spatial
    width = asked["width"] or config.sample_width * spatial
    num_frames = asked["num_frames"] or config.sample_frames
    max_length = asked["max_sequence_length"] or config.max_text_seq_length
    steps, guided = asked["num_inference_steps"], asked["guidance_scale"] > 1.0
    inputs.check_size(height, width, num_frames, spatial, config.patch_size, temporal)
    steps = _check_steps(pipe.scheduler, steps, asked["timesteps"])
    given = asked["id_image"] is not None or asked["face_embeds"] is not None
    identity = given and asked["identity_scale"] != 0.0
    _check_identity(transformer, asked, identity, steps)
    fuse = identity and bool(getattr(config, "identity_fusion", False))
    calls_of(asked["identity_guidance"], guided, identity)
    wave = inputs.dynamic_guidance(asked["use_dynamic_cfg"], isinstance(pipe.scheduler, CogVideoXDPMScheduler))

    prompt, embeds = asked["prompt"], asked["prompt_embeds"]
    inputs.check_embeds(
        prompt, embeds, asked["negative_prompt_embeds"], asked["identity_mask"], fuse, config.text_embed_dim
    )
    listed = None if prompt is None else inputs.listed(prompt)
    batch = embeds.shape[0] if listed is None else len(listed)
    prompts = _prompts(asked, listed or [], given, fuse)
    mask = asked["identity_mask"] if fuse else None
    if fuse and listed is not None:
        mask = pipe._masks(prompts, max_length)
    negative = _check_negative(asked, batch, max_length, config.text_embed_dim, guided)
    people = _people(asked, batch, config) if identity else None

    videos = batch * asked["num_videos_per_prompt"]
    inputs.check_generators(asked["generator"], videos)
    latent_frames = (num_frames - 1) // temporal + 1
    padding = -latent_frames % (config.patch_size_t or 1)
    shape = (videos, latent_frames + padding, config.in_channels, height // spatial, width // spatial)
    inputs.check_latents(asked["latents"], shape)
    return ResolvedCall(
        height,
        width,
        num_frames + padding * temporal,
        padding,
        max_length,
        guided,
        wave,
        tuple(prompts),
        negative,
        batch,
        videos,
        people,
        identity,
        fuse,
        mask,
        _callback_names(asked, pipe._callback_tensor_inputs),
    )


def _check_values(asked: Mapping[str, Any]) -> None:
    if asked["output_type"] not in OUTPUT_TYPES:
        raise RequestError(
            f"output_type={asked['output_type']!r} is unknown.", f"Use one of {', '.join(OUTPUT_TYPES)}."
        )
    if asked["attention_kwargs"] is not None and not isinstance(asked["attention_kwargs"], dict):
        raise RequestError("attention_kwargs is not a dictionary.", 'Pass for example {"scale": 0.8}.')
    inputs.check_range("identity_scale", asked["identity_scale"], 0.0, 1.5)
    inputs.check_range("guidance_scale", asked["guidance_scale"], 0.0, 1000.0)
    if asked["identity_guidance_scale"] is not None:
        inputs.check_range("identity_guidance_scale", asked["identity_guidance_scale"], 0.0, 1000.0)
    inputs.check_count("num_videos_per_prompt", asked["num_videos_per_prompt"], 1, 64)
    for name in ("height", "width", "num_frames", "max_sequence_length"):
        if asked[name] is not None:
            inputs.check_count(name, asked[name], 1, 1 << 20)


def _check_steps(scheduler: Any, steps: int, timesteps: Sequence[int] | None) -> int:
    """How many steps there will be."""
    if timesteps is None:
        inputs.check_steps(steps, scheduler.config.num_train_timesteps, scheduler.config.timestep_spacing)
        return steps
    if "timesteps" not in inspect.signature(scheduler.set_timesteps).parameters:
        raise RequestError(
            f"{type(scheduler).__name__} does not take timesteps of the caller's choice.",
            "Leave timesteps out and give num_inference_steps.",
        )
    if not isinstance(timesteps, list | tuple) or not timesteps:
        raise RequestError("timesteps is not a list of numbers.", "Pass a list, or leave it out.")
    return len(timesteps)


def _check_identity(transformer: Any, asked: Mapping[str, Any], identity: bool, steps: int) -> None:
    if asked["id_image"] is not None and asked["face_embeds"] is not None:
        raise RequestError("Both id_image and face_embeds are given.", "Give one of them.")
    face = asked["face_embeds"]
    if face is not None and not isinstance(face, FaceEmbeds):
        raise RequestError(
            f"face_embeds is a {type(face).__name__}.", "Make it with pipe.encode_face(), or FaceEmbeds.load()."
        )
    if not identity:
        return
    if not isinstance(transformer, MagicMirrorTransformer3DModel):
        raise RequestError("This pipeline has no identity adapter.", "Call load_identity_adapter() first.")
    inputs.check_count("identity_start_step", asked["identity_start_step"], 0, steps - 1)


def _prompts(asked: Mapping[str, Any], listed: Sequence[str], given: bool, fuse: bool) -> list[IdentityPrompt]:
    """The prompts without their triggers; where no identity is given the text is the base's own."""
    if given and listed:
        return inputs.parse_prompts(listed, asked["trigger_word"], asked["identity_word"], fuse)
    return [IdentityPrompt(text, 0, 0) for text in listed]


def _people(asked: Mapping[str, Any], batch: int, config: Any) -> list[list[Picture]] | None:
    """The pictures of each person; None where the face comes encoded, which is checked."""
    if asked["id_image"] is not None:
        return people_in(asked["id_image"], batch)
    inputs.check_face(asked["face_embeds"], batch, config)
    return None


def _check_negative(
    asked: Mapping[str, Any], batch: int, max_length: int, text_dim: int, guided: bool
) -> list[str] | None:
    """The negative prompts, one for each prompt; None for the empty one."""
    negative, embeds, positive = (asked[k] for k in ("negative_prompt", "negative_prompt_embeds", "prompt_embeds"))
    if negative is not None and embeds is not None:
        raise RequestError("Both negative_prompt and negative_prompt_embeds are given.", "Give one of them.")
    if positive is not None and embeds is None and guided and positive.shape[1] != max_length:
        raise RequestError(
            f"prompt_embeds has {positive.shape[1]} rows, and the negative prompt will have {max_length}.",
            f"Pass max_sequence_length={positive.shape[1]}, or negative_prompt_embeds.",
        )
    if positive is None and embeds is not None and tuple(embeds.shape) != (batch, max_length, text_dim):
        raise RequestError(
            f"negative_prompt_embeds has shape {tuple(embeds.shape)}, expected {(batch, max_length, text_dim)}.",
            "Make it with pipe.encode_prompt(), for as many prompts and tokens.",
        )
    if negative is None:
        return None
    texts = [negative] * batch if isinstance(negative, str) else inputs.listed(negative, "negative_prompt")
    if len(texts) != batch:
        raise RequestError(
            f"{len(texts)} negative prompts for {batch} prompts.", "Give one for all, or one for each prompt."
        )
    return texts


def _callback_names(asked: Mapping[str, Any], known: Sequence[str]) -> tuple[str, ...]:
    """What the callback is given: what it names itself, or what the call names."""
    callback, names = asked["callback_on_step_end"], asked["callback_on_step_end_tensor_inputs"]
    if isinstance(callback, PipelineCallback | MultiPipelineCallbacks):
        names = callback.tensor_inputs
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise RequestError(
            f"callback_on_step_end_tensor_inputs has unknown names: {', '.join(unknown)}.",
            f"Use some of: {', '.join(known)}.",
        )
    return tuple(names)


def schedule_times(schedule: Tensor) -> tuple[int | float, ...]:
    """The timesteps as numbers: whole ones as int, fractional ones as they are."""
    return tuple(int(t) if float(t).is_integer() else float(t) for t in schedule.detach().to("cpu", torch.float64))
