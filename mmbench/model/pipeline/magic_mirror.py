"""`MagicMirrorPipeline`: CogVideoX's text-to-video pipeline with the identity of a reference picture."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel
from diffusers.pipelines.cogvideo.pipeline_cogvideox import CogVideoXPipeline, retrieve_timesteps
from diffusers.schedulers.scheduling_dpm_cogvideox import CogVideoXDPMScheduler
from torch import Tensor

from mmbench.device import beside_torch
from mmbench.errors import MissingWeights, RequestError
from mmbench.face.analyser import BackendAnalyser
from mmbench.face.types import Analyser
from mmbench.model.network.face_embeds import FaceEmbeds
from mmbench.model.network.face_encoder import MagicMirrorFaceEncoder
from mmbench.model.network.transformer import MagicMirrorTransformer3DModel
from mmbench.model.pipeline import inputs
from mmbench.model.pipeline.denoise import Denoiser, TableCache, Texts
from mmbench.model.pipeline.faces import Picture, analyse_references
from mmbench.model.pipeline.guidance import GuidanceMode, calls_of, guidance_at
from mmbench.model.pipeline.loading import IdentityAdapterMixin
from mmbench.model.pipeline.modes import ModesMixin
from mmbench.model.pipeline.output import MagicMirrorPipelineOutput, RunInfo
from mmbench.model.pipeline.prompt import IdentityPrompt, identity_mask
from mmbench.trigger import TRIGGER

logger = logging.getLogger(__name__)


class MagicMirrorPipeline(ModesMixin, IdentityAdapterMixin, CogVideoXPipeline):  # type: ignore[misc]  # diffusers is untyped
    """Text and a face to video. Everything CogVideoX's pipeline can do, it can do too.

    Without `id_image` and `face_embeds`, or with `identity_scale=0`, it is that pipeline bit for bit.
    `face_analyser` (detector and recogniser) is a plain attribute and not saved; the default for the
    full-size model is mmbench's "insightface" backend. `weights_note` says what is not the published
    weights.
    """

    model_cpu_offload_seq = "face_encoder->text_encoder->transformer->vae"
    _optional_components: ClassVar[list[str]] = ["face_encoder"]
    _callback_tensor_inputs: ClassVar[list[str]] = [
        "latents",
        "prompt_embeds",
        "negative_prompt_embeds",
        "face_embeds",
    ]
    fps = 8

    def __init__(
        self,
        tokenizer: Any,
        text_encoder: Any,
        vae: Any,
        transformer: MagicMirrorTransformer3DModel | CogVideoXTransformer3DModel,
        scheduler: Any,
        face_encoder: MagicMirrorFaceEncoder | None = None,
        weights_note: str | None = None,
    ) -> None:
        super().__init__(tokenizer, text_encoder, vae, transformer, scheduler)
        self.register_modules(face_encoder=face_encoder)
        self.register_to_config(weights_note=weights_note)
        self.face_analyser: Analyser | None = None
        self.tables = TableCache()
        self._warned = False

    @property
    def weights_note(self) -> str | None:
        """What of the weights is not the published ones, to be shown beside every result; None if nothing."""
        note: str | None = self.config.weights_note
        return note

    @torch.no_grad()
    def encode_face(self, id_image: Picture | Sequence[Picture]) -> FaceEmbeds:
        """Encode one person, from one picture or several, once; the result serves any number of prompts.

        Raises ReferenceFaceError for a picture without a face, MissingWeights without a face encoder or
        analyser.
        """
        encoder = self._face_encoder()
        config = encoder.config
        references = analyse_references(id_image, self._analyser(), config.image_size, config.embedding_dim)
        device = self._execution_device
        embeds: FaceEmbeds = encoder(references.pixel_values.to(device), references.embeddings.to(device))
        return embeds

    def identity_mask(
        self,
        prompt: str | list[str],
        trigger_word: str = TRIGGER,
        identity_word: str | None = None,
        max_sequence_length: int | None = None,
    ) -> Tensor:
        """Where the identity word's tokens are: bool [B, max_sequence_length]; for use with
        `prompt_embeds`."""
        prompts = inputs.parse_prompts(_listed(prompt), trigger_word, identity_word, needs_word=True)
        return self._masks(prompts, max_sequence_length or self.transformer.config.max_text_seq_length)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str] | None = None,
        negative_prompt: str | list[str] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        num_inference_steps: int = 50,
        timesteps: list[int] | None = None,
        guidance_scale: float = 6.0,
        use_dynamic_cfg: bool | str | None = None,
        num_videos_per_prompt: int = 1,
        eta: float = 0.0,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        attention_kwargs: dict[str, Any] | None = None,
        callback_on_step_end: Callable[..., dict[str, Any]] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        max_sequence_length: int | None = None,
        id_image: Picture | Sequence[Picture] | None = None,
        face_embeds: FaceEmbeds | None = None,
        identity_mask: Tensor | None = None,
        identity_scale: float = 1.0,
        identity_guidance: GuidanceMode = "shared",
        identity_guidance_scale: float | None = None,
        identity_start_step: int = 0,
        identity_word: str | None = None,
        trigger_word: str = TRIGGER,
        fast_path: bool = True,
        release_modulation: bool = False,
    ) -> MagicMirrorPipelineOutput | tuple[Any]:
        """Generate. The arguments up to `max_sequence_length` are CogVideoX's; those of the identity
        follow.

        id_image: a picture, or a list of pictures of one person. face_embeds: instead of it,
        `encode_face`'s result (one identity, or one per prompt). identity_mask: bool [B, N], needed with
        prompt_embeds. identity_scale: 0 to 1.5, on decoupled attention, CAN and fusion (not on the face
        rows' self-attention). identity_guidance, identity_guidance_scale (mode "split"; guidance_scale if
        None): see `mmbench.model.pipeline.guidance`. identity_start_step: first step with the identity.
        identity_word: names the person where the prompt has no trigger. fast_path: use tables where nothing
        forbids it. release_modulation: keep what the tables replace off the device during the loop (about
        3.4 GiB less).

        use_dynamic_cfg: None pairs the wave with the DPM scheduler and no wave with DDIM, as the base's
        authors do; True or "cogvideox" is the wave, "cosine" a steady rise. num_frames 1 makes an image.

        Raises RequestError or ReferenceFaceError before any network runs.
        """
        config = self.transformer.config
        spatial = self.vae_scale_factor_spatial
        height = height or config.sample_height * spatial
        width = width or config.sample_width * spatial
        num_frames = num_frames or config.sample_frames
        max_length = max_sequence_length or config.max_text_seq_length
        with_identity = (id_image is not None or face_embeds is not None) and identity_scale != 0.0
        fuse = with_identity and getattr(config, "identity_fusion", False)
        guided = guidance_scale > 1.0

        if isinstance(callback_on_step_end, PipelineCallback | MultiPipelineCallbacks):
            callback_on_step_end_tensor_inputs = callback_on_step_end.tensor_inputs
        # Everything that can be refused is refused before a network runs.
        inputs.check_size(height, width, num_frames, spatial, config.patch_size, self.vae_scale_factor_temporal)
        inputs.check_steps(
            num_inference_steps, self.scheduler.config.num_train_timesteps, self.scheduler.config.timestep_spacing
        )
        inputs.check_range("identity_scale", identity_scale, 0.0, 1.5)
        inputs.check_range("num_videos_per_prompt", num_videos_per_prompt, 1, 64)
        calls_of(identity_guidance, guided, with_identity)
        inputs.check_embeds(prompt, prompt_embeds, negative_prompt_embeds, identity_mask, fuse, config.text_embed_dim)
        self._check_callback(callback_on_step_end_tensor_inputs)
        wave = inputs.dynamic_guidance(use_dynamic_cfg, isinstance(self.scheduler, CogVideoXDPMScheduler))
        prompts: list[IdentityPrompt] = []
        if prompt is not None:
            prompts = inputs.parse_prompts(_listed(prompt), trigger_word, identity_word, fuse)
            identity_mask = self._masks(prompts, max_length) if fuse else None
        batch = len(prompts) if prompt_embeds is None else prompt_embeds.shape[0]
        inputs.check_generators(generator, batch * num_videos_per_prompt)
        if id_image is not None and face_embeds is not None:
            raise RequestError("Both id_image and face_embeds are given.", "Give one of them.")
        if with_identity and not isinstance(self.transformer, MagicMirrorTransformer3DModel):
            raise RequestError("This pipeline has no identity adapter.", "Call load_identity_adapter() first.")

        device = self._execution_device
        face = face_embeds if with_identity else None
        if face is None and with_identity and id_image is not None:
            face = self.encode_face(id_image)
        if face is not None:
            inputs.check_face(face, batch, config.num_id_tokens, config.num_face_tokens, config.face_dim)
        if self.weights_note and not self._warned:
            self._warned = True
            logger.warning("Weights: %s. The result shows nothing of what a trained model would do.", self.weights_note)
        self._guidance_scale = guidance_scale
        self._attention_kwargs = attention_kwargs
        self._current_timestep = None
        self._interrupt = False

        texts = [p.text for p in prompts]
        plain, negative = self.encode_prompt(
            texts if prompt is not None else None,
            negative_prompt if not isinstance(negative_prompt, str) else [negative_prompt] * batch,
            guided,
            prompt_embeds=prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds,
            max_sequence_length=max_length,
            device=device,
        )
        fused = plain if face is not None else None
        if fuse and face is not None and identity_mask is not None:
            rows = face if face.identity.shape[0] == batch else face.repeat(batch)
            fused = self._face_encoder().fuse(plain, identity_mask.to(device), rows, identity_scale)
        embeds = Texts(
            negative if not guided else inputs.repeat_rows(negative, num_videos_per_prompt),
            inputs.repeat_rows(plain, num_videos_per_prompt),
            None if fused is None else inputs.repeat_rows(fused, num_videos_per_prompt),
        )
        videos = batch * num_videos_per_prompt
        if face is not None and face.identity.shape[0] != videos:
            face = face.repeat(videos // face.identity.shape[0])

        schedule, num_inference_steps = retrieve_timesteps(self.scheduler, num_inference_steps, device, timesteps)
        self._num_timesteps = len(schedule)
        latents = self.prepare_latents(
            videos, config.in_channels, num_frames, height, width, plain.dtype, device, generator, latents
        )
        rotary = None
        if config.use_rotary_positional_embeddings:
            rotary = self._prepare_rotary_positional_embeddings(height, width, latents.size(1), device)
        denoiser = Denoiser(
            self.transformer,
            self.tables,
            tuple(int(t) for t in schedule),
            face,
            identity_guidance,
            guided,
            identity_scale,
            guidance_scale if identity_guidance_scale is None else identity_guidance_scale,
            identity_start_step,
            rotary,
            attention_kwargs,
            fast_path,
        )
        extra = self.prepare_extra_step_kwargs(generator, eta)
        previous: Tensor | None = None
        scope = denoiser.released() if release_modulation else nullcontext()
        with self.progress_bar(total=num_inference_steps) as bar, scope:
            for step, t in enumerate(schedule):
                if self.interrupt:
                    continue
                self._current_timestep = t
                self._guidance_scale = guidance_at(wave, guidance_scale, step, num_inference_steps, t.item())
                scaled = self.scheduler.scale_model_input(latents, t)
                prediction = denoiser.predict(scaled, embeds, step, self._guidance_scale)
                if isinstance(self.scheduler, CogVideoXDPMScheduler):
                    latents, previous = self.scheduler.step(
                        prediction,
                        previous,
                        t,
                        schedule[step - 1] if step else None,
                        latents,
                        **extra,
                        return_dict=False,
                    )
                else:
                    latents = self.scheduler.step(prediction, t, latents, **extra, return_dict=False)[0]
                latents = latents.to(plain.dtype)
                if callback_on_step_end is not None:
                    latents, embeds = self._call_back(
                        callback_on_step_end, callback_on_step_end_tensor_inputs, step, t, latents, embeds, denoiser
                    )
                bar.update()
        self._current_timestep = None
        frames = latents
        if output_type != "latent":
            frames = self.video_processor.postprocess_video(self.decode_latents(latents), output_type=output_type)
        self.maybe_free_model_hooks()
        if not return_dict:
            return (frames,)
        info = RunInfo(
            weights_note=self.weights_note,
            scheduler=type(self.scheduler).__name__,
            steps=num_inference_steps,
            guidance_scale=guidance_scale,
            dynamic_guidance=wave,
            identity_guidance=identity_guidance if face is not None else None,
            identity_scale=identity_scale if face is not None else 0.0,
            identity_words=tuple(p.word for p in prompts) if fuse else (),
            direct_path=denoiser.blocker,
        )
        return MagicMirrorPipelineOutput(frames=frames, info=info)

    def _face_encoder(self) -> MagicMirrorFaceEncoder:
        if self.face_encoder is None:
            raise MissingWeights(
                "This pipeline has no face encoder.",
                "Build it with MagicMirrorPipeline.from_base(..., photomaker='photomaker-v2.bin').",
            )
        encoder: MagicMirrorFaceEncoder = self.face_encoder
        return encoder

    def _analyser(self) -> Analyser:
        if self.face_analyser is None:
            width = self._face_encoder().config.embedding_dim
            if width != 512:
                raise RequestError(
                    f"No face analyser is set, and no known one gives vectors of {width} numbers.",
                    "Set pipe.face_analyser, for a small model to mmbench.face.stand_in.CentreFaces().",
                )
            from mmbench.face.make import make_backend

            device = beside_torch(str(self._execution_device))
            self.face_analyser = BackendAnalyser(make_backend("insightface", device=device))
        return self.face_analyser

    def _masks(self, prompts: Sequence[IdentityPrompt], max_length: int) -> Tensor:
        return torch.stack([identity_mask(self.tokenizer, prompt, max_length) for prompt in prompts])

    def _check_callback(self, names: Sequence[str]) -> None:
        unknown = sorted(set(names) - set(self._callback_tensor_inputs))
        if unknown:
            raise RequestError(
                f"callback_on_step_end_tensor_inputs has unknown names: {', '.join(unknown)}.",
                f"Use some of: {', '.join(self._callback_tensor_inputs)}.",
            )

    def _call_back(
        self,
        callback: Callable[..., dict[str, Any]],
        names: Sequence[str],
        step: int,
        timestep: Tensor,
        latents: Tensor,
        embeds: Texts,
        denoiser: Denoiser,
    ) -> tuple[Tensor, Texts]:
        """Hand the named values to the callback and take over those that it returns."""
        known: dict[str, Any] = {
            "latents": latents,
            "prompt_embeds": embeds.plain if embeds.fused is None else embeds.fused,
            "negative_prompt_embeds": embeds.negative,
            "face_embeds": denoiser.face,
        }
        given = callback(self, step, timestep, {name: known[name] for name in names})
        known |= {name: given[name] for name in known if name in given}
        if known["face_embeds"] is not denoiser.face and known["face_embeds"] is not None:
            denoiser.set_face(known["face_embeds"])
        if embeds.fused is None:
            embeds = Texts(known["negative_prompt_embeds"], known["prompt_embeds"], None)
        else:
            embeds = Texts(known["negative_prompt_embeds"], embeds.plain, known["prompt_embeds"])
        return known["latents"], embeds


def _listed(prompt: str | list[str]) -> list[str]:
    if isinstance(prompt, str):
        return [prompt]
    if not isinstance(prompt, list) or not prompt or not all(isinstance(p, str) for p in prompt):
        raise RequestError(f"prompt is {prompt!r}.", "Pass a string or a list of strings.")
    return prompt
