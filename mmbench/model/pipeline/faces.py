"""Reference pictures: the face analyser's contract, the crop for CLIP, and a stand-in for the tiny models.

Magic Mirror's identity vector is insightface's raw ArcFace embedding;
`BackendAnalyser(make_backend("insightface"))` gives it. Its weights are for research only, so the analyser
is always supplied from outside the pipeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mmbench.errors import ReferenceFaceError, RequestError

if TYPE_CHECKING:
    from mmbench.face.types import FaceBackend

Picture = Image.Image | NDArray[np.uint8] | Tensor
"""PIL, uint8 RGB [H, W, 3], or float tensor [3, H, W] in [0, 1]."""

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
CROP_MARGIN = 1.6
"""Side of the CLIP crop over the larger side of the face box (our choice; PhotoMaker takes the whole
picture)."""


@dataclass(frozen=True)
class AnalysedFace:
    """Box (left, top, right, bottom) in pixels and the raw recognition vector, float32 [embedding_dim]."""

    box: tuple[float, float, float, float]
    embedding: NDArray[np.float32]


class FaceAnalyser(Protocol):
    """Detector and recogniser in one: any object with this method will do."""

    def __call__(self, image: NDArray[np.uint8]) -> list[AnalysedFace]:
        """All faces of an RGB picture [H, W, 3], with raw (not normalised) embeddings."""


class BackendAnalyser:
    """Adapts a `mmbench.face` backend. The full-size model needs the "insightface" one (512-d ArcFace)."""

    def __init__(self, backend: FaceBackend) -> None:
        self.backend = backend

    def __call__(self, image: NDArray[np.uint8]) -> list[AnalysedFace]:
        """See `FaceAnalyser`."""
        faces = self.backend.detect([image])[0]
        if not faces:
            return []
        embeddings = self.backend.embed(np.stack([self.backend.chip(image, face) for face in faces]))
        boxes = [tuple(float(x) for x in face.box) for face in faces]
        return [
            AnalysedFace((box[0], box[1], box[2], box[3]), vector)
            for box, vector in zip(boxes, embeddings, strict=True)
        ]


class CentreAnalyser:
    """Stand-in of the tiny models: no recogniser at all. The middle of the picture is "the face".

    Its vector is a fixed random projection of a 16x16 thumbnail, so equal pictures get equal vectors. A
    picture of one colour has no face.
    """

    def __init__(self, embedding_dim: int = 32) -> None:
        self.embedding_dim = embedding_dim

    def __call__(self, image: NDArray[np.uint8]) -> list[AnalysedFace]:
        """See `FaceAnalyser`."""
        height, width = image.shape[:2]
        half = 0.3 * min(height, width)
        box = (width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half)
        thumb = crop_square(image, box, 16, margin=1.0).astype(np.float32) / 255.0
        if float(thumb.std(axis=(0, 1)).max()) < 0.02:
            return []
        mix = np.random.default_rng(0).standard_normal((thumb.size, self.embedding_dim)).astype(np.float32)
        return [AnalysedFace(box, (thumb.ravel() - thumb.mean()) @ mix)]


@dataclass(frozen=True)
class ReferenceFaces:
    """The chosen face of each of n pictures: pixel_values float32 [1, n, 3, S, S], embeddings float32 [1,
    n, E]."""

    pixel_values: Tensor
    embeddings: Tensor


def analyse_references(
    pictures: Picture | Sequence[Picture], analyser: FaceAnalyser, image_size: int, embedding_dim: int
) -> ReferenceFaces:
    """Largest face of every picture of one person (several views in a list), cut out and normalised for
    CLIP.

    Raises ReferenceFaceError where a picture has no face, RequestError for no pictures, a wrong picture
    type, and an analyser whose vectors have another width than the model's.
    """
    views: list[Any] = list(pictures) if isinstance(pictures, list | tuple) else [pictures]
    if not views:
        raise RequestError("id_image is an empty list.", "Pass one to four pictures of one person.")
    pixels, vectors = [], []
    for index, view in enumerate(views):
        image = to_rgb(view)
        faces = analyser(image)
        if not faces:
            height, width = image.shape[:2]
            raise ReferenceFaceError(
                f"No face was found in reference picture {index + 1} of {len(views)} ({width}x{height}).",
                "Use a picture with one clear, frontal face, at least 100 pixels wide.",
            )
        face = max(faces, key=lambda f: (f.box[2] - f.box[0]) * (f.box[3] - f.box[1]))
        if face.embedding.shape != (embedding_dim,):
            raise RequestError(
                f"The face analyser gives vectors of shape {face.embedding.shape}, the model needs ({embedding_dim},).",
                "The full-size model needs insightface's 512-d ArcFace vector.",
            )
        cut = crop_square(image, face.box, image_size, CROP_MARGIN)
        pixels.append(torch.from_numpy(cut).permute(2, 0, 1).float() / 255.0)
        vectors.append(torch.from_numpy(np.asarray(face.embedding, dtype=np.float32)))
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (CLIP_MEAN, CLIP_STD))
    return ReferenceFaces(((torch.stack(pixels) - mean) / std)[None], torch.stack(vectors)[None])


def crop_square(
    image: NDArray[np.uint8], box: tuple[float, float, float, float], size: int, margin: float
) -> NDArray[np.uint8]:
    """The square around a box, `margin` times its larger side, white outside the picture, bicubic to size x
    size."""
    left, top, right, bottom = box
    side = max(1, round(margin * max(right - left, bottom - top)))
    x, y = round((left + right - side) / 2), round((top + bottom - side) / 2)
    height, width = image.shape[:2]
    square = np.full((side, side, 3), 255, dtype=np.uint8)
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + side, width), min(y + side, height)
    if x1 > x0 and y1 > y0:
        square[y0 - y : y1 - y, x0 - x : x1 - x] = image[y0:y1, x0:x1]
    resized: NDArray[np.uint8] = np.array(Image.fromarray(square).resize((size, size), Image.Resampling.BICUBIC))
    return resized


def to_rgb(picture: Picture) -> NDArray[np.uint8]:
    """Any accepted picture as uint8 RGB [H, W, 3]."""
    if isinstance(picture, Image.Image):
        return np.asarray(picture.convert("RGB"))
    if isinstance(picture, Tensor) and picture.ndim == 3 and picture.shape[0] == 3 and picture.is_floating_point():
        return (picture.detach().cpu().float().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    if isinstance(picture, np.ndarray) and picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8:
        return picture
    raise RequestError(
        f"A reference picture of type {type(picture).__name__} cannot be used.",
        "Pass a PIL image, a uint8 RGB array [H, W, 3], or a float tensor [3, H, W] in [0, 1].",
    )
