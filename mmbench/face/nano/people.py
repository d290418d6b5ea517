"""The nano world's people as its second recogniser sees them: it conditions no model and was trained on other people.

Only for heads and shoulders of rendered people. Its figures stand under its own name beside dlib's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from mmbench.face.needs import groups_of
from mmbench.files import content_of, sha256, sha256_file
from mmbench.scores import Provenance
from mmbench.video.need import FrameNeed, ItemNeed, Maker, Networks

if TYPE_CHECKING:
    from mmbench.config import EvaluateSettings
    from mmbench.face.nano.recogniser import NanoRecogniser
    from mmbench.face.people.bank import ReferenceBank
    from mmbench.items import Item
    from mmbench.video.clip import ClipInfo, Frame

WEIGHTS: Final = Path(__file__).parent / "judge.safetensors"
"""Trained by this project (`mmbench nano judges`); its card is NANO.md beside the nano model."""


@dataclass(frozen=True)
class NanoFacesSeen:
    """`vectors` float32 (T, 64), raw, one a frame."""

    vectors: NDArray[np.float32]
    provenance: Provenance


class NanoFacesPass:
    """Embeds every frame of a clip."""

    name = "nano_faces"

    def __init__(self, recogniser: NanoRecogniser, provenance: Provenance) -> None:
        self.recogniser, self.provenance = recogniser, provenance

    def start(self, clip: ClipInfo) -> None:
        """Prepare for the frames of `clip`."""
        self._vectors: list[NDArray[np.float32]] = []

    def feed(self, index: int, frame: Frame) -> None:
        """Embed a frame."""
        self._vectors.append(embed(self.recogniser, frame))

    def finish(self) -> NanoFacesSeen:
        """All vectors, in time order."""
        return NanoFacesSeen(np.stack(self._vectors), self.provenance)


class NanoFacesNeed(FrameNeed[NanoFacesSeen]):
    """The second recogniser's vectors of every frame."""

    name = "nano faces"
    reads = ()

    def depends_on(self, settings: EvaluateSettings) -> dict[str, Any]:
        """Its bundled weights."""
        return {"weights": sha256_file(WEIGHTS)}

    def make(self, settings: EvaluateSettings, networks: Networks) -> Maker[NanoFacesSeen]:
        """The recogniser, on the processor. Raises WeightsError."""
        return Maker(lambda: NanoFacesPass(judge(), provenance()))


class NanoPeopleNeed(ItemNeed["ReferenceBank"]):
    """All people of a run by the second recogniser, from their reference pictures; None for a clip without any."""

    name = "nano people"
    reads = ("identity", "group")

    def depends_on(self, settings: EvaluateSettings) -> dict[str, Any]:
        """Its bundled weights."""
        return {"weights": sha256_file(WEIGHTS)}

    def make(self, settings: EvaluateSettings, networks: Networks) -> object:
        """The recogniser. Raises WeightsError."""
        return judge()

    def inputs(self, items: Sequence[Item]) -> Callable[[Item], str]:
        """Everybody's names, groups and the bytes of everybody's references."""
        digest = _digest(items)
        return lambda item: digest

    def read(self, items: Sequence[Item], run: Path) -> Callable[[Item], ReferenceBank | None]:
        """The same people for every item, whatever their order. Raises MediaError for a picture that cannot be read."""
        shown = tuple(sorted({(item.identity, path) for item in items for path in item.references}))
        if not shown:
            return lambda item: None
        people = _people(shown, tuple(sorted(groups_of(items).items())), _digest(items))
        return lambda item: people if item.identity in people.identities else None


@lru_cache(maxsize=4)
def _people(shown: tuple[tuple[str, Path], ...], groups: tuple[tuple[str, str], ...], digest: str) -> ReferenceBank:
    """Kept by the pictures' bytes, which `digest` tells."""
    from mmbench.face.people.bank import bank_of
    from mmbench.video.image import read_image

    vectors: dict[str, list[NDArray[np.float32]]] = {}
    for identity, path in shown:
        vectors.setdefault(identity, []).append(embed(judge(), read_image(path)))
    return bank_of({name: np.stack(held) for name, held in vectors.items()}, digest, dict(groups))


def _digest(items: Sequence[Item]) -> str:
    content = cache(content_of)
    people = sorted({(item.identity, content(path)) for item in items for path in item.references})
    return sha256(repr((people, groups_of(items))).encode(errors="surrogatepass"))[:16]


def embed(recogniser: NanoRecogniser, picture: Frame) -> NDArray[np.float32]:
    """The raw vector (64,) of a picture's largest square in the middle."""
    from mmbench.face.nano.recogniser import NanoFaces

    faces = NanoFaces(recogniser)
    return faces.embed(picture, faces.whole(picture))


@lru_cache(maxsize=1)
def judge() -> NanoRecogniser:
    """The bundled second recogniser. Raises WeightsError."""
    from mmbench.face.nano.recogniser import load_recogniser

    return load_recogniser(WEIGHTS)


def provenance() -> Provenance:
    """What made the vectors."""
    import torch

    return Provenance("judge", {"nano judge": sha256_file(WEIGHTS)}, {"torch": torch.__version__})


NANO_FACES = NanoFacesNeed()
NANO_PEOPLE = NanoPeopleNeed()
