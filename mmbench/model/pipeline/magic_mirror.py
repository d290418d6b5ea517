"""`MagicMirrorPipeline`: CogVideoX's text-to-video pipeline with the identity of a reference picture."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, ClassVar

import torch
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX
from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel
from diffusers.pipelines.cogvideo.pipeline_cogvideox import CogVideoXPipeline, retrieve_timesteps
from diffusers.schedulers.scheduling_ddim_cogvideox import CogVideoXDDIMScheduler
from diffusers.schedulers.scheduling_dpm_cogvideox import CogVideoXDPMScheduler
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils.torch_utils import unwrap_module
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast, T5EncoderModel

from mmbench.errors import MissingWeights
from mmbench.face.types import Analyser
from mmbench.model.fast.fingerprint import encoder_mark
from mmbench.model.network.face_embeds import FaceEmbeds
from mmbench.model.network.face_encoder import MagicMirrorFaceEncoder
from mmbench.model.network.fusion import word_positions
from mmbench.model.network.transformer import MagicMirrorTransformer3DModel
from mmbench.model.pipeline import inputs
from mmbench.model.pipeline.denoise import Denoiser, DenoiseSettings, TableCache, Texts
from mmbench.model.pipeline.faces import Picture
from mmbench.model.pipeline.guidance import GuidanceMode, guidance_at
from mmbench.model.pipeline.loading import IdentityAdapterMixin
from mmbench.model.pipeline.modes import ModesMixin
from mmbench.model.pipeline.output import MagicMirrorPipelineOutput, RunInfo
from mmbench.model.pipeline.people import analyse_people, default_analyser, people_in
from mmbench.model.pipeline.prompt import IdentityPrompt, identity_mask
from mmbench.model.pipeline.request import ResolvedCall, resolve, schedule_times
from mmbench.model.small.codec import PatchPCACodec
from mmbench.trigger import TRIGGER

logger = logging.getLogger(__name__)


class MagicMirrorPipeline(ModesMixin, IdentityAdapterMixin, CogVideoXPipeline):  # type: ignore[misc]  # diffusers is untyped
    """Text and a face to video. Everything CogVideoX's pipeline can do, it can do too.

    Without `id_image` and `face_embeds` it is that pipeline bit for bit, given the same `use_dynamic_cfg` (which
    is on by default with the DPM scheduler here) and one video a prompt; with `identity_scale=0` too, the trigger
    word being taken out of the prompt.
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
        tokenizer: PreTrainedTokenizerBase | PreTrainedTokenizerFast,
        text_encoder: T5EncoderModel,
        vae: AutoencoderKLCogVideoX | PatchPCACodec,
        transformer: MagicMirrorTransformer3DModel | CogVideoXTransformer3DModel,
        scheduler: CogVideoXDDIMScheduler | CogVideoXDPMScheduler | SchedulerMixin,
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
    def encode_face(self, id_image: Picture | Sequence[Any]) -> FaceEmbeds:
        """Encode one person, from one picture or several; or several people, a list of pictures each.

        The result serves any number of prompts, and can be saved. Raises ReferenceFaceError for a picture without
        a face, MissingWeights without a face encoder or analyser.
        """
        return self._encode_people(people_in(id_image))

    def _encode_people(self, people: list[list[Picture]]) -> FaceEmbeds:
        encoder = self._face_encoder()
        config = encoder.config
        references = analyse_people(
            people, self._analyser(), config.image_size, config.embedding_dim, config.crop_margin
        )
        device = self._execution_device
        parts = (references.pixel_values, references.embeddings, references.valid)
        embeds: FaceEmbeds = encoder(*(None if part is None else part.to(device) for part in parts))
        return replace(embeds, encoder=encoder_mark(encoder))

    def identity_mask(
        self,
        prompt: str | list[str],
        trigger_word: str = TRIGGER,
        identity_word: str | None = None,
        max_sequence_length: int | None = None,
    ) -> Tensor:
        """Where the identity word's tokens are: bool [B, max_sequence_length]; for use with `prompt_embeds`."""
        prompts = inputs.parse_prompts(inputs.listed(prompt), trigger_word, identity_word, needs_word=True)
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

        id_image: a picture, a list of pictures of one person, or a list of such lists, one for each prompt.
        face_embeds: instead of it, `encode_face`'s result (one identity, or one per prompt). identity_mask: bool
        [B, N], needed with prompt_embeds. identity_scale: 0 to 1.5, on decoupled attention, CAN, fusion and the
        face rows' share of the self-attention; the limit at 0 is the base. identity_guidance,
        identity_guidance_scale (mode "split"; guidance_scale if None): see `mmbench.model.pipeline.guidance`.
        identity_start_step: first step with the identity.
        identity_word: names the person where the prompt has no trigger. fast_path: use tables where nothing
        forbids it. release_modulation: keep what the tables replace off the device during the loop (about
        3.4 GiB less).

        use_dynamic_cfg: None pairs the wave with the DPM scheduler and no wave with DDIM, as the base's
        authors do; True or "cogvideox" is the wave, "cosine" a steady rise. num_frames 1 makes an image.

        Raises RequestError or ReferenceFaceError before any network runs.
        """
        asked = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        transformer = unwrap_module(self.transformer)
        request = resolve(self, transformer, asked)
        device = self._execution_device
        face = face_embeds if request.identity else None
        if request.people is not None:
            face = self._encode_people(request.people)
        elif face is not None:
            self._warn_of_foreign(face)
            face = face.to(device)
        if self.weights_note and not self._warned:
            self._warned = True
            logger.warning("Weights: %s. The result shows nothing of what a trained model would do.", self.weights_note)
        self._guidance_scale = guidance_scale
        self._attention_kwargs = attention_kwargs
        self._current_timestep = None
        self._interrupt = False

        texts = self._embed(request, face, prompt_embeds, negative_prompt_embeds, identity_scale)
        if face is not None and face.identity.shape[0] != request.videos:
            face = face.repeat(request.videos // face.identity.shape[0])
        schedule, num_inference_steps = retrieve_timesteps(self.scheduler, num_inference_steps, device, timesteps)
        self._num_timesteps = len(schedule)
        height, width, dtype = request.height, request.width, texts.plain.dtype
        channels = transformer.config.in_channels
        latents = self.prepare_latents(
            request.videos, channels, request.num_frames, height, width, dtype, device, generator, latents
        )
        rotary = None
        if transformer.config.use_rotary_positional_embeddings:
            rotary = self._prepare_rotary_positional_embeddings(height, width, latents.size(1), device)
        denoiser = Denoiser(
            self.transformer,
            self.tables,
            schedule_times(schedule),
            face,
            DenoiseSettings(
                mode=identity_guidance,
                guided=request.guided,
                identity_scale=identity_scale,
                identity_guidance_scale=guidance_scale if identity_guidance_scale is None else identity_guidance_scale,
                start_step=identity_start_step,
                fast_path=fast_path,
            ),
            rotary,
            attention_kwargs,
        )
        extra = self.prepare_extra_step_kwargs(generator, eta)
        scope = denoiser.released() if release_modulation else nullcontext()
        with scope:
            latents = self._denoise(request, denoiser, schedule, latents, texts, asked, extra)
        frames: Any = latents
        if output_type != "latent":
            decoded = self.decode_latents(latents[:, request.padding :])
            frames = self.video_processor.postprocess_video(decoded, output_type=output_type)
        self.maybe_free_model_hooks()
        if not return_dict:
            return (frames,)
        return MagicMirrorPipelineOutput(frames=frames, info=self._info(request, asked, denoiser.blocker))

    def _info(self, request: ResolvedCall, asked: dict[str, Any], direct_path: str | None) -> RunInfo:
        """How the videos of a request were made."""
        return RunInfo(
            weights_note=self.weights_note,
            scheduler=type(self.scheduler).__name__,
            steps=self._num_timesteps,
            guidance_scale=asked["guidance_scale"],
            dynamic_guidance=request.wave,
            identity_guidance=asked["identity_guidance"] if request.identity else None,
            identity_scale=asked["identity_scale"] if request.identity else 0.0,
            identity_words=tuple(p.word for p in request.prompts) if request.fuse else (),
            direct_path=direct_path,
        )

    def _embed(
        self,
        request: ResolvedCall,
        face: FaceEmbeds | None,
        prompt_embeds: Tensor | None,
        negative_prompt_embeds: Tensor | None,
        identity_scale: float,
    ) -> Texts:
        """All text embeddings of a request, each row as often as the prompt has videos."""
        plain, negative = self.encode_prompt(
            request.texts,
            request.negative_prompt,
            request.guided,
            prompt_embeds=prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds,
            max_sequence_length=request.max_length,
            device=self._execution_device,
        )
        times = request.videos // request.batch
        texts = Texts(
            inputs.repeat_rows(negative, times) if request.guided else None, inputs.repeat_rows(plain, times), None
        )
        if face is None:
            return texts
        if not request.fuse:
            return replace(texts, fused=texts.plain)
        rows = face if face.identity.shape[0] == request.batch else face.repeat(request.batch)
        return self._fuse(request, texts, rows.repeat(times), identity_scale)

    def _fuse(self, request: ResolvedCall, texts: Texts, face: FaceEmbeds, scale: float) -> Texts:
        """The identities of all videos into their texts; the face encoder then gives its place to the next model."""
        if request.identity_mask is None:
            return texts
        mask = inputs.repeat_rows(request.identity_mask, request.videos // request.batch)
        positions = word_positions(mask).to(texts.plain.device)
        fused = self._face_encoder().fuse_words(texts.plain, positions, face, scale)
        for hook in getattr(self, "_all_hooks", []):
            if hook.model is self.face_encoder:
                hook.offload()
        return replace(texts, fused=fused)

    def _denoise(
        self,
        request: ResolvedCall,
        denoiser: Denoiser,
        schedule: Tensor,
        latents: Tensor,
        texts: Texts,
        asked: dict[str, Any],
        extra: dict[str, Any],
    ) -> Tensor:
        """The loop over the schedule: predict, step, call back. Returns the last latents."""
        previous: Tensor | None = None
        callback, dtype = asked["callback_on_step_end"], texts.plain.dtype
        with self.progress_bar(total=len(schedule)) as bar:
            for step, t in enumerate(schedule):
                if self.interrupt:
                    continue
                self._current_timestep = t
                scale = guidance_at(request.wave, asked["guidance_scale"], step, len(schedule), t.item())
                self._guidance_scale = scale
                prediction = denoiser.predict(self.scheduler.scale_model_input(latents, t), texts, step, scale)
                if isinstance(self.scheduler, CogVideoXDPMScheduler):
                    before = schedule[step - 1] if step else None
                    latents, previous = self.scheduler.step(
                        prediction, previous, t, before, latents, **extra, return_dict=False
                    )
                else:
                    latents = self.scheduler.step(prediction, t, latents, **extra, return_dict=False)[0]
                latents = latents.to(dtype)
                if callback is not None:
                    latents, texts = self._call_back(callback, request, step, t, latents, texts, denoiser)
                bar.update()
        self._current_timestep = None
        return latents

    def maybe_free_model_hooks(self) -> None:
        """Offload all components where that is on; the tables then leave the device as well."""
        super().maybe_free_model_hooks()
        if getattr(self, "_all_hooks", None):
            self.tables.clear()

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Move or cast all components; tables of the old device or type are dropped."""
        if hasattr(self, "tables"):
            self.tables.clear()
        return super().to(*args, **kwargs)

    def _warn_of_foreign(self, face: FaceEmbeds) -> None:
        mine = encoder_mark(self.face_encoder) if face.encoder and self.face_encoder is not None else ""
        if mine and face.encoder != mine:
            logger.warning(
                "face_embeds were made by other weights (or another type) of the face encoder than this pipeline's."
            )

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
            self.face_analyser = default_analyser(width, str(self._execution_device))
        return self.face_analyser

    def _masks(self, prompts: Sequence[IdentityPrompt], max_length: int) -> Tensor:
        return torch.stack([identity_mask(self.tokenizer, prompt, max_length) for prompt in prompts])

    def _call_back(
        self,
        callback: Callable[..., dict[str, Any]],
        request: ResolvedCall,
        step: int,
        timestep: Tensor,
        latents: Tensor,
        texts: Texts,
        denoiser: Denoiser,
    ) -> tuple[Tensor, Texts]:
        """Hand the named values to the callback and take over those that it returns.

        Another face is fused into the text again, unless the callback also gives prompt_embeds.
        """
        known: dict[str, Any] = {
            "latents": latents,
            "prompt_embeds": texts.plain if texts.fused is None else texts.fused,
            "negative_prompt_embeds": texts.negative,
            "face_embeds": denoiser.face,
        }
        given = callback(self, step, timestep, {name: known[name] for name in request.callback_inputs})
        text_given = "prompt_embeds" in given and given["prompt_embeds"] is not known["prompt_embeds"]
        known |= {name: given[name] for name in known if name in given}
        face = known["face_embeds"]
        texts = replace(texts, negative=known["negative_prompt_embeds"])
        key = "plain" if texts.fused is None else "fused"
        texts = replace(texts, **{key: known["prompt_embeds"]})
        if face is not None and "face_embeds" in request.callback_inputs + tuple(given):
            changed = face is not denoiser.face
            inputs.check_face(face, request.videos, unwrap_module(self.transformer).config)
            face = face.to(latents.device)
            face = face if face.identity.shape[0] == request.videos else face.repeat(request.videos)
            denoiser.set_face(face)
            if changed and request.fuse and not text_given:
                texts = self._fuse(request, texts, face, denoiser.settings.identity_scale)
        return known["latents"], texts
