"""FaceSim-Arc, FaceSim-Cur and the face distance called FID, as ConsisID and OpenS2V-Nexus compute them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mmbench.face.official.cuts import COUNTS, frames_of
from mmbench.face.official.eyes import OfficialFaces
from mmbench.face.official.needs import OFFICIAL_ARC, OFFICIAL_CUR, OFFICIAL_FEATURES, SHOWN_PICTURE
from mmbench.metrics.arrays import as_array
from mmbench.metrics.base import ClipMetric, Evidence, Floats, MetricFacts, Need
from mmbench.scores import Score

SOURCE = {
    "consisid": "ConsisID (CVPR 2025), eval/get_facesim_fid.py",
    "opens2v": "OpenS2V-Nexus (NeurIPS 2025), eval/get_facesim.py",
}
FAULTS = (
    "Frames without a face are left out, so a face seen once counts as much as one seen always (read face_rate); "
    "copying the picture shown scores highest (read copy_gap). "
)
NO_FACE = "no_face: no frame has a face, for which the protocol says 0."


@dataclass(frozen=True)
class FaceSim:
    """`value`, and how many of the protocol's frames it is the mean of."""

    value: float
    counted: int
    frames: int


def facesim(vectors: Floats, reference: Floats, drop_zeros: bool = False) -> FaceSim:
    """Mean over frames with a face of the cosine with one reference, negative ones being 0.

    vectors (K, D) raw, NaN rows where there is no face; reference (D,) raw. `drop_zeros` leaves out frames whose value
    is 0 too, as OpenS2V does for FaceSim-Cur. 0 where no frame is left. Raises ValueError for a reference of length 0.
    """
    target = np.asarray(reference, np.float64)
    if not (length := np.linalg.norm(target)) > 0:
        raise ValueError("the reference has no direction to compare with")
    faces = np.asarray(vectors, np.float64)
    faces = faces[np.isfinite(faces).all(axis=1)]
    cosines = np.maximum(0.0, faces @ (target / length) / np.linalg.norm(faces, axis=1)) if len(faces) else np.empty(0)
    kept = cosines[cosines != 0] if drop_zeros else cosines
    return FaceSim(float(kept.mean()) if kept.size else 0.0, int(kept.size), len(vectors))


def feature_distance(features: Floats, reference: Floats) -> FaceSim:
    """Mean over frames with a face of the squared distance between its features and the reference's.

    features (K, D), NaN rows where there is no face; reference (D,). A Frechet distance of two sets of one picture,
    each counted twice: both covariances are 0, and the distance of the means is left. 0 where no frame has a face.
    """
    rows = np.asarray(features, np.float64)
    rows = rows[np.isfinite(rows).all(axis=1)]
    apart = ((rows - np.asarray(reference, np.float64)) ** 2).sum(axis=1) if len(rows) else np.empty(0)
    return FaceSim(float(apart.mean()) if apart.size else 0.0, int(apart.size), len(features))


def _facts(network: str, title: str, protocol: str, caveats: str) -> MetricFacts:
    count = COUNTS[protocol]
    own = " and frames whose value is 0" if (network, protocol) == ("cur", "opens2v") else ""
    return MetricFacts(
        name=f"facesim_{network}" + ("" if protocol == "consisid" else f"_{protocol}"),
        title=f"{title} ({'ConsisID' if protocol == 'consisid' else 'OpenS2V'})",
        higher_is_better=True,
        unit="cosine",
        range=(0.0, 1.0),
        definition=(
            f"Mean over {count} frames (linspace cut off to whole numbers) of max(0, cosine) between the largest face "
            f"(SCRFD at 320 px; a grey border where it finds none) and the one in the picture shown; frames without a "
            f"face{own} are left out, and a clip without any is 0."
        ),
        source=SOURCE[protocol],
        caveats=caveats,
    )


class FaceSimArc(ClipMetric):
    """The cosine by buffalo_l's ArcFace; ConsisID's frames, and OpenS2V's as a companion."""

    network: ClassVar[str] = "arc"
    of_faces: ClassVar[Need[OfficialFaces]] = OFFICIAL_ARC
    drops_zeros: ClassVar[tuple[str, ...]] = ()
    facts = _facts(
        "arc",
        "FaceSim-Arc",
        "consisid",
        FAULTS + "A face found with the border is embedded with it. Models conditioned on the same ArcFace (PhotoMaker "
        "V2, Magic Mirror) are judged by what they were given.",
    )
    companions: ClassVar[tuple[MetricFacts, ...]] = (
        _facts("arc", "FaceSim-Arc", "opens2v", FAULTS + "The script means to drop zeros and compares a list with 0."),
    )
    needs: ClassVar[Collection[Need[Any]]] = (OFFICIAL_ARC, SHOWN_PICTURE)
    reads = ()

    def update(self, vectors: Floats, reference: Floats) -> FaceSim:
        """Add one clip: vectors (K, D) of its frames, NaN rows without a face, and the reference's (D,)."""
        result = facesim(as_array(vectors), as_array(reference))
        self._add(result.value)
        return result

    def measure(self, evidence: Evidence) -> list[Score]:
        """The values by both protocols."""
        names = [facts.name for facts in self.all_facts()]
        seen, reference, why = compared(evidence, self.of_faces)
        if reference is None:
            return [Score.missing(name, *why) for name in names]
        scores = []
        for name, protocol in zip(names, COUNTS, strict=True):
            frames = frames_of(protocol, evidence.clip.n_frames)
            result = facesim(seen.at(frames), reference, protocol in self.drops_zeros)
            scores.append(_score(name, result, seen, frames))
        self._add(scores[0].value)
        return scores


