"""What columns under their authors' names may ask of faces: one look at a clip serves all three networks.

The picture that a face is compared with is the first that the model was shown.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.face.official.cuts import CutPass, FaceCut
from mmbench.face.official.eyes import (
    DETECTOR,
    REGISTERED,
    OfficialDetector,
    OfficialEyes,
    OfficialFaces,
    Reader,
    check,
    make_eyes,
)
from mmbench.files import content_of
from mmbench.video.need import FrameNeed, Look, Maker, Need, Networks, RunNeed

if TYPE_CHECKING:
    from mmbench.config import EvaluateSettings
    from mmbench.files import Progress
    from mmbench.items import Item


class OfficialMaker(Maker[OfficialFaces]):
    """Passes of one detector; whoever reads its cuts looks together."""

    def __init__(self, eyes: OfficialEyes) -> None:
        super().__init__(self._alone)
        self.eyes = eyes
        self.shares: Hashable = ("official faces", id(eyes.detector))

    def look(self, beside: Sequence[Maker[Any]] = ()) -> Look:
        """One detection for all; every network reads the cuts."""
        readers = [self.eyes, *(maker.eyes for maker in beside if isinstance(maker, OfficialMaker))]
        made = CutPass(self.eyes.detector.scrfd)

        def results() -> list[OfficialFaces]:
            cuts: Mapping[int, FaceCut | None] = made.finish()
            return [eyes.of_clip(cuts) for eyes in readers]

        return Look(made, results)

    def _alone(self) -> Any:
        raise NotImplementedError("an official look is made by `look`")


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
        tiny, device = settings.random_weights, settings.device
        detector = networks.once(("official detector", tiny, device), lambda: OfficialDetector(tiny, device))
        eyes = networks.once(("official", self.reader, tiny, device), lambda: make_eyes(self.reader, detector))
        return OfficialMaker(eyes)

    def check(self, settings: EvaluateSettings) -> None:
        """Raise MissingWeights or MissingDependency where a file or onnxruntime is not here."""
        check(self.reader, settings.random_weights)


class ShownPicture(RunNeed[Path]):
    """The picture of the person that the model was given; of several the first. None for an item without references."""

    name = "shown picture"
    store = "shown picture"
    reads = ()

    def depends_on(self, settings: EvaluateSettings) -> dict[str, Any]:
        """Nothing but the picture."""
        return {}

    def make(self, settings: EvaluateSettings, networks: Networks) -> object:
        """Nothing to load."""
        return None

    def prepare(
        self,
        items: Sequence[Item],
        settings: EvaluateSettings,
        networks: Networks,
        wanted: Collection[Need[Any]],
        run: Path,
        progress: Progress,
    ) -> None:
        """Nothing to find: each clip's networks read the picture, once a process."""

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
