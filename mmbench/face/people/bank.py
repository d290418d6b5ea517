"""All identities of a test set side by side: what margins, rank-1 and centred similarities are measured against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmbench.face.track import ReferenceFaces


@dataclass(frozen=True, eq=False)
class ReferenceBank:
    """I identities in sorted order.

    `centroids` are (I, D) float64 unit vectors: the normalised mean of the unit embeddings of an identity's
    references. `mean` is (D,) float64, the mean of the centroids over identities: what the centred similarity takes
    off both sides before comparing. `digest` tells banks of other people or pictures apart. `groups` are the
    identities' own ("woman"), "" where nothing is said; empty where nobody has one.
    """

    identities: tuple[str, ...]
    centroids: NDArray[np.float64]
    mean: NDArray[np.float64]
    digest: str = ""
    groups: tuple[str, ...] = ()

    def index(self, identity: str) -> int:
        """Row of an identity. Raises KeyError when it is not in the bank."""
        if identity not in self.identities:
            raise KeyError(f"{identity!r} is not one of the bank's {len(self.identities)} identities")
        return self.identities.index(identity)


def unit(embeddings: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Embeddings scaled to length 1 along the last axis, float64; NaN rows stay NaN. ValueError on a zero row."""
    wide = np.asarray(embeddings, np.float64)
    lengths = np.linalg.norm(wide, axis=-1, keepdims=True)
    if np.any(lengths == 0):
        raise ValueError("an embedding of length zero has no direction")
    scaled: NDArray[np.float64] = wide / lengths
    return scaled


def centroid(embeddings: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """normalise(mean of the unit embeddings): (R, D) raw references -> (D,) of length 1."""
    return unit(unit(embeddings).mean(axis=0))


def build_bank(
    references: Mapping[str, ReferenceFaces | Sequence[ReferenceFaces]],
    digest: str = "",
    groups: Mapping[str, str] | None = None,
) -> ReferenceBank:
    """The bank of a test set, identity -> references; several sets of one identity count together, picture by picture.

    Raises ValueError when there is none.
    """
    return bank_of({identity: _embeddings(faces) for identity, faces in references.items()}, digest, groups)


def bank_of(
    embeddings: Mapping[str, NDArray[np.floating[Any]]], digest: str = "", groups: Mapping[str, str] | None = None
) -> ReferenceBank:
    """The same from raw embeddings (R, D) of each identity, by whatever recogniser. Raises ValueError for none."""
    if not embeddings:
        raise ValueError("a reference bank needs at least one identity")
    identities = tuple(sorted(embeddings))
    centroids = np.stack([centroid(embeddings[identity]) for identity in identities])
    named = tuple((groups or {}).get(identity, "") for identity in identities)
    return ReferenceBank(identities, centroids, centroids.mean(axis=0), digest, named if any(named) else ())


def _embeddings(faces: ReferenceFaces | Sequence[ReferenceFaces]) -> NDArray[np.float32]:
    sets = [faces] if isinstance(faces, ReferenceFaces) else faces
    return np.concatenate([one.embeddings for one in sets])
