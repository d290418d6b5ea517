"""One guided prediction: the calls of the guidance mode, on the tabulated path where it can serve."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel
from diffusers.utils.torch_utils import unwrap_module
from torch import Tensor

from mmbench.model.fast.fingerprint import fingerprint
from mmbench.model.fast.forward import FastPlan, fast_path_blocker, modulation_released
from mmbench.model.fast.tables import ScheduleTable, VideoTable, tabulate_schedule, tabulate_video
from mmbench.model.network.face_embeds import FaceEmbeds
from mmbench.model.network.transformer import MagicMirrorTransformer3DModel
from mmbench.model.pipeline.guidance import Call, GuidanceMode, calls_of, combine


@dataclass
class TableCache:
    """The last schedule's and the last video's tables, reused while nothing that they depend on has changed."""

    schedule_key: tuple[object, ...] | None = None
    schedule: ScheduleTable | None = None
    video_key: tuple[object, ...] | None = None
    videos: dict[Call, VideoTable] = field(default_factory=dict)

    def schedule_of(self, model: MagicMirrorTransformer3DModel, timesteps: tuple[int | float, ...]) -> ScheduleTable:
        """The table of a schedule, made anew where the schedule or a weight that it reads has changed."""
        key = schedule_key(model, timesteps)
        if self.schedule is None or key is None or key != self.schedule_key:
            self.clear()
            self.schedule, self.schedule_key = tabulate_schedule(model, timesteps), key
        return self.schedule

    def video_of(
        self,
        model: MagicMirrorTransformer3DModel,
        schedule: ScheduleTable,
        call: Call,
        face: FaceEmbeds,
        scale: float,
        present: Tensor | None,
    ) -> VideoTable:
        """The table of an identity, made anew where the content of `face`, the scale or the schedule changed."""
        content = fingerprint((face.identity, face.tokens))
        key = (content, tuple(face.identity.shape), face.identity.dtype, str(face.identity.device), scale)
        if content is None or key != self.video_key or self.schedule is not schedule:
            self.video_key, self.videos = key, {}
        if call not in self.videos:
            self.videos[call] = tabulate_video(model, schedule, face, scale, present, copies=len(call.texts))
        return self.videos[call]

    def clear(self) -> None:
        """Forget everything (and free the memory)."""
        self.schedule_key = self.schedule = self.video_key = None
        self.videos = {}


@dataclass(frozen=True)
class Texts:
    """Text embeddings [B, N_t, text_dim] of every kind that a call may need.

    Of the negative prompt (None without guidance), of the prompt, and of the prompt with the identity fused in (None
    without identity).
    """

    negative: Tensor | None
    plain: Tensor
    fused: Tensor | None

    def stack(self, call: Call) -> Tensor:
        """The batch of one call."""
        parts = [getattr(self, name) for name in call.texts]
        missing = [name for name, part in zip(call.texts, parts, strict=True) if part is None]
        if missing:
            raise ValueError(f"no {missing[0]} text embeddings were prepared")
        return parts[0] if len(parts) == 1 else torch.cat(parts)


@dataclass(frozen=True)
class DenoiseSettings:
    """How a denoiser guides, what weight an identity has and from which step on, and whether tables may serve.

    `start_step` is the first step with the identity; before it the base alone runs, on the plain text.
    `identity_guidance_scale` counts in the mode "split" only.
    """

    mode: GuidanceMode = "shared"
    guided: bool = True
    identity_scale: float = 1.0
    identity_guidance_scale: float = 6.0
    start_step: int = 0
    fast_path: bool = True


class Denoiser:
    """Predicts v for a batch of B videos at every step of a schedule.

    `blocker` says why the direct path is taken, None on the tabulated one. With `face=None` the direct path
    is always taken: it is the base model bit for bit.
    """

    def __init__(
        self,
        transformer: MagicMirrorTransformer3DModel | CogVideoXTransformer3DModel,
        cache: TableCache,
        timesteps: tuple[int | float, ...],
        face: FaceEmbeds | None,
        settings: DenoiseSettings,
        rotary: tuple[Tensor, Tensor] | None = None,
        attention_kwargs: dict[str, object] | None = None,
    ) -> None:
        self.transformer = transformer
        self.core = unwrap_module(transformer)  # a compiler's wrapper is called, but is no transformer
        self.cache = cache
        self.timesteps = timesteps
        self.face = face
        self.settings = settings
        self.rotary = rotary
        self.attention_kwargs = attention_kwargs
        self.base_calls = calls_of(settings.mode, settings.guided, identity=False)
        self.calls = calls_of(settings.mode, settings.guided, identity=face is not None)
        self.blocker = self._blocker()
        self.schedule: ScheduleTable | None = None
        self.plans: dict[Call, FastPlan] = {}

    def _blocker(self) -> str | None:
        if not self.settings.fast_path:
            return "fast_path=False"
        if self.face is None or not isinstance(self.core, MagicMirrorTransformer3DModel):
            return "no identity: the base model, bit for bit"
        if self.attention_kwargs:
            return "attention_kwargs are given"
        if self.core is not self.transformer:
            return "the transformer is compiled"
        return fast_path_blocker(self.core)

    def set_face(self, face: FaceEmbeds) -> None:
        """Another identity from the next step on (a callback may do this)."""
        self.face = face
        self.plans = {}

    def released(self) -> AbstractContextManager[None]:
        """A scope without the modulation weights on the device; the tables are filled first."""
        model = self.core
        if self.blocker is not None or not isinstance(model, MagicMirrorTransformer3DModel):
            return nullcontext()
        if hasattr(model, "_hf_hook"):
            return nullcontext()  # model offload would bring the weights back at every step
        for call in {*self.calls, *(self.base_calls if self.settings.start_step else ())}:
            self._plan(model, call)
        return modulation_released(model)

    def predict(self, latents: Tensor, texts: Texts, step: int, guidance_scale: float) -> Tensor:
        """Guided prediction, float32, for latents [B, T', C, h, w]."""
        calls = self.calls if step >= self.settings.start_step else self.base_calls
        predictions: list[Tensor] = []
        for call in calls:
            predictions += self._run(call, latents, texts.stack(call), step).float().chunk(len(call.texts))
        return combine(predictions, guidance_scale, self.settings.identity_guidance_scale)

    def _run(self, call: Call, latents: Tensor, text: Tensor, step: int) -> Tensor:
        copies = len(call.texts)
        batch = torch.cat([latents] * copies) if copies > 1 else latents
        timestep = torch.tensor(self.timesteps[step], device=latents.device).expand(batch.shape[0])
        model = self.transformer
        common: dict[str, Any] = {
            "hidden_states": batch,
            "encoder_hidden_states": text,
            "timestep": timestep,
            "image_rotary_emb": self.rotary,
            "return_dict": False,
        }
        with model.cache_context("_".join(call.texts)):
            if self.blocker is None and isinstance(self.core, MagicMirrorTransformer3DModel):
                out = model(**common, plan=self._plan(self.core, call), step=step)
            elif call.identity is None or self.face is None:
                out = model(**common, attention_kwargs=self.attention_kwargs)
            else:
                out = model(
                    **common,
                    attention_kwargs=self.attention_kwargs,
                    face=self.face.copies(copies),
                    identity_scale=self.settings.identity_scale,
                    identity_present=self._present(call, latents),
                )
        sample: Tensor = out[0]
        return sample

    def _present(self, call: Call, latents: Tensor) -> Tensor | None:
        if not call.drops or call.identity is None:
            return None
        flags = torch.tensor(call.identity, device=latents.device)
        return flags.repeat_interleave(latents.shape[0])

    def _plan(self, model: MagicMirrorTransformer3DModel, call: Call) -> FastPlan:
        """The tables of one call, made at its first use in this loop, or taken over from an earlier loop."""
        hook = getattr(model, "_hf_hook", None)
        if call not in self.plans and hook is not None:
            hook.pre_forward(model)  # model offload: bring the weights to the device before they are read
        if self.schedule is None:
            self.schedule = self.cache.schedule_of(model, self.timesteps)
        if call not in self.plans:
            video = None
            if call.identity is not None and self.face is not None:
                present = self._present(call, self.face.tokens)
                video = self.cache.video_of(
                    model, self.schedule, call, self.face, self.settings.identity_scale, present
                )
            self.plans[call] = FastPlan(self.schedule, video)
        return self.plans[call]


def schedule_key(model: MagicMirrorTransformer3DModel, timesteps: tuple[int | float, ...]) -> tuple[object, ...] | None:
    """Equal for equal tables: timesteps, type, and the content of every weight that the tables read.

    None where a change could go unseen (LoRA scalings, quantised and sharded weights); the tables are then made
    anew for every video.
    """
    own = [] if model.null_face is None else [model.null_face]
    modules = [model.time_embedding, model.norm_out.linear, model.adapters, model.face_proj, model.id_proj]
    modules += [norm.linear for block in model.transformer_blocks for norm in (block.norm1, block.norm2)]
    for module in modules:
        for part in module.modules() if module is not None else ():
            if hasattr(part, "scaling"):
                return None
            own += part.parameters(recurse=False)
    content = fingerprint(own)
    return None if content is None else (timesteps, model.dtype, str(model.device), *content)
