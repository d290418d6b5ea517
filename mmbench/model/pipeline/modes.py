"""Other ways to call the pipeline: one image, several shots of one character."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmbench.errors import RequestError
from mmbench.model.network.face_embeds import FaceEmbeds
from mmbench.model.pipeline.faces import Picture
from mmbench.model.pipeline.output import MagicMirrorImageOutput, MagicMirrorPipelineOutput


class ModesMixin:
    """`generate_image` and `multi_shot` of `MagicMirrorPipeline`."""

    def generate_image(
        self,
        prompt: str | list[str],
        id_image: Picture | Sequence[Picture] | None = None,
        face_embeds: FaceEmbeds | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 50,
        guidance_scale: float = 6.0,
        identity_scale: float = 1.0,
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str = "pil",
    ) -> MagicMirrorImageOutput:
        """One-frame videos, as images. This is what the paper's image pre-training (stage 1) trains."""
        out = self(  # type: ignore[operator]  # the pipeline's __call__
            prompt,
            height=height,
            width=width,
            num_frames=1,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            generator=generator,
            output_type=output_type,
            id_image=id_image,
            face_embeds=face_embeds,
            identity_scale=identity_scale,
        )
        return MagicMirrorImageOutput(images=[video[0] for video in out.frames], info=out.info)

    def multi_shot(
        self,
        id_image: Picture | Sequence[Picture],
        character: str,
        shots: Sequence[str],
        seed: int = 0,
        same_noise: bool = False,
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        num_inference_steps: int = 50,
        guidance_scale: float = 6.0,
        identity_scale: float = 1.0,
        output_type: str = "pil",
    ) -> list[MagicMirrorPipelineOutput]:
        """Several clips of one person: "character shot" is each clip's prompt; the face is encoded once.

        `character` carries the trigger ("a serene woman img with delicate features, wearing a white
        blouse"). Clip k uses seed + k, or, with `same_noise`, all start from the noise of `seed`. Tables of
        the face and of the schedule are shared.
        """
        if not shots:
            raise RequestError("No shots are given.", "Pass one description per clip, such as 'is walking'.")
        pipe: Any = self
        face = pipe.encode_face(id_image)
        noise: Tensor | None = None
        clips = []
        for index, shot in enumerate(shots):
            generator = torch.Generator("cpu").manual_seed(seed + index)
            if same_noise:
                noise = pipe.initial_noise(seed, height, width, num_frames)
            clips.append(
                pipe(
                    f"{character} {shot}",
                    height=height,
                    width=width,
                    num_frames=num_frames,
                    num_inference_steps=num_inference_steps,
                    guidance_scale=guidance_scale,
                    generator=generator,
                    latents=noise,
                    output_type=output_type,
                    face_embeds=face,
                    identity_scale=identity_scale,
                )
            )
        return clips

    def initial_noise(
        self, seed: int, height: int | None = None, width: int | None = None, num_frames: int | None = None
    ) -> Tensor:
        """The starting latents [1, T', C, h, w] that a single clip with this seed begins from."""
        pipe: Any = self
        config, spatial = pipe.transformer.config, pipe.vae_scale_factor_spatial
        shape = (
            1,
            ((num_frames or config.sample_frames) - 1) // pipe.vae_scale_factor_temporal + 1,
            config.in_channels,
            (height or config.sample_height * spatial) // spatial,
            (width or config.sample_width * spatial) // spatial,
        )
        generator = torch.Generator("cpu").manual_seed(seed)
        return torch.randn(shape, generator=generator, dtype=pipe.transformer.dtype).to(pipe._execution_device)
