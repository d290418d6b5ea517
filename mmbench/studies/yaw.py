"""Calibrates the yaw that is read off 68 landmarks: rendered people turned by known angles, as dlib sees them.

    python -m mmbench.studies.yaw --out mmbench/face/yaw.safetensors

The people (`FIRST` and up) are in no test set, no training set and none of the experiments.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmbench.face.pose import DEGREES, mirrored, upright
from mmbench.files import whole

if TYPE_CHECKING:
    from mmbench.face.dlib.eyes import DlibBackend
    from mmbench.synth.kit import Kit
    from mmbench.synth.person import Person

FIRST, SEEDS, VIEWS = 60000, 24, 8
"""The first seed, how many, and views of each person; a person of every group a seed."""
WIDEST, NOD, TILT = 60.0, 12.0, 10.0
"""Yaw, pitch and roll in degrees are drawn evenly up to these, either way."""
HIDDEN, STEPS, BATCH, JITTER, OUTLIER = 24, 1500, 256, 0.02, 8.0
"""Units, steps, faces a step, noise on the points (in units of `upright`), degrees from which an error counts less."""


@dataclass(frozen=True, eq=False)
class Views:
    """`points` (N, 68, 2) px as dlib finds them, `yaws` (N,) in degrees as rendered; of all views the share `found`."""

    points: NDArray[np.float32]
    yaws: NDArray[np.float64]
    found: float


def see(kit: Kit, seeds: Sequence[int], views: int, say: Callable[[str], None] = print) -> Views:
    """Render everybody of these seeds and look with dlib's fast detector, whose boxes its landmarks were made for."""
    from mmbench.face.dlib.eyes import DlibBackend
    from mmbench.synth.identity import GROUPS
    from mmbench.synth.person import build_person
    from mmbench.synth.sampling import sample_identity

    faces, points, yaws = DlibBackend(), [], []
    for seed in seeds:
        for number, group in enumerate(GROUPS):
            person = build_person(kit, sample_identity(kit, group, seed), texture=256)
            for view in range(views):
                seen, yaw = _view(faces, person, np.random.default_rng([seed, number, view, 97]))
                if seen is not None:
                    points.append(seen)
                    yaws.append(yaw)
        say(f"seed {seed}: {len(points)} faces")
    return Views(np.stack(points), np.array(yaws), len(points) / (len(seeds) * len(GROUPS) * views))


def _view(faces: DlibBackend, person: Person, rng: np.random.Generator) -> tuple[NDArray[np.float32] | None, float]:
    """A view of its own light, clothes, size, sharpness and expression, and how it is turned."""
    import cv2

    from mmbench.synth.person import Pose
    from mmbench.synth.picture import render
    from mmbench.synth.scene import State
    from mmbench.synth.views import FACES, random_scene

    scene = replace(random_scene(rng), zoom=float(rng.uniform(0.5, 1.25)))
    face = FACES[int(rng.integers(len(FACES)))].scaled(0.8)
    yaw = float(rng.uniform(-WIDEST, WIDEST))
    pose = Pose(yaw, float(rng.uniform(-NOD, NOD)), float(rng.uniform(-TILT, TILT)))
    picture = render(person, scene, State(expression=face, pose=pose), int(rng.integers(1 << 30)))
    sigma = float(rng.uniform(-1, 1.6))
    if sigma > 0.3:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)
    found = faces.detect_fast([picture])[0]
    return (max(found, key=lambda face: face.score).points68 if found else None), yaw


def fit(points: NDArray[np.float32], yaws: NDArray[np.float64], steps: int = STEPS) -> dict[str, NDArray[np.float32]]:
    """The network of `mmbench.face.pose` for faces (N, 68, 2) px turned by `yaws` (N,), by its tensors' names."""
    import torch

    straight, turned = upright(points), upright(mirrored(points))
    middle = torch.tensor((straight + turned).mean(axis=0) / 2, dtype=torch.float32)
    seen, back = (torch.tensor(each, dtype=torch.float32) - middle for each in (straight, turned))
    wanted = torch.tensor(yaws, dtype=torch.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, last = torch.nn.Linear(seen.shape[1], HIDDEN), torch.nn.Linear(HIDDEN, 1, bias=False)
        weights = [*first.parameters(), *last.parameters()]
        optimiser = torch.optim.AdamW(weights, lr=4e-3, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for _ in range(steps):
            rows = torch.randint(len(wanted), (BATCH,))
            noise = JITTER * torch.randn(BATCH, seen.shape[1])
            both = last(torch.tanh(first(3 * (seen[rows] + noise)))) - last(torch.tanh(first(3 * back[rows])))
            loss = torch.nn.functional.huber_loss(DEGREES * both[:, 0] / 2, wanted[rows], delta=OUTLIER)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        weight = 3 * first.weight
        found = {"weight": weight, "bias": first.bias - weight @ middle, "out": last.weight[0]}
        return {name: np.ascontiguousarray(value.numpy(), np.float32) for name, value in found.items()}


def calibrate(out: Path, kit: Kit, seeds: Sequence[int], views: int) -> None:
    """Render, look, fit and write the file that `mmbench.face.pose` reads."""
    from safetensors.numpy import save_file

    seen = see(kit, seeds, views)
    facts = {"faces": str(len(seen.points)), "seeds": f"{seeds[0]} to {seeds[-1]}", "views": str(views)}
    with whole(out) as part:
        save_file(fit(seen.points, seen.yaws), part, {**facts, "found": f"{seen.found:.3f}"})


if __name__ == "__main__":
    from mmbench.synth.kit import load_kit

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    calibrate(given.out, load_kit(), range(FIRST, FIRST + SEEDS), VIEWS)
