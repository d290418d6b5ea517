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
        prompt: str | list[str] | None = None,
        id_image: Picture | Sequence[Any] | None = None,
        face_embeds: FaceEmbeds | None = None,
        **call: Any,
    ) -> MagicMirrorImageOutput:
        """One-frame videos, as images. This is what the paper's image pre-training (stage 1) trains.

        call: any other argument of the pipeline's call but num_frames and return_dict.
        """
        _refuse(call, "generate_image", ("num_frames", "return_dict"))
        out = self(  # type: ignore[operator]  # the pipeline's __call__
            prompt, num_frames=1, id_image=id_image, face_embeds=face_embeds, **call
        )
        return MagicMirrorImageOutput(images=[video[0] for video in out.frames], info=out.info)

    def multi_shot(
        self,
        id_image: Picture | Sequence[Picture] | None,
        character: str,
        shots: Sequence[str],
        seed: int = 0,
        same_noise: bool = False,
        face_embeds: FaceEmbeds | None = None,
        **call: Any,
    ) -> list[MagicMirrorPipelineOutput]:
        """Several clips of one person: "character shot" is each clip's prompt; the face is encoded once.

        `character` carries the trigger ("a serene woman img with delicate features, wearing a white
        blouse"). Clip k uses seed + k, or, with `same_noise`, all start from the noise of `seed`. Tables of
        the face and of the schedule are shared. face_embeds: instead of id_image (None then). call: any other
        argument of the pipeline's call but prompt, generator, latents and return_dict.
        """
        if isinstance(shots, str) or not shots:
            raise RequestError("No list of shots is given.", "Pass one description per clip, such as 'is walking'.")
        _refuse(call, "multi_shot", ("prompt", "generator", "latents", "return_dict"))
        if (id_image is None) == (face_embeds is None):
            raise RequestError("Give either id_image or face_embeds.", "Leave the other out.")
        pipe: Any = self
        face = pipe.encode_face(id_image) if face_embeds is None else face_embeds
        noise: Tensor | None = None
        if same_noise:
            noise = pipe.initial_noise(seed, call.get("height"), call.get("width"), call.get("num_frames"))
        return [
            pipe(
                f"{character} {shot}",
                generator=torch.Generator("cpu").manual_seed(seed + index),
                latents=noise,
                face_embeds=face,
                **call,
            )
            for index, shot in enumerate(shots)
        ]

    def initial_noise(
        self, seed: int, height: int | None = None, width: int | None = None, num_frames: int | None = None
    ) -> Tensor:
        """The starting latents [1, T', C, h, w] that a single clip with this seed begins from."""
        pipe: Any = self
        config, spatial = pipe.transformer.config, pipe.vae_scale_factor_spatial
        frames = ((num_frames or config.sample_frames) - 1) // pipe.vae_scale_factor_temporal + 1
        shape = (
            1,
            frames + -frames % (config.patch_size_t or 1),
            config.in_channels,
            (height or config.sample_height * spatial) // spatial,
            (width or config.sample_width * spatial) // spatial,
        )
        generator = torch.Generator("cpu").manual_seed(seed)
        return torch.randn(shape, generator=generator, dtype=pipe.transformer.dtype).to(pipe._execution_device)


def _refuse(call: dict[str, Any], name: str, fixed: tuple[str, ...]) -> None:
    for argument in fixed:
        if argument in call:
            raise RequestError(f"{name} sets {argument} itself.", "Leave it out, or call the pipeline.")
