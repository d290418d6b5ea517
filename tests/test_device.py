"""The device a setting names: known names, absent hardware, forms that are none."""

from __future__ import annotations

import pytest
import torch

from mmbench.device import beside_torch, kind_and_index, torch_as_started, torch_device
from mmbench.errors import MMBenchError


def test_names_are_read_with_their_index():
    assert kind_and_index("cuda:12") == ("cuda", 12)
    assert kind_and_index("cpu") == ("cpu", 0)
    assert torch_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["", "cuda:", "cuda:first", "cuda:-1", "cuda:1:2", "fast", "meta", "cuda:²"])
def test_other_names_are_errors(name):
    with pytest.raises(MMBenchError, match="no device"):
        torch_device(name)


def test_an_absent_accelerator_is_an_error():
    with pytest.raises(MMBenchError, match=f"sees {torch.cuda.device_count()} CUDA"):
        torch_device(f"cuda:{torch.cuda.device_count()}")
    if not torch.backends.mps.is_available():
        with pytest.raises(MMBenchError, match="Metal"):
            torch_device("mps")


def test_face_networks_follow_a_generator_to_its_gpu_and_stay_on_the_processor_beside_metal():
    assert [beside_torch(name) for name in ("cpu", "cuda", "cuda:1", "mps")] == ["cpu", "cuda", "cuda:1", "cpu"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_callers_defaults_stay_outside_and_come_back(dtype: torch.dtype) -> None:
    torch.set_default_dtype(dtype)
    try:
        with torch.autocast("cpu", torch.bfloat16), torch.device("meta"):
            with pytest.raises(ZeroDivisionError), torch_as_started():
                assert torch.ones(2, 2).dtype == torch.float32 and torch.ones(1).device.type == "cpu"
                assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
                raise ZeroDivisionError
            assert torch.get_default_dtype() == dtype and torch.is_autocast_enabled("cpu")
            assert torch.ones(1).device.type == "meta"
    finally:
        torch.set_default_dtype(torch.float32)
