"""Reference pictures: the choice of the face, its cut for CLIP, and its identity vector.

Magic Mirror's identity vector is insightface's raw ArcFace embedding. Its weights are for research only, so the
`mmbench.face.types.Analyser` that gives it can always be supplied from outside the pipeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mmbench.errors import ReferenceFaceError, RequestError
from mmbench.face.cut import square_cut
from mmbench.face.geometry import largest
from mmbench.model.network.pixels import CLIP_MEAN, CLIP_STD
from mmbench.video.image import to_rgb as pillow_rgb

if TYPE_CHECKING:
    from mmbench.face.types import Analyser

Picture = Image.Image | NDArray[np.uint8] | Tensor
"""PIL, uint8 RGB [H, W, 3], or float tensor [3, H, W] in [0, 1]."""

CROP_MARGIN = 1.6
"""Side of the CLIP crop over the larger side of the face box (our choice; PhotoMaker takes the whole picture)."""


@dataclass(frozen=True)
class ReferenceInputs:
    """The chosen face of n pictures: pixel_values float32 [1, n, 3, S, S], embeddings float32 [1, n, E]."""

    pixel_values: Tensor
    embeddings: Tensor


def analyse_references(
    pictures: Picture | Sequence[Picture],
    analyser: Analyser,
    image_size: int,
    embedding_dim: int,
    margin: float = CROP_MARGIN,
) -> ReferenceInputs:
    """Largest face of every picture of one person (several views in a list), cut out and normalised for CLIP.

    Raises ReferenceFaceError where a picture has no face, RequestError for no pictures, a wrong picture
    type, and an analyser whose vectors have another width than the model's.
    """
    views: list[Any] = list(pictures) if isinstance(pictures, list | tuple) else [pictures]
    if not views:
        raise RequestError("id_image is an empty list.", "Pass one to four pictures of one person.")
    pixels, vectors = [], []
    for index, view in enumerate(views):
        image = to_rgb(view)
        faces = analyser.find(image)
        if not faces:
            height, width = image.shape[:2]
            raise ReferenceFaceError(
                f"No face was found in reference picture {index + 1} of {len(views)} ({width}x{height}).",
                "Use a picture with one clear, frontal face, at least 100 pixels wide.",
            )
        face = faces[largest([face.box for face in faces])]
        vector = np.asarray(analyser.embed(image, face), dtype=np.float32)
        if vector.shape != (embedding_dim,):
            raise RequestError(
                f"The face analyser gives vectors of shape {vector.shape}, the model needs ({embedding_dim},).",
                "The full-size model needs insightface's 512-d ArcFace vector.",
            )
        cut = square_cut(image, face.box, image_size, margin)
        pixels.append(torch.from_numpy(cut).permute(2, 0, 1).float() / 255.0)
        vectors.append(torch.from_numpy(vector))
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (CLIP_MEAN, CLIP_STD))
    return ReferenceInputs(((torch.stack(pixels) - mean) / std)[None], torch.stack(vectors)[None])


def to_rgb(picture: Picture) -> NDArray[np.uint8]:
    """Any accepted picture as uint8 RGB [H, W, 3]; a PIL image by `mmbench.video.image.to_rgb`."""
    if isinstance(picture, Image.Image):
        return pillow_rgb(picture)
    if isinstance(picture, Tensor) and picture.ndim == 3 and picture.shape[0] == 3 and picture.is_floating_point():
        return (picture.detach().cpu().float().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    if isinstance(picture, np.ndarray) and picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8:
        return picture
    raise RequestError(
        f"A reference picture of type {type(picture).__name__} cannot be used.",
        "Pass a PIL image, a uint8 RGB array [H, W, 3], or a float tensor [3, H, W] in [0, 1].",
    )
