"""Every public `update` takes torch tensors, lists and numpy arrays for the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from mmbench.config import EvaluateSettings
from mmbench.metrics.arrays import as_array, as_number
from mmbench.metrics.base import DerivedMetric
from mmbench.metrics.registry import BUILT_IN, OFFICIAL, metric_class

POINTS = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float32)


def arguments(metric: str, rng: np.random.Generator) -> list[tuple[Any, ...]]:
    """What a metric's `update` takes, several times, in numpy's dtypes of the engine."""

    def faces(frames: int) -> np.ndarray:
        return (POINTS + rng.normal(0, 2, (frames, 5, 2))).astype(np.float32)

    def boxes(frames: int) -> np.ndarray:
        return (np.array([20, 20, 80, 100]) + rng.normal(0, 2, (frames, 4))).astype(np.float32)

    def vectors(rows: int, size: int) -> np.ndarray:
        return rng.normal(size=(rows, size)).astype(np.float32)

    def with_gaps(values: np.ndarray) -> np.ndarray:
        values[3] = np.nan
        return values

    makers: dict[str, Callable[[], tuple[Any, ...]]] = {
        "dynamic_degree": lambda: (rng.uniform(0, 20, 15), 256, 256, 16),
        "text_alignment": lambda: (vectors(1, 768)[0], vectors(1, 768)[0]),
        "inception_score": lambda: (np.log(rng.dirichlet(np.ones(1008), 8)).astype(np.float32),),
        "motion_smoothness": lambda: (rng.uniform(0, 1, (6, 3)),),
        "id_similarity": lambda: (with_gaps(vectors(16, 128)), vectors(3, 128)),
        "id_similarity_arcface": lambda: (with_gaps(vectors(16, 512)), vectors(3, 512)),
        "similarity_decay": lambda: (with_gaps(rng.uniform(0, 1, 16)), np.linspace(0, 1, 16)),
        "fm_ref": lambda: (with_gaps(faces(16)), boxes(16), faces(2), boxes(2)),
        "fm_inter": lambda: (faces(4), 256.0),
        "copy_gap": lambda: (with_gaps(vectors(16, 128)), vectors(1, 128), vectors(3, 128)),
        "copy_gap_arcface": lambda: (with_gaps(vectors(16, 512)), vectors(2, 512), vectors(1, 512)),
        "face_rate": lambda: (rng.uniform(size=16) > 0.3,),
        "id_by_pose": lambda: (rng.uniform(0, 40, 30), rng.uniform(0, 40, 16), with_gaps(rng.uniform(0, 1, 16))),
        "facesim_arc": lambda: (with_gaps(vectors(16, 512)), vectors(1, 512)[0]),
        "facesim_cur": lambda: (with_gaps(vectors(16, 512)), vectors(1, 512)[0]),
        "face_feature_distance": lambda: (with_gaps(vectors(16, 32)), vectors(1, 32)[0]),
        "clip_score": lambda: (vectors(16, 512), vectors(1, 512)[0]),
        "aesthetic": lambda: (vectors(1, 32)[0],),
        "motion_amplitude": lambda: (vectors(45, 32).reshape(5, 9, 16, 2),),
        "human_identity": lambda: (np.ones(30), rng.uniform(0, 1, 30)),
    }
    return [makers[metric]() for _ in range(12)]


def to_torch(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy()).requires_grad_(value.dtype.kind == "f")
    return torch.tensor(value)


def to_lists(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def to_lists_of_tensors(value: Any) -> Any:
    return list(to_torch(value).unbind()) if isinstance(value, np.ndarray) else value


def to_fortran(value: Any) -> Any:
    return np.asfortranarray(value) if isinstance(value, np.ndarray) else value


def to_other_byte_order(value: Any) -> Any:
    return value.astype(value.dtype.newbyteorder(">")) if isinstance(value, np.ndarray) else value


def to_strided(value: Any) -> Any:
    """Every second row of a tensor, part of a graph: no memory of its own, no leaf."""
    if not isinstance(value, np.ndarray):
        return value
    tensor = torch.from_numpy(np.repeat(value, 2, axis=0))[::2]
    return tensor.requires_grad_() * 1 if value.dtype.kind == "f" else tensor


CHANGES = (to_torch, to_lists, to_lists_of_tensors, to_fortran, to_other_byte_order, to_strided)
UPDATED = [name for name in BUILT_IN | OFFICIAL if not issubclass(metric_class(name), DerivedMetric)]


@pytest.mark.filterwarnings("ignore:.*clips are few")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", UPDATED)
def test_every_update_takes_what_holds_the_numbers(name: str, change: Callable[[Any], Any]) -> None:
    found = []
    given = arguments(name, np.random.default_rng(7))
    for turned in (given, [tuple(change(value) for value in clip) for clip in given]):
        metric: Any = metric_class(name).from_settings(EvaluateSettings())
        for clip in turned:
            metric.update(*clip)
        found.append(metric.compute())
    assert found[0] == found[1], "the same numbers in the same precision take the same way"


@pytest.mark.filterwarnings("ignore:.*clips are few")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", UPDATED)
def test_every_update_takes_every_precision_alike(name: str, dtype: type) -> None:
    """Numbers of one precision, from numpy and from torch; nothing of it is compared with another precision's."""

    def rounded(value: Any) -> Any:
        return value.astype(dtype) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value

    found = []
    given = [tuple(map(rounded, clip)) for clip in arguments(name, np.random.default_rng(11))]
    for turned in (given, [tuple(map(to_torch, clip)) for clip in given]):
        metric: Any = metric_class(name).from_settings(EvaluateSettings())
        for clip in turned:
            metric.update(*clip)
        found.append(metric.compute())
    assert found[0] == found[1]


def test_a_similarity_that_torch_got_wrong() -> None:
    """One of 16 slots shows the person, the others somebody at a right angle: 1 of 16."""
    faces, reference = np.zeros((16, 2)), np.array([[1.0, 0.0]])
    faces[0, 0] = faces[1:, 1] = 1
    for of in (np.asarray, torch.tensor, np.ndarray.tolist):
        assert metric_class("id_similarity")().update(of(faces), of(reference)).value == 0.0625  # type: ignore[attr-defined]


def test_dtypes_that_numpy_lacks() -> None:
    values = torch.tensor([0.5, 1.25], dtype=torch.bfloat16, requires_grad=True)
    assert as_array(values).tolist() == [0.5, 1.25]
    assert as_number(torch.tensor([3.0])) == 3.0
    assert np.isnan(as_array([0.5, None])[1])


@pytest.mark.gpu
def test_tensors_on_a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    assert as_array(torch.ones(3, device="cuda", dtype=torch.half)).tolist() == [1, 1, 1]
