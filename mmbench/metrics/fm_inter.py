"""FMinter: the largest facial motion between consecutive sampled frames (Table 1, FMinter)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from mmbench.face.needs import FACES
from mmbench.face.track import FaceTrack
from mmbench.metrics.arrays import as_array, as_number
from mmbench.metrics.articulation import MIN_PAIRS, articulation
from mmbench.metrics.base import ClipMetric, Evidence, Floats, MetricFacts, Need
from mmbench.metrics.id_similarity import too_few_faces
from mmbench.scores import Score

if TYPE_CHECKING:
    from mmbench.config import EvaluateSettings

EVERY_FRAME = ("fm_inter_rate", "fm_articulation")
"""Companions that look at all frames, not at sampled ones."""

SAMPLES = 4
"""Frames compared: with four, the definition reproduces the paper's figures on the official clips."""

ARTICULATION = (
    "A lively rendered person has 0.15 (19 of 20 above 0.05), a face at rest under a moving camera 0.04, photographs "
    "moved as planes up to 0.03; trembling landmarks cancel. 0 says that nothing was seen above the trembling, in "
    "clips of few frames easily so. Frames shown twice let part of the trembling through; a photograph bent by more "
    "than an affine map scores."
)

NOMINAL_FPS = 8.0
"""Rates are per 1/8 s, the native step of the models measured."""


@dataclass(frozen=True)
class FMInterResult:
    """`frame`: in short sides of the frame (v2). `face`: in inter-ocular distances (v1). `local`: without any
    translation, rotation or zoom, in inter-ocular distances. `affine_free`: as `local`, without any squeeze or shear
    either. Each the maximum over the usable pairs."""

    frame: float
    face: float
    local: float
    affine_free: float
    pairs: int


@dataclass(frozen=True)
class RateResult:
    """`rate`: median motion per 1/8 s in short sides; `floor`: what landmark noise alone would give."""

    rate: float
    floor: float
    steps: int


def point_distance(a: Floats, b: Floats) -> NDArray[np.float64]:
    """Sum over the five points of their distance, (..., 5, 2) px twice -> (...) px."""
    return np.asarray(np.linalg.norm(np.asarray(b, np.float64) - np.asarray(a, np.float64), axis=-1).sum(axis=-1))


def eye_distance(points: Floats) -> NDArray[np.float64]:
    """Inter-ocular distance, (..., 5, 2) px -> (...) px."""
    wide = np.asarray(points, np.float64)
    return np.asarray(np.linalg.norm(wide[..., 0, :] - wide[..., 1, :], axis=-1))


def align_similarity(source: Floats, target: Floats) -> NDArray[np.float64]:
    """`source` moved, rotated and zoomed onto `target` by least squares (Procrustes), (5, 2) px twice -> (5, 2)."""
    s, t = (np.asarray(p, np.float64) @ np.array([1.0, 1.0j]) for p in (source, target))
    centred, aim = s - s.mean(), t - t.mean()
    turn = np.vdot(centred, aim) / np.vdot(centred, centred).real
    moved = turn * centred + t.mean()
    return np.stack([moved.real, moved.imag], axis=-1)


def align_affine(source: Floats, target: Floats) -> NDArray[np.float64]:
    """`source` carried onto `target` by the best affine map (least squares), (5, 2) px twice -> (5, 2)."""
    s, t = np.asarray(source, np.float64), np.asarray(target, np.float64)
    centred = s - s.mean(axis=0)
    aligned: NDArray[np.float64] = centred @ (np.linalg.pinv(centred) @ (t - t.mean(axis=0))) + t.mean(axis=0)
    return aligned


def fm_inter(points: Floats, short_side: float) -> FMInterResult | None:
    """Largest motion between consecutive sampled frames, in four forms.

    points: (S, 5, 2) px at the sampled frames in time order, NaN where the face is missing; a pair counts when
    both ends are there. None with fewer than two usable pairs. Source: Magic Mirror section 4.1 ("maximised
    inter-frame facial motion", translation kept); v1 and v2 of the paper use different units.
    """
    p = np.asarray(points, np.float64)
    present = np.asarray(np.isfinite(p).all(axis=(-1, -2)))
    pairs = [(a, a + 1) for a in range(len(p) - 1) if present[a] and present[a + 1]]
    if len(pairs) < 2:
        return None
    a, b = (p[list(side)] for side in zip(*pairs, strict=True))
    moved = point_distance(a, b)
    eyes = (eye_distance(a) + eye_distance(b)) / 2
    aligned = np.stack([align_similarity(late, early) for early, late in zip(a, b, strict=True)])
    unbent = np.stack([align_affine(late, early) for early, late in zip(a, b, strict=True)])
    return FMInterResult(
        frame=float((moved / short_side).max()),
        face=float((moved / eyes).max()),
        local=float((point_distance(a, aligned) / eye_distance(a)).max()),
        affine_free=float((point_distance(a, unbent) / eye_distance(a)).max()),
        pairs=len(pairs),
    )


