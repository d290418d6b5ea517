"""The measuring side: any frames through the suite's own passes and metrics, with every slow result kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmbench.files import sha256
from mmbench.items import Item
from mmbench.studies.validity.shots import Shot
from mmbench.studies.validity.takes import Take, TakeStore

if TYPE_CHECKING:
    from mmbench.face.people.bank import ReferenceBank
    from mmbench.face.track import FaceTrack, ReferenceFaces
    from mmbench.face.types import FaceBackend
    from mmbench.flow.flow_pass import FlowResult
    from mmbench.flow.types import FlowBackend
    from mmbench.video.clip import ClipInfo

Frames = NDArray[np.uint8]
FPS = 8.0
"""Rate the rendered clips are taken to have: the native rate of the models, so no frame is left out by any metric."""


class Lab:
    """Networks, references and caches of one process. Everything is loaded when it is first needed.

    `folder` holds the takes, the faces found and the references; it may be deleted at any time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._takes = TakeStore(folder / "takes")

    def take(self, shot: Shot) -> Take:
        """The rendered shot."""
        return self._takes.get(shot)

    @property
    def renderer(self) -> str:
        """What names the renderer: see `TakeStore.renderer`."""
        return self._takes.renderer

    @cached_property
    def faces(self) -> FaceBackend:
        """dlib: the paper's recogniser, and the only one whose weights come with a package."""
        from mmbench.face.make import make_backend

        return make_backend("dlib")

    @cached_property
    def flows(self) -> FlowBackend:
        """DIS: needs no weights. What RAFT would say differs (see the page)."""
        from mmbench.flow.make import make_flow

        return make_flow("dis")

    def track(self, frames: Frames, fps: float = FPS) -> FaceTrack:
        """The face pass over frames (N, H, W, 3)."""
        from mmbench.face.cache import FaceCache
        from mmbench.face.face_pass import FacePass

        info = clip_info(frames, fps)
        cache = FaceCache(self.folder / "faces", self.faces)
        if (known := cache.get(info)) is not None:
            return known
        face_pass = FacePass(self.faces)
        face_pass.start(info)
        for k, frame in enumerate(frames):
            face_pass.feed(k, frame)
        track = face_pass.finish()
        cache.put(info, track)
        return track

    def flow(self, frames: Frames, fps: float = FPS) -> FlowResult:
        """The flow pass over frames (N, H, W, 3), every pair."""
        from mmbench.flow.flow_pass import FlowPass

        flow_pass = FlowPass(self.flows, "full", want_smoothness=True)
        flow_pass.start(clip_info(frames, fps))
        for k, frame in enumerate(frames):
            flow_pass.feed(k, frame)
        return flow_pass.finish()

    def scores(self, person: str, frames: Frames, fps: float = FPS, flow: bool = False) -> dict[str, float]:
        """Every face metric of the suite, and with `flow` every flow metric, that has a value for these frames.

        Companions are included.
        """
        from mmbench.config import EvaluateSettings
        from mmbench.face.needs import BANK, CONDITION, FACES, REFERENCES
        from mmbench.face.people.photographs import PHOTOGRAPHS, RENDERED, Photographs
        from mmbench.flow.needs import FLOW, SMOOTH_FLOW
        from mmbench.metrics.base import ClipMetric, Evidence, Need
        from mmbench.metrics.registry import metric_classes

        known: dict[Need[Any], Any] = {
            FACES: self.track(frames, fps),
            REFERENCES: self.references(person),
            BANK: self.bank,
            CONDITION: None,
            PHOTOGRAPHS: Photographs(self.references(person), self._first(person), RENDERED),
        }
        if flow:
            known[FLOW] = known[SMOOTH_FLOW] = self.flow(frames, fps)
        item = Item(id=person, model="rendered", identity=person, video=Path("rendered"))
        evidence = Evidence(item, clip_info(frames, fps), known)
        found: dict[str, float] = {}
        for made in metric_classes().values():
            metric = made.from_settings(EvaluateSettings())
            if isinstance(metric, ClipMetric) and metric.needs and set(metric.needs) <= set(known):
                found.update({s.metric: s.value for s in metric.measure(evidence) if s.value is not None})
        return found

    def references(self, person: str) -> ReferenceFaces:
        """The faces of a person's committed reference stills."""
        return self._all_references[person]

    def shown(self, person: str) -> NDArray[np.float32]:
        """The raw embedding (128,) of the picture that models are given of a person: the first."""
        first: NDArray[np.float32] = self.references(person).embeddings[0]
        return first

    def shown_picture(self, person: str) -> Frames:
        """That picture, (H, W, 3)."""
        from mmbench.video.image import read_image

        return read_image(self.references(person).paths[0])

    def _first(self, person: str) -> NDArray[np.bool_]:
        first: NDArray[np.bool_] = np.arange(len(self.references(person).paths)) == 0
        return first

    def photo(self, person: str) -> ReferenceFaces:
        """The face of the person's frontal, neutral photo: a reference whose pose is known to be zero."""
        from PIL import Image

        from mmbench.face.people.references import reference_faces

        path = self.folder / "photos" / f"{person}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self.take(Shot(person, "photo")).frames[0]).save(path)
        return reference_faces([path], self.faces)

    @cached_property
    def bank(self) -> ReferenceBank:
        """All fifty people of synthetic50."""
        from mmbench.face.people.bank import build_bank

        return build_bank(self._all_references)

    @cached_property
    def _all_references(self) -> dict[str, ReferenceFaces]:
        from mmbench.face.people.store import Shelf, key_of, load, prepare
        from mmbench.studies.synthetic50.members import members, reference_paths
        from mmbench.testsets.synthetic50 import root

        stills = {m.name: tuple(root() / path for path in reference_paths(m)) for m in members(root())}
        items = [Item(name, "reference", name, paths[0], references=paths) for name, paths in stills.items()]
        path = self.folder / "references.npz"
        prepare(items, [Shelf(path, "", lambda: self.faces)], lambda done, of, what: None)
        known = load(path)
        found = {name: known.get(key_of(paths)) for name, paths in stills.items()}
        return {name: faces for name, faces in found.items() if faces is not None}


def clip_info(frames: Frames, fps: float = FPS) -> ClipInfo:
    """Facts of frames that were never a file; the digest is of their pixels."""
    from mmbench.video.clip import ClipInfo

    count, height, width, _ = frames.shape
    digest = sha256(np.ascontiguousarray(frames).tobytes() + repr(frames.shape).encode())
    return ClipInfo(Path("rendered"), count, width, height, fps, "manifest", fps, False, digest)


def true_track(take: Take, like: FaceTrack) -> FaceTrack:
    """The track that a perfect landmark detector would give: `like` with the true points and their tight box."""
    from dataclasses import replace

    everywhere = np.ones(len(take.points), bool)
    return replace(
        like,
        usable=everywhere,
        tiny=~everywhere,
        points=take.points,
        box=take.boxes,
        tight_box=take.boxes,
        points68=take.landmarks,
        slot_frames=like.slots,
    )


def true_photo(take: Take, like: ReferenceFaces) -> ReferenceFaces:
    """The reference that a perfect landmark detector would give of a one-frame take."""
    from dataclasses import replace

    return replace(like, points=take.points, box=take.boxes, tight_box=take.boxes, points68=take.landmarks)


def every(frames: Frames, indices: Sequence[int]) -> Frames:
    """Frames at `indices`, in that order."""
    return np.ascontiguousarray(frames[list(indices)])