class FaceSimCur(FaceSimArc):
    """The cosine by CurricularFace, which OpenS2V's total is made of."""

    network: ClassVar[str] = "cur"
    of_faces: ClassVar[Need[OfficialFaces]] = OFFICIAL_CUR
    drops_zeros: ClassVar[tuple[str, ...]] = ("opens2v",)
    facts = _facts(
        "cur",
        "FaceSim-Cur",
        "consisid",
        FAULTS + "The aligned face is cut at 224 px and brought to 112 px without smoothing. ConsisID is conditioned "
        "on a network of the same training set.",
    )
    companions: ClassVar[tuple[MetricFacts, ...]] = (
        _facts(
            "cur",
            "FaceSim-Cur",
            "opens2v",
            FAULTS + "Frames of a stranger (cosine below 0) are dropped, so a clip that shows somebody else half of "
            "the time loses nothing by it.",
        ),
    )
    needs: ClassVar[Collection[Need[Any]]] = (OFFICIAL_CUR, SHOWN_PICTURE)


class FaceFeatureDistance(ClipMetric):
    """What ConsisID prints as FID: no distance of distributions, and not of whole frames."""

    facts = MetricFacts(
        name="face_feature_distance",
        title="Face feature distance (ConsisID's FID)",
        higher_is_better=False,
        unit="squared feature distance",
        range=(0.0, None),
        definition=(
            "Mean over 16 frames of the squared distance between Inception-v3 features (ImageNet, 2048) of the aligned "
            "face and of the face in the picture shown, each resized from 224 to 299 px."
        ),
        source=SOURCE["consisid"],
        caveats=(
            "Not a Frechet distance: of one picture against one, each counted twice, covariances are 0. Values of "
            "170-214 are usual. Features of ImageNet's classes see light and pose more than the person. Pixels are not "
            "normalised as the network was trained. A clip without any face has 0, the best value. Copying scores best."
        ),
        decimals=1,
    )
    needs: ClassVar[Collection[Need[Any]]] = (OFFICIAL_FEATURES, SHOWN_PICTURE)
    reads = ()

    def update(self, features: Floats, reference: Floats) -> FaceSim:
        """Add one clip: features (K, D) of its aligned faces, NaN rows without one, and the reference's (D,)."""
        result = feature_distance(as_array(features), as_array(reference))
        self._add(result.value)
        return result

    def measure(self, evidence: Evidence) -> list[Score]:
        """The mean distance."""
        seen, reference, why = compared(evidence, OFFICIAL_FEATURES)
        if reference is None:
            return [Score.missing(self.facts.name, *why)]
        frames = frames_of("consisid", evidence.clip.n_frames)
        return [_score(self.facts.name, self.update(seen.at(frames), reference), seen, frames)]


def compared(
    evidence: Evidence, need: Need[OfficialFaces]
) -> tuple[OfficialFaces, NDArray[np.float32] | None, tuple[str, str]]:
    """What a network made of a clip and of the picture shown; None for the latter with the reason and a remedy."""
    seen, path = evidence[need], evidence.get(SHOWN_PICTURE)
    if path is None:
        return seen, None, ("the clip has no reference picture", "Name one per identity: --references or the manifest.")
    if (reference := seen.eyes.of_picture(path)) is None:
        said = f"the picture shown, {path.name}, has no face that SCRFD finds at 320 px"
        return seen, None, (said, "Give a picture in which the face is large and upright.")
    return seen, reference, ("", "")


def _score(name: str, result: FaceSim, seen: OfficialFaces, frames: NDArray[np.int64]) -> Score:
    padded = int(seen.padded[np.searchsorted(seen.frames, frames)].sum())
    score = Score.ok(
        name,
        result.value,
        seen.eyes.provenance,
        frames=result.frames,
        counted=result.counted,
        with_border=padded,
    )
    return score if result.counted else replace(score, notes=(NO_FACE,))