def fm_inter_rate(points: Floats, short_side: float, fps: float) -> RateResult | None:
    """Median single-step motion per 1/8 s in short sides, with the floor that landmark noise sets.

    points: (N, 5, 2) px of every frame, NaN where missing. The floor is 1.8 x noise x 5 / short side, the noise
    being the radial landmark noise read off second differences (by the median, so bursts of true acceleration do
    not count). None with fewer than two usable steps. Fair across clip lengths, unlike `fm_inter`.
    """
    p = np.asarray(points, np.float64)
    steps = point_distance(p[:-1], p[1:])
    steps = steps[np.isfinite(steps)]
    if len(steps) < 2:
        return None
    bend = np.linalg.norm(p[2:] - 2 * p[1:-1] + p[:-2], axis=-1)
    bend = bend[np.isfinite(bend)]
    # Independent noise of radial RMS r has second differences of radial RMS r*sqrt(6) and median r*sqrt(6 ln 2).
    noise = float(np.median(bend)) / np.sqrt(6 * np.log(2)) if len(bend) else 0.0
    per_step = fps / NOMINAL_FPS
    return RateResult(
        rate=float(np.median(steps)) / short_side * per_step,
        floor=1.8 * noise * 5 / short_side * per_step,
        steps=len(steps),
    )


