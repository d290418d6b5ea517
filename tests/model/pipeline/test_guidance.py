"""Which calls a guidance mode makes, how they are weighed, and the weight's course."""

from __future__ import annotations

import pytest
import torch

from mmbench.errors import RequestError
from mmbench.model.pipeline.guidance import calls_of, combine, guidance_at


def test_calls_of_the_modes():
    shape = {m: [(c.texts, c.identity) for c in calls_of(m, True, True)] for m in ("shared", "null", "base", "split")}
    assert shape["shared"] == [(("negative", "fused"), (True, True))]
    assert shape["null"] == [(("negative", "fused"), (False, True))]
    assert shape["base"] == [(("negative",), None), (("fused",), (True,))]
    assert [c[0] for c in shape["split"]] == [("negative",), ("plain",), ("fused",)]
    for mode in shape:
        assert [c.texts for c in calls_of(mode, False, True)] == [("fused",)]
        assert [(c.texts, c.identity) for c in calls_of(mode, True, False)] == [(("negative", "plain"), None)]
    with pytest.raises(RequestError, match="shared"):
        calls_of("both", True, True)


def test_combine():
    a, b, c = torch.tensor(1.0), torch.tensor(3.0), torch.tensor(4.0)
    assert combine([a], 6.0, 2.0) == 1
    assert combine([a, b], 6.0, 2.0) == 13
    assert combine([a, b, c], 6.0, 2.0) == 15


def test_wave_has_the_known_first_values():
    """CogVideoX's dynamic guidance jumps about: 6.0 over 50 trailing steps gives these, with mean 3.8."""
    values = [guidance_at("cogvideox", 6.0, i, 50, 999 - 20 * i) for i in range(50)]
    assert [round(v, 2) for v in values[:5]] == [2.29, 2.54, 6.97, 6.42, 2.79]
    assert round(sum(values) / 50, 1) == 3.8


def test_cosine_rises_and_off_is_constant():
    values = [guidance_at("cosine", 6.0, i, 50, 0) for i in range(50)]
    assert values == sorted(values)
    assert values[-1] == 7.0
    assert guidance_at("off", 6.0, 3, 50, 999) == 6.0
    with pytest.raises(RequestError, match="cosine"):
        guidance_at("linear", 6.0, 3, 50, 999)
