from __future__ import annotations

import numpy as np
import pytest

from mmbench.face.pose import DEGREES, mirrored, upright
from mmbench.studies.yaw import fit, see
from mmbench.synth.kit import load_kit
from tests.conftest import development_data
from tests.face.test_pose import head_of_68, seen


def test_a_fit_reads_heads_it_has_not_seen() -> None:
    """Heads of many noses: what is fitted to some of them reads the others, to a degree or two."""
    rng = np.random.default_rng(0)
    yaws = rng.uniform(-50, 50, 600)
    heads = head_of_68()[None] * [1, 1, 1] + rng.normal(0, 0.02, (600, 68, 3))
    heads[:, 27:36, 2] += rng.normal(0, 0.08, (600, 1))
    faces = np.stack([seen(yaw, rng.uniform(-20, 20), head=head) for yaw, head in zip(yaws, heads, strict=True)])
    network = fit(faces[:400].astype(np.float32), yaws[:400], steps=400)
    weight, bias, out = (network[name] for name in ("weight", "bias", "out"))

    def answer(points: np.ndarray) -> np.ndarray:
        return np.tanh(upright(points) @ weight.T + bias) @ out

    found = DEGREES * (answer(faces[400:]) - answer(mirrored(faces[400:]))) / 2
    assert np.abs(found - yaws[400:]).mean() < 4


@pytest.mark.slow
def test_people_are_rendered_and_seen() -> None:
    kit = load_kit(development_data("MMBENCH_FACEKIT", "facekit", "facekit.npz"))
    said: list[str] = []
    views = see(kit, [60_100], 2, said.append)
    assert views.points.shape == (len(views.yaws), 68, 2) and np.isfinite(views.points).all()
    assert len(said) == 1 and 0.3 < views.found <= 1
    assert (np.abs(views.yaws) <= 60).all()
