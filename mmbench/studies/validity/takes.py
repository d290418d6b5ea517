"""A rendered shot: its frames and what is true of them, kept on disk so that nothing is rendered twice."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmbench.files import sha256, whole
from mmbench.studies.validity.shots import Shot, Staging, stage_shot

if TYPE_CHECKING:
    from mmbench.synth.control import Cast
    from mmbench.synth.truth import Truth

F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Take:
    """`frames` (N, H, W, 3) uint8 RGB. `points` (N, 5, 2), `landmarks` (N, 68, 2) in pixels counted from pixel centres
    (as detectors do), `visible` (N, 68).

    Of the true flow between frames (clips only, else empty): `pair_scores` (N-1,) the mean length in pixels of the
    longest 5 %, `flow_mean` (N-1,) the mean length, `ratios` (N-2,) the terms of motion smoothness.
    """

    frames: NDArray[np.uint8]
    points: F32
    landmarks: F32
    visible: NDArray[np.bool_]
    pair_scores: NDArray[np.float64]
    flow_mean: NDArray[np.float64]
    ratios: NDArray[np.float64]

    @property
    def boxes(self) -> F32:
        """The tight box of each frame's 68 points, (N, 4) xyxy."""
        return np.concatenate([self.landmarks.min(1), self.landmarks.max(1)], 1)


def render_take(cast: Cast, shot: Shot) -> Take:
    """Render a shot with its truth. Deterministic in the shot."""
    from mmbench.synth.picture import develop
    from mmbench.synth.stage import stage
    from mmbench.synth.truth import measure

    stagings = stage_shot(cast, shot)
    images, truths = [], []
    now = _plain(stagings[0])
    for k, at in enumerate(stagings):
        rng = np.random.default_rng([k, 5])
        images.append(develop(stage(at.person, at.scene, at.state, at.scene.samples), rng))
        ahead = _plain(stagings[k + 1]) if k + 1 < len(stagings) else None
        truths.append(measure(now, ahead if shot.moving else None))
        now = ahead or now
    scores, means, ratios = _flow_facts(truths)
    return Take(
        frames=np.stack(images),
        points=np.stack([truth.five for truth in truths]) - np.float32(0.5),
        landmarks=np.stack([truth.landmarks for truth in truths]) - np.float32(0.5),
        visible=np.stack([truth.visible for truth in truths]),
        pair_scores=scores,
        flow_mean=means,
        ratios=ratios,
    )


def _plain(at: Staging) -> Any:
    from mmbench.synth.stage import stage

    return stage(at.person, at.scene, at.state)


def _flow_facts(truths: list[Truth]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The metrics' own arithmetic on the true flow of a clip."""
    import torch

    from mmbench.flow.smoothness import smoothness_term
    from mmbench.flow.vbench_rule import pair_score

    flows = [torch.from_numpy(t.flow.transpose(2, 0, 1).copy()) for t in truths if t.flow is not None]
    return (
        np.array([pair_score(flow) for flow in flows]),
        np.array([float(torch.linalg.vector_norm(flow, dim=0).mean()) for flow in flows]),
        np.array([smoothness_term(a, b).ratio for a, b in pairwise(flows)]),
    )


class TakeStore:
    """Takes in a folder, one .npz each, under what a probe picture looks like: a changed renderer renders anew."""

    def __init__(self, folder: Path) -> None:
        self._root = folder

    @cached_property
    def _cast(self) -> Cast:
        from mmbench.synth.control import Cast
        from mmbench.synth.kit import load_kit

        return Cast(load_kit())

    @cached_property
    def renderer(self) -> str:
        """sha256 of a small probe picture: changes with the kit, the sampler and the renderer."""
        from mmbench.synth.picture import render

        at = stage_shot(self._cast, Shot("woman-00", "smile", 0.7))[0]
        picture = render(at.person, replace(at.scene, height=96, width=96), at.state)
        return sha256(picture.tobytes())

    def path(self, shot: Shot) -> Path:
        """Where the take is, or would be."""
        return self._root / self.renderer[:16] / f"{shot.name}.npz"

    def get(self, shot: Shot) -> Take:
        """The take of a shot, rendered if it is not there. Raises what `load_kit` raises without a kit."""
        path = self.path(shot)
        if path.is_file():
            with np.load(path, allow_pickle=False) as data:
                return Take(**{field.name: data[field.name] for field in fields(Take)})
        take = render_take(self._cast, shot)
        with whole(path) as part:
            np.savez(part, **{field.name: getattr(take, field.name) for field in fields(Take)})
        return take
