"""Whom a call's pictures show: one person in several views, or one person for each prompt."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmbench.device import beside_torch
from mmbench.errors import RequestError
from mmbench.face.analyser import BackendAnalyser
from mmbench.face.types import Analyser
from mmbench.model.pipeline.faces import Picture, analyse_references

logger = logging.getLogger(__name__)
UNLIKE = 0.3
"""Cosine of two recogniser vectors below which two pictures hardly show one person."""


@dataclass(frozen=True)
class ReferenceBatch:
    """References of B people, n of each: pixel_values [B, n, 3, S, S], embeddings [B, n, E], both float32.

    valid bool [B, n] is False for padding, where some have fewer pictures than others; None where none is.
    """

    pixel_values: Tensor
    embeddings: Tensor
    valid: Tensor | None


def people_in(pictures: Picture | Sequence[Any], batch: int | None = None) -> list[list[Picture]]:
    """The pictures by person: a picture, a list of one person's, or a list of lists, one list a person.

    `batch` is the number of prompts: the people are then one or as many. RequestError for an empty or mixed list,
    and for a flat list of pictures beside several prompts, which could be meant either way.
    """
    if not isinstance(pictures, list | tuple):
        single: Any = pictures
        return [[single]]
    nested = [isinstance(item, list | tuple) for item in pictures]
    if not pictures or not all(item for item, inner in zip(pictures, nested, strict=True) if inner):
        raise RequestError("id_image has an empty list.", "Pass one to four pictures of each person.")
    if any(nested) and not all(nested):
        raise RequestError(
            "id_image mixes pictures and lists of pictures.", "Pass one list of pictures for each person."
        )
    people = [list(item) for item in pictures] if any(nested) else [list(pictures)]
    if batch is not None and batch > 1 and not any(nested):
        raise RequestError(
            f"id_image is a list of {len(pictures)} pictures beside {batch} prompts.",
            "Pass [[a, b]] for views of one person in all videos, [[a], [b]] for one person each.",
        )
    if batch is not None and len(people) not in (1, batch):
        raise RequestError(f"{len(people)} people for {batch} prompts.", "Give one, or one for each prompt.")
    return people


def default_analyser(width: int, device: str) -> Analyser:
    """The full-size model's analyser, insightface, on a torch device; RequestError for vectors of another width.

    Raises MissingWeights or MissingDependency where its files or its runtime are not there.
    """
    if width != 512:
        raise RequestError(
            f"No face analyser is set, and no known one gives vectors of {width} numbers.",
            "Set pipe.face_analyser, for a small model to mmbench.face.stand_in.CentreFaces().",
        )
    from mmbench.face.make import make_backend

    return BackendAnalyser(make_backend("insightface", device=beside_torch(device)))


def analyse_people(
    people: Sequence[Sequence[Picture]], analyser: Analyser, image_size: int, embedding_dim: int, margin: float
) -> ReferenceBatch:
    """The largest face of every picture; `margin` is the side of its cut over the larger side of its box.

    Warns where the pictures of one person do not look alike to the recogniser. Raises what `analyse_references`
    does.
    """
    found = [analyse_references(list(views), analyser, image_size, embedding_dim, margin) for views in people]
    for index, one in enumerate(found):
        vectors = torch.nn.functional.normalize(one.embeddings[0], dim=-1)
        least = float((vectors @ vectors.T).min())
        if least < UNLIKE:
            logger.warning(
                "The pictures of person %d may show different people (cosine %.2f): their identities are averaged.",
                index + 1,
                least,
            )
    most = max(one.embeddings.shape[1] for one in found)
    counts = torch.tensor([one.embeddings.shape[1] for one in found])
    pixels = torch.cat([_padded(one.pixel_values, most) for one in found])
    vectors = torch.cat([_padded(one.embeddings, most) for one in found])
    valid = None if bool((counts == most).all()) else torch.arange(most)[None] < counts[:, None]
    return ReferenceBatch(pixels, vectors, valid)


def _padded(rows: Tensor, count: int) -> Tensor:
    """[1, n, ...] -> [1, count, ...], zeros behind."""
    return torch.cat([rows, rows.new_zeros(1, count - rows.shape[1], *rows.shape[2:])], dim=1)
