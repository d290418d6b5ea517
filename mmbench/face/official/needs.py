"""What columns under their authors' names may ask of faces: one look at a clip serves all three networks.

SCRFD and ArcFace are the networks of `mmbench.face.needs`, loaded once for both. Their looks stay apart: the protocols
see pictures at 320 px, some forty frames a clip, and what is found at another size is another column's number. The
picture that a face is compared with is the first that the model was shown.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.face.needs import arcface_backend, scrfd_detector
from mmbench.face.official.cuts import CutPass
from mmbench.face.official.eyes import (
    DETECTOR,
    REGISTERED,
    OfficialEyes,
    OfficialFaces,
    Reader,
    arc_eyes,
    check,
    torch_eyes,
)
from mmbench.files import content_of
from mmbench.video.need import FrameNeed, ItemNeed, Look, Maker, Networks

if TYPE_CHECKING:
    from mmbench.config import EvaluateSettings
    from mmbench.items import Item


class ReadPass:
    """A `FramePass` that finds and cuts each wanted frame's face once, for all networks of `eyes`, of one detector."""

    name = CutPass.name

    def __init__(self, *eyes: OfficialEyes) -> None:
        self._eyes, self._cuts = eyes, CutPass(eyes[0].finder)
        self.start, self.feed = self._cuts.start, self._cuts.feed

    def finish(self) -> OfficialFaces:
        """What the first network reads."""
        return self._eyes[0].of_clip(self._cuts.finish())

    def finish_all(self) -> list[OfficialFaces]:
        """What each network reads."""
        cuts = self._cuts.finish()
        return [eyes.of_clip(cuts) for eyes in self._eyes]


class OfficialMaker(Maker[OfficialFaces]):
    """Passes of one detector; whoever reads its cuts looks together."""

    def __init__(self, eyes: OfficialEyes) -> None:
        super().__init__(partial(ReadPass, eyes))
        self.eyes = eyes
        self.shares: Hashable = ("official faces", id(eyes.detector))

    def look(self, beside: Sequence[Maker[Any]] = ()) -> Look:
        """One detection for all; every network reads the cuts."""
        made = ReadPass(self.eyes, *(maker.eyes for maker in beside if isinstance(maker, OfficialMaker)))
        return Look(made, made.finish_all)


class OfficialNeed(FrameNeed[OfficialFaces]):
    """The largest face of the frames that ConsisID's and OpenS2V's scripts look at, read by one network."""

    reads = ()

    def __init__(self, reader: Reader, name: str) -> None:
        self.reader, self.name = reader, name

    def depends_on(self, settings: EvaluateSettings) -> dict[str, Any]:
        """Detector, network and device."""
        from mmbench.weights.identity import identity

        names = () if settings.random_weights else (DETECTOR, REGISTERED[self.reader])
        random = settings.random_weights
        return {"device": settings.device, "random": random, "weights": [identity(name) for name in names]}

    def make(self, settings: EvaluateSettings, networks: Networks) -> OfficialMaker:
        """The network behind the shared detector. Raises MissingWeights, WeightsError, MissingDependency."""
        self.check(settings)
        key = ("official", self.reader, settings.random_weights, settings.device)
        return OfficialMaker(networks.once(key, partial(self._eyes, settings, networks)))

    def _eyes(self, settings: EvaluateSettings, networks: Networks) -> OfficialEyes:
        if self.reader == "arc":
            return arc_eyes(arcface_backend(settings, networks))
        return torch_eyes(self.reader, scrfd_detector(settings, networks))

    def check(self, settings: EvaluateSettings) -> None:
        """Raise MissingWeights or MissingDependency where a file or onnxruntime is not here."""
        check(self.reader, settings.random_weights)


class ShownPicture(ItemNeed[Path]):
    """The picture of the person that the model was given; of several the first. None for an item without references."""

    name = "shown picture"
    reads = ()

    def depends_on(self, settings: EvaluateSettings) -> dict[str, Any]:
        """Nothing but the picture."""
        return {}

    def inputs(self, items: Sequence[Item]) -> Callable[[Item], str]:
        """The picture's bytes."""
        return lambda item: content_of(path) if (path := _shown(item)) else ""

    def read(self, items: Sequence[Item], run: Path) -> Callable[[Item], Path | None]:
        """The picture's file."""
        return _shown


def _shown(item: Item) -> Path | None:
    return next(iter(item.shown or item.references), None)


OFFICIAL_ARC = OfficialNeed("arc", "official ArcFace")
OFFICIAL_CUR = OfficialNeed("cur", "official CurricularFace")
OFFICIAL_FEATURES = OfficialNeed("features", "official face features")
SHOWN_PICTURE = ShownPicture()
