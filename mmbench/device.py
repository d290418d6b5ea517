"""The torch device a setting names, or an error that says why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmbench.errors import MMBenchError

if TYPE_CHECKING:
    import torch


def torch_device(name: str) -> torch.device:
    """torch's device of that name: "cpu", "cuda" or "cuda:1".

    Raises MMBenchError for a name that is no device and for a GPU torch does not see: nothing runs elsewhere
    than where it was asked to.
    """
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as cause:
        raise MMBenchError(f"There is no device {name!r}: {cause}.", "Set device to cpu, cuda or cuda:1.") from cause
    if device.type == "cuda" and (device.index or 0) >= (count := torch.cuda.device_count()):
        raise MMBenchError(
            f"device is {name!r}, but torch {torch.__version__} sees {count} CUDA devices.",
            "Set device to cpu, or install the GPU's driver and a torch built for CUDA.",
        )
    return device
