"""The nano world's people as its second recogniser sees them: it conditions no model and was trained on other people.

Only for heads and shoulders of rendered people. Its figures stand under its own name beside dlib's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from mmbench.files import content_of, sha256, sha256_file
from mmbench.scores import Provenance
from mmbench.video.need import FrameNeed, Maker, Need, Networks, RunNeed

if TYPE_CHECKING:
    from mmbench.config import EvaluateSettings
    from mmbench.face.nano.recogniser import NanoRecogniser
    from mmbench.files import Progress
    from mmbench.items import Item
    from mmbench.video.clip import ClipInfo, Frame

WEIGHTS: Final = Path(__file__).parent / "judge.safetensors"
"""Trained by this project (`mmbench nano judges`); its card is NANO.md beside the nano model."""


@dataclass(frozen=True)
class NanoFacesSeen:
    """`vectors` float32 (T, 64), raw, one a frame."""

    vectors: NDArray[np.float32]
    provenance: Provenance


@dataclass(frozen=True)
class NanoPeople:
    """Everybody of a run: `identities` sorted, their `groups`, and `centroids` float64 (I, 64), unit.

    `digest` tells other people apart.
    """

    identities: tuple[str, ...]
    groups: tuple[str, ...]
    centroids: NDArray[np.float64]
    digest: str


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


class NanoPeopleNeed(RunNeed[NanoPeople]):
    """All people of a run by the second recogniser, from their reference pictures."""

    name = "nano people"
    store = "nano people"
    reads = ("identity", "group")

    def depends_on(self, settings: EvaluateSettings) -> dict[str, Any]:
        """Its bundled weights."""
        return {"weights": sha256_file(WEIGHTS)}

    def make(self, settings: EvaluateSettings, networks: Networks) -> object:
        """The recogniser. Raises WeightsError."""
        return judge()

    def prepare(
        self,
        items: Sequence[Item],
        settings: EvaluateSettings,
        networks: Networks,
        wanted: Collection[Need[Any]],
        run: Path,
        progress: Progress,
    ) -> None:
        """Nothing to keep: a picture takes half a millisecond."""

    def inputs(self, items: Sequence[Item]) -> Callable[[Item], str]:
        """Everybody's names, groups and the bytes of everybody's references."""
        digest = _digest(items)
        return lambda item: digest

    def read(self, items: Sequence[Item], run: Path) -> Callable[[Item], NanoPeople | None]:
        """The same people for every item, whatever their order; None where nobody has a reference."""
        shown = {
            (item.identity, item.group or "", path) for item in items for path in item.references if path.is_file()
        }
        if not shown:
            return lambda item: None
        people = _people(tuple(sorted(shown)), _digest(items))
        return lambda item: people


@lru_cache(maxsize=4)
def _people(shown: tuple[tuple[str, str, Path], ...], digest: str) -> NanoPeople:
    from mmbench.video.image import read_image

    vectors: dict[str, list[NDArray[np.float64]]] = {}
    groups = {}
    for identity, group, path in shown:
        vectors.setdefault(identity, []).append(unit(embed(judge(), read_image(path))))
        groups[identity] = group
    names = tuple(sorted(vectors))
    centroids = np.stack([unit(np.mean(vectors[name], axis=0)) for name in names])
    return NanoPeople(names, tuple(groups[name] for name in names), centroids, digest)


def _digest(items: Sequence[Item]) -> str:
    people = {(item.identity, item.group or "", content_of(path)) for item in items for path in item.references}
    return sha256(repr(sorted(people)).encode(errors="surrogatepass"))[:16]


def unit(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Rows (..., D) of length 1, float64."""
    rows = np.asarray(vectors, np.float64)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12))


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
