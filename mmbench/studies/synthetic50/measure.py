"""Measures a set of identities with dlib on fresh random views: detection, verification, landmark error.

Protocol. Every identity is seen in `views` random views (`mmbench.synth.views.random_view`: yaw within 30
degrees, pitch 10, roll 8, eight expressions, own light, clothes and backdrop each), 256x256. Detection: a
box that contains the true face centre; HOG with one upsampling, and for what it misses the CNN detector.
Verification: Euclidean distance of 128-d descriptors over all pairs of found faces; the equal error rate
is where misses equal false accepts. Landmarks: five points of dlib's 68 against the truth, in percent of
the true inter-ocular distance divided by the cosine of the yaw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmbench.files import Progress
from mmbench.studies.synthetic50.looking import descriptor, face_at, landmarks
from mmbench.synth.identity import GROUPS, Group
from mmbench.synth.kit import load_kit
from mmbench.synth.person import build_person
from mmbench.synth.picture import render
from mmbench.synth.sampling import sample_identity
from mmbench.synth.stage import stage
from mmbench.synth.truth import LABELS, five_points, measure
from mmbench.synth.views import random_view

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """One fresh view as dlib saw it. `descriptor` (128,) and `error` (percent) are None where HOG missed the face;
    `surroundings` (512,) is a colour histogram of backdrop and clothes, `hair` of the hair (None without any)."""

    group: Group
    seed: int
    yaw: float
    hog: bool
    cnn: bool
    descriptor: F64 | None
    error: float | None
    surroundings: F64 | None
    hair: F64 | None


def _histogram(pixels: NDArray[np.uint8]) -> F64 | None:
    if len(pixels) < 50:
        return None
    code = (pixels >> 5).astype(np.int64) @ np.array([64, 8, 1])
    counts = np.bincount(code, minlength=512).astype(np.float64)
    return np.asarray(np.sqrt(counts / counts.sum()))


def look_at(pairs: Sequence[tuple[Group, int]], views: int, say: Progress, salt: int = 99) -> list[View]:
    """Render and examine `views` fresh views of every identity."""
    kit = load_kit()
    seen: list[View] = []
    for done, (group, seed) in enumerate(pairs, start=1):
        person = build_person(kit, sample_identity(kit, group, seed))
        rng = np.random.default_rng([seed, GROUPS.index(group), salt])
        for k in range(views):
            scene, state = random_view(rng, group in ("boy", "girl", "baby"))
            image = render(person, scene, state, seed=k)
            truth = measure(stage(person, scene, state))
            x, y = (float(v) for v in truth.five[:3].mean(0))
            face = face_at(image, (x, y))
            vector, error = None, None
            if face is not None:
                vector = descriptor(image, face)
                apart = np.linalg.norm(truth.five[0] - truth.five[1]) / np.cos(np.deg2rad(state.pose.yaw))
                found = five_points(landmarks(face))
                error = float(np.linalg.norm(found - truth.five, axis=1).mean() / apart * 100)
            around = np.isin(truth.labels, (LABELS.index("background"), LABELS.index("clothes")))
            seen.append(View(
                group, seed, state.pose.yaw, face is not None,
                face is not None or face_at(image, (x, y), fallback=True) is not None, vector, error,
                _histogram(image[around]), _histogram(image[truth.labels == LABELS.index("hair")]),
            ))  # fmt: skip
        say(done, len(pairs), "people measured")
    return seen


def equal_error(vectors: Sequence[F64], who: Sequence[object]) -> tuple[float, float]:
    """Equal error rate (0..1) and the distance at which it falls, over all pairs. NaN without genuine pairs."""
    if len(vectors) < 2:
        return float("nan"), float("nan")
    stacked, names = np.array(vectors), np.array([hash(name) for name in who])
    gaps = np.linalg.norm(stacked[:, None] - stacked[None], axis=-1)
    upper = np.triu_indices(len(stacked), 1)
    same, gaps = (names[:, None] == names[None])[upper], gaps[upper]
    if not same.any() or same.all():
        return float("nan"), float("nan")
    genuine, impostor = np.sort(gaps[same]), np.sort(gaps[~same])
    levels = np.unique(np.concatenate([genuine, impostor[: 20 * len(genuine)]]))
    missed = 1 - np.searchsorted(genuine, levels, side="right") / len(genuine)
    accepted = np.searchsorted(impostor, levels, side="right") / len(impostor)
    best = int(np.argmin(np.abs(missed - accepted)))
    return float((missed[best] + accepted[best]) / 2), float(levels[best])


@dataclass(frozen=True)
class CardLine:
    """A line of the card: shares in percent, landmark errors in percent of the inter-ocular distance."""

    label: str
    people: int
    views: int
    hog: float
    cnn: float
    eer: float
    threshold: float
    error_mean: float
    error_median: float
    error_p90: float
    surroundings_eer: float
    hair_eer: float  # NaN where nobody has a hair mesh


def summarise(label: str, seen: Sequence[View]) -> CardLine:
    """One line over some views."""
    found = [v for v in seen if v.descriptor is not None]
    errors = np.array([v.error for v in found if v.error is not None])
    eer, threshold = equal_error(
        [v.descriptor for v in found if v.descriptor is not None], [(v.group, v.seed) for v in found]
    )
    haired = [v for v in seen if v.hair is not None]
    return CardLine(
        label,
        len({(v.group, v.seed) for v in seen}),
        len(seen),
        100 * float(np.mean([v.hog for v in seen])),
        100 * float(np.mean([v.cnn for v in seen])),
        100 * eer,
        threshold,
        float(errors.mean()),
        float(np.median(errors)),
        float(np.percentile(errors, 90)),
        100
        * equal_error(
            [v.surroundings for v in seen if v.surroundings is not None],
            [(v.group, v.seed) for v in seen if v.surroundings is not None],
        )[0],
        100 * equal_error([v.hair for v in haired if v.hair is not None], [(v.group, v.seed) for v in haired])[0],
    )


def table(seen: Sequence[View]) -> list[CardLine]:
    """All views, then each group."""
    rows = [summarise("all", seen)]
    return rows + [summarise(group, [v for v in seen if v.group == group]) for group in GROUPS]
