"""What metrics may ask of faces: the main face of a clip, the reference faces, and all people of the run.

The columns of dlib's scale have dlib's recogniser, whatever finds the faces. With the face backend "insightface" one
SCRFD serves these and ArcFace's column.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.errors import MissingDependency, MissingWeights, WeightsError
from mmbench.face.types import VERSION
from mmbench.files import cache_folder, content_of, sha256
from mmbench.video.need import FrameNeed, Look, Maker, Need, Networks, RunNeed, T

if TYPE_CHECKING:
    from mmbench.config import EvaluateSettings
    from mmbench.face.face_pass import FacePass, Frames
    from mmbench.face.insightface.eyes import InsightFaceBackend, ScrfdDetector
    from mmbench.face.people.bank import ReferenceBank
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
    """What finds and embeds the faces of every face column but ArcFace's.

    Random weights where the settings say so; dlib's real ones come with its package.
    """
    name, tiny, device = settings.face.backend, settings.random_weights, settings.device

    def make() -> FaceBackend:
        if name == "insightface":
            from mmbench.face.insightface.eyes import InsightFaceDlibBackend

            return InsightFaceDlibBackend(device=device, detector=scrfd_detector(settings, networks))
        from mmbench.face.make import make_backend

        return make_backend(name, tiny=tiny, device=device)

    return networks.once(("faces", name, tiny, device), make)


def arcface_backend(settings: EvaluateSettings, networks: Networks) -> InsightFaceBackend:
    """SCRFD and ArcFace; the SCRFD of `own_backend` where that one has it too."""

    def make() -> InsightFaceBackend:
        from mmbench.face.insightface.eyes import InsightFaceBackend

        return InsightFaceBackend(detector=scrfd_detector(settings, networks))

    return networks.once(("arcface", settings.random_weights, settings.device), make)


def scrfd_detector(settings: EvaluateSettings, networks: Networks) -> ScrfdDetector:
    """SCRFD's network, once a process for all face columns, those under their authors' names too.

    Raises as `mmbench.face.insightface.eyes.ScrfdDetector`.
    """

    def make() -> ScrfdDetector:
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
    revision = VERSION
    reads = ()

    def depends_on(self, settings: EvaluateSettings) -> dict[str, Any]:
        """Detector and recogniser, and which frames are looked at."""
        return {**_own_depends_on(settings), "frames": settings.face.frames}

    def gpu_bytes(self, settings: EvaluateSettings) -> int:
        """RetinaFace's budget where it finds the faces."""
        if settings.face.backend != "retinaface":
            return 0
        from mmbench.face.retinaface.eyes import GPU_BUDGET

        return GPU_BUDGET

    def make(self, settings: EvaluateSettings, networks: Networks) -> FaceMaker:
        """See `own_backend`."""
        return FaceMaker(own_backend(settings, networks), settings.face.frames)

    def check(self, settings: EvaluateSettings) -> None:
        """Raise MissingWeights or MissingDependency for the settings' face backend."""
        _check_own(settings)


class ArcFaces(FrameNeed["FaceTrack"]):
    """The main face of a clip, embedded by ArcFace.

    In the sampled frames alone, unless the run's face backend is ArcFace's own.
    """

    name = "arcface"
    revision = VERSION
    reads = ()

    def depends_on(self, settings: EvaluateSettings) -> dict[str, Any]:
        """Detector and recogniser, and which frames are looked at."""
        return {**_arcface_depends_on(settings), "frames": _arcface_frames(settings)}

    def make(self, settings: EvaluateSettings, networks: Networks) -> FaceMaker:
        """See `arcface_backend`."""
        return FaceMaker(arcface_backend(settings, networks), _arcface_frames(settings))

    def check(self, settings: EvaluateSettings) -> None:
        """Raise MissingWeights or MissingDependency for insightface."""
        _check_arcface(settings)


class ReferenceNeed(RunNeed[T]):
    """What is read of the reference faces of one backend, found once a run and kept in `<run>/references`."""

    store = "references"
    reads = ()

    def depends_on(self, settings: EvaluateSettings) -> dict[str, Any]:
        """Detector and recogniser."""
        return _own_depends_on(settings)

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
        from mmbench.face.people.store import LAYOUT, Shelf, prepare

        def shelf(need: ReferenceNeed[Any]) -> Shelf:
            maker = sha256(json.dumps([LAYOUT, need.revision, need.depends_on(settings)], sort_keys=True).encode())
            return Shelf(_store(run, need), maker, partial(need.make, settings, networks))

        shelves = [shelf(self)]
        if (
            self.store != ARCFACE_REFERENCES.store
            and ARCFACE_REFERENCES in wanted
            and settings.face.backend == "insightface"
        ):
            try:
                ARCFACE_REFERENCES.make(settings, networks)
            except (MissingWeights, MissingDependency, WeightsError):
                pass  # said when its own turn comes
            else:
                shelves.append(shelf(ARCFACE_REFERENCES))
        prepare(items, shelves, progress)

    def known(self, run: Path) -> dict[str, ReferenceFaces | None]:
        """What `prepare` kept, by the pictures' bytes."""
        from mmbench.face.people.store import load

        return load(_store(run, self))


