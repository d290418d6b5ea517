"""What metrics may ask of faces: the main face of a clip, the reference faces, and all people of the run.

The columns of dlib's scale have dlib's recogniser, whatever finds the faces. With the face backend "insightface" one
SCRFD serves these and ArcFace's column.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.errors import MissingDependency, MissingWeights, WeightsError
from mmbench.files import cache_folder
from mmbench.video.need import FrameNeed, Look, Maker, Need, Networks, RunNeed, T

if TYPE_CHECKING:
    from mmbench.config import EvaluateSettings
    from mmbench.face.bank import ReferenceBank
    from mmbench.face.face_pass import FacePass, Frames
    from mmbench.face.track import FaceTrack, ReferenceFaces
    from mmbench.face.types import FaceBackend
    from mmbench.files import Progress
    from mmbench.items import Item
    from mmbench.video.clip import ClipInfo

DLIB = ("dlib-landmarks-5", "dlib-recogniser")
DETECTOR_WEIGHTS = {
    "dlib": ("dlib-detector-mmod", "dlib-landmarks-68"),
    "insightface": ("buffalo-l-det-10g",),
    "retinaface": ("retinaface-resnet50",),
}
ARCFACE_WEIGHTS = ("buffalo-l-det-10g", "buffalo-l-w600k-r50")


def own_backend(settings: EvaluateSettings, networks: Networks) -> FaceBackend:
    """What finds and embeds the faces of every face column but ArcFace's; random weights where the settings say so
    (dlib's real ones come with its package)."""
    name, tiny, device = settings.face.backend, settings.random_weights, settings.device

    def make() -> FaceBackend:
        if name == "insightface":
            from mmbench.face.insightface.eyes import InsightFaceDlibBackend

            return InsightFaceDlibBackend(detector=_scrfd(settings, networks))
        from mmbench.face.make import make_backend

        return make_backend(name, tiny=tiny, device=device)

    return networks.once(("faces", name, tiny, device), make)


def arcface_backend(settings: EvaluateSettings, networks: Networks) -> FaceBackend:
    """SCRFD and ArcFace; the SCRFD of `own_backend` where that one has it too."""

    def make() -> FaceBackend:
        from mmbench.face.insightface.eyes import InsightFaceBackend

        return InsightFaceBackend(detector=_scrfd(settings, networks))

    return networks.once(("arcface", settings.random_weights, settings.device), make)


def _scrfd(settings: EvaluateSettings, networks: Networks) -> Any:
    def make() -> Any:
        from mmbench.face.insightface.eyes import ScrfdDetector

        return ScrfdDetector(settings.random_weights, settings.device)

    return networks.once(("scrfd", settings.random_weights, settings.device), make)


class FaceMaker(Maker["FaceTrack"]):
    """Face passes of one backend, kept between runs. Backends of one detector look together."""

    def __init__(self, backend: FaceBackend, frames: Frames) -> None:
        from mmbench.face.cache import FaceCache
        from mmbench.face.face_pass import FacePass

        super().__init__(partial(FacePass, backend, frames))
        self.backend, self.frames = backend, frames
        self.shares: Hashable = (id(getattr(backend, "detector", backend)), frames)
        self._cache = FaceCache(cache_folder("faces"), backend, frames)

    def look(self, beside: Sequence[Maker[Any]] = ()) -> Look:
        """One detection for all; every backend embeds the faces it found."""
        from mmbench.face.face_pass import FacePass

        also = [maker.backend for maker in beside if isinstance(maker, FaceMaker)]
        made: FacePass = FacePass(self.backend, self.frames, also=also)
        return Look(made, made.finish_all)

    def known(self, clip: ClipInfo) -> FaceTrack | None:
        """The track of an earlier run over these bytes with these networks."""
        return self._cache.get(clip)

    def keep(self, clip: ClipInfo, found: FaceTrack) -> None:
        """Keep a track for later runs."""
        self._cache.put(clip, found)


class Faces(FrameNeed["FaceTrack"]):
    """The main face of a clip over time, embedded by dlib's recogniser."""

    name = "faces"

    def make(self, settings: EvaluateSettings, networks: Networks) -> FaceMaker:
        """See `own_backend`."""
        return FaceMaker(own_backend(settings, networks), settings.face.frames)

    def check(self, settings: EvaluateSettings) -> None:
        """Raise MissingWeights or MissingDependency for the settings' face backend."""
        _check_own(settings)


class ArcFaces(FrameNeed["FaceTrack"]):
    """The main face of a clip, embedded by ArcFace: in the sampled frames alone, unless the run's face backend is
    ArcFace's own."""

    name = "arcface"

    def make(self, settings: EvaluateSettings, networks: Networks) -> FaceMaker:
        """See `arcface_backend`."""
        frames = settings.face.frames if settings.face.backend == "insightface" else "sampled"
        return FaceMaker(arcface_backend(settings, networks), frames)

    def check(self, settings: EvaluateSettings) -> None:
        """Raise MissingWeights or MissingDependency for insightface."""
        _check_arcface(settings)


class _References(RunNeed[T]):
    """What is read of the reference faces of one backend, found once a run and kept in `<run>/references`."""

    store = "references"

    def make(self, settings: EvaluateSettings, networks: Networks) -> FaceBackend:
        """The backend whose embeddings these are."""
        return own_backend(settings, networks)

    def check(self, settings: EvaluateSettings) -> None:
        """As the faces these are compared with."""
        _check_own(settings)

    def prepare(
        self,
        items: Sequence[Item],
        settings: EvaluateSettings,
        networks: Networks,
        wanted: Collection[Need[Any]],
        run: Path,
        progress: Progress,
    ) -> None:
        """Find the faces of all references and conditioning frames; for ArcFace too where the detector is its own.

        Raises ReferenceFaceError naming every reference without a face.
        """
        from mmbench.face.reference_store import prepare

        makers = {_store(run, self): partial(self.make, settings, networks)}
        if self != ARCFACE_REFERENCES and ARCFACE_REFERENCES in wanted and settings.face.backend == "insightface":
            try:
                ARCFACE_REFERENCES.make(settings, networks)
            except (MissingWeights, MissingDependency, WeightsError):
                pass  # said when its own turn comes
            else:
                makers[_store(run, ARCFACE_REFERENCES)] = partial(ARCFACE_REFERENCES.make, settings, networks)
        prepare(items, makers, progress)

    def _known(self, run: Path) -> dict[str, ReferenceFaces]:
        from mmbench.face.reference_store import load

        path = _store(run, self)
        return load(path) if path.exists() else {}


class References(_References["ReferenceFaces"]):
    """The faces of an item's reference pictures."""

    name = "references"

    def read(self, items: Sequence[Item], run: Path) -> Callable[[Item], ReferenceFaces | None]:
        """The faces of one item's references."""
        from mmbench.face.reference_store import lookup

        known = self._known(run)
        return lambda item: lookup(known, item.references)


class ArcFaceReferences(References):
    """The same, embedded by ArcFace."""

    name = "arcface references"
    store = "arcface"

    def make(self, settings: EvaluateSettings, networks: Networks) -> FaceBackend:
        """See `arcface_backend`."""
        return arcface_backend(settings, networks)

    def check(self, settings: EvaluateSettings) -> None:
        """As `ArcFaces`."""
        _check_arcface(settings)


class Condition(_References["ReferenceFaces"]):
    """The face of the conditioning frame of an image-to-video model; None for other models."""

    name = "conditioning frame"

    def read(self, items: Sequence[Item], run: Path) -> Callable[[Item], ReferenceFaces | None]:
        """The face of one item's conditioning frame."""
        from mmbench.face.reference_store import lookup

        known = self._known(run)
        return lambda item: lookup(known, (item.condition,)) if item.condition else None


class Bank(_References["ReferenceBank"]):
    """All people of the run side by side: whom else a face could be."""

    name = "reference bank"

    def read(self, items: Sequence[Item], run: Path) -> Callable[[Item], ReferenceBank | None]:
        """The same bank for every item; None where no reference is known."""
        from mmbench.face.bank import build_bank
        from mmbench.face.reference_store import lookup

        known = self._known(run)
        people = {item.identity: lookup(known, item.references) for item in items}
        found = {identity: faces for identity, faces in people.items() if faces is not None}
        bank = build_bank(found) if found else None
        return lambda item: bank


FACES = Faces()
ARCFACE = ArcFaces()
REFERENCES = References()
ARCFACE_REFERENCES = ArcFaceReferences()
CONDITION = Condition()
BANK = Bank()


def _store(run: Path, need: _References[Any]) -> Path:
    return run / "references" / f"{need.store}.npz"


def _check_own(settings: EvaluateSettings) -> None:
    own = settings.face.backend
    _check(DLIB + (DETECTOR_WEIGHTS[own] if own == "dlib" or not settings.random_weights else ()), own)


def _check_arcface(settings: EvaluateSettings) -> None:
    _check(() if settings.random_weights else ARCFACE_WEIGHTS, "insightface")


def _check(names: Sequence[str], backend: str) -> None:
    from mmbench.weights import path

    if backend == "insightface":
        from mmbench.face.insightface.session import import_onnxruntime

        import_onnxruntime()
    for name in names:
        path(name)
