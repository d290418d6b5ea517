"""What travels between the stages, and the protocols of the networks that they ask."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from mmbench.face.types import Face
    from mmbench.video.clip import Frame

Size = tuple[int, int]
"""(height, width) in pixels."""
Box = tuple[float, float, float, float]
Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class FaceNote:
    """A face in a picture file: box (left, top, right, bottom) and five points in its pixels, detector's score."""

    box: Box
    points: Points
    score: float

    @classmethod
    def of(cls, face: Face) -> FaceNote:
        """What is kept of a detected face, to a hundredth of a pixel."""
        left, top, right, bottom = (round(float(edge), 2) for edge in face.box)
        points = tuple((round(float(x), 2), round(float(y), 2)) for x, y in face.points)
        return cls((left, top, right, bottom), points, round(float(face.score), 4))

    def face(self) -> Face:
        """The face again, float32."""
        from mmbench.face.types import Face

        box = np.array(self.box, np.float32)
        return Face(box=box, score=self.score, points=np.array(self.points, np.float32), points68=None, tight_box=box)


@dataclass(frozen=True)
class ReferenceNote:
    """A reference picture's file, its face, and its cosine to the record's own face."""

    file: str
    face: FaceNote
    cosine: float | None = None


@dataclass(frozen=True)
class Candidate:
    """A picture or clip on its way to become a record; every stage fills in what it finds.

    `key`: unique in its source. `origin`: the address or the path it came from. `file`: the picture or video, relative
    to the source's folder or absolute. `frames`: numbers of the video's frames that are the clip. `caption` carries the
    trigger. `track`: file of a clip's boxes and points. `vector`: the face's recognition vector (`packed`).
    Without `references` the picture is its own one.
    """

    key: str
    origin: str = ""
    file: str = ""
    kind: Literal["image", "clip"] = "image"
    identity: str = ""
    frames: tuple[int, ...] = ()
    caption: str = ""
    class_word: str = ""
    face: FaceNote | None = None
    track: str = ""
    vector: str = ""
    references: tuple[ReferenceNote, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The fields that are set, as JSON values."""
        return {name: value for name, value in asdict(self).items() if value not in ("", (), None, {})}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Candidate:
        """The candidate of a document. Raises KeyError, TypeError or ValueError for another's."""
        held = dict(document)
        held["frames"] = tuple(held.get("frames", ()))
        if held.get("face") is not None:
            held["face"] = _face(held["face"])
        held["references"] = tuple(
            ReferenceNote(note["file"], _face(note["face"]), note["cosine"]) for note in held.get("references", ())
        )
        return cls(**held)


def _face(document: Mapping[str, Any]) -> FaceNote:
    left, top, right, bottom = document["box"]
    return FaceNote((left, top, right, bottom), tuple((x, y) for x, y in document["points"]), document["score"])


def packed(vector: NDArray[np.float32]) -> str:
    """A float32 vector as text."""
    return base64.b64encode(np.ascontiguousarray(vector, dtype="<f4").tobytes()).decode()


def unpacked(text: str) -> NDArray[np.float32]:
    """The vector of `packed`."""
    return np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float32)


@dataclass(frozen=True)
class Dropped:
    """What a filter dropped: its key, the filter, what was measured (or the error), and the file to look at."""

    key: str
    filter: str
    value: float | str
    file: str = ""
    frame: int = 0


class Captioner(Protocol):
    """Describes a picture, or a clip by some of its frames."""

    def caption(self, frames: Sequence[Frame]) -> str:
        """One or two English sentences about frames (H, W, 3) uint8 RGB."""


class Generator(Protocol):
    """Makes a picture of a person: PhotoMaker-V2 for the paper."""

    def make(self, prompt: str, references: Sequence[Frame], size: Size, seed: int) -> Frame:
        """(H, W, 3) uint8 RGB; `prompt` carries the trigger. Equal arguments give equal pictures."""


class Judge(Protocol):
    """Says how sure it is that a picture is not to be shown at work."""

    def score(self, picture: Frame) -> float:
        """0 to 1."""


class Encoder(Protocol):
    """The base's codec and text encoder. `name`: the text encoder's, with its revision; `rows`: its token count."""

    name: str
    rows: int

    def latents(self, frames: NDArray[np.uint8]) -> Tensor:
        """Unscaled latents [T', C, h, w] of frames [4 T' - 3, H, W, 3]."""

    def text(self, caption: str) -> Tensor:
        """Rows [N_t, text_dim] of a caption without its trigger."""

    def word_rows(self, caption: str) -> tuple[int, ...]:
        """The rows of the word before the trigger. Raises RequestError where it has none among them."""
