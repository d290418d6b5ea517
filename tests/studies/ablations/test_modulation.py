"""The map of scales: planted groups are told apart, shares of variance by hand, the model's own scales."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmbench.errors import ManifestError, RequestError
from mmbench.model.small.nano import build_pipeline, example_reference
from mmbench.reports.figures.modulation import modulation_figure, read_modulation
from mmbench.studies.ablations.modulation import KINDS, explained, modulation, scales, write_modulation


def test_shares_of_variance_by_hand() -> None:
    time, people = np.arange(4.0), np.array([0.0, 10.0, 20.0])
    only_time = np.broadcast_to(time[None, :, None, None], (2, 4, 3, 5))
    only_people = np.broadcast_to(people[None, None, :, None], (2, 4, 3, 5))
    assert explained(only_time) == pytest.approx((1.0, 0.0))
    assert explained(only_people) == pytest.approx((0.0, 1.0))
    both = explained(only_time + only_people)
    assert sum(both) == pytest.approx(1.0)
    assert both[0] == pytest.approx(time.var() / (time.var() + people.var()))
    assert explained(np.zeros((1, 2, 2, 3))) == (0.0, 0.0)


def test_planted_groups(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = np.array([(kind, layer, step) for kind in range(5) for layer in (0, 2) for step in range(6)])
    points = 10.0 * np.eye(5)[names[:, 0]] + 0.1 * rng.normal(size=(len(names), 5))
    found = modulation(points, names, rng.normal(size=(2, 6, 3, 5)))
    assert found.silhouettes["kind"] > 0.9
    assert abs(found.silhouettes["layer"]) < 0.1
    figure = write_modulation(found, tmp_path)
    assert figure.stat().st_size > 0
    held = read_modulation(tmp_path)
    assert list(held["kinds"]) == list(KINDS)
    assert len(modulation_figure(held).axes) == 3
    with pytest.raises(ManifestError, match=r"modulation\.npz"):
        read_modulation(tmp_path / "nowhere")


def test_the_models_own_scales() -> None:
    pipe = build_pipeline("smoke")
    face = pipe.encode_face([[example_reference(0)], [example_reference(1)]])
    points, names, residuals = scales(pipe.transformer, face, (999, 500, 1))
    adapted = len(pipe.transformer.layer_adapters())
    assert points.shape == (adapted * 5 * 3, pipe.transformer.config.num_attention_heads * 16)
    assert residuals.shape == (adapted, 3, 2, points.shape[1])
    video, with_can = (points[names[:, 0] == kind] for kind in (0, 1))
    np.testing.assert_allclose(with_can - video, residuals.mean(axis=2).reshape(with_can.shape), atol=1e-6)


def test_a_model_without_can_has_no_such_map() -> None:
    from mmbench.model.network.variants import VARIANTS
    from mmbench.model.pipeline.magic_mirror import MagicMirrorPipeline

    own = build_pipeline("smoke")
    made = MagicMirrorPipeline.from_base(own, face_encoder=own.face_encoder, ablation=VARIANTS["F"])
    face = own.encode_face(example_reference(0))
    with pytest.raises(RequestError, match="no CAN"):
        scales(made.transformer, face, (999, 1))