class References(ReferenceNeed["ReferenceFaces"]):
    """The faces of an item's reference pictures."""

    name = "references"

    def read(self, items: Sequence[Item], run: Path) -> Callable[[Item], ReferenceFaces | None]:
        """The faces of one item's references."""
        from mmbench.face.people.store import keys_once

        known, key = self.known(run), keys_once()
        return lambda item: known.get(key(item.references))

    def notes(self, items: Sequence[Item], run: Path) -> Sequence[str]:
        """Pictures with several faces, and references of one person that do not look alike."""
        from mmbench.face.people.store import keys_once

        known, key = self.known(run), keys_once()
        sets = dict.fromkeys(item.references for item in items if item.references)
        found = [faces.notes for paths in sets if (faces := known.get(key(paths))) is not None]
        return tuple(dict.fromkeys(note for notes in found for note in notes))

    def inputs(self, items: Sequence[Item]) -> Callable[[Item], str]:
        """The bytes of the item's references."""
        from mmbench.face.people.store import keys_once

        key = keys_once()
        return lambda item: key(item.references)


class ArcFaceReferences(References):
    """The same, embedded by ArcFace."""

    name = "arcface references"
    store = "arcface"

    def depends_on(self, settings: EvaluateSettings) -> dict[str, Any]:
        """Detector and recogniser."""
        return _arcface_depends_on(settings)

    def make(self, settings: EvaluateSettings, networks: Networks) -> FaceBackend:
        """See `arcface_backend`."""
        return arcface_backend(settings, networks)

    def check(self, settings: EvaluateSettings) -> None:
        """As `ArcFaces`."""
        _check_arcface(settings)


class Condition(ReferenceNeed["ReferenceFaces"]):
    """The face of the conditioning frame of an image-to-video model; None for other models."""

    name = "conditioning frame"

    def read(self, items: Sequence[Item], run: Path) -> Callable[[Item], ReferenceFaces | None]:
        """The face of one item's conditioning frame."""
        from mmbench.face.people.store import keys_once

        known, key = self.known(run), keys_once()
        return lambda item: known.get(key((item.condition,))) if item.condition else None

    def inputs(self, items: Sequence[Item]) -> Callable[[Item], str]:
        """The bytes of the item's conditioning frame."""
        return lambda item: content_of(item.condition) if item.condition else ""


class Bank(ReferenceNeed["ReferenceBank"]):
    """All people of the run side by side: whom else a face could be."""

    name = "reference bank"

    def read(self, items: Sequence[Item], run: Path) -> Callable[[Item], ReferenceBank | None]:
        """The same bank for every item, whatever their order; None where no reference is known."""
        from mmbench.face.people.bank import build_bank

        people = faces_of_people(items, self.known(run))
        bank = build_bank(people, _digest_of_bank(items), groups_of(items)) if people else None
        return lambda item: bank

    def inputs(self, items: Sequence[Item]) -> Callable[[Item], str]:
        """Everybody's names, groups and the bytes of everybody's references."""
        digest = _digest_of_bank(items)
        return lambda item: digest


def groups_of(items: Sequence[Item]) -> dict[str, str]:
    """The group of every identity that has one; of several the first by name."""
    found: dict[str, str] = {}
    for identity, group in sorted({(item.identity, item.group) for item in items if item.group}):
        found.setdefault(identity, group)
    return found


def _digest_of_bank(items: Sequence[Item]) -> str:
    return sha256(json.dumps([digest_of_people(items), groups_of(items)], sort_keys=True).encode())[:16]


def digest_of_people(items: Sequence[Item]) -> str:
    """Tells runs of other people, or of other pictures of them, apart."""
    return sha256(json.dumps(_people(items), sort_keys=True).encode())[:16]


def faces_of_people(
    items: Sequence[Item], known: Mapping[str, ReferenceFaces | None]
) -> dict[str, list[ReferenceFaces]]:
    """Everybody's reference faces, by identity, in an order that is not the items'."""
    people = {}
    for identity, keys in _people(items).items():
        if faces := [found for key in keys if (found := known.get(key)) is not None]:
            people[identity] = faces
    return people


def _people(items: Sequence[Item]) -> dict[str, list[str]]:
    """The keys of each identity's sets of references, all sorted: nothing depends on the order of a run's items."""
    from mmbench.face.people.store import keys_once

    key = keys_once()
    found: dict[str, set[str]] = {}
    for item in items:
        if item.references:
            found.setdefault(item.identity, set()).add(key(item.references))
    return {identity: sorted(found[identity]) for identity in sorted(found)}


FACES = Faces()
ARCFACE = ArcFaces()
REFERENCES = References()
ARCFACE_REFERENCES = ArcFaceReferences()
CONDITION = Condition()
BANK = Bank()


def _store(run: Path, need: ReferenceNeed[Any]) -> Path:
    return run / "references" / f"{need.store}.npz"


def _arcface_frames(settings: EvaluateSettings) -> Frames:
    return settings.face.frames if settings.face.backend == "insightface" else "sampled"


def _own_depends_on(settings: EvaluateSettings) -> dict[str, Any]:
    own = settings.face.backend
    names = DLIB if own != "dlib" and settings.random_weights else DLIB + DETECTOR_WEIGHTS[own]
    return _depends_on(settings, own, names, random=own != "dlib" and settings.random_weights)


def _arcface_depends_on(settings: EvaluateSettings) -> dict[str, Any]:
    random = settings.random_weights
    return _depends_on(settings, "insightface", () if random else ARCFACE_WEIGHTS, random=random)


def _depends_on(settings: EvaluateSettings, backend: str, names: Sequence[str], *, random: bool) -> dict[str, Any]:
    from mmbench.weights.identity import identity

    # None as in the rows of the time when dlib's networks knew no device.
    device = None if (backend, settings.device) == ("dlib", "cpu") else settings.device
    return {"backend": backend, "device": device, "random": random, "weights": [identity(name) for name in names]}


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