def sampled_points(track: FaceTrack, samples: int = SAMPLES) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Nominal frames and five points, (S,) and (S, 5, 2) px, of S uniform samples; nearest face within half a slot."""
    wanted = np.round(np.linspace(0, track.n_frames - 1, samples)).astype(np.int64)
    half_slot = (track.n_frames - 1) / (len(track.slots) - 1) / 2
    rows = track.at(wanted, tolerance=half_slot)
    points = np.full((samples, 5, 2), np.nan)
    points[rows >= 0] = track.points[rows[rows >= 0]]
    return wanted, points


def _companion(
    name: str, title: str, definition: str, unit: str, caveats: str = "", beside: bool = False
) -> MetricFacts:
    return MetricFacts(name, title, True, unit, (0.0, None), definition, "mmbench", caveats, beside=beside)


class FMInter(ClipMetric):
    """Facial motion between frames. `version` picks the unit of the column, which the paper changed."""

    facts: ClassVar[MetricFacts] = MetricFacts(
        name="fm_inter",
        title="FM inter",
        higher_is_better=True,
        unit="frame short sides, sum of 5 points",
        range=(0.0, None),
        definition="Largest summed displacement of the five landmarks between consecutive of four uniformly "
        "sampled frames, in short sides of the frame.",
        source="Magic Mirror (arXiv 2501.03931v2) section 4.1",
        caveats="A moving camera moves it: read fm_inter_local, which ignores pan, zoom and roll. Four samples "
        "of a longer clip lie further apart, which favours long clips: read fm_inter_rate across lengths.",
        column=True,
    )
    companions: ClassVar[tuple[MetricFacts, ...]] = (
        _companion(
            "fm_inter_face",
            "FM inter, face units",
            "As fm_inter, in inter-ocular distances: the nearest neighbour of the scale of the paper's first version.",
            "inter-ocular distances",
        ),
        _companion(
            "fm_inter_local",
            "FM inter, camera-free",
            "As fm_inter, after removing translation, rotation and zoom of each pair: what is left is turning, "
            "nodding and expression.",
            "inter-ocular distances",
            "Landmark noise alone gives about 0.05 on still frames, more on turned heads. A photograph squeezed "
            "or sheared scores here as if it turned: read fm_articulation.",
            beside=True,
        ),
        _companion(
            "fm_inter_affine_free",
            "FM inter, affine-free",
            "As fm_inter, after removing the best affine map of each pair: a picture that is only panned, zoomed, "
            "turned, squeezed or sheared scores 0.",
            "inter-ocular distances",
            "On the true points of rendered people it keeps nine tenths of fm_inter_local (0.36 of 0.40 for a lively "
            "performance) in the same order; landmark noise alone gives about 0.045, a photograph squeezed or sheared "
            "little more. Perspective warps and pasted faces still score.",
        ),
        _companion(
            "fm_inter_rate",
            "FM inter, rate",
            "Median motion per 1/8 s between neighbouring frames; its noise floor is stored beside it.",
            "frame short sides per 1/8 s",
            "Below the clip's floor (details) there is no measurable motion.",
        ),
        _companion(
            "fm_articulation",
            "Articulation",
            "How much the five points change their shape over the whole clip beyond what an affine map of the picture "
            "explains, and lastingly: the part of these deviations that two frames 1/8 s apart share, root mean "
            "square, sum of 5 points.",
            "inter-ocular distances",
            ARTICULATION,
            beside=True,
        ),
    )
    needs: ClassVar[Collection[Need[Any]]] = (FACES,)
    reads = ("fps",)
    revision = 3

    def __init__(self, version: int = 2) -> None:
        super().__init__()
        if version not in (1, 2):
            raise ValueError(f"version is 1 or 2, got {version}")
        self.version = version

    @classmethod
    def from_settings(cls, settings: EvaluateSettings) -> Self:
        """`fm_version` is the version."""
        return cls(settings.fm_version)

    def update(self, points: Floats, short_side: float) -> FMInterResult | None:
        """Add one clip's (S, 5, 2) sampled points in px; clips with fewer than two usable pairs are not counted."""
        result = fm_inter(as_array(points), as_number(short_side))
        self._add(None if result is None else result.frame if self.version == 2 else result.face)
        return result

    def measure(self, evidence: Evidence) -> list[Score]:
        """Scores of one clip."""
        track = evidence[FACES]
        names = [f.name for f in self.all_facts()]
        if missing := too_few_faces("fm_inter", track):
            return [Score.missing(name, missing.reason, missing.remedy) for name in names]
        if track.n_frames < 2:
            return [Score.missing(name, "The clip has one frame, and motion is between frames.") for name in names]
        short_side = min(track.width, track.height)
        frames, points = sampled_points(track)
        result = fm_inter(points, short_side)
        if result is None:
            reason = f"Fewer than two of the {SAMPLES - 1} consecutive pairs have a face at both ends."
            scores = [Score.missing(name, reason) for name in names if name not in EVERY_FRAME]
        else:
            main = result.frame if self.version == 2 else result.face
            scores = [
                Score.ok("fm_inter", main, track.provenance, version=self.version, sampled=frames.tolist()),
                Score.ok("fm_inter_face", result.face, track.provenance),
                Score.ok("fm_inter_local", result.local, track.provenance),
                Score.ok("fm_inter_affine_free", result.affine_free, track.provenance),
            ]
        return [*scores, *self._of_every_frame(track, short_side)]

    def _of_every_frame(self, track: FaceTrack, short_side: float) -> list[Score]:
        if len(track.frames) < track.n_frames:
            reason = "Faces were looked for in sampled frames only."
            remedy = "Evaluate with the setting `face: {frames: all}`."
            return [Score.missing(name, reason, remedy) for name in EVERY_FRAME]
        usable = np.where(track.usable[:, None, None], track.points, np.nan)
        changes = articulation(usable, track.fps)
        if changes is None:
            reason = f"Fewer than {MIN_PAIRS} pairs of frames 1/8 s apart have a face at both ends."
            return [self._rate(track, usable, short_side), Score.missing("fm_articulation", reason)]
        return [
            self._rate(track, usable, short_side),
            Score.ok("fm_articulation", changes, track.provenance),
        ]

    def _rate(self, track: FaceTrack, usable: NDArray[np.float64], short_side: float) -> Score:
        rate = fm_inter_rate(usable, short_side, track.fps)
        if rate is None:
            return Score.missing("fm_inter_rate", "Fewer than two neighbouring frames both have a face.")
        steps = point_distance(usable[:-1], usable[1:]) / short_side
        return Score.ok(
            "fm_inter_rate",
            rate.rate,
            track.provenance,
            floor=round(rate.floor, 6),
            above_floor=bool(rate.rate > rate.floor),
            frames=list(range(1, track.n_frames)),
            distance=[round(float(d), 5) if np.isfinite(d) else None for d in steps],
        )
